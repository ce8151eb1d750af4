"""A feature view about ``target_at``: windows that contain the instant predicted, facts known at the decision.

What is planned ahead, a promotion or a price, is a fact of the future that is known today. Knowledge is that of the
decision, windows are about the target; for each decision the facts believed then are asked as any others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from millstream.errors import Refused
from millstream.features.active import Values
from millstream.features.facts import (
    ALWAYS,
    COLUMN,
    FOREVER,
    NOBODY,
    Codes,
    Facts,
    Instants,
    find_entities,
    knowledge,
    read_facts,
)
from millstream.features.intervals import Asked, Indices, Line
from millstream.features.online import layout
from millstream.features.plan import Span, ViewPlan, WindowPlan
from millstream.features.steps import Steps, as_floats, parts
from millstream.features.views import Part, read_values
from millstream.features.windows import Windows, answer, days_since
from millstream.lake.frame import TableFrame


@dataclass(frozen=True)
class _Known:
    """Facts under one knowledge, and their positions in the order of events."""

    facts: Facts
    by_event: Indices

    def believed(self, decided: int, since: int | None, until: int) -> Indices:
        """Return the positions of facts believed at a decision, of events after ``since`` and not after ``until``."""
        events = self.facts.event[self.by_event]
        low = 0 if since is None else int(np.searchsorted(events, since, side="right"))
        held = self.by_event[low : int(np.searchsorted(events, until, side="right"))]
        facts = self.facts
        usable = (facts.known[held] <= decided) & (facts.superseded[held] > decided) & (facts.entity[held] != NOBODY)
        return np.sort(held[usable])


class PlannedFacts:
    """Facts of a view about targets.

    Parameters
    ----------
    view
        What is computed.
    table
        The rows it is computed from.
    part
        What of a larger table they are; all of it unless said.

    Attributes
    ----------
    entities
        One row per entity that any row of the table names, in code order.
    """

    def __init__(self, view: ViewPlan, table: TableFrame, part: Part | None = None) -> None:
        self.view = view
        part = part or Part.whole(view, table)
        self.entities, codes = part.entities, part.codes
        self._waits_for = {name: knowledge(table, view, each) for name, each in view.features.items()}
        self._known: dict[tuple[str, ...], _Known] = {}
        for each in dict.fromkeys(self._waits_for.values()):
            facts = read_facts(table, codes, waits_for=each, times=part.times)
            self._known[each] = _Known(facts, np.argsort(facts.event, kind="stable"))
        self._values = read_values(view, table.frame, part.centres)

    def find(self, keys: pl.DataFrame) -> Codes:
        """Find the codes of entities, whose columns stand in the view's order; ``NOBODY`` for NULL and unknown."""
        return find_entities(self.entities, keys)

    def ask(self, entity: Codes, decided: Instants, target: Instants) -> dict[str, pl.Series]:
        """Evaluate every feature for each (entity, decision, target), in order.

        Cost: for each distinct decision, the facts its windows may hold are sorted once.
        """
        kept = self.kept(entity, decided, target)
        return {name: days_since(window, kept[name], target) for name, window in self.view.features.items()}

    def kept(self, entity: Codes, decided: Instants, target: Instants) -> dict[str, pl.Series]:
        """Evaluate as ``ask`` does, except that of a time since the instant it counts from is given, microseconds."""
        order = np.argsort(decided, kind="stable")
        sorted_ = decided[order]
        found: dict[str, list[pl.Series]] = {name: [] for name in self.view.features}
        for rows in np.split(order, np.flatnonzero(sorted_[1:] != sorted_[:-1]) + 1):
            if len(rows):
                for name, each in self._at(int(decided[rows[0]]), entity[rows], target[rows]).items():
                    found[name].append(each)
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        made = {}
        for name, window in self.view.features.items():
            series = pl.concat(found[name]) if found[name] else pl.Series([], dtype=COLUMN[window.dtype])
            made[name] = series[back].alias(f"{self.view.name}.{name}")
        return made

    def _at(self, decided: int, entity: Codes, target: Instants) -> dict[str, pl.Series]:
        horizon = self.view.horizon_us
        since = None if horizon is None else int(target.min()) - horizon
        made: dict[str, pl.Series] = {}
        for waits_for, known in self._known.items():
            held = known.believed(decided, since, int(target.max()))
            facts = _only(known.facts, held)
            mine = {name: each for name, each in self.view.features.items() if self._waits_for[name] == waits_for}
            line = Line(_bounds(facts, mine.values()), entities=len(self.entities))
            windows, asked = Windows(facts, line), Asked(entity, target, line)
            for name, window in mine.items():
                values = _held(self._values["" if window.value is None else window.value.text], held)
                said = answer(window, values, windows, asked, entities=len(self.entities))
                made[name] = said.cast(COLUMN[window.dtype])
        return made

    def epochs(self, since: int, until: int) -> tuple[Codes, Instants]:
        """List, by entity and instant, when what is known of one changes in a span, its beginning included."""
        everybody = np.arange(len(self.entities))
        entity, instant = [everybody], [np.full(len(everybody), since)]
        for each in self._known.values():
            for when in (each.facts.known, each.facts.superseded):
                inside = (when > since) & (when < until) & (each.facts.entity != NOBODY)
                entity.append(each.facts.entity[inside])
                instant.append(when[inside])
        return _distinct(np.concatenate(entity), np.concatenate(instant))

    def changes(self, since: int) -> tuple[Codes, Instants]:
        """List, by entity and target, when an answer may change from ``since`` on, its beginning included."""
        everybody = np.arange(len(self.entities))
        entity, instant = [everybody], [np.full(len(everybody), since)]
        for name, window in self.view.features.items():
            facts = self._known[self._waits_for[name]].facts
            for when in _bounds(facts, [window]):
                inside = (when > since) & (facts.entity != NOBODY)
                entity.append(facts.entity[inside])
                instant.append(when[inside])
        return _distinct(np.concatenate(entity), np.concatenate(instant))


