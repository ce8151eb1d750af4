"""What can be said of scores without labels: how many rows they flag, and whether two of them say the same.

Neither says that what is flagged matters; only somebody who knows the rows can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millstream.metrics.arrays import Array, finite, mean, pair
from millstream.metrics.binary import ranks


def flags(flagged: npt.ArrayLike, score: npt.ArrayLike) -> Array:
    """Return 1 for each row that is flagged, else 0."""
    return finite(flagged, what="flags")


def share_flagged(flagged: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Measure the share of rows that are flagged. ``nan`` for no rows.

    >>> share_flagged([1, 0, 0, 0], [9.0, 1.0, 1.0, 2.0])
    0.25
    """
    return mean(flags(flagged, score))


def stability(again: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Measure how alike two models rank rows: Spearman's correlation, 1 for the same order, 0 for none.

    The two are taught on two halves of the rows. ``nan`` where one of them says the same of every row.

    >>> stability([1.0, 2.0, 3.0], [10.0, 20.0, 90.0])
    1.0
    """
    left, right = (ranks(each) for each in pair(again, score))
    if left.size < 2 or not left.std() or not right.std():
        return float("nan")
    return float(np.clip(np.mean((left - left.mean()) * (right - right.mean())) / (left.std() * right.std()), -1, 1))


def same_most(one: npt.ArrayLike, other: npt.ArrayLike, *, share: float) -> float:
    """Measure which part of the rows that one rates highest the other rates highest too. ``nan`` for no rows.

    Parameters
    ----------
    one, other
        Scores of the same rows.
    share
        Which share of the rows counts as the highest; at least one row does.

    >>> same_most([9.0, 8.0, 1.0, 2.0], [9.0, 0.0, 8.0, 2.0], share=0.5)
    0.5
    """
    left, right = pair(one, other)
    if not left.size:
        return float("nan")
    most = max(1, round(share * left.size))
    named = [set(np.argsort(-each, kind="stable")[:most].tolist()) for each in (left, right)]
    return len(named[0] & named[1]) / most
