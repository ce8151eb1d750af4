"""What can be said of groups that nobody named: how far apart they are, and whether they come out alike again.

None of it says that a group means something; only somebody who knows the rows can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.metrics.arrays import Array

_SLICE = 256


def silhouette(points: npt.ArrayLike, codes: npt.ArrayLike) -> float:
    """Measure how much nearer rows lie to their own group than to the next one: 1 is far apart, 0 touching.

    The mean over rows of (b - a) / max(a, b): a is the mean distance to the others of its group, b the least mean
    distance to another group; a row alone in its group counts 0 (Rousseeuw, Journal of Computational and Applied
    Mathematics 20, 1987). ``nan`` for fewer than two groups. Costs the square of the rows: give it a sample.

    Parameters
    ----------
    points
        Shape (n, features), in units that may be compared.
    codes
        Group of each row.

    >>> round(silhouette([[0.0], [0.2], [9.0], [9.2]], [0, 0, 1, 1]), 2)
    0.98
    """
    places, named = _paired(points, codes)
    known, codes_ = np.unique(named, return_inverse=True)
    if known.size < 2:
        return float("nan")
    member = np.eye(known.size)[codes_]
    sizes = member.sum(axis=0)
    found = np.zeros(len(places))
    for start in range(0, len(places), _SLICE):
        rows = slice(start, start + _SLICE)
        apart = np.sqrt(((places[rows, None, :] - places[None, :, :]) ** 2).sum(axis=2)) @ member
        own = codes_[rows]
        at = np.arange(len(own))
        within = apart[at, own] / np.maximum(sizes[own] - 1, 1)
        others = apart / sizes
        others[at, own] = np.inf
        nearest = others.min(axis=1)
        most = np.maximum(within, nearest)
        found[rows] = np.where((sizes[own] > 1) & (most > 0), (nearest - within) / np.where(most > 0, most, 1.0), 0.0)
    return float(found.mean())


def explained(points: npt.ArrayLike, codes: npt.ArrayLike) -> float:
    """Measure the share of the rows' spread that is between groups and not within them: one group for all has 0.

    1 less the inertia (squared distances to the middle of the own group) as a share of that to the middle of all, which
    is R squared of an analysis of variance. It rises with the number of groups. ``nan`` where nothing is spread.

    >>> explained([[0.0], [0.0], [4.0], [4.0]], [0, 0, 1, 1])
    1.0
    """
    places, named = _paired(points, codes)
    if not len(places):
        return float("nan")
    whole = float(((places - places.mean(axis=0)) ** 2).sum())
    within = sum(
        float(((places[named == each] - places[named == each].mean(axis=0)) ** 2).sum()) for each in np.unique(named)
    )
    return 1.0 - within / whole if whole else float("nan")


def agreement(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Measure how alike two groupings of the same rows are, whatever their groups are called: the adjusted Rand index.

    1 is the same grouping, 0 what chance gives (Hubert and Arabie, Journal of Classification 2, 1985). ``nan`` for
    fewer than two rows.

    >>> agreement([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0
    """
    left, right = (np.unique(np.asarray(each), return_inverse=True)[1] for each in (one, other))
    if left.size != right.size:
        raise BadData(f"two groupings of {left.size} and {right.size} rows", expected="the same rows")
    if left.size < 2:
        return float("nan")
    table = np.zeros((int(left.max()) + 1, int(right.max()) + 1))
    np.add.at(table, (left, right), 1)
    together, ones, others = (_pairs(each) for each in (table, table.sum(axis=1), table.sum(axis=0)))
    chance = ones * others / _pairs(np.array([float(left.size)]))
    most = (ones + others) / 2
    return float((together - chance) / (most - chance)) if most != chance else 1.0


def smallest_share(known: npt.ArrayLike, codes: npt.ArrayLike) -> float:
    """Measure the share of rows in the smallest of the groups that are known. ``nan`` for no rows.

    >>> smallest_share([0, 1, 2], [0, 0, 1, 1])
    0.0
    """
    named = np.asarray(codes)
    if not named.size:
        return float("nan")
    return min(float(np.mean(named == each)) for each in np.asarray(known))


def overlap(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Measure how alike two groups are: the rows both have as a share of those either has (Jaccard). 0 for none.

    Of one above a half there is at most one in another grouping, and below it a group counts as gone (Hennig,
    Computational Statistics and Data Analysis 52, 2007).

    >>> overlap([True, True, False], [True, True, True])
    0.6666666666666666
    """
    left, right = (np.asarray(each, dtype=bool) for each in (one, other))
    either = int((left | right).sum())
    return int((left & right).sum()) / either if either else 0.0


def _pairs(counts: npt.NDArray[np.float64]) -> float:
    return float((counts * (counts - 1) / 2).sum())


def _paired(points: npt.ArrayLike, codes: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.intp]]:
    places, named = np.asarray(points, dtype=np.float64), np.asarray(codes).astype(np.intp)
    if places.ndim != 2 or named.shape != (len(places),) or not np.isfinite(places).all():
        raise BadData(
            f"points of shape {places.shape} and groups of shape {named.shape}",
            expected="a finite point and a group a row",
        )
    return places, named
