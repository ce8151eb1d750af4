"""How good predicted numbers are (and, for ``bias``, predicted shares)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from millstream.metrics.arrays import Array, mean, pair

_SAME = 1e-12
"""Labels whose spread is a smaller part of their squares are all alike."""


def squared_errors(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return each row's squared error."""
    truth, guess = pair(label, prediction)
    return np.square(guess - truth)


def rmse(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the root of the mean squared error, in the label's unit. ``nan`` for no rows.

    Its best constant is the mean: Gneiting, J. Am. Statist. Assoc. 106 (2011).

    >>> rmse([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    return math.sqrt(mean(squared_errors(label, prediction)))


def absolute_errors(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return each row's absolute error."""
    truth, guess = pair(label, prediction)
    return np.abs(guess - truth)


def mae(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the mean absolute error, in the label's unit. ``nan`` for no rows.

    Its best constant is the median: Gneiting, J. Am. Statist. Assoc. 106 (2011).

    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    return mean(absolute_errors(label, prediction))


def squares_and_sums(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return what ``r2`` is made of: per row the squared error, the label about the mean, its square, and 1."""
    truth, guess = pair(label, prediction)
    about = truth - truth.mean() if truth.size else truth
    return np.column_stack([np.square(guess - truth), about, np.square(about), np.ones(truth.size)])


def explained(sums: Array) -> Array:
    """Return the share of the labels' variance that is explained, of sums of ``squares_and_sums``."""
    errors, about, squares, rows = np.moveaxis(sums, 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = squares - np.square(about) / rows
        return np.where(spread > _SAME * squares, 1 - errors / spread, np.nan)


def r2(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the share of the labels' variance that predictions explain: 1 is perfect, 0 is the mean's, can be below.

    ``nan`` where labels do not vary.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    return float(explained(squares_and_sums(label, prediction).sum(axis=0, keepdims=True))[0])


def percentage_errors(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    """Return each row's absolute error as a share of its label, and 1; or 0 and 0 where that is no finite number."""
    truth, guess = pair(label, prediction)
    with np.errstate(over="ignore"):
        errors = np.abs(guess - truth) / np.where(truth != 0, np.abs(truth), 1.0)
    usable = (truth != 0) & np.isfinite(errors)
    return np.where(usable, errors, 0.0), usable.astype(np.float64)


def mape(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure the mean absolute error as a share of the label (0.14 is 14 %).

    Rows whose label is 0 have no percentage and are left out, as Hyndman and Koehler, Int. J. Forecasting 22 (2006),
    describe; scikit-learn instead divides by a tiny number. ``nan`` where no row is left.

    >>> round(mape([100.0, 0.0, 50.0], [120.0, 3.0, 45.0]), 6)
    0.15
    """
    errors, usable = percentage_errors(label, prediction)
    counted = float(usable.sum())
    return float(errors.sum()) / counted if counted else float("nan")


def share_errors(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    """Return each row's absolute error, and the size of its label."""
    truth, guess = pair(label, prediction)
    return np.abs(guess - truth), np.abs(truth)


def wape(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure all absolute errors together as a share of all labels together (0.14 is 14 %).

    What ``mape`` cannot do: a day on which nothing is sold counts like any other, because labels are added up before
    they divide (Kolassa and Schütz, Foresight 6, 2007, as MAD/mean). ``nan`` where all labels are 0, or no rows.

    >>> wape([10.0, 0.0, 30.0], [12.0, 1.0, 29.0])
    0.1
    """
    errors, sizes = share_errors(label, prediction)
    total = float(sizes.sum())
    return float(errors.sum()) / total if total else float("nan")


def scaled_errors(label: npt.ArrayLike, prediction: npt.ArrayLike, scale: float | None) -> Array:
    """Return each row's absolute error in units of a scale."""
    return absolute_errors(label, prediction) / (scale or float("nan"))


def mase(label: npt.ArrayLike, prediction: npt.ArrayLike, scale: float | None) -> float:
    """Measure the mean absolute error in units of the seasonal naive rule's: below 1 is better than that rule.

    Hyndman and Koehler, Int. J. Forecasting 22 (2006). ``scale`` is the rule's mean absolute error over the rows
    there are to learn from, each judged as known at its decision and as far ahead as it was asked; so rows that are
    harder than those have more than 1 by the rule itself. ``nan`` without a scale, or no rows.

    >>> mase([10.0, 20.0], [12.0, 19.0], scale=3.0)
    0.5
    """
    return mean(scaled_errors(label, prediction, scale))


def bias(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Measure how far the mean prediction is from the mean label, relative to the latter (+0.05: 5 % too high).

    Calibration in the large, as a ratio: Cox, Biometrika 45 (1958). ``nan`` where the mean label is 0, or no rows.

    >>> bias([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.6])
    0.050000000000000044
    """
    truth, guess = pair(label, prediction)
    total = float(truth.sum())
    return float(guess.sum() - total) / abs(total) if total else float("nan")
