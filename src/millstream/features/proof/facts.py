"""Raw facts of one table, cut at an instant: what was known by then, and of each key what was believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from millstream.lake.frame import TableFrame

POSITION = "__position"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """One revision of a fact: when it happened (None for a table without event time), was known, and its row."""

    event: int | None
    known: int | None
    key: tuple[Any, ...] | None
    position: int
    row: Row


class Raw:
    """The rows of one version of a table, looked up by whom they are about.

    Parameters
    ----------
    table
        The rows, with their known-at columns.

    Notes
    -----
    A look-up scans the table once: this is for samples.
    """

    def __init__(self, table: TableFrame) -> None:
        self.table = table
        self._frame = table.frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(POSITION))
        key = table.frame.select(table.key) if table.key else None
        self._repeats = key is not None and key.n_unique() < len(key)

    def about(self, entity: Mapping[str, Any], *, since: int | None = None, until: int | None = None) -> pl.DataFrame:
        """Return every revision of every fact one of whose revisions is about an entity.

        With ``since`` and ``until`` only of facts one of whose revisions happened after the one and by the other
        (microseconds), as far as the table says when.
        """
        if any(each is None for each in entity.values()):
            return self._frame.clear()
        mine = self._frame.filter([pl.col(name) == self._literal(name, value) for name, value in entity.items()])
        if self.table.event_time is not None:
            when = pl.col(self.table.event_time).to_physical()
            mine = mine.filter(when > since) if since is not None else mine
            mine = mine.filter(when <= until) if until is not None else mine
        if not self._repeats or mine.is_empty():
            return mine
        keys = mine.select(self.table.key).drop_nulls().unique()
        others = self._frame.join(keys, on=list(self.table.key), how="semi")
        return pl.concat([others, mine]).unique(POSITION, keep="first").sort(POSITION)

    def of_key(self, key: Mapping[str, Any]) -> pl.DataFrame:
        """Return every revision of one row."""
        return self._frame.filter([pl.col(name) == self._literal(name, value) for name, value in key.items()])

    def everything(self) -> pl.DataFrame:
        """Return every row."""
        return self._frame

    def waits_for(self, columns: Iterable[str]) -> list[str]:
        """Name the known-at columns without which these columns say nothing; of none, the key's and event time's."""
        wanted = list(columns)
        if not wanted:
            wanted = [*self.table.key, *([self.table.event_time] if self.table.event_time else [])]
        return list(dict.fromkeys(self.table.known[each] for each in wanted if each in self.table.known))

    def facts(self, rows: Sequence[Row], waits: Sequence[str]) -> list[Fact]:
        """Return rows as facts under one knowledge."""
        found = []
        for row in rows:
            instants = [row[each] for each in waits]
            known = None if None in instants else max([-(2**62), *instants])
            event = -(2**62) if self.table.event_time is None else row[self.table.event_time]
            key = tuple(row[each] for each in self.table.key)
            found.append(Fact(event, known, None if not key or None in key else key, row[POSITION], row))
        return found

    def believed(self, facts: Iterable[Fact], waits: Sequence[str], *, at: int) -> list[Fact]:
        """Return, of each key, the fact that was believed at an instant: the latest known by then.

        Of several known at once, the one whose parts were known last, then the later row. One that says that the fact
        is gone takes its place and is none.
        """
        ties = self.waits_for(())

        def order(fact: Fact) -> tuple[int, ...]:
            assert fact.known is not None
            tie = max([-(2**62), *(fact.row[each] or 0 for each in ties)])
            return fact.known, *(fact.row[each] for each in waits), tie, fact.position

        latest: dict[object, Fact] = {}
        for fact in facts:
            if fact.known is None or fact.known > at:
                continue
            name = fact.key if fact.key is not None else ("row", fact.position)
            if name not in latest or order(latest[name]) < order(fact):
                latest[name] = fact
        return [each for each in latest.values() if self.is_there(each)]

    def is_there(self, fact: Fact) -> bool:
        """Say whether a row is a fact, and not the news that one is gone or has no event time."""
        return fact.event is not None and (self.table.gone is None or fact.row[self.table.gone] == 0)

    def _literal(self, name: str, value: Any) -> pl.Expr:
        dtype = self._frame.schema[name]
        if dtype.is_temporal() and isinstance(value, int):
            return pl.lit(value, pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype)
        return pl.lit(value, dtype)


def plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as values of the row language: instants as microseconds, dates as days."""
    temporal = [name for name, dtype in frame.schema.items() if dtype.is_temporal()]
    return frame.with_columns(pl.col(temporal).to_physical().cast(pl.Int64)).to_dicts()
