"""How good probabilities of several classes are.

Labels are codes of classes, 0 for the first; predictions have one column a class. A code that no column has (``-1``, a
class the model never learnt) is a class of its own, which the model held for impossible.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.metrics.arrays import Array, finite, mean
from millstream.metrics.binary import CLIP
from millstream.metrics.binary import roc_auc as two_classes


def coded(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], Array]:
    """Return codes and probabilities, shapes (n,) and (n, classes).

    Raises
    ------
    BadData
        When lengths differ, a label is no code, or a probability is not finite.
    """
    codes = finite(label, what="labels")
    table = np.asarray(prediction, dtype=np.float64)
    finite(table.ravel(), what="predictions")
    if table.ndim != 2 or len(table) != codes.size:
        raise BadData(
            f"there are {codes.size} labels and predictions of shape {table.shape}",
            expected="one row of them per label",
        )
    odd = codes[(codes != np.floor(codes)) | (codes < -1)]
    if odd.size:
        raise BadData(f"a label is {odd[0]:g}", expected="the code of a class: 0, 1, 2 and so on")
    which = codes.astype(np.intp)
    return np.where(which < table.shape[1], which, -1), table


def hits(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return 1 for each row whose most probable class is its label, else 0."""
    codes, table = coded(label, prediction)
    return np.where(said(table) == codes, 1.0, 0.0)


def said(table: Array) -> npt.NDArray[np.intp]:
    """Return the code of the most probable class of each row, the first of equals."""
    return table.argmax(axis=1) if len(table) else np.empty(0, np.intp)


def accuracy(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the share of rows whose most probable class is their label.

    >>> accuracy([0, 1, 2], [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    0.6666666666666666
    """
    return mean(hits(label, prediction))


def log_losses(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return each row's log loss, in nats; 36 for a class held for impossible."""
    codes, table = coded(label, prediction)
    total = table.sum(axis=1)
    picked = np.where(codes >= 0, table[np.arange(codes.size), codes], 0.0) / np.where(total > 0, total, 1.0)
    return -np.log(np.clip(picked, CLIP, 1 - CLIP))


def log_loss(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the mean surprise at the labels, in nats; 0 is perfect. ``nan`` for no rows.

    >>> round(log_loss([0, 1], [[0.8, 0.2], [0.4, 0.6]]), 6)
    0.366985
    """
    return mean(log_losses(label, prediction))


def class_counts(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return what metrics of classes are sums of: per row, for each class, whether it is hit, true and said.

    Shape (n, 3 x (classes + 1)); the last class is that of labels the model never learnt.
    """
    codes, table = coded(label, prediction)
    width = table.shape[1] + 1
    guess = said(table)
    rows, true = np.arange(codes.size), np.where(codes >= 0, codes, width - 1)
    parts = np.zeros((codes.size, 3, width))
    parts[rows, 0, true] = guess == codes
    parts[rows, 1, true] = 1.0
    parts[rows, 2, guess] = 1.0
    return parts.reshape(codes.size, 3 * width)


def mean_recall(sums: Array) -> Array:
    """Return the mean over the classes there are of the share of their rows that is hit; sums of ``class_counts``."""
    hit, true, _ = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    return _mean_known(hit, true)


def mean_f1(sums: Array) -> Array:
    """Return the mean over the classes true or said of their F1; sums of ``class_counts``."""
    hit, true, guessed = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    return _mean_known(2 * hit, true + guessed)


def balanced_accuracy(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the mean over classes of the share of their rows that is hit: rare classes count as much as frequent.

    Brodersen and others, ICPR 2010. ``nan`` for no rows.

    >>> balanced_accuracy([0, 0, 0, 1], [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    0.5
    """
    return float(mean_recall(class_counts(label, prediction).sum(axis=0, keepdims=True))[0])


def macro_f1(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the mean over classes of F1, the harmonic mean of precision and recall.

    Classes neither true nor said do not count. ``nan`` for no rows.

    >>> macro_f1([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    1.0
    """
    return float(mean_f1(class_counts(label, prediction).sum(axis=0, keepdims=True))[0])


def roc_auc(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure how well each class is ranked against all others, the mean over classes that can be.

    Provost and Domingos, CeDER working paper 00-04 (2001), unweighted. ``nan`` where no class has rows on both sides.

    >>> roc_auc([0, 1, 2], [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]])
    1.0
    """
    codes, table = coded(label, prediction)
    each = [two_classes(codes == code, table[:, code]) for code in range(table.shape[1])]
    known = [value for value in each if value == value]
    return mean(known)


def _mean_known(above: Array, below: Array) -> Array:
    known = below > 0
    ratio = np.divide(above, below, out=np.zeros_like(above), where=known)
    count = known.sum(axis=1)
    return np.where(count > 0, ratio.sum(axis=1) / np.maximum(count, 1), np.nan)
