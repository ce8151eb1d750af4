"""How sure a metric is: resampling whole blocks of rows, days as a rule.

Rows of one day share its weather, so they are not independent and a bootstrap over rows is too sure of itself.
Drawing whole days with replacement keeps what they share together (Künsch, Annals of Statistics 17, 1989; Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 for the percentile interval). Two models are compared
on the same draws, so that what is hard for both cancels.

Nothing is resampled row by row. A metric that is a ratio of sums needs each block's two sums; the area under the ROC
curve needs, for each pair of blocks, how often a true row of one is scored above a false row of the other. From those
any number of draws is a matrix product, and exact.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.metrics.arrays import Array, classes, pair
from millstream.metrics.registry import Metric
from millstream.metrics.registry import metric as named
from millstream.metrics.several import coded

MOST_BLOCKS = 256
"""More blocks are pooled with their neighbours: longer blocks only make the answer more careful."""


class Interval(msgspec.Struct, frozen=True):
    """A metric with its uncertainty.

    Parameters
    ----------
    estimate
        The metric over all rows; None where it cannot be had.
    low, high
        Percentile interval; None where fewer than two blocks leave nothing to draw from.
    resamples
        Draws in which the metric could be had.
    blocks
        Blocks drawn from. Under ten the interval is known to be too narrow: say so beside it.
    """

    estimate: float | None
    low: float | None
    high: float | None
    resamples: int
    blocks: int


class Difference(msgspec.Struct, frozen=True):
    """How much a metric differs between two models on the same rows.

    Parameters
    ----------
    estimate
        Metric of ``a`` minus metric of ``b``, in the metric's unit; None where it cannot be had.
    low, high
        Percentile interval of that; None where fewer than two blocks leave nothing to draw from.
    probability_worse
        Share of draws in which ``a`` is worse than ``b`` (a tie counts half), whichever way is good; None as above.
    resamples
        Draws in which both metrics could be had.
    blocks
        Blocks drawn from. Under ten the interval is known to be too narrow: say so beside it.
    """

    estimate: float | None
    low: float | None
    high: float | None
    probability_worse: float | None
    resamples: int
    blocks: int


def interval(
    metric: Metric | str,
    label: npt.ArrayLike,
    prediction: npt.ArrayLike,
    blocks: Any,
    *,
    seed: int = 7,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Estimate a metric and the range it may well have, by drawing blocks.

    Parameters
    ----------
    metric
        A metric or its name.
    label, prediction
        Shape (n,); predictions of several classes or quantiles have a column each.
    blocks
        The block of each row, shape (n,): dates, numbers or texts.
    seed
        Seed of the draws; equal seeds give equal answers.
    resamples
        Number of draws.
    level
        Share of the draws inside the interval.

    Raises
    ------
    BadData
        When lengths differ or values are not finite.
    """
    chosen = named(metric) if isinstance(metric, str) else metric
    which, count = _blocks(blocks, len(np.asarray(label)))
    drawn = _drawn(chosen, label, prediction, which, _draws(count, resamples, seed))
    usable = drawn[np.isfinite(drawn)]
    low, high = _percentiles(usable, level)
    return Interval(chosen.measure(label, prediction), low, high, usable.size, count)


def difference(
    metric: Metric | str,
    label: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    blocks: Any,
    seed: int = 7,
    resamples: int = 1000,
    level: float = 0.95,
) -> Difference:
    """Estimate how much better or worse ``a`` is than ``b``, by drawing the same blocks for both.

    Parameters
    ----------
    metric
        A metric or its name.
    label, a, b
        Labels and the two models' predictions for the same rows, shape (n,).
    blocks
        The block of each row, shape (n,): dates, numbers or texts.
    seed
        Seed of the draws; equal seeds give equal answers.
    resamples
        Number of draws.
    level
        Share of the draws inside the interval.

    Raises
    ------
    BadData
        When lengths differ or values are not finite.

    Notes
    -----
    20,000 rows take 0.05 s in 28 blocks and 0.1 s in 256 for ``roc_auc``, less for the others.

    Examples
    --------
    >>> label, days = [0, 1, 0, 1], [1, 1, 2, 2]
    >>> difference("brier", label, [0.1, 0.9, 0.1, 0.9], [0.5, 0.5, 0.5, 0.5], blocks=days).probability_worse
    0.0
    """
    chosen = named(metric) if isinstance(metric, str) else metric
    which, count = _blocks(blocks, len(np.asarray(label)))
    draws = _draws(count, resamples, seed)
    left, right = (_drawn(chosen, label, each, which, draws) for each in (a, b))
    usable = np.isfinite(left) & np.isfinite(right)
    left, right = left[usable], right[usable]
    low, high = _percentiles(left - right, level)
    ours, theirs = chosen.measure(label, a), chosen.measure(label, b)
    return Difference(
        estimate=None if ours is None or theirs is None else ours - theirs,
        low=low,
        high=high,
        probability_worse=_worse(chosen, left, right),
        resamples=int(usable.sum()),
        blocks=count,
    )


