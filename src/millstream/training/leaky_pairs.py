"""Two numbers that the label is made of, each in a unit of its own: minutes here, hours there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from millstream.training.leaky import MORE, numbers
from millstream.training.matrix import Array
from millstream.training.sets import TrainingSet

NEARLY = 0.999
"""Share of the label that two features have to explain, each part of it in its own unit."""
_FEWEST = 60


def near_parts(training: TrainingSet, *, without: Iterable[str] = ()) -> tuple[str, str, str] | None:
    """Find the two numbers of which a sum, each taken in any unit, nearly is the label.

    Returns
    -------
    tuple of str, or None
        Both features, and what was seen.

    Notes
    -----
    Where values are missing a pair is judged by the rows that have both. A pair of which one feature alone says
    nearly as much is left out: what moves slowly is foretold by its last value.
    """
    if training.label_dtype not in ("bigint", "double"):
        return None
    names, values, label = numbers(training, without=without)
    if len(names) < 2 or not np.isfinite(label).all() or np.unique(label).size < 3:
        return None
    alone = _open_alone(values, label)
    found = [
        (left, names[one], names[other])
        for one, other, left in _lines(values, label)
        if left <= 1 - NEARLY and left * MORE <= min(alone[one], alone[other])
    ]
    if not found:
        return None
    left, first, second = min(found)
    said = f"features {first} and {second}: a sum of the two, each in a unit of its own, explains {_percent(1 - left)}"
    return first, second, f"{said} of the label, and neither does alone"


def _lines(values: Array, label: Array) -> Iterator[tuple[int, int, float]]:
    """Yield, of pairs, the share of the label that no sum of both in any units explains."""
    there = np.isfinite(values)
    middle = np.where(there, values, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    x = np.where(there, values - middle, 0.0)
    kept = there.astype(np.float64)
    with np.errstate(all="ignore"):
        x /= np.maximum(np.abs(x).max(axis=0, initial=0.0), np.finfo(float).tiny)
        y = label - label.mean()
        rows = kept.T @ kept
        mean_x, mean_y = (x.T @ kept) / rows, ((kept * y[:, None]).T @ kept) / rows
        xx = ((x * x).T @ kept) / rows - mean_x**2  # of the first of a pair, over the rows that have both
        yy = ((kept * (y * y)[:, None]).T @ kept) / rows - mean_y**2
        xy = ((x * y[:, None]).T @ kept) / rows - mean_x * mean_y
        between = (x.T @ x) / rows - mean_x * mean_x.T
        apart = xx * xx.T - between**2
        explained = (xy**2 * xx.T + xy.T**2 * xx - 2 * xy * xy.T * between) / (apart * yy)
        sound = (rows >= _FEWEST) & (apart > 1e-9 * xx * xx.T) & (yy > 0)
    for one, other in zip(*np.nonzero(np.triu(sound & (explained >= NEARLY), 1)), strict=True):
        pair = np.flatnonzero(there[:, one] & there[:, other])
        spread = np.column_stack([x[pair, one], x[pair, other]])
        spread, wanted = spread - spread.mean(axis=0), label[pair] - label[pair].mean()
        with_both = (
            spread @ np.linalg.lstsq(spread, wanted, rcond=None)[0]
        )  # sums of squares lose digits; this does not
        yield int(one), int(other), float(((wanted - with_both) ** 2).sum() / (wanted**2).sum())


def _open_alone(values: Array, label: Array) -> npt.NDArray[np.float64]:
    """Return, of each feature, the share of the label that no straight line through it explains."""
    left = np.ones(values.shape[1])
    for place in range(values.shape[1]):
        there = np.isfinite(values[:, place])
        x, y = values[there, place], label[there]
        if there.sum() >= _FEWEST and np.ptp(x) > 0 and np.ptp(y) > 0:
            with np.errstate(all="ignore"):  # numbers so large that their squares are beyond the doubles tell nothing
                share = 1 - np.corrcoef(x / np.abs(x).max(), y)[0, 1] ** 2
            left[place] = share if np.isfinite(share) else 1.0
    return left


def _percent(share: float) -> str:
    return f"{np.floor(share * 1e4) / 1e2:.2f} %"
