"""What every database that is read can do: say its columns, copy its rows out, and tell how far its cursor got."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import msgspec
import polars as pl

from millstream.definitions.databases import Postgres, Relational, Sql
from millstream.errors import DefinitionError

Tell: TypeAlias = Callable[[str], object]
"""Called with a line that says how far it is."""
_EVERY_S = 2.0
_Said = TypeVar("_Said", bound=Relational)


class Copied(Protocol):
    """Rows that were copied out; the database is left alone before they are parsed."""

    @property
    def content(self) -> str:
        """Hash of the rows, of the columns, and of how they were asked for."""

    @property
    def rows(self) -> int:
        """How many."""

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column of the table to type."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """Read the rows from the first on, some at a time, as the table will have them."""

    def close(self) -> None:
        """Let go of what was copied."""


class Reading(Protocol):
    """One read-only transaction over what a source names."""

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column of the table to type."""

    def copy(self, *, order: Sequence[str], since: object, folder: Path, tell: Tell) -> Copied:
        """Copy rows out, sorted by columns of the table; ``since`` leaves out those whose cursor is less."""

    def keys(self, key: Sequence[str], folder: Path, *, tell: Tell) -> Copied:
        """Copy the key of every row out, and nothing else."""

    def now(self, timezone: str | None) -> object:
        """Return the clock there as a value of the cursor; None for a cursor that is a number."""

    def newest(self, limit: object) -> object:
        """Return the largest value of the cursor that is no more than ``limit``; None where there is none."""

    def refuse_empty_cursor(self) -> None:
        """Refuse a cursor that is NULL in some row, which would never be seen."""


def reading(
    source: Relational, databases: Mapping[str, str], *, root: Path, where: str
) -> AbstractContextManager[Reading]:
    """Open a source in one read-only transaction, by the reader of its kind.

    Raises
    ------
    NotFound, BadData, Unavailable, Refused, UserError
        As the reader of the kind says.
    """
    if isinstance(source, Postgres):
        from millstream.sources.postgres import reading as of_postgres

        return of_postgres(source, databases, where=where)
    if isinstance(source, Sql):
        from millstream.sources.sql import reading as of_sql

        return of_sql(source, databases, root=root, where=where)
    raise DefinitionError(f"{where}: nothing here reads sources.{type(source).__name__}")


def asked(source: Relational) -> dict[str, object]:
    """Return what a source says of its rows: not how late or how often to look again, nor how long to wait."""
    said = msgspec.structs.asdict(source)
    return {name: value for name, value in said.items() if name not in ("late", "timeout", "database", "deletes")}


def only(source: _Said, columns: Sequence[str]) -> _Said:
    """Return a source of these columns alone."""
    return msgspec.structs.replace(
        source,
        columns=tuple(columns),
        cursor="",
        late="",
        deletes="",
        deleted="",
        times={name: said for name, said in source.times.items() if name in columns},
        rename={name: new for name, new in source.rename.items() if name in columns},
    )


def counted(tell: Tell) -> Callable[[int], None]:
    """Make what tells, every two seconds, how many rows came so far."""
    last = time.monotonic()

    def said(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY_S:
            last = time.monotonic()
            tell(f"{rows:,} rows read")

    return said
