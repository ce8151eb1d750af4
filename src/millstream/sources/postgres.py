"""Reading a table, view or query of PostgreSQL: its columns, and its rows as they stand at one instant.

Rows are copied out in the order of the table's key, in one read-only transaction, into a file that has no name; what
was copied is known by the hash of its bytes. The server is left alone before the rows are parsed, and memory holds
32 MB of them at a time.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import polars as pl
import psycopg
from psycopg import sql

from millstream.definitions.sources import Postgres
from millstream.errors import BadData, DefinitionError, NotFound, StorageFull, near
from millstream.sources.addresses import address
from millstream.sources.copied import REFUSED, Field, frames
from millstream.sources.database import opened
from millstream.sources.reading import Tell, asked, counted, only
from millstream.sources.texts import settle

_TEXTS = {"text", "varchar"}
_AS_THEY_ARE = {
    "int2",
    "int4",
    "int8",
    "oid",
    "float4",
    "float8",
    "numeric",
    "bool",
    "date",
    "timestamp",
    "timestamptz",
}
_TOGETHER = 4096
"""Rows that are hashed and written together; the server sends one by one."""
_CURSORS = {"int2", "int4", "int8", "date", "timestamp", "timestamptz"}


@dataclass(frozen=True)
class Copied:
    """What a database gave.

    Parameters
    ----------
    fields
        Columns, as the database has them.
    content
        Hash of the bytes, of the columns, and of how they were asked for.
    rows
        How many.
    """

    fields: tuple[Field, ...]
    content: str
    rows: int
    _source: Postgres
    _written: IO[bytes]
    _where: str

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column of the table to type."""
        return _settled(self.fields, self._source)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Read the rows, some at a time, as the table will have them."""
        self._written.seek(0)
        for each in frames(self._written, self.fields, where=self._where):
            yield settle(each, self._source, where=self._where)

    def close(self) -> None:
        """Let go of what was copied."""
        self._written.close()


class Reading:
    """One read-only transaction in which a source's columns are looked at, then its rows copied.

    Parameters
    ----------
    connection
        Open.
    source
        What is read.
    where
        What it is, for messages.
    fields
        Its columns, where they are known already.
    """

    def __init__(
        self, connection: psycopg.Connection, source: Postgres, *, where: str, fields: tuple[Field, ...] = ()
    ) -> None:
        self._connection = connection
        self._source = source
        self._where = where
        self.fields = fields or tuple(
            each
            for each in described(connection, source, where=where)
            if not source.columns or each.name in source.columns
        )
        _refuse(self.fields, source, where=where)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column of the table to type."""
        return _settled(self.fields, self._source)

    def copy(
        self,
        *,
        order: Sequence[str],
        since: object,
        folder: Path,
        share: float | None = None,
        tell: Tell = lambda line: None,
    ) -> Copied:
        """Copy the rows out.

        Parameters
        ----------
        order
            Columns of the table to sort by; all where there are none, so that the same rows are the same bytes.
        since
            Leave out rows whose cursor is less; None for all.
        folder
            Where the file without a name lies.
        share
            Read so large a part of the rows, each chosen by chance; None for all.
        tell
            Called now and then with how many rows came.
        """
        digest = hashlib.sha256(
            msgspec.json.encode([asked(self._source), [[each.name, each.kind] for each in self.fields]])
        )
        rows, said = 0, counted(tell)
        if share is not None:
            self._connection.execute("select setseed(0.7)")
        query = self._query(order=order, since=since, share=share)
        written = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as what was copied
        try:
            with self._connection.cursor() as cursor, cursor.copy(sql.SQL("copy ({}) to stdout").format(query)) as copy:
                while lines := list(itertools.islice(copy, _TOGETHER)):
                    rows += len(lines)
                    said(rows)
                    data = b"".join(lines)
                    digest.update(data)
                    written.write(data)
            written.flush()
        except OSError as wrong:
            written.close()
            raise StorageFull(f"{folder} could not be written: {wrong}", do="free some space and try again") from None
        except BaseException:
            written.close()
            raise
        return Copied(self.fields, digest.hexdigest(), rows, self._source, written, self._where)

    def keys(self, key: Sequence[str], folder: Path, *, tell: Tell = lambda line: None) -> Copied:
        """Copy the key of every row out, and nothing else."""
        source = self._source
        mine = tuple(each for each in self.fields if source.rename.get(each.name, each.name) in key)
        found = Reading(self._connection, only(source, [each.name for each in mine]), where=self._where, fields=mine)
        return found.copy(order=key, since=None, folder=folder, tell=tell)

    def now(self, timezone: str | None) -> object:
        """Return the server's clock as a value of the cursor; None for a cursor that is a number."""
        kind = next(each.kind for each in self.fields if each.name == self._source.cursor)
        if kind.startswith("int"):
            return None
        said = "now()" if kind == "timestamptz" else "now() at time zone %s"
        zone = () if kind == "timestamptz" else (timezone or "UTC",)
        row = self._connection.execute(
            sql.SQL("select ({})::{}").format(_written(said), _written(kind)), zone
        ).fetchone()
        return row[0] if row else None

    def newest(self, limit: object) -> object:
        """Return the largest value of the cursor that is no more than ``limit``; None where there is none."""
        name = sql.Identifier(self._source.cursor)
        query = sql.SQL("select max({}) from {}").format(name, _rows_of(self._source))
        if limit is not None:
            query += sql.SQL(" where {} <= {}").format(name, sql.Literal(limit))
        row = self._connection.execute(query).fetchone()
        return row[0] if row else None

    def refuse_empty_cursor(self) -> None:
        """Refuse a cursor that is NULL in some row, which would never be seen.

        Raises
        ------
        BadData
            Saying so.
        """
        source = self._source
        query = sql.SQL("select 1 from {} where {} is null limit 1").format(
            _rows_of(source), sql.Identifier(source.cursor)
        )
        if self._connection.execute(query).fetchone():
            raise BadData(
                f"cursor {source.cursor!r} of {self._where} is NULL in some rows, which would never be read",
                expected="a value in every row that is read",
                do=f"where='{source.cursor} is not null', another cursor, or none",
            )

    def _query(self, *, order: Sequence[str], since: object, share: float | None) -> sql.Composed:
        source = self._source
        inner = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(_read(each) for each in self.fields), _rows_of(source)
        )
        if since is not None:
            inner += sql.SQL(" where {} >= {}").format(sql.Identifier(source.cursor), sql.Literal(since))
        if share is not None:
            inner += sql.SQL(" where random() < {}").format(sql.Literal(share))
        own = {source.rename.get(each.name, each.name): each for each in self.fields}
        by = [own[each] for each in order if each in own] or self.fields
        keys = [sql.Identifier(each.name) + sql.SQL(' collate "C"' if each.dtype == pl.String else "") for each in by]
        return sql.SQL("select * from ({}) as given order by {}").format(inner, sql.SQL(", ").join(keys))


