"""What checks are asked about: a batch, and what they may look at beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

import polars as pl

from millstream.definitions.table import Table
from millstream.lake.frame import TableFrame

Between: TypeAlias = tuple[datetime | None, datetime | None]


class Reader(Protocol):
    """Reads rows of any table as they stand, quarantined ones included.

    ``between`` bounds event time, half-open; a reader may return more rows than that, and more columns than named.
    The table that is checked is read at the version that is checked, so its rows include the batch.
    """

    def __call__(
        self, table: str, *, columns: Sequence[str] | None = None, between: Between | None = None
    ) -> TableFrame:
        """Return rows of a table."""
        ...


@dataclass(frozen=True)
class Scene:
    """Everything the checks of one batch look at.

    Parameters
    ----------
    table
        The definition.
    batch
        The rows to check.
    known_keys
        Gives the key columns, and the known-at columns of the key, of all earlier rows; None where there are none.
    other
        Reads any table.
    now
        The project's instant.
    timezone
        Zone whose midnights part days.
    since
        When the checks last ran; None where that is not known.
    newest
        The newest event that was known before this batch; None where that is not known.
    """

    table: Table
    batch: TableFrame
    known_keys: Callable[[], pl.DataFrame] | None
    other: Reader
    now: datetime
    timezone: str
    since: datetime | None = None
    newest: datetime | None = None
