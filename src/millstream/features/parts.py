"""A view over a part of a table's entities at a time, so that memory stays bounded however many facts there are.

What is of one entity stands together in a part, with every revision of its facts' keys: a correction may name another
entity, and takes the fact from the first. The answers are those of the whole table, to the last bit; what is centred
is centred around the middle of the whole. A part is never less than one entity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.active import Values
from millstream.features.facts import (
    FOREVER,
    NOBODY,
    Codes,
    Instants,
    Mask,
    Times,
    encode_entities,
    find_entities,
    repeats,
    to_micros,
)
from millstream.features.plan import TARGET, ViewPlan
from millstream.features.planned import PlannedFacts
from millstream.features.views import Part, ViewFacts, first_seen, read_values
from millstream.lake.frame import TableFrame

Places = npt.NDArray[np.int64]
_Asked = tuple[Places, TableFrame, Part]
_Piece = tuple[ViewPlan, Places, TableFrame, Part]
_WIDE = 2**32
CENTRED = ("std", "trend")
"""Aggregates that are computed around a middle."""


@dataclass(frozen=True)
class Sizes:
    """Bytes that a view takes while it is asked, by estimate, of one fact and of one row; answers come on top."""

    fact: int
    row: int

    @classmethod
    def of(cls, view: ViewPlan) -> Sizes:
        """Estimate them: arrays of facts, those of each window, and those of the one that is being answered."""
        windows = view.features.values()
        spans = len({each.span for each in windows})
        values = len({each.value.text for each in windows if each.value is not None})
        return cls(fact=180 + 80 * spans + 24 * values, row=130 + 40 * spans)

    def of_all(self, facts: int, rows: int) -> int:
        """Return the bytes of so many facts and rows asked at once."""
        return self.fact * facts + self.row * rows


def ask_in_parts(
    view: ViewPlan, table: TableFrame, keys: pl.DataFrame, when: tuple[Instants, ...], *, memory: int
) -> dict[str, pl.Series]:
    """Answer a view for every row, in order, in parts that take at most so many bytes.

    Parameters
    ----------
    view, table
        What is computed, and from what.
    keys
        The entity of each row, its columns in the view's order; a row with NULL is about nobody.
    when
        The instant of each row; under a horizon that of its decision, and its target.
    memory
        Half of it goes to facts, half to rows.
    """
    sizes = Sizes.of(view)
    limit, enough = (max(1, memory // 2 // each) for each in (sizes.fact, sizes.row))
    entities, of_facts = encode_entities(table.frame, view.entity)
    of_rows = find_entities(entities, keys)
    split = Split(len(entities), of_facts, of_rows, limit=limit)
    made = PlannedFacts if view.at == TARGET else ViewFacts
    found: dict[str, list[pl.Series]] = {name: [] for name in view.features}
    placed: dict[str, list[Places]] = {name: [] for name in view.features}
    for whole in _parts(view, table, split, (entities, of_facts)):
        for some, rows, its_table, part in _pieces(view, whole, when[0], limit=limit):
            facts = made(some, its_table, part)
            step = max(enough, len(part.codes))  # each goes through all facts once, so n steps would cost n * n
            for start in range(0, max(len(rows), 1), step):
                chosen = rows[start : start + step]
                answers = facts.ask(split.within(of_rows[chosen]), *(each[chosen] for each in when))
                for name, each in answers.items():
                    found[name].append(each)
                    placed[name].append(chosen)
    back: dict[tuple[int, ...], pl.Series] = {}
    return {name: _in_place(found.pop(name), placed[name], back) for name in view.features}


def _in_place(parts: list[pl.Series], places: list[Places], back: dict[tuple[int, ...], pl.Series]) -> pl.Series:
    """Put answers where their rows are; what was asked in one order is put back by one."""
    order = tuple(map(id, places))
    if order not in back:
        asked = np.concatenate(places)
        inverse = np.empty(len(asked), dtype=np.uint32 if len(asked) < _WIDE else np.int64)
        inverse[asked] = np.arange(len(asked))
        back[order] = pl.Series(inverse)
    whole = pl.concat(parts, rechunk=True)  # a gather from chunks takes three times as long
    parts.clear()  # beside it there is no room for them and the answers
    return whole.gather(back[order])


def _pieces(view: ViewPlan, whole: _Asked, when: Instants, *, limit: int) -> Iterator[_Piece]:
    """Divide a part that is larger than it should be, because one entity is: by time, where windows have a length."""
    rows, table, part = whole
    part = part.asked_from(when[rows])
    lasting = {name: each for name, each in view.features.items() if each.over_us is not None}
    if len(part.codes) <= 2 * limit or not lasting or table.event_time is None or view.at == TARGET:
        yield view, rows, table, part
        return
    others = {name: each for name, each in view.features.items() if name not in lasting}
    some = msgspec.structs.replace(view, features=lasting)
    told = replace(part, since=first_seen(some, table, part))
    revisions, in_order = Revisions(table, part.repeated), rows[np.argsort(when[rows])]
    for held, chosen in spans(some, table, in_order, when, limit=limit):
        its = revisions.beside(held)
        seen = replace(told, codes=part.codes[its], repeated=part.repeated[its]).asked_from(when[chosen])
        yield some, chosen, replace(table, frame=table.frame[its]), seen
    if others:
        yield msgspec.structs.replace(view, features=others), rows, table, part


def spans(
    view: ViewPlan, table: TableFrame, rows: Places, when: Instants, *, limit: int
) -> Iterator[tuple[Places, Places]]:
    """Divide rows, which stand in the order of their instants, so that few facts can be in the windows of each part.

    Yields the facts and the rows. Facts at least double those of the first row's window, so none is held often.
    """
    assert table.event_time is not None
    back = max(each.over_us + each.ago_us for each in view.features.values() if each.over_us is not None)
    events = table.frame[table.event_time]
    happened = np.flatnonzero(events.is_not_null().to_numpy())
    instants = events.to_physical().to_numpy()[happened] if len(happened) < len(events) else to_micros(events)
    by_event = np.argsort(instants, kind="stable")
    instants, by_event = instants[by_event], happened[by_event]
    asked = when[rows]
    place = 0
    while place < len(rows) or not place:
        begin = int(asked[place]) if len(rows) else 0
        low, now = (int(each) for each in np.searchsorted(instants, [begin - back, begin], side="right"))
        last = low + max(limit, 2 * (now - low))
        until = int(instants[last]) - 1 if last < len(instants) else FOREVER
        high = int(np.searchsorted(instants, max(begin, until), side="right"))
        stop = max(place + 1, int(np.searchsorted(asked, max(begin, until), side="right")))
        yield np.sort(by_event[low:high]), rows[place:stop]
        place = stop


class Split:
    """Which part each entity and row belongs to.

    Parameters
    ----------
    entities
        How many there are.
    of_facts, of_rows
        The entity of each, by its code.
    limit
        Facts of a part, more or less: its last entity is taken whole.
    """

    def __init__(self, entities: int, of_facts: Codes, of_rows: Codes, *, limit: int) -> None:
        asked = np.zeros(entities + 1, dtype=bool)  # the last place is NOBODY's
        asked[of_rows] = True
        asked[NOBODY] = False
        many = np.bincount(of_facts[of_facts != NOBODY], minlength=entities + 1)
        many[~asked] = 0
        bucket = (np.cumsum(many) - many) // limit
        told = np.flatnonzero(asked)
        part = np.zeros(len(told), dtype=np.int32)
        part[1:] = np.cumsum(bucket[told][1:] != bucket[told][:-1])
        self.count = int(part[-1]) + 1 if len(part) else 1
        self.of_entity = np.full(entities + 1, -1, dtype=np.int32)
        self.of_entity[told] = part
        first = np.searchsorted(part, np.arange(self.count))
        self._local = np.full(entities + 1, NOBODY)
        self._local[told] = np.arange(len(told)) - first[part]
        self._told, self._bounds = told, np.append(first, len(told))
        of_row = np.maximum(self.of_entity[of_rows], 0)  # of nobody nothing is known in any part
        self.rows_in_order = np.argsort(of_row, kind="stable")
        self.row_bounds = np.searchsorted(of_row[self.rows_in_order], np.arange(self.count + 1))

    def entities_of(self, number: int) -> Codes:
        """Return the codes of a part's entities, of which each row asks about one."""
        return self._told[self._bounds[number] : self._bounds[number + 1]]

    def within(self, codes: Codes) -> Codes:
        """Return codes as the part that an entity belongs to numbers them."""
        local: Codes = self._local[codes]
        return local


