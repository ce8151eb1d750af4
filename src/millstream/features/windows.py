"""Aggregates over the facts in a window, all from one definition of which facts those are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.active import Active, Mask, Values
from millstream.features.facts import ALWAYS, FOREVER, NOBODY, Facts, Instants
from millstream.features.intervals import Asked, Indices, Intervals, Line
from millstream.features.plan import AGED, DAY_US, Span, WindowPlan
from millstream.features.ranks import distinct, quantile
from millstream.features.sums import Floats, sample_variance, two_product
from millstream.features.trend import trend

_EXACT_SQUARE = 2.0**26


class Windows:
    """Facts under one knowledge, seen through windows of several spans.

    Parameters
    ----------
    facts
        The facts.
    line
        Where they and the questions are placed.
    since
        How long ago windows end to when each entity was seen at first, where not all facts are here.
    begin
        Nothing is asked before, microseconds: what is too old by then is in no window of a length.
    """

    def __init__(
        self, facts: Facts, line: Line, since: Mapping[int, Instants] | None = None, begin: int = ALWAYS
    ) -> None:
        self.facts = facts
        self._since = since or {}
        self._begin = begin
        self._line = line
        self._intervals: dict[Span, Intervals] = {}
        self._begun: dict[int, Intervals] = {}
        self._found: dict[int, tuple[Asked, Indices]] = {}

    def of_span(self, span: Span) -> Intervals:
        """Return the intervals in which facts are in a window of this span."""
        if span not in self._intervals:
            facts = self.facts
            start, end = facts.start_of(span.ago_us), facts.end_of(span)
            entity = facts.entity
            if span.over_us is not None and self._begin > ALWAYS:
                entity = np.where(end > self._begin, entity, NOBODY)
            self._intervals[span] = Intervals(entity, start, end, self._line)
        return self._intervals[span]

    def _begun_of(self, ago_us: int) -> Intervals:
        """Return the facts from the instant they enter windows, without any end."""
        if not self._corrected.any() and Span(None, ago_us) in self._intervals:
            return self._intervals[Span(None, ago_us)]
        if ago_us not in self._begun:
            facts = self.facts
            ever = np.full(len(facts.event), FOREVER)
            self._begun[ago_us] = Intervals(facts.entity, facts.start_of(ago_us), ever, self._line)
        return self._begun[ago_us]

    @cached_property
    def order(self) -> Indices:
        """Rank of each fact by event time, then known-at, then row order."""
        event, known = self.facts.event, self.facts.known
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
        return np.flatnonzero(self.facts.successor >= 0)

    def last(self, values: Values, span: Span, asked: Asked) -> Indices:
        """Find the fact of the latest event among those in the window whose value is not NULL; -1 for none.

        Where every correction leaves a fact's entity and does not move it back in time, a corrected fact is always
        outranked by its correction, and windows close in the order of events: the latest that has begun decides.
        """
        if not self._outranked(values.present):
            return self._highest(self.order, values, span, asked)
        fact = self._latest_begun(values.present, span.ago_us, asked)
        if span.over_us is None or not len(self.order):
            return fact
        return np.where((fact >= 0) & (self.facts.closing(span)[fact] > asked.instants), fact, -1)

    def first(self, values: Values, span: Span, asked: Asked) -> Indices:
        """Find the fact of the earliest event among those in the window whose value is not NULL; -1 for none."""
        return self._highest(len(self.order) - 1 - self.order, values, span, asked)

    def _outranked(self, present: Mask | None) -> bool:
        """Say whether every correction is of the same entity, not of an earlier event, and not to NULL."""
        facts, corrected = self.facts, self._corrected
        successor = facts.successor[corrected]
        outranked = facts.entity[successor] == facts.entity[corrected]
        outranked &= facts.event[successor] >= facts.event[corrected]
        if present is not None:
            outranked &= present[successor] | ~present[corrected]
        return bool(outranked.all())

    def _latest_begun(self, present: Mask | None, ago_us: int, asked: Asked) -> Indices:
        """Find the fact of the highest order that has begun; -1 for none. Values without NULL share the answer."""
        held = self._found.get(ago_us)
        if present is None and held is not None and held[0] is asked:
            return held[1]
        begun = self._begun_of(ago_us)
        if not len(begun.facts):
            return np.full(len(asked.instants), -1)
        entity = self.facts.entity[begun.facts]
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
            self._found[ago_us] = asked, fact
        return fact

    def extreme(self, values: Values, span: Span, asked: Asked, *, largest: bool) -> Indices:
        """Find a fact with the largest (or smallest) value in the window; -1 for none."""
        rank = values.rank if largest else len(values.rank) - 1 - values.rank
        return self._highest(rank, values, span, asked)

    def _highest(self, rank: Indices, values: Values, span: Span, asked: Asked) -> Indices:
        window = self.of_span(span)
        if not len(window.facts):
            return np.full(len(asked.instants), -1)
        ranks = rank[window.facts]
        if values.present is not None:
            ranks = np.where(values.present[window.facts], ranks, -1)
        found = window.highest(ranks, asked)
        return np.where(found >= 0, window.facts[found], -1)

    def seen(self, asked: Asked, entities: int, ago_us: int) -> npt.NDArray[np.bool_]:
        """Say whether any fact of the entity had begun, so long ago, and was believed by each instant."""
        if ago_us in self._since:
            return self._since[ago_us][asked.entity] <= asked.instants
        ever = self.of_span(Span(None, ago_us))
        since = np.full(entities + 1, FOREVER)  # its last place is read for NOBODY, -1
        since[self.facts.entity[ever.facts][::-1]] = self.facts.start_of(ago_us)[ever.facts][::-1]
        return since[asked.entity] <= asked.instants

    def changes(self, span: Span) -> tuple[Indices, Instants]:
        """Return entity and instant of everything that starts or ends in windows of this span."""
        inside = self.of_span(span).facts
        entity = self.facts.entity[inside]
        instants = [self.facts.start_of(span.ago_us)[inside], self.facts.end_of(span)[inside]]
        return np.concatenate([entity, entity]), np.concatenate(instants)


def answer(window: WindowPlan, values: Values, windows: Windows, asked: Asked, *, entities: int) -> pl.Series:
    """Evaluate one feature at every question.

    Returns
    -------
    pl.Series
        One value per question, in order, of the feature's type; NULL by the rules of ``docs/features.md``. Of a time
        since, the instant it counts from (see ``days_since``).
    """
    aggregate = window.aggregate
    if aggregate in ("last", "first", "min", "max", *AGED):
        return _of_fact(window, values, windows, asked)
    if aggregate == "distinct":
        return pl.Series(distinct(windows.facts, windows.of_span(window.span), values, asked))
    active = Active(windows.facts, windows.of_span(window.span), asked)
    count = active.count(values.present)
    if aggregate == "count":
        return pl.Series(count)
    if aggregate == "sum":
        return _with_nulls(_sum(active, values), windows.seen(asked, entities, window.ago_us))
    if aggregate == "quantile":
        assert window.q is not None
        return pl.Series(quantile(active, values, count, share=window.q)).fill_nan(None)
    if aggregate == "trend":
        return pl.Series(trend(active, values, count)).fill_nan(None)
    if aggregate == "std":
        return pl.Series(np.sqrt(_variance(active, values, count))).fill_nan(None)
    total = _sum(active, values)
    if aggregate == "mean":
        return _with_nulls(total / np.maximum(count, 1), count > 0)
    return _with_nulls((total > 0) == (aggregate == "any"), count > 0)


def days_since(window: WindowPlan, kept: pl.Series, instants: Instants) -> pl.Series:
    """Return answers from what is kept of them: of a time since, the days from an instant; all else as it is."""
    if not window.aged:
        return kept
    days = (instants.astype(np.float64) - kept.to_numpy()) / DAY_US  # Polars would multiply, and miss by a last digit
    return pl.Series(kept.name, days).fill_nan(None)


def _of_fact(window: WindowPlan, values: Values, windows: Windows, asked: Asked) -> pl.Series:
    """Answer with the value, or the instant, of one fact."""
    if window.aggregate in ("last", "since_last"):
        fact = windows.last(values, window.span, asked)
    elif window.aggregate in ("first", "since_first"):
        fact = windows.first(values, window.span, asked)
    else:
        fact = windows.extreme(values, window.span, asked, largest=window.aggregate == "max")
    of_facts = pl.Series(windows.facts.event) if window.aged else values.series
    assert of_facts is not None
    return of_facts.gather(pl.Series(fact).replace(-1, None)) if len(of_facts) else _nulls(asked)


def _sum(active: Active, values: Values) -> Indices | Floats:
    numbers = values.numbers
    if numbers.dtype == np.int64:
        return active.whole(numbers)
    high, low = active.total(numbers)
    return high + low


def _variance(active: Active, values: Values, count: Indices) -> Floats:
    numbers = values.numbers.astype(np.float64)
    present = values.present
    centred = numbers - values.centre
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


def _nulls(asked: Asked) -> pl.Series:
    return pl.Series([None] * len(asked.instants))
