"""How good lists are, against what was chosen afterwards.

``relevant`` counts, per list, the chosen items that could have been listed, shape (n,); ``listed`` says of each place
whether its item is one of them (1 or 0), best place first, shape (n, k). A list for which nothing could have been right
is no evidence and is left out of every mean; a list of fewer than k items is filled up with 0.

Ties are a matter of whoever makes the list, not of the metric: a list has one order, the one that was (or would have
been) shown. Millstream puts the more often chosen of equally scored items first, then the smaller key, when it judges
as when it serves.

Lists are made from **all** candidates: metrics over a few sampled candidates can put models in another order (Krichene
and Rendle, "On sampled metrics for item recommendation", KDD 2020).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.metrics.arrays import Array, finite


def places(
    score: npt.ArrayLike, relevant: npt.ArrayLike, group: npt.ArrayLike, *, k: int, lists: int | None = None
) -> tuple[Array, Array, npt.NDArray[np.intp]]:
    """Make lists of k from scored candidates.

    Parameters
    ----------
    score, relevant
        Of each candidate, shape (m,): a number of which more is better, and whether it was chosen (1 or 0).
    group
        Number of the list each candidate is for, 0 to n - 1, shape (m,).
    k
        Places of a list.
    lists
        How many lists there are, if the last may have no candidates.

    Returns
    -------
    tuple
        Chosen candidates per list, shape (n,); relevance of the places, shape (n, k); and which candidate stands at
        each place, -1 for none, shape (n, k). Of equal scores the candidate given first stands first.

    Examples
    --------
    >>> count, listed, which = places([0.1, 0.9, 0.5], [1, 0, 1], [0, 0, 0], k=2)
    >>> count.tolist(), listed.tolist(), which.tolist()
    ([2.0], [[0.0, 1.0]], [[1, 2]])
    """
    number = np.asarray(group, dtype=np.intp)
    value, truth = finite(score, what="scores"), finite(relevant, what="labels")
    lists = lists if lists is not None else int(number.max(initial=-1)) + 1
    order = np.lexsort((-value, number))
    start = np.searchsorted(number[order], np.arange(lists))
    place = np.arange(number.size) - start[number[order]]
    shown = place < k
    which = np.full((lists, k), -1, dtype=np.intp)
    which[number[order][shown], place[shown]] = order[shown]
    listed = np.zeros((lists, k))
    listed[which >= 0] = truth[which[which >= 0]]
    return np.bincount(number, truth, lists).astype(np.float64), listed, which


def ndcg_terms(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> tuple[Array, Array]:
    """Return each list's nDCG and 1, or 0 and 0 for a list that is no evidence."""
    count, table = _lists(relevant, listed)
    discount = 1 / np.log2(np.arange(2, table.shape[1] + 2))
    best = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(count, table.shape[1]).astype(np.intp)]
    return _evident(table @ discount, best, count)


def ndcg_at_k(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> float:
    """Measure the mean normalized discounted cumulated gain: hits count less the lower they stand, 1 is the best list.

    A hit at place i counts 1 / log2(i + 1), as a share of what the best list of k would have (Järvelin and Kekäläinen,
    ACM Trans. Information Systems 20, 2002). ``nan`` without evidence.

    >>> round(ndcg_at_k([1], [[0, 1, 0]]), 6)
    0.63093
    """
    return _mean(*ndcg_terms(relevant, listed))


def recall_terms(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> tuple[Array, Array]:
    """Return each list's recall and 1, or 0 and 0 for a list that is no evidence."""
    count, table = _lists(relevant, listed)
    return _evident(table.sum(axis=1), count, count)


def recall_at_k(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> float:
    """Measure the mean share of the chosen items that is listed. ``nan`` without evidence.

    >>> recall_at_k([4, 1], [[1, 0], [1, 0]])
    0.625
    """
    return _mean(*recall_terms(relevant, listed))


def map_terms(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> tuple[Array, Array]:
    """Return each list's average precision and 1, or 0 and 0 for a list that is no evidence."""
    count, table = _lists(relevant, listed)
    precision = np.cumsum(table, axis=1) / np.arange(1, table.shape[1] + 1)
    return _evident((precision * table).sum(axis=1), np.minimum(count, table.shape[1]), count)


def map_at_k(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> float:
    """Measure the mean average precision: the precision at each hit, over the hits that a list of k could have had.

    Average precision cut at k: Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), chapter 8.
    ``nan`` without evidence.

    >>> map_at_k([2], [[1, 0, 1]])
    0.8333333333333333
    """
    return _mean(*map_terms(relevant, listed))


def hit_terms(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> tuple[Array, Array]:
    """Return 1 for each list with a hit, else 0, and 1; or 0 and 0 for a list that is no evidence."""
    count, table = _lists(relevant, listed)
    return _evident((table.sum(axis=1) > 0).astype(np.float64), np.ones(count.size), count)


def hit_rate_at_k(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> float:
    """Measure the share of the lists that hold at least one chosen item. ``nan`` without evidence.

    >>> hit_rate_at_k([1, 2, 0], [[0, 1], [0, 0], [0, 0]])
    0.5
    """
    return _mean(*hit_terms(relevant, listed))


def _lists(relevant: npt.ArrayLike, listed: npt.ArrayLike) -> tuple[Array, Array]:
    count = finite(relevant, what="counts of chosen items")
    table = np.asarray(listed, dtype=np.float64)
    finite(table.ravel(), what="places")
    if table.ndim != 2 or len(table) != count.size:
        raise BadData(
            f"there are {count.size} counts and places of shape {table.shape}", expected="k places for each list"
        )
    wrong = (table.sum(axis=1) > count) | (count < 0)
    if wrong.any():
        raise BadData(
            f"a list has {table[wrong][0].sum():g} hits and {count[wrong][0]:g} items were chosen",
            expected="at most as many hits as there are chosen items",
        )
    return count, table


def _evident(above: Array, below: Array, count: Array) -> tuple[Array, Array]:
    known = count > 0
    return np.where(known, above / np.where(known, below, 1.0), 0.0), known.astype(np.float64)


def _mean(values: Array, known: Array) -> float:
    return float(values.sum() / known.sum()) if known.any() else float("nan")
