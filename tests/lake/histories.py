"""Random histories of a source that shows only what is so now, and the slow, obviously right memory of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.lake.frame import EVER, GONE, TableFrame
from millstream.lake.ingest.upsert import Delivery, Upsert, upsert
from millstream.lake.shape import compile_shape

START = datetime(2013, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
SCHEMA: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "who": pl.String(),
    "at": INSTANT,
    "x": pl.Float64(),
    "y": pl.Int64(),
    "changed": INSTANT,
}
Rows = dict[int, dict[str, Any]]


def second(number: float | None) -> datetime | None:
    return None if number is None else START + timedelta(seconds=number)


def table(**words: Any) -> Table:
    said: dict[str, Any] = {"source": Csv("t.csv"), "key": "id", "history": True, "event_time": "at"}
    return Table("t", **(said | words))


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    made = [each | {name: second(each[name]) for name in ("at", "changed")} for each in rows]
    return pl.DataFrame(made, schema=SCHEMA, orient="row")


values = st.fixed_dictionaries(
    {
        "who": st.sampled_from(["u", "v", None]),
        "at": st.integers(0, 30),
        "x": st.sampled_from([1.0, 2.0, -3.0, None]),
        "y": st.sampled_from([1, 2, None]),
        "changed": st.just(0),
    }
)
states = st.lists(st.dictionaries(st.integers(0, 3), values, max_size=4), min_size=1, max_size=5)


@dataclass
class Memory:
    """What was believed: for each key its rows in the order of belief, each with a known-at for every column.

    ``None`` in place of a row is a key that was gone.
    """

    stated: Any
    """Column and row to the second from which the definition says it is known; None where it says nothing."""
    rows: dict[int, list[tuple[dict[str, Any] | None, dict[str, float]]]] = field(default_factory=dict)

    def take(self, now: Rows, seen: float, *, first: bool) -> None:
        for key in {*now, *self.rows}:
            had = self.rows.get(key, [])
            row = None if key not in now else {"id": key} | now[key]
            before, knew = had[-1] if had else (None, {})
            if row is None:
                if before is not None:
                    had.append((None, {name: max(seen, knew[name]) for name in SCHEMA}))
            elif not had:
                told = {name: self.stated(name, row) for name in SCHEMA}
                begins = float("-inf") if first else seen
                had.append((row, {name: begins if told[name] is None else told[name] for name in SCHEMA}))
            elif row != before:
                known = {}
                for name in SCHEMA:
                    declared = self.stated(name, row)
                    declared = float("-inf") if declared is None else declared
                    new = before is None or before[name] != row[name]
                    known[name] = max(declared, max(seen, knew[name]) if new else knew[name])
                had.append((row, known))
            self.rows[key] = had

    def at(self, instant: float, columns: tuple[str, ...]) -> list[dict[str, Any]]:
        """Of each key the row that was believed, as far as these columns go."""
        found = []
        for had in self.rows.values():
            usable = [row for row, known in had if all(known[each] <= instant for each in columns)]
            if usable and usable[-1] is not None:
                found.append(usable[-1])
        return found


@dataclass
class Stored:
    """What ``upsert`` wrote, without a disk."""

    table: Table
    rows: pl.DataFrame | None = None

    def take(self, delivery: Delivery, now: datetime) -> Upsert:
        made = upsert(self.table, delivery, before=None if self.rows is None else self.rows.lazy(), now=now)
        new = [*made.frames]
        if new:
            rows = pl.concat(new)
            self.rows = rows if self.rows is None else pl.concat([self.rows, rows])
        elif self.rows is None:
            self.rows = pl.DataFrame(schema=made.schema)
        return made

    def read(self) -> TableFrame:
        assert self.rows is not None
        shape = compile_shape(self.table, self.rows)
        made = shape.apply(self.rows)
        event = self.table.event_time
        return TableFrame("t", 0, made, dict(shape.schema), ("id",), event, dict(shape.known), GONE)


def seconds_of(instant: datetime) -> float:
    return float("-inf") if instant <= EVER else (instant - START).total_seconds()
