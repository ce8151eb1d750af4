"""A feature view over the rows of one table version, ready to be asked what was known of anybody at any instant.

The one place where features are computed: ``point_in_time`` asks it at the instants of decisions, the online store
at every instant at which an answer changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import polars as pl

from millstream.expressions.polars import compute
from millstream.features.active import Values
from millstream.features.facts import (
    ALWAYS,
    COLUMN,
    FOREVER,
    NOBODY,
    Codes,
    Facts,
    Instants,
    Mask,
    Times,
    encode_entities,
    find_entities,
    knowledge,
    read_facts,
    repeats,
)
from millstream.features.intervals import Asked, Line
from millstream.features.plan import Span, ViewPlan, WindowPlan
from millstream.features.targets import AGGREGATE, Everybody, encoded, folds_of, out_of_fold
from millstream.features.windows import Windows, answer, days_since
from millstream.lake.frame import TableFrame


@dataclass(frozen=True)
class Part:
    """Some entities of a table, and what those who see only their facts must be told of all.

    Parameters
    ----------
    entities
        One row per entity, in code order.
    codes
        Of each row that is seen, the entity; ``NOBODY`` also for one of another part.
    centres
        Expression to the middle of its values, over all facts; where it is not told it is that of what is seen.
    times
        When all facts happened.
    repeated
        Of each row that is seen, whether another has its key.
    begin
        Nothing is asked before, microseconds.
    since
        Where facts of the past are left out: knowledge and how long ago windows end to when each entity was seen at
        first, NOBODY in the last place.
    """

    entities: pl.DataFrame
    codes: Codes
    centres: Mapping[str, float]
    times: Times
    repeated: Mask
    begin: int = ALWAYS
    since: Mapping[tuple[tuple[str, ...], int], Instants] = field(default_factory=dict)

    @classmethod
    def whole(cls, view: ViewPlan, table: TableFrame) -> Part:
        """Take all entities of a table."""
        return cls(*encode_entities(table.frame, view.entity), {}, Times.of(table), repeats(table))

    def asked_from(self, instants: Instants) -> Part:
        """Return it for questions of these instants: what is too old by the first need not be looked at."""
        return replace(self, begin=int(instants.min(initial=FOREVER)))

    def facts(self, table: TableFrame, *, waits_for: tuple[str, ...]) -> Facts:
        """Read the facts of a table that are seen, under one knowledge."""
        return read_facts(table, self.codes, waits_for=waits_for, times=self.times, repeated=self.repeated)


class ViewFacts:
    """Facts of a view.

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
        self._table = table
        part = part or Part.whole(view, table)
        self.entities = part.entities
        self._waits_for = {name: knowledge(table, view, each) for name, each in view.features.items()}
        waits = dict.fromkeys(self._waits_for.values())
        facts = {each: part.facts(table, waits_for=each) for each in waits}
        self._line = Line(self._instants(facts), entities=len(self.entities))
        self._facts = facts
        self._windows = {
            each: Windows(found, self._line, _of(each, part.since), part.begin) for each, found in facts.items()
        }
        self._values = read_values(view, table.frame, part.centres)
        self._everybody = {
            name: Everybody(facts[self._waits_for[name]], self._values[each.value.text])
            for name, each in view.features.items()
            if each.aggregate == AGGREGATE and each.value is not None
        }

    def find(self, keys: pl.DataFrame) -> Codes:
        """Find the codes of entities, whose columns stand in the view's order; ``NOBODY`` for NULL and unknown."""
        return find_entities(self.entities, keys)

    def ask(self, entity: Codes, instants: Instants) -> dict[str, pl.Series]:
        """Evaluate every feature for each (entity, instant), in order.

        Cost: a binary search per question and distinct window; sorting of facts and questions where needed.
        """
        kept = self.kept(entity, instants)
        return {name: days_since(window, kept[name], instants) for name, window in self.view.features.items()}

    def kept(self, entity: Codes, instants: Instants) -> dict[str, pl.Series]:
        """Evaluate as ``ask`` does, except that of a time since the instant it counts from is given, microseconds."""
        asked = Asked(entity, instants, self._line)
        return {name: self._answer(name, window, asked) for name, window in self.view.features.items()}

    def ask_out_of_fold(self, entity: Codes, keys: pl.DataFrame) -> dict[str, pl.Series]:
        """Evaluate the target means of a table without time for rows of it, each without the labels of its own fold.

        ``keys`` holds the table's key of each row; a row whose key the table has not is in no fold's way.
        """
        folds = folds_of(self._table.frame, self._table.key), folds_of(keys, keys.columns)
        found = {}
        for name in self._everybody:
            window = self.view.features[name]
            made = out_of_fold(window, self._everybody[name].values, self._facts[self._waits_for[name]], folds, entity)
            found[name] = made.alias(f"{self.view.name}.{name}")
        return found

    def _answer(self, name: str, window: WindowPlan, asked: Asked) -> pl.Series:
        values = self._values["" if window.value is None else window.value.text]
        windows = self._windows[self._waits_for[name]]
        if window.aggregate == AGGREGATE:
            usual = self._everybody[name].at(asked.instants)
            return encoded(window, values, windows, asked, usual).alias(f"{self.view.name}.{name}")
        found = answer(window, values, windows, asked, entities=len(self.entities))
        return found.cast(COLUMN[window.dtype]).alias(f"{self.view.name}.{name}")

    def changes(self, since: int, until: int = FOREVER) -> tuple[Codes, Instants]:
        """List, by entity and instant, when an answer may change from ``since`` on and before ``until``.

        Each entity also stands at ``since``.
        """
        windows = set()
        for name, each in self.view.features.items():
            windows.add((self._waits_for[name], each.span))
            if each.aggregate == "sum":  # NULL becomes 0 with the first fact, even if that never enters the window
                windows.add((self._waits_for[name], Span(None, each.ago_us)))
        found = [self._windows[waits_for].changes(span) for waits_for, span in windows]
        for usual in self._everybody.values():  # everybody's mean moves at midnight, and all are drawn toward it
            days = usual.changes(since, until)
            everyone = np.arange(len(self.entities))
            found.append((np.repeat(everyone, len(days)), np.tile(days, len(everyone))))
        entity = np.concatenate([np.arange(len(self.entities)), *(each for each, _ in found)])
        instant = np.concatenate([np.full(len(self.entities), since), *(each for _, each in found)])
        ahead = (instant >= since) & (instant < until) & (entity != NOBODY)
        entity, instant = entity[ahead], instant[ahead]
        order = np.lexsort((instant, entity))
        entity, instant = entity[order], instant[order]
        fresh = np.ones(len(entity), dtype=bool)
        fresh[1:] = (entity[1:] != entity[:-1]) | (instant[1:] != instant[:-1])
        return entity[fresh], instant[fresh]

    def _instants(self, facts: dict[tuple[str, ...], Facts]) -> list[Instants]:
        found = [each for said in facts.values() for each in (said.start, said.superseded)]
        for waits_for, span in {(self._waits_for[name], each.span) for name, each in self.view.features.items()}:
            if span.ago_us:
                found.append(facts[waits_for].start_of(span.ago_us))
            if span.over_us is not None:
                found.append(facts[waits_for].closing(span))
        return found


