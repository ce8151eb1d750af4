"""One connection through SQLAlchemy: its driver, its one transaction, its errors in plain words without a password."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from millstream.errors import BadData, MillstreamError, NotFound, Unavailable, UserError, near
from millstream.sources.addresses import filled, whole
from millstream.sources.values import AWARE, LOOSE, NAIVE

_STEPS = 100_000
"""Steps of SQLite's machine after which it looks at the clock."""
_NO_TABLE = re.compile(r"no such table: (\S+)|[Tt]able '?\"?([\w.]+)'?\"? (?:doesn't|does not) exist")


@contextmanager
def connected(said: str, *, root: Path, where: str, timeout_s: float) -> Iterator[sa.Connection]:
    """Hold a connection in one transaction, which is rolled back.

    Parameters
    ----------
    said
        The address, environment variables not yet filled in; a path in it is relative to ``root``.
    where
        What is read, for messages.
    timeout_s
        After how long SQLite gives up on a query.

    Raises
    ------
    UserError
        For an address that is none, or a driver that is not installed.
    NotFound, Unavailable, BadData
        For what is not there, cannot be reached, or cannot be read.
    """
    url = _url(said, where=where)
    shown = f"{url.get_backend_name()} database {url.database or url.host or ''!r}"
    hidden = str(url.password or "")
    engine = _engine(url, root=root, where=where)
    try:
        with engine.connect() as connection:
            if url.get_backend_name() == "sqlite":
                until = time.monotonic() + timeout_s
                raw = connection.connection.dbapi_connection
                assert isinstance(raw, sqlite3.Connection)
                raw.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
                raw.execute("begin")
            try:
                yield connection
            except DBAPIError as wrong:
                raise _told(wrong, connection, shown, hidden, where=where) from None
            finally:
                connection.rollback()
    except SQLAlchemyError as wrong:
        raise Unavailable(
            f"{where} cannot be read from {shown}: {_said(wrong, hidden)}",
            expected="a server that answers there; what was taken in before stays, and is used",
            do="start it, or correct the address in millstream.toml, and refresh again",
        ) from None
    finally:
        engine.dispose()


def kept_as(said: sa.types.TypeEngine[Any]) -> pl.DataType | None:
    """Map a type that the database says to how it is kept; None where it says nothing.

    Whole numbers are Int64, other numbers and lengths of time (in seconds) Float64; bytes are Binary, which is refused.
    NUMERIC without a precision is what SQLite makes of any word it does not know, such as uuid: ``LOOSE``.
    """
    if type(said) is sa.types.NUMERIC and said.precision is None:
        return LOOSE
    kinds: list[tuple[Any, pl.DataType | None]] = [
        (sa.types.NullType, None),
        (sa.types.Boolean, pl.Boolean()),
        (sa.types.Integer, pl.Int64()),
        (sa.types.Interval, pl.Float64()),
        (sa.types.Numeric, pl.Float64()),
        (sa.types.Float, pl.Float64()),
        (sa.types.DateTime, AWARE if getattr(said, "timezone", False) else NAIVE),
        (sa.types.Date, pl.Date()),
        (sa.types._Binary, pl.Binary()),
    ]
    return next((kept for kind, kept in kinds if isinstance(said, kind)), pl.String())


def refuse_no_query(dialect: str, text: str, *, where: str) -> None:
    """Refuse what is not one SELECT.

    Raises
    ------
    BadData
        Showing where SQLGlot stopped.
    """
    import sqlglot
    from sqlglot import exp

    known = {"postgresql": "postgres", "mssql": "tsql", "mariadb": "mysql"}
    name = known.get(dialect, dialect)
    try:
        found = sqlglot.parse(text, read=name if sqlglot.Dialect.get(name) else None)
    except sqlglot.errors.SqlglotError as wrong:
        first = re.sub(r"\x1b\[\d*m", "", str(wrong)).splitlines()[0]
        raise BadData(f"what {where} asks for is no query: {first}", expected="one SELECT, and a condition") from None
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise BadData(f"what {where} asks for is no query", expected="one SELECT, and a condition")


def _url(said: str, *, where: str) -> URL:
    try:
        url = make_url(filled(said, where=where) if whole(said) else said)
    except ArgumentError:
        raise UserError(
            f"the address of the database of {where} cannot be read",
            expected="driver://user:${PASSWORD}@host:port/database, or sqlite:///file.db",
        ) from None
    made = {
        word: filled(value, where=where)
        for word in ("username", "password", "host", "database")
        if (value := getattr(url, word))
    }
    return url.set(**made)  # type: ignore[arg-type]


def _engine(url: URL, *, root: Path, where: str) -> sa.Engine:
    name = url.get_backend_name()
    if name == "sqlite":
        file = root / (url.database or "")
        if not file.is_file():
            beside = [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else []
            raise NotFound(f"{where}: there is no SQLite file {file}", do=near(file.name, beside))
        place = f"file:{quote(str(file))}?mode=ro"
        return sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(place, uri=True), poolclass=NullPool)
    try:
        return sa.create_engine(url, poolclass=NullPool)
    except (NoSuchModuleError, ModuleNotFoundError) as wrong:
        missing = getattr(wrong, "name", None) or f"a dialect of SQLAlchemy for {name}"
        raise UserError(
            f"{where} cannot be read: {missing} is not installed",
            expected="the driver that the address names",
            do=f"python -m pip install {missing}"
            if getattr(wrong, "name", None)
            else "correct driver:// of the address",
        ) from None


def _told(wrong: DBAPIError, connection: sa.Connection, shown: str, hidden: str, *, where: str) -> MillstreamError:
    said = _said(wrong, hidden)
    text = f"{where} cannot be read from {shown}: {said}"
    named = _NO_TABLE.search(said)
    if named is not None:
        looked = sa.inspect(connection)
        name = next(each for each in named.groups() if each)
        there = [*looked.get_table_names(), *looked.get_view_names()]
        return NotFound(f"{where} names a table {name!r}, which the database has not", do=near(name, there))
    if said == "interrupted":
        return Unavailable(
            f"{where} was not read within its timeout",
            expected="fewer rows or columns, or more time",
            do="columns=, where= or cursor= of sources.Sql, or timeout='2h'",
        )
    if wrong.connection_invalidated or "locked" in said:
        return Unavailable(text, expected="a database that stays; nothing was taken in", do="refresh again")
    return BadData(text, expected="a query, a condition and columns that the database understands")


def _said(wrong: SQLAlchemyError, hidden: str) -> str:
    lines = str(getattr(wrong, "orig", None) or wrong).strip().splitlines() or [type(wrong).__name__]
    return lines[0].replace(hidden, "***") if hidden else lines[0]
