"""What needs the values of a window in order: how many differ, and which stand where.

Both are exact under corrections and late facts, and cost O(n log n) in facts and questions, whatever was retracted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.active import Active, Mask, Values, prefix
from millstream.features.facts import Facts
from millstream.features.intervals import Asked, Indices, Intervals
from millstream.features.sums import Floats

Ranks = npt.NDArray[np.int32]


def distinct(facts: Facts, intervals: Intervals, values: Values, asked: Asked) -> Indices:
    """Count the different values of active facts.

    The intervals of an entity's facts of one value are merged into those in which it has the value at all; what is
    left is a count.
    """
    assert values.series is not None
    held = intervals.facts
    present = values.present
    kept = np.arange(len(held)) if present is None else np.flatnonzero(present[held])
    if not len(kept):
        return np.zeros(len(asked.instants), dtype=np.int64)
    codes = _codes(values.series.gather(held[kept]))
    who_and_what = facts.entity[held[kept]] * (int(codes.max()) + 1) + codes
    order = np.argsort(who_and_what, kind="stable")  # facts stand in the order in which they start, and stay so
    who_and_what, place = who_and_what[order], kept[order]
    group = np.cumsum(np.r_[False, who_and_what[1:] != who_and_what[:-1]])
    starts, ends = intervals.starts[place], intervals.end_of[place]
    by_end = np.argsort(ends)
    rank = np.empty(len(ends), dtype=np.int64)
    rank[by_end] = np.arange(len(ends))
    latest = np.maximum.accumulate(group * len(ends) + rank)  # of each group, the end that is the latest so far
    until = ends[by_end[latest - group * len(ends)]]
    fresh = np.ones(len(ends), dtype=bool)
    fresh[1:] = (group[1:] != group[:-1]) | (starts[1:] > until[:-1])
    begun = np.sort(starts[fresh])
    over = np.sort(until[np.r_[np.flatnonzero(fresh)[1:] - 1, len(ends) - 1]])
    return asked.count_once(begun) - asked.count_once(over)


def _codes(values: pl.Series) -> Indices:
    """Number different values, none of which is NULL; which of two is the larger does not matter."""
    if values.dtype == pl.String:
        return values.cast(pl.Categorical).to_physical().cast(pl.Int64).to_numpy()
    plain = values + 0.0 if values.dtype.is_float() else values.to_physical().cast(pl.Int64)  # -0.0 is 0.0
    return plain.rank("dense").cast(pl.Int64).to_numpy()


def quantile(active: Active, values: Values, count: Indices, *, share: float) -> Floats:
    """Return the value below which a share of the active values lies, between two neighbours by a straight line.

    NaN where nothing is active.
    """
    told = np.flatnonzero(count > 0)
    answers = np.full(len(count), np.nan)
    if not len(told):
        return answers
    above = share * (count[told] - 1)
    low = np.floor(above).astype(np.int64)
    high = np.minimum(low + 1, count[told] - 1)
    between = np.flatnonzero(above > low)
    asked, nth = np.concatenate([told, told[between]]), np.concatenate([low, high[between]])
    found = _Ranked(active, values).smallest(asked, nth)
    lower = found[: len(told)]
    upper = lower.copy()
    upper[between] = found[len(told) :]
    with np.errstate(over="ignore"):
        answers[told] = lower + (upper - lower) * (above - low)
    answers[~np.isfinite(answers)] = np.nan
    return answers


class _Ranked:
    """Active facts with the rank of their value among those of the same entity.

    What is active is what has started minus what has ended, and both are prefixes of one sequence each. Halving ranks
    bit by bit, both sequences at once, keeps them prefixes: counting the lower half of what is active is two look-ups.
    """

    def __init__(self, active: Active, values: Values) -> None:
        held, ending, present = active.intervals.facts, active.intervals.ending, values.present
        there = np.ones(len(held), dtype=bool) if present is None else present[held]
        self._started = prefix(there.astype(np.int64))[active.started]
        ended = there if ending is None else there[ending]
        self._ended = prefix(ended.astype(np.int64))[active.ended]
        numbers = values.numbers[held].astype(np.float64, copy=False)
        entity = active.facts.entity[held]
        order = np.argsort(entity * len(values.rank) + values.rank[held])
        order = order[there[order]]
        first = np.r_[True, entity[order][1:] != entity[order][:-1]]
        begins = np.flatnonzero(first)
        rank = np.full(len(held), -1, dtype=np.int32)
        rank[order] = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
        self._bits = int(rank.max(initial=0)).bit_length()
        self._by_start: Ranks = rank[there]
        self._by_end: Ranks = (rank if ending is None else rank[ending])[ended]
        self._values = numbers[order]
        self._entity = active.asked.entity
        self._begins = np.zeros(int(entity.max(initial=0)) + 1, dtype=np.int64)
        self._begins[entity[order][begins]] = begins

    def smallest(self, questions: Indices, nth: Indices) -> Floats:
        """Return, for questions with more than ``nth`` active values, the value that so many are before."""
        started, ended, left = self._started[questions], self._ended[questions], nth.copy()
        by_start, by_end = self._by_start, self._by_end
        rank = np.zeros(len(questions), dtype=np.int64)
        for bit in reversed(range(self._bits)):
            upper_start, upper_end = (by_start >> bit & 1).astype(bool), (by_end >> bit & 1).astype(bool)
            below_start, below_end = _below(upper_start), _below(upper_end)
            low_start, low_end = below_start[started], below_end[ended]
            lower = low_start - low_end
            up = left >= lower
            left -= np.where(up, lower, 0)
            rank |= up.astype(np.int64) << bit
            split = int(below_start[-1])
            started = np.where(up, split + started - low_start, low_start)
            ended = np.where(up, split + ended - low_end, low_end)
            if bit:
                by_start, by_end = _parted(by_start, upper_start), _parted(by_end, upper_end)
        found: Floats = self._values[self._begins[self._entity[questions]] + rank]
        return found


def _below(upper: Mask) -> Ranks:
    """Count, among the first 0, 1, ... facts, those in the lower half."""
    counts = np.zeros(len(upper) + 1, dtype=np.int32)
    np.cumsum(~upper, out=counts[1:], dtype=np.int32)
    return counts


def _parted(ranks: Ranks, upper: Mask) -> Ranks:
    """Put the lower half before the upper; both keep their order."""
    return np.concatenate([ranks[~upper], ranks[upper]])