@contextmanager
def reading(source: Postgres, databases: Mapping[str, str], *, where: str) -> Iterator[Reading]:
    """Open a source in one read-only transaction.

    Raises
    ------
    NotFound
        For a table or column that is not there, naming near ones.
    BadData
        For a column twice, or of a type that cannot be kept.
    Unavailable, Refused, UserError
        For a server that is not there, or does not let one in.
    """
    with opened(address(source.database, databases, where=where), where=where, timeout=source.timeout) as connection:
        yield Reading(connection, source, where=where)


def _settled(fields: Sequence[Field], source: Postgres) -> dict[str, pl.DataType]:
    none = settle(pl.DataFrame(schema={each.name: each.dtype for each in fields}), source, where="a table")
    return dict(none.schema)


def _rows_of(source: Postgres) -> sql.Composed:
    if source.query:
        rows = sql.SQL("({}) as asked").format(_written(source.query.strip().rstrip(";")))
    else:
        rows = sql.SQL("{}").format(sql.Identifier(*source.table.split(".")))
    if not source.where:
        return rows
    return sql.SQL("(select * from {} where {}) as kept").format(rows, _written(source.where))


def _written(text: str) -> sql.SQL:
    """Take the project's own SQL as it stands; the transaction it runs in can write nothing."""
    return sql.SQL(text)