def _parts(view: ViewPlan, table: TableFrame, split: Split, coded: tuple[pl.DataFrame, Codes]) -> Iterator[_Asked]:
    """Yield the rows, the facts and what else is to be known of each part."""
    entities, codes = coded
    of_fact = split.of_entity[codes]
    shared = repeats(table)
    revisions = Revisions(table, shared)
    centres, times = _centres(view, table), Times.of(table)
    order = np.argsort(of_fact, kind="stable")
    bounds = np.searchsorted(of_fact[order], np.arange(split.count + 1))
    frame = table.frame.select(_needed(view, table))
    for number in range(split.count):
        rows = split.rows_in_order[split.row_bounds[number] : split.row_bounds[number + 1]]
        if number and not len(rows):
            continue
        held = revisions.beside(order[bounds[number] : bounds[number + 1]])
        own = np.where(of_fact[held] == number, split.within(codes[held]), NOBODY)
        named = entities[split.entities_of(number)]
        its = frame if len(held) == len(frame) else frame[held]
        yield rows, replace(table, frame=its), Part(named, own, centres, times, shared[held])


class Revisions:
    """The revisions of facts of a table, found by each other: one may name another entity, or another time."""

    def __init__(self, table: TableFrame, repeated: Mask) -> None:
        self._positions = np.flatnonzero(repeated)
        self._some = len(self._positions) > 0
        if not self._some:
            return
        found = table.frame.select(table.key)[self._positions]
        self._keys = found.hash_rows().to_numpy()  # two keys of one hash do no harm
        self._by_key = np.argsort(self._keys)
        self._in_order = self._keys[self._by_key]

    def beside(self, facts: Places) -> Places:
        """Return facts, whose positions ascend, with every revision of their keys; in order."""
        if not self._some:
            return facts
        at = np.minimum(np.searchsorted(self._positions, facts), len(self._positions) - 1)
        keys = np.sort(self._keys[at[self._positions[at] == facts]])
        keys = keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys
        first, last = (np.searchsorted(self._in_order, keys, side=side) for side in ("left", "right"))
        many = last - first
        theirs = np.arange(int(many.sum())) + np.repeat(first - np.cumsum(many) + many, many)
        both = np.sort(np.concatenate([facts, self._positions[self._by_key[theirs]]]))
        return both[np.r_[True, both[1:] != both[:-1]]] if len(both) else both


def _needed(view: ViewPlan, table: TableFrame) -> list[str]:
    values = [name for each in view.features.values() if each.value is not None for name in each.value.columns]
    marks = [each for each in (table.event_time, table.gone) if each is not None]
    return list(dict.fromkeys((*table.key, *values, *table.known.values(), *marks)))


def _centres(view: ViewPlan, table: TableFrame) -> dict[str, float]:
    """Return the middle of each expression's values over the whole table, one after another."""
    centred = {name: each for name, each in view.features.items() if each.aggregate in CENTRED}
    found: dict[str, float] = {}
    for name, window in centred.items():
        if window.value is not None and window.value.text not in found:
            one = ViewPlan(view.name, view.table, view.entity, view.entity_types, view.keys, {name: window})
            values: Values = read_values(one, table.frame)[window.value.text]
            found[window.value.text] = values.centre
    return found
