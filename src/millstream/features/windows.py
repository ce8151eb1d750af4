"""The nine aggregates over the facts in a window, all from one definition of which facts those are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.facts import FOREVER, Facts, Instants
from millstream.features.intervals import Asked, Indices, Intervals, Line
from millstream.features.plan import WindowPlan
from millstream.features.sums import ActiveSum, Floats, sample_variance, two_product

Mask = npt.NDArray[np.bool_]

_EXACT_SQUARE = 2.0**26


@dataclass(frozen=True)
class Values:
    """What an expression gives for each fact; None counts the facts themselves."""

    series: pl.Series | None

    @cached_property
    def present(self) -> Mask | None:
        """Mask of the facts whose value is not NULL; None when all are."""
        if self.series is None or not self.series.null_count():
            return None
        return self.series.is_not_null().to_numpy()

    @cached_property
    def numbers(self) -> npt.NDArray[Any]:
        """Return the values as int64 (whole numbers and booleans) or float64, NULL as 0."""
        assert self.series is not None
        dtype = pl.Float64 if self.series.dtype.is_float() else pl.Int64
        return self.series.cast(dtype).fill_null(0).to_numpy()


class Windows:
    """Facts under one knowledge, seen through windows of several lengths.

    Parameters
    ----------
    facts
        The facts.
    line
        Where they and the questions are placed.
    """

    def __init__(self, facts: Facts, line: Line) -> None:
        self._facts = facts
        self._line = line
        self._intervals: dict[int | None, Intervals] = {}
        self._found: tuple[Asked, Indices] | None = None

    def of_length(self, over_us: int | None) -> Intervals:
        """Return the intervals in which facts are in a window of this length."""
        if over_us not in self._intervals:
            facts = self._facts
            self._intervals[over_us] = Intervals(facts.entity, facts.start, self._end(over_us), self._line)
        return self._intervals[over_us]

    @cached_property
    def begun(self) -> Intervals:
        """The facts from the instant they happened and were known, without any end."""
        if not self._corrected.any() and None in self._intervals:
            return self._intervals[None]
        facts = self._facts
        return Intervals(facts.entity, facts.start, np.full(len(facts.event), FOREVER), self._line)

    @cached_property
    def order(self) -> Indices:
        """Rank of each fact by event time, then known-at, then row order."""
        event, known = self._facts.event, self._facts.known
        order = np.argsort(event, kind="stable")
        same = event[order[1:]] == event[order[:-1]]
        if same.any():  # only events at one instant are told apart by known-at, which spares a second sort of all
            tied = np.zeros(len(order), dtype=bool)
            tied[1:] |= same
            tied[:-1] |= same
            among = order[tied]
            order[tied] = among[np.lexsort((known[among], event[among]))]
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank

    @cached_property
    def _corrected(self) -> Indices:
        return np.flatnonzero(self._facts.successor >= 0)

    def last(self, values: Values, over_us: int | None, asked: Asked) -> Indices:
        """Find the fact of the latest event among those in the window whose value is not NULL; -1 for none.

        Where every correction leaves a fact's entity and does not move it back in time, a corrected fact is always
        outranked by its correction, and windows close in the order of events: the latest that has begun decides.
        """
        if not self._outranked(values.present):
            return self._highest(self.order, values, over_us, asked)
        fact = self._latest_begun(values.present, asked)
        if over_us is None or not len(self.order):
            return fact
        return np.where((fact >= 0) & (closing(self._facts, over_us)[fact] > asked.instants), fact, -1)

    def _outranked(self, present: Mask | None) -> bool:
        """Say whether every correction is of the same entity, not of an earlier event, and not to NULL."""
        facts, corrected = self._facts, self._corrected
        successor = facts.successor[corrected]
        outranked = facts.entity[successor] == facts.entity[corrected]
        outranked &= facts.event[successor] >= facts.event[corrected]
        if present is not None:
            outranked &= present[successor] | ~present[corrected]
        return bool(outranked.all())

    def _latest_begun(self, present: Mask | None, asked: Asked) -> Indices:
        """Find the fact of the highest order that has begun; -1 for none. Values without NULL share the answer."""
        if present is None and self._found is not None and self._found[0] is asked:
            return self._found[1]
        begun = self.begun
        if not len(begun.facts):
            return np.full(len(asked.instants), -1)
        entity = self._facts.entity[begun.facts]
        rank = self.order[begun.facts] + 1
        if present is not None:
            rank = np.where(present[begun.facts], rank, 0)
        room = len(self.order) + 1
        leader = np.maximum.accumulate(entity * room + rank)
        in_order = np.empty(room, dtype=np.int64)
        in_order[0] = -1
        in_order[self.order + 1] = np.arange(len(self.order))
        latest = in_order[leader - entity * room]
        started = asked.count_until(begun.starts)
        fact = np.where((started > 0) & (entity[started - 1] == asked.entity), latest[started - 1], -1)
        if present is None:
            self._found = asked, fact
        return fact

    def extreme(self, values: Values, over_us: int | None, asked: Asked, *, largest: bool) -> Indices:
        """Find a fact with the largest (or smallest) value in the window; -1 for none."""
        order = np.argsort(values.numbers, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order if largest else order[::-1]] = np.arange(len(order))
        return self._highest(rank, values, over_us, asked)

    def _highest(self, rank: Indices, values: Values, over_us: int | None, asked: Asked) -> Indices:
        window = self.of_length(over_us)
        if not len(window.facts):
            return np.full(len(asked.instants), -1)
        ranks = rank[window.facts]
        if values.present is not None:
            ranks = np.where(values.present[window.facts], ranks, -1)
        found = window.highest(ranks, asked)
        return np.where(found >= 0, window.facts[found], -1)

    def seen(self, asked: Asked, entities: int) -> npt.NDArray[np.bool_]:
        """Say whether any fact of the entity had begun and was believed by each instant."""
        ever = self.of_length(None)
        since = np.full(entities + 1, FOREVER)  # its last place is read for NOBODY, -1
        since[self._facts.entity[ever.facts][::-1]] = self._facts.start[ever.facts][::-1]
        return since[asked.entity] <= asked.instants

    def changes(self, over_us: int | None) -> tuple[Indices, Instants]:
        """Return entity and instant of everything that starts or ends in windows of this length."""
        inside = self.of_length(over_us).facts
        entity = self._facts.entity[inside]
        instants = [self._facts.start[inside], self._end(over_us)[inside]]
        return np.concatenate([entity, entity]), np.concatenate(instants)

    def _end(self, over_us: int | None) -> Instants:
        superseded = self._facts.superseded
        return superseded if over_us is None else np.minimum(closing(self._facts, over_us), superseded)


class Active:
    """The facts in one window, asked: what counts, sums and their kin share."""

    def __init__(self, windows: Windows, over_us: int | None, asked: Asked) -> None:
        self.intervals = windows.of_length(over_us)
        self.started, self.ended = self.intervals.span(asked)

    def count(self, mask: Mask | None) -> Indices:
        """Count active facts, or those of a mask."""
        return self.started - self.ended if mask is None else self.whole(mask.astype(np.int64))

    def whole(self, values: Indices) -> Indices:
        """Sum whole numbers exactly (integers wrap, and unwrap in the difference)."""
        of_active = values[self.intervals.facts]
        starts = _prefix(of_active)
        ending = self.intervals.ending
        ends = starts if ending is None else _prefix(of_active[ending])
        return starts[self.started] - ends[self.ended]

    def total(self, values: Floats) -> tuple[Floats, Floats]:
        """Sum floats, as an unevaluated pair."""
        return ActiveSum(values[self.intervals.facts], self.intervals.ending).between(self.started, self.ended)


def closing(facts: Facts, over_us: int) -> Instants:
    """Return when each fact falls out of a window of this length."""
    return facts.event + over_us


def answer(window: WindowPlan, values: Values, windows: Windows, asked: Asked, *, entities: int) -> pl.Series:
    """Evaluate one feature at every question.

    Returns
    -------
    pl.Series
        One value per question, in order, of the feature's type; NULL by the rules of ``docs/features.md``.
    """
    aggregate = window.aggregate
    if aggregate in ("last", "min", "max"):
        if aggregate == "last":
            fact = windows.last(values, window.over_us, asked)
        else:
            fact = windows.extreme(values, window.over_us, asked, largest=aggregate == "max")
        assert values.series is not None
        return values.series.gather(pl.Series(fact).replace(-1, None)) if len(values.series) else _nulls(window, asked)
    active = Active(windows, window.over_us, asked)
    count = active.count(values.present)
    if aggregate == "count":
        return pl.Series(count)
    if aggregate == "sum":
        return _with_nulls(_sum(active, values), windows.seen(asked, entities))
    if aggregate == "std":
        return pl.Series(np.sqrt(_variance(active, values, count))).fill_nan(None)
    total = _sum(active, values)
    if aggregate == "mean":
        return _with_nulls(total / np.maximum(count, 1), count > 0)
    return _with_nulls((total > 0) == (aggregate == "any"), count > 0)


def _sum(active: Active, values: Values) -> Indices | Floats:
    numbers = values.numbers
    if numbers.dtype == np.int64:
        return active.whole(numbers)
    high, low = active.total(numbers)
    return high + low


def _variance(active: Active, values: Values, count: Indices) -> Floats:
    numbers = values.numbers.astype(np.float64)
    present = values.present
    counted = numbers if present is None else numbers[present]
    centre = float(np.rint(np.median(counted))) if len(counted) else 0.0
    centred = numbers - centre
    if present is not None:
        centred[~present] = 0.0
    if np.abs(centred).max(initial=0.0) < _EXACT_SQUARE and bool((centred == np.rint(centred)).all()):
        squares = active.total(centred * centred)
    else:
        square, error = two_product(centred, centred)
        high, low = active.total(square)
        more, less = active.total(error)
        squares = high, low + more + less
    return sample_variance(count, active.total(centred), squares)


def _with_nulls(values: npt.NDArray[np.generic], there: npt.NDArray[np.bool_]) -> pl.Series:
    series = pl.Series(values)
    return series if there.all() else series.to_frame("v").select(pl.when(pl.Series(there)).then("v"))["v"]


def _nulls(window: WindowPlan, asked: Asked) -> pl.Series:
    return pl.Series([None] * len(asked.instants))


def _prefix(values: Indices) -> Indices:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
