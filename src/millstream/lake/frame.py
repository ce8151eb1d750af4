"""Rows of one version of a table, together with when each column became usable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from millstream.types import Schema

PREFIX = "__millstream_"
"""Prefix of the columns that the lake adds to the rows of a table with history."""
SEEN, CHANGED, GONE = f"{PREFIX}seen", f"{PREFIX}changed", f"{PREFIX}gone"
"""When a row was seen, by the project's clock; when it changed; whether it says that the key is gone."""
SINCE = f"{PREFIX}since_"
"""Before a column's name: since when it is so; NULL as long as the definition says."""
MARKS = (SEEN, GONE)
"""Of these, the ones that come along when rows are read."""
HERE, LEFT, MOVED = 0, 1, 2
"""Values of ``GONE``: the row is there, the key is gone, or the fact is no longer at this event time."""
EVER = datetime(1, 1, 1, tzinfo=UTC)
"""The known-at of what is taken as always known, where a column must hold an instant."""


@dataclass(frozen=True)
class TableFrame:
    """Rows of one table version, as every later room reads them.

    Parameters
    ----------
    table, version
        What was read.
    frame
        Declared and computed columns. Every timestamp is ``Datetime("us", "UTC")``; non-finite numbers are NULL.
        Beside them stand the columns named in ``known``.
    schema
        Column to type of the row language, without the known-at columns.
    key
        Columns that name a row; a later row of a key, by known-at, corrects the earlier.
    event_time
        Column of the instant the fact happened; None for a static table.
    known
        Column to the name of the column in ``frame`` that holds the instant from which it may be used: known-at
        plus the table's lag. NULL there is never known. Empty for a static table: always known.
    gone
        Of a table with history: the column that is not 0 in rows which say that something is no longer so. They
        supersede the rows before them and are no facts.
    """

    table: str
    version: int
    frame: pl.DataFrame
    schema: Schema
    key: tuple[str, ...]
    event_time: str | None
    known: dict[str, str] = field(default_factory=dict)
    gone: str | None = None

    def known_for(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Name the known-at columns that matter for an expression over these columns (its known-at is their latest).

        An expression over no column, such as a count of rows, is known when the row's key and event time are.
        """
        wanted = list(columns) or [*self.key, *([self.event_time] if self.event_time else [])]
        return tuple(dict.fromkeys(self.known[each] for each in wanted if each in self.known))
