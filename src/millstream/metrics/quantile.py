"""How good predicted quantiles are: labels beside one column a level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.metrics.arrays import Array, finite, mean


def paired(label: npt.ArrayLike, prediction: npt.ArrayLike, levels: tuple[float, ...]) -> tuple[Array, Array]:
    """Return labels and quantiles, shapes (n,) and (n, levels).

    Raises
    ------
    BadData
        When shapes do not fit or a number is not finite.
    """
    truth = finite(label, what="labels")
    table = np.asarray(prediction, dtype=np.float64)
    finite(table.ravel(), what="predictions")
    if table.shape != (truth.size, len(levels)):
        raise BadData(
            f"there are {truth.size} labels and predictions of shape {table.shape}",
            expected=f"one row of {len(levels)} quantiles per label",
        )
    return truth, table


def pinballs(label: npt.ArrayLike, prediction: npt.ArrayLike, levels: tuple[float, ...]) -> Array:
    """Return each row's pinball loss, the mean over levels, in the label's unit."""
    truth, table = paired(label, prediction, levels)
    above = truth[:, None] - table
    level = np.asarray(levels)
    losses: Array = np.maximum(level * above, (level - 1) * above).mean(axis=1)
    return losses


def pinball(label: npt.ArrayLike, prediction: npt.ArrayLike, levels: tuple[float, ...]) -> float:
    """Measure how far quantiles are from labels, each side weighted by its level; less is better.

    Koenker and Bassett, Econometrica 46 (1978). ``nan`` for no rows.

    >>> pinball([10.0], [[8.0, 11.0]], (0.1, 0.5))
    0.35
    """
    return mean(pinballs(label, prediction, levels))


def inside(label: npt.ArrayLike, prediction: npt.ArrayLike, levels: tuple[float, ...]) -> Array:
    """Return, for each row, whether the label lies between the outer quantiles, less the share that should."""
    truth, table = paired(label, prediction, levels)
    held = (truth >= table[:, 0]) & (truth <= table[:, -1])
    return np.asarray(held, dtype=np.float64) - (levels[-1] - levels[0])


def coverage(label: npt.ArrayLike, prediction: npt.ArrayLike, levels: tuple[float, ...]) -> float:
    """Measure the share of labels between the outer quantiles, less the share that should be: 0 is right.

    Below 0 ranges are too narrow (too sure), above 0 too wide. ``nan`` for no rows.

    >>> round(coverage([1.0, 9.0], [[0.0, 2.0], [0.0, 2.0]], (0.1, 0.9)), 9)
    -0.3
    """
    return mean(inside(label, prediction, levels))