def first_seen(view: ViewPlan, table: TableFrame, part: Part) -> dict[tuple[tuple[str, ...], int], Instants]:
    """Return since when each entity was seen, for the sums of a view: they are 0 from then on, NULL before."""
    sums = [each for each in view.features.values() if each.aggregate == "sum"]
    found = {}
    for waits_for, ago_us in {(knowledge(table, view, each), each.ago_us) for each in sums}:
        facts = part.facts(table, waits_for=waits_for)
        begun = facts.start_of(ago_us)
        there = (facts.entity != NOBODY) & (begun < facts.superseded)
        since = np.full(len(part.entities) + 1, FOREVER)
        np.minimum.at(since, facts.entity[there], begun[there])
        found[waits_for, ago_us] = since
    return found


def _of(waits_for: tuple[str, ...], since: Mapping[tuple[tuple[str, ...], int], Instants]) -> dict[int, Instants]:
    return {ago_us: each for (waits, ago_us), each in since.items() if waits == waits_for}


def read_values(
    view: ViewPlan, frame: pl.DataFrame, centres: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Values]:
    """Evaluate each distinct expression of a view once; the empty text is the fact itself."""
    wanted = {each.value.text: each.value for each in view.features.values() if each.value is not None}
    made = compute(frame, wanted, where=f"feature view {view.name}")
    return {"": Values(None), **{text: Values(made[text], _told(centres.get(text))) for text in wanted}}


def _told(centre: float | None) -> Callable[[], float] | None:
    return None if centre is None else lambda: centre