def _worse(metric: Metric, left: Array, right: Array) -> float | None:
    if left.size == 0:
        return None
    if metric.signed:
        left, right = np.abs(left), np.abs(right)
    elif metric.greater_is_better:
        left, right = -left, -right
    return float(np.mean(left > right) + np.mean(left == right) / 2)


def _percentiles(values: Array, level: float) -> tuple[float | None, float | None]:
    if values.size == 0:
        return None, None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _blocks(blocks: Any, rows: int) -> tuple[npt.NDArray[np.intp], int]:
    """Number the blocks of the rows from 0, pooling neighbours beyond ``MOST_BLOCKS``."""
    given = np.asarray(blocks)
    if given.shape != (rows,):
        raise BadData(f"there are {rows} labels and blocks of shape {given.shape}", expected="one block per label")
    known, which = np.unique(given, return_inverse=True)
    if known.size > MOST_BLOCKS:
        return which * MOST_BLOCKS // known.size, MOST_BLOCKS
    return which, int(known.size)


def _draws(blocks: int, resamples: int, seed: int) -> Array:
    """Say how often each block is drawn in each resample, shape (resamples, blocks); none for fewer than two blocks."""
    if blocks < 2:
        return np.empty((0, blocks))
    return np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), resamples).astype(np.float64)


def _drawn(
    metric: Metric, label: npt.ArrayLike, prediction: npt.ArrayLike, which: npt.NDArray[np.intp], draws: Array
) -> Array:
    """Return the metric of each draw; not finite where it cannot be had."""
    blocks = draws.shape[1]
    if metric.parts is not None and metric.whole is not None:
        parts = metric.parts(label, prediction)
        sums = np.column_stack([np.bincount(which, each, blocks) for each in parts.T])
        return metric.whole(draws @ sums) if len(draws) else np.empty(0)
    if metric.terms is None and np.ndim(prediction) == 2:
        return _drawn_classes(label, prediction, which, draws)
    if metric.terms is None:
        wins, positives, negatives = _pairs(*classes(label, prediction), which, blocks)
        above = ((draws @ wins) * draws).sum(axis=1)
        below = (draws @ positives) * (draws @ negatives)
    else:
        if np.ndim(prediction) == 1:
            pair(label, prediction)
        numerator, denominator = metric.terms(label, prediction)
        above = draws @ np.bincount(which, numerator, blocks)
        below = draws @ np.bincount(which, denominator, blocks)
        below = np.abs(below) if metric.signed else below
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = above / below
        return np.asarray(np.sqrt(ratio)) if metric.root else ratio


def _drawn_classes(label: npt.ArrayLike, prediction: npt.ArrayLike, which: npt.NDArray[np.intp], draws: Array) -> Array:
    """Return the mean over classes of the area under each one's ROC curve, of each draw."""
    codes, table = coded(label, prediction)
    total, known = np.zeros(len(draws)), np.zeros(len(draws))
    for code in range(table.shape[1]):
        wins, positives, negatives = _pairs((codes == code).astype(np.float64), table[:, code], which, draws.shape[1])
        below = (draws @ positives) * (draws @ negatives)
        usable = below > 0
        total += np.divide(((draws @ wins) * draws).sum(axis=1), below, out=np.zeros(len(draws)), where=usable)
        known += usable
    with np.errstate(invalid="ignore"):
        return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _pairs(truth: Array, score: Array, which: npt.NDArray[np.intp], blocks: int) -> tuple[Array, Array, Array]:
    """Count, per pair of blocks, true rows of the one scored above false rows of the other (ties half)."""
    true = np.flatnonzero(truth == 1)
    true = true[np.argsort(score[true], kind="stable")]
    false = np.flatnonzero(truth == 0)
    false = false[np.lexsort((score[false], which[false]))]
    negatives = np.bincount(which[false], minlength=blocks)
    ends = np.cumsum(negatives)
    wins = np.zeros((blocks, blocks))
    for block, (start, end) in enumerate(zip(ends - negatives, ends, strict=True)):
        beaten = score[false[start:end]]
        below = np.searchsorted(beaten, score[true], "left") + np.searchsorted(beaten, score[true], "right")
        wins[:, block] = np.bincount(which[true], below / 2, blocks)
    positives = np.bincount(which[true], minlength=blocks)
    return wins, positives.astype(np.float64), negatives.astype(np.float64)