def described(connection: psycopg.Connection, source: Postgres, *, where: str) -> tuple[Field, ...]:
    """Look at the columns there are, also at those that cannot be kept."""
    try:
        with connection.transaction():
            query = sql.SQL("select * from {} limit 0").format(_rows_of(source))
            found = connection.execute(query).description or []
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as wrong:
        there = tables(connection)
        if source.query:
            named = re.search(r'relation "([^"]+)" does not exist', str(wrong))
            if named is None:
                raise
            name, short = named.group(1), {each.partition(".")[2]: each for each in there}
            raise NotFound(
                f"the query of {where} names a table {name!r}, which the database has not",
                do=near(name, there if "." in name else short),
            ) from None
        short = {each.partition(".")[2]: each for each in there}
        close = near(source.table, there) if "." in source.table else near(source.table, short)
        raise NotFound(
            f"{where}: the database has no table {source.table!r}", expected="schema.name of a table or view", do=close
        ) from None
    names = [each.name for each in found]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadData(
            f"the query of {where} gives two columns called {', '.join(map(repr, twice))}",
            expected="one name, one column",
            do="select ... as another_name",
        )
    for word, wanted in (
        ("columns", source.columns),
        ("cursor", (source.cursor,)),
        ("deleted", (source.deleted,)),
        *((word, tuple(getattr(source, word))) for word in ("times", "rename")),
    ):
        for each in wanted:
            if each and each not in names:
                raise NotFound(f"{where} has no column {each!r}, which its {word} names", do=near(each, names))
    oids = {each.type_code for each in found}
    types = connection.execute("select oid, typname from pg_type where oid = any(%s)", (list(oids),)).fetchall()
    kinds: dict[int, str] = dict(types)
    return tuple(Field(each.name, kinds.get(each.type_code, "text")) for each in found)


def _refuse(fields: Sequence[Field], source: Postgres, *, where: str) -> None:
    for each in fields:
        if each.kind in REFUSED:
            others = [one.name for one in fields if one.kind not in REFUSED]
            raise BadData(
                f"column {each.name!r} of {where} is {each.kind}, which is no number, text, truth value, date or time",
                expected="the columns that are wanted, without it",
                do=f"columns={others!r}" if len(others) <= 20 else f"name the others of {len(fields)} columns",
            )
        if each.name == source.cursor and each.kind not in _CURSORS:
            raise DefinitionError(
                f"cursor {each.name!r} of {where} is {each.kind}", expected="a time, a date or a whole number"
            )


def _read(field: Field) -> sql.Composed:
    """Write a column so that it arrives as a number, a time or a text."""
    name = sql.Identifier(field.name)
    if field.kind in _AS_THEY_ARE or field.kind in _TEXTS:
        return sql.SQL("{}").format(name)
    if field.kind == "money":
        return sql.SQL("{}::numeric as {}").format(name, name)
    if field.kind == "interval":
        return sql.SQL("extract(epoch from {})::float8 as {}").format(name, name)
    return sql.SQL("{}::text as {}").format(name, name)


def tables(connection: psycopg.Connection) -> list[str]:
    """List the tables and views a user could mean, as ``schema.name``."""
    found = connection.execute(
        "select schemaname || '.' || name from ("
        " select schemaname, tablename as name from pg_tables union all select schemaname, viewname from pg_views"
        " union all select schemaname, matviewname from pg_matviews) as every"
        " where schemaname not in ('pg_catalog', 'information_schema') order by 1"
    ).fetchall()
    return [str(name) for (name,) in found]
