"""Two numbers that the label is nearly made of: its parts, rounded or in other units, which exactness does not find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from millstream.training.leaky import joined, numbers
from millstream.training.matrix import Array
from millstream.training.sets import TrainingSet

NEARLY = 0.999
"""Share of the label that two features have to explain, each part of it in its own unit."""
_MORE = 10.0
"""How many times less two features leave open than either of them alone, or the other would say it already."""
_FEWEST = 60


def near_parts(training: TrainingSet, *, without: Iterable[str] = ()) -> tuple[str, str, str] | None:
    """Find the two numbers that together nearly are the label: a sum of both in any units, a product or a quotient.

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
    best: tuple[float, str, str, str] | None = None
    for one, other, sign, left in (*_lines(values, label), *_formulas(values, label)):
        if left > 1 - NEARLY or left * _MORE > min(alone[one], alone[other]):
            continue
        if best is None or left < best[0]:
            said = f"{names[one]} {sign} {names[other]}" if sign else "a sum of the two, each in a unit of its own,"
            best = (left, names[one], names[other], said)
    if best is None:
        return None
    left, first, second, said = best
    says = f"features {first} and {second}: {said} explains {_percent(1 - left)} of the label, and neither does alone"
    return first, second, says


def _lines(values: Array, label: Array) -> Iterator[tuple[int, int, str, float]]:
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
        yield int(one), int(other), "", float(((wanted - with_both) ** 2).sum() / (wanted**2).sum())


def _formulas(values: Array, label: Array) -> Iterator[tuple[int, int, str, float]]:
    """Yield, of pairs, the share of the label that their product or quotient leaves open."""
    few = slice(None, None, max(1, label.size // 200))
    for one in range(values.shape[1]):
        for sign, found in joined(values[few, one], values[few, one + 1 :]):
            if sign not in "*/":
                continue
            for place in np.flatnonzero(_open(found, label[few], fewest=10) <= 20 * (1 - NEARLY)):
                other = one + 1 + int(place)
                whole = dict(joined(values[:, one], values[:, other : other + 1]))[sign]
                yield one, other, sign, float(_open(whole, label)[0])


def _open(said: Array, label: Array, *, fewest: int = _FEWEST) -> Array:
    """Return, of each column, the share of the label's variance that taking it for the label leaves open."""
    there = np.isfinite(said)
    rows = there.sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.where(there, label[:, None], 0.0).sum(axis=0) / rows
        whole = np.where(there, (label[:, None] - mean) ** 2, 0.0).sum(axis=0)
        missed = np.where(there, (label[:, None] - said) ** 2, 0.0).sum(axis=0)
        left = missed / whole
    return np.where((rows >= fewest) & np.isfinite(left), left, 1.0)


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
