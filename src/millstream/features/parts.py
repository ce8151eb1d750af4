"""A view over a part of a table's entities at a time, so that memory stays bounded however many facts there are.

What is of one entity stands together in a part, with every revision of its facts' keys: a correction may name another
entity, and takes the fact from the first. The answers are those of the whole table, to the last bit; what is centred
is centred around the middle of the whole. A part is never less than one entity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.active import Values
from millstream.features.facts import NOBODY, Codes, Instants, Times, encode_entities, find_entities, repeated
from millstream.features.plan import TARGET, ViewPlan
from millstream.features.planned import PlannedFacts
from millstream.features.views import Part, ViewFacts, read_values
from millstream.lake.frame import TableFrame

Places = npt.NDArray[np.int64]
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
        return cls(fact=180 + 80 * spans + 16 * values, row=130 + 40 * spans)

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
    entities, of_facts = encode_entities(table.frame, view.entity)
    of_rows = find_entities(entities, keys)
    split = Split(len(entities), of_facts, of_rows, limit=max(1, memory // 2 // sizes.fact))
    enough = max(1, memory // 2 // sizes.row)
    found: dict[str, list[pl.Series]] = {name: [] for name in view.features}
    made = PlannedFacts if view.at == TARGET else ViewFacts
    for rows, part_table, part in _parts(view, table, split, (entities, of_facts)):
        facts = made(view, part_table, part)
        step = max(enough, len(part.codes))  # each step goes through all facts once, so n steps would cost n * n
        for start in range(0, max(len(rows), 1), step):
            chosen = rows[start : start + step]
            answers = facts.ask(split.within(of_rows[chosen]), *(each[chosen] for each in when))
            for name, each in answers.items():
                found[name].append(each)
    back = np.empty(len(of_rows), dtype=np.int64)
    back[split.rows_in_order] = np.arange(len(of_rows))
    return {name: _in_place(found.pop(name), back) for name in view.features}


def _in_place(parts: list[pl.Series], back: Places) -> pl.Series:
    whole = pl.concat(parts)
    return whole.gather(pl.Series(back))


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


def _parts(
    view: ViewPlan, table: TableFrame, split: Split, coded: tuple[pl.DataFrame, Codes]
) -> Iterator[tuple[Places, TableFrame, Part]]:
    """Yield the rows, the facts and what else is to be known of each part."""
    entities, codes = coded
    of_fact = split.of_entity[codes]
    moved = _moved(table, of_fact)
    centres, times = _centres(view, table), Times.of(table)
    order = np.argsort(of_fact, kind="stable")
    bounds = np.searchsorted(of_fact[order], np.arange(split.count + 1))
    frame = table.frame.select(_needed(view, table))
    for number in range(split.count):
        rows = split.rows_in_order[split.row_bounds[number] : split.row_bounds[number + 1]]
        if number and not len(rows):
            continue
        held = order[bounds[number] : bounds[number + 1]]
        if moved is not None:
            guests = moved.filter(pl.col("__part") == number)["__position"].to_numpy()
            held = np.sort(np.concatenate([held, guests]))
        own = np.where(of_fact[held] == number, split.within(codes[held]), NOBODY)
        named = entities[split.entities_of(number)]
        yield rows, replace(table, frame=frame[held]), Part(named, own, centres, times)


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


def _moved(table: TableFrame, of_fact: npt.NDArray[np.int32]) -> pl.DataFrame | None:
    """Find the revisions of keys that stand in several parts: which other parts each must be known to.

    None when every key stays in its part.
    """
    rows = repeated(table, np.ones(len(of_fact), dtype=bool))
    if rows is None:
        return None
    key = list(table.key)
    rows = rows.with_columns(pl.Series("__own", of_fact[rows["__position"].to_numpy()]))
    spread = rows.group_by(key).agg(pl.col("__own").unique().alias("__part"))
    spread = spread.filter(pl.col("__part").list.len() > 1).explode("__part").filter(pl.col("__part") >= 0)
    if spread.is_empty():
        return None
    rows = rows.join(spread, on=key, how="inner").filter(pl.col("__own") != pl.col("__part"))
    return rows.select("__part", "__position")
