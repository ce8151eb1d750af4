"""Reading a table, view or query of a database that SQLAlchemy has a driver for, as ``postgres`` reads PostgreSQL.

Nothing is written there: an SQLite file is opened for reading only, elsewhere the transaction is rolled back, and what
is not one SELECT is not sent. Rows are copied to a file without a name before they are looked at.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import NoSuchTableError

from millstream.definitions.databases import Sql
from millstream.errors import BadData, DefinitionError, NotFound, StorageFull, Unavailable, near
from millstream.sources.addresses import address
from millstream.sources.engines import connected, kept_as, refuse_no_query
from millstream.sources.reading import Tell, asked, counted, only
from millstream.sources.texts import settle
from millstream.sources.values import column, sampled
from millstream.types import parse_duration

_TOGETHER = 10_000
"""Rows that are held, hashed and written together."""
_SAMPLE = 1000
"""Rows by which a column is read whose type the database does not say, or says of its own texts only."""


@dataclass(frozen=True)
class Copied:
    """What a database gave; see ``reading.Copied``."""

    content: str
    rows: int
    schema: dict[str, pl.DataType]
    _source: Sql
    _written: IO[bytes]
    _where: str

    def frames(self) -> Iterator[pl.DataFrame]:
        """Read the rows, some at a time, as the table will have them."""
        self._written.seek(0)
        while size := self._written.read(8):
            made = pl.read_ipc_stream(io.BytesIO(self._written.read(int.from_bytes(size, "big"))))
            yield settle(made, self._source, where=self._where)

    def close(self) -> None:
        """Let go of what was copied."""
        self._written.close()


class Reading:
    """One transaction in which a source's columns are looked at, then its rows copied; see ``reading.Reading``."""

    def __init__(self, connection: sa.Connection, source: Sql, *, where: str) -> None:
        self._connection = connection
        self._source = source
        self._where = where
        self._until = time.monotonic() + parse_duration(source.timeout).total_seconds()
        refuse_no_query(connection.dialect.name, f"select * from {self._rows()}", where=where)
        self._columns, self._texts = self._described()
        kind = self._columns.get(source.cursor)
        if source.cursor and not (kind == pl.Int64 or (kind is not None and kind.is_temporal())):
            raise DefinitionError(
                f"cursor {source.cursor!r} of {where} is {kind}", expected="a time, a date or a whole number"
            )

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column of the table to type."""
        return dict(settle(pl.DataFrame(schema=self._columns), self._source, where=self._where).schema)

    def copy(self, *, order: Sequence[str], since: object, folder: Path, tell: Tell) -> Copied:
        """Copy rows out, sorted by columns of the table; all of them where there are none."""
        return self._copied(self._source, self._columns, order=order, since=since, folder=folder, tell=tell)

    def keys(self, key: Sequence[str], folder: Path, *, tell: Tell) -> Copied:
        """Copy the key of every row out, and nothing else."""
        rename = self._source.rename
        mine = {name: kind for name, kind in self._columns.items() if rename.get(name, name) in key}
        return self._copied(only(self._source, list(mine)), mine, order=key, since=None, folder=folder, tell=tell)

    def now(self, timezone: str | None) -> object:
        """Return this machine's clock as a value of the cursor; None for a cursor that is a number."""
        kind = self._columns[self._source.cursor]
        if kind == pl.Int64:
            return None
        here = datetime.now(ZoneInfo(timezone) if timezone else UTC)
        if kind == pl.Date:
            return here.date()
        return here.astimezone(UTC) if getattr(kind, "time_zone", None) else here.replace(tzinfo=None)

    def newest(self, limit: object) -> object:
        """Return the largest value of the cursor that is no more than ``limit``; None where there is none."""
        name = self._quoted(self._source.cursor)
        query = f"select max({name}) from {self._rows()}"
        said: dict[str, object] = {}
        if isinstance(limit, datetime) and self._source.cursor in self._texts:
            limit = limit.replace(microsecond=0) + timedelta(seconds=1)  # texts differ in how they write fractions
        if limit is not None:
            query, said = f"{_plain(query)} where {_plain(name)} <= :bound", {"bound": self._bound(limit)}
        found = self._connection.execute(sa.text(query if said else _plain(query)), said).scalar()
        if found is None:
            return None
        made: object = column(self._source.cursor, [found], self._columns[self._source.cursor], where=self._where)[0]
        return made

    def refuse_empty_cursor(self) -> None:
        """Refuse a cursor that is NULL in some row, which would never be seen."""
        cursor = self._source.cursor
        query = f"select 1 from {self._rows()} where {self._quoted(cursor)} is null"
        if self._connection.execute(sa.text(_plain(query))).first():
            raise BadData(
                f"cursor {cursor!r} of {self._where} is NULL in some rows, which would never be read",
                expected="a value in every row that is read",
                do=f"where='{cursor} is not null', another cursor, or none",
            )

    def _copied(
        self,
        source: Sql,
        columns: Mapping[str, pl.DataType],
        *,
        order: Sequence[str],
        since: object,
        folder: Path,
        tell: Tell,
    ) -> Copied:
        digest = hashlib.sha256(
            msgspec.json.encode([asked(source), [[name, str(kind)] for name, kind in columns.items()]])
        )
        query, said = self._query(source, columns, order=order, since=since)
        rows, progress = 0, counted(tell)
        written = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as what was copied
        try:
            result = self._connection.execution_options(stream_results=True).execute(sa.text(query), said)
            for part in result.partitions(_TOGETHER):
                self._refuse_slow()
                made = [tuple(each) for each in part]
                digest.update(msgspec.msgpack.encode(made, enc_hook=str))
                self._put(written, made, columns, before=rows)
                rows += len(made)
                progress(rows)
            written.flush()
        except OSError as wrong:
            written.close()
            raise StorageFull(f"{folder} could not be written: {wrong}", do="free some space and try again") from None
        except BaseException:
            written.close()
            raise
        schema = dict(settle(pl.DataFrame(schema=dict(columns)), source, where=self._where).schema)
        return Copied(digest.hexdigest(), rows, schema, source, written, self._where)

    def _put(
        self, written: IO[bytes], rows: list[tuple[Any, ...]], columns: Mapping[str, pl.DataType], *, before: int
    ) -> None:
        where = f"{self._where}, rows {before + 1:,} to {before + len(rows):,}"
        frame = pl.DataFrame(
            [
                column(name, list(values), kind, where=where)
                for (name, kind), values in zip(columns.items(), zip(*rows, strict=True), strict=True)
            ]
        )
        held = io.BytesIO()
        frame.write_ipc_stream(held)
        written.write(held.tell().to_bytes(8, "big"))
        written.write(held.getbuffer())

    def _query(
        self, source: Sql, columns: Mapping[str, pl.DataType], *, order: Sequence[str], since: object
    ) -> tuple[str, dict[str, object]]:
        names = [self._quoted(name) for name in columns]
        own = {source.rename.get(name, name): self._quoted(name) for name in columns}
        by = [own[each] for each in order if each in own] or names
        query = _plain(f"select {', '.join(names)} from {self._rows()}")
        said: dict[str, object] = {}
        if since is not None:
            query += f" where {_plain(self._quoted(source.cursor))} >= :bound"
            said = {"bound": self._bound(since)}
        return f"{query} order by {_plain(', '.join(by))}", said

    def _bound(self, value: object) -> object:
        """Write a value of the cursor as the database compares it: SQLite has times as texts."""
        between = self._texts.get(self._source.cursor)
        if between is None or not isinstance(value, date):
            return value
        if not isinstance(value, datetime):
            return value.isoformat()
        return value.replace(tzinfo=None).isoformat(sep=between).rstrip("0" if value.microsecond else "")

    def _rows(self) -> str:
        source = self._source
        if source.query:
            rows = f"({source.query.strip().rstrip(';')}) as asked"
        else:
            rows = ".".join(self._quoted(each) for each in source.table.split("."))
        return f"(select * from {rows} where {source.where}) as kept" if source.where else rows

    def _quoted(self, name: str) -> str:
        return self._connection.dialect.identifier_preparer.quote_identifier(name)

    def _refuse_slow(self) -> None:
        if time.monotonic() >= self._until:
            raise Unavailable(
                f"{self._where} was not read within {self._source.timeout}",
                expected="fewer rows or columns, or more time",
                do="columns=, where= or cursor= of sources.Sql, or timeout='2h'",
            )

    def _described(self) -> tuple[dict[str, pl.DataType], dict[str, str]]:
        """Find each column's type, and what stands between date and time where times are texts."""
        source, where = self._source, self._where
        said = self._reflected() if source.table else {}
        result = self._connection.execute(sa.text(_plain(f"select * from {self._rows()}")))
        names = list(result.keys())
        sample = [tuple(each) for each in result.fetchmany(_SAMPLE)]
        result.close()
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadData(f"the query of {where} gives two columns called {', '.join(map(repr, twice))}")
        self._refuse_unknown(names)
        columns: dict[str, pl.DataType] = {}
        texts: dict[str, str] = {}
        for number, name in enumerate(names):
            if source.columns and name not in source.columns:
                continue
            values = [row[number] for row in sample if row[number] is not None]
            kind = sampled(said.get(name), values)
            if kind is None:
                raise BadData(
                    f"column {name!r} of {where} holds bytes, which are no number, text, truth value, date or time",
                    expected="the columns that are wanted, without it",
                    do=f"columns={[each for each in names if each != name]!r}",
                )
            columns[name] = kind
            if kind.is_temporal() and values and isinstance(values[0], str):
                texts[name] = values[0][10:11] or " "
        return columns, texts

    def _reflected(self) -> dict[str, pl.DataType | None]:
        schema, _, table = self._source.table.rpartition(".")
        looked = sa.inspect(self._connection)
        try:
            found = looked.get_columns(table, schema=schema or None)
        except NoSuchTableError:
            there = [*looked.get_table_names(schema=schema or None), *looked.get_view_names(schema=schema or None)]
            raise NotFound(
                f"{self._where}: the database has no table {self._source.table!r}",
                expected="the name of a table or view",
                do=near(table, there),
            ) from None
        return {each["name"]: kept_as(each["type"]) for each in found}

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        source = self._source
        for word in ("columns", "cursor", "deleted", "times", "rename"):
            wanted = getattr(source, word)
            for each in (wanted,) if isinstance(wanted, str) else tuple(wanted):
                if each and each not in names:
                    raise NotFound(
                        f"{self._where} has no column {each!r}, which its {word} names", do=near(each, names)
                    )


@contextmanager
def reading(source: Sql, databases: Mapping[str, str], *, root: Path, where: str) -> Iterator[Reading]:
    """Open a source in one transaction that is rolled back.

    Raises
    ------
    NotFound, BadData, Unavailable, UserError
        For what is not there, cannot be read, or cannot be reached.
    """
    said = address(source.database, databases, where=where)
    with connected(said, root=root, where=where, timeout_s=parse_duration(source.timeout).total_seconds()) as found:
        yield Reading(found, source, where=where)


def _plain(text: str) -> str:
    """Keep SQLAlchemy from taking a colon for a parameter."""
    return text.replace(":", "\\:")