def planned_steps(
    view: ViewPlan, table: TableFrame, *, since: int, bound_bytes: int, until: int = FOREVER
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each entity, as served for decisions from ``since`` to ``until``.

    A value holds, for each instant at which what is known changes, the steps over targets that hold from then on.

    Raises
    ------
    Refused
        When they would take more than ``bound_bytes``; names the view.
    """
    facts = PlannedFacts(view, table)
    entity, decided = facts.epochs(since, until)
    of_target, targets = facts.changes(since)
    first = np.searchsorted(of_target, np.arange(len(facts.entities) + 1))
    many = np.diff(first)[entity]
    if (size := int(many.sum()) * 8 * (len(view.features) + 1)) > bound_bytes:
        raise Refused(
            f"feature view {view.name!r} would keep {size / 1e6:,.0f} MB online: {len(facts.entities):,} entities,"
            f" {len(entity):,} instants at which plans change",
            expected=f"at most {bound_bytes / 1e6:,.0f} MB a view",
            do="shorten its windows, or split it into views of fewer features",
        )
    epoch = np.repeat(np.arange(len(entity)), many)
    nth = np.arange(len(epoch)) - np.repeat(np.cumsum(many) - many, many)
    target = targets[first[entity[epoch]] + nth]
    answers = facts.kept(entity[epoch], decided[epoch], target)
    rows, texts = as_floats(answers, len(epoch))
    steps = Steps([], np.concatenate([[0], np.cumsum(many)]), target, rows, texts)
    blobs = list(steps.blobs(view))
    named = parts(facts.entities)
    starts = np.searchsorted(entity, np.arange(len(facts.entities) + 1))
    prefix = layout.view_prefix(view.id)
    for place, each in enumerate(named):
        own = slice(int(starts[place]), int(starts[place + 1]))
        yield layout.key_of(prefix, each), layout.pack_epochs(decided[own].tobytes(), blobs[own])


def _bounds(facts: Facts, windows: Iterable[WindowPlan]) -> Iterator[Instants]:
    """Yield when facts that are known enter windows, and when they are too old for them."""
    for over_us, ago_us in {each.span for each in windows}:
        yield facts.event if not ago_us else facts.event + ago_us
        if over_us is not None:
            yield facts.closing(Span(over_us, ago_us))


def _only(facts: Facts, held: Indices) -> Facts:
    """Return facts that are believed, so that only their events say when they begin.

    Which of two events at one instant was known first still decides which is the latest: the order of known-at is
    kept, in microseconds before the event.
    """
    event = facts.event[held]
    rank = np.empty(len(held), dtype=np.int64)
    rank[np.argsort(facts.known[held], kind="stable")] = np.arange(len(held))
    return Facts(
        entity=facts.entity[held],
        event=event,
        known=np.where(event == ALWAYS, ALWAYS, event - len(held)) + rank,
        superseded=np.full(len(held), FOREVER),
        successor=np.full(len(held), -1),
        times=facts.times,
    )


def _held(values: Values, held: Indices) -> Values:
    return values if values.series is None else Values(values.series.gather(held), lambda: values.centre)


def _distinct(entity: Codes, instant: Instants) -> tuple[Codes, Instants]:
    order = np.lexsort((instant, entity))
    entity, instant = entity[order], instant[order]
    fresh = np.ones(len(entity), dtype=bool)
    fresh[1:] = (entity[1:] != entity[:-1]) | (instant[1:] != instant[:-1])
    return entity[fresh], instant[fresh]
