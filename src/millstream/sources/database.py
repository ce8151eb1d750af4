"""One connection to a PostgreSQL server: its address, its one read-only transaction, its errors in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from millstream.errors import BadData, MillstreamError, NotFound, Refused, Unavailable, UserError
from millstream.sources.addresses import filled, whole
from millstream.types import parse_duration

try:
    import psycopg
    from psycopg import IsolationLevel
    from psycopg.conninfo import conninfo_to_dict
except ImportError as _missing:
    raise UserError(
        f"PostgreSQL cannot be read here: {_missing}", do="python -m pip install 'psycopg[binary]'"
    ) from None

CONNECT_S = 10
"""How long a server may take to answer at all."""
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "client_encoding": "UTF8",
    "extra_float_digits": "1",
    "synchronize_seqscans": "off",
}


def parameters(said: str, *, where: str) -> dict[str, Any]:
    """Read an address, with environment variables filled in.

    Raises
    ------
    UserError
        When a variable is not set, or what is said is no address.
    """
    try:
        parts = conninfo_to_dict(filled(said, where=where) if whole(said) else said)
    except psycopg.ProgrammingError as wrong:
        raise UserError(
            f"the address of the database of {where} cannot be read: {str(wrong).strip()}",
            expected="postgresql://user:${PASSWORD}@host:5432/database",
        ) from None
    return {name: filled(value, where=where) if isinstance(value, str) else value for name, value in parts.items()}


@contextmanager
def opened(said: str, *, where: str, timeout: str = "30m") -> Iterator[psycopg.Connection]:
    """Hold a connection in one read-only transaction, in which everything is as at its first query.

    Parameters
    ----------
    said
        The address, environment variables not yet filled in.
    where
        What is read, for messages.
    timeout
        After how long the server gives up on a query.

    Raises
    ------
    Unavailable
        When the server cannot be reached, or goes away.
    Refused
        For a wrong password, or a right that is missing.
    NotFound, BadData, UserError
        For what is not there, or cannot be read.
    """
    parts = parameters(said, where=where)
    shown = _shown(parts)
    limits = {"connect_timeout": CONNECT_S, "application_name": "millstream"}
    try:
        connection = psycopg.connect(**{**limits, **parts})
    except psycopg.OperationalError as wrong:
        raise _unreached(str(wrong), shown, where=where) from None
    with closing(connection):
        try:
            connection.read_only = True
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            settings = {**_SETTINGS, "statement_timeout": str(int(parse_duration(timeout).total_seconds() * 1000))}
            for name, value in settings.items():
                connection.execute("select set_config(%s, %s, true)", (name, value))
            yield connection
        except psycopg.Error as wrong:
            raise told(wrong, shown, where=where, timeout=timeout) from None


def _shown(parts: Mapping[str, Any]) -> str:
    host = parts.get("host") or os.environ.get("PGHOST") or "this machine"
    port = parts.get("port") or os.environ.get("PGPORT") or 5432
    user = parts.get("user") or os.environ.get("PGUSER") or "you"
    return f"database {parts.get('dbname') or user!r} at {host}:{port} as {user}"


def _unreached(said: str, shown: str, *, where: str) -> MillstreamError:
    last = said.strip().splitlines()[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip() or said
    text = f"{where} cannot be read from {shown}: {last}"
    if "password" in said or "authentication" in said or "pg_hba" in said:
        return Refused(
            text,
            expected="the user's password, in the environment variable that the address in millstream.toml names",
            do="export that variable, or PGPASSWORD, or write ~/.pgpass",
        )
    if "role" in said and "does not exist" in said:
        return NotFound(text, expected="a user of the server", do="correct the address in millstream.toml")
    if "database" in said and "does not exist" in said:
        return NotFound(text, expected="a database of the server", do="correct the address in millstream.toml")
    return Unavailable(
        text,
        expected="a server that answers there; what was taken in before stays, and is used",
        do="start it, or correct the address in millstream.toml, and refresh again",
    )


def told(wrong: psycopg.Error, shown: str, *, where: str, timeout: str) -> MillstreamError:
    """Say in our words what the server refused."""
    said = (str(wrong).strip().splitlines() or [type(wrong).__name__])[0]
    text = f"{where} cannot be read from {shown}: {said}"
    if isinstance(wrong, psycopg.errors.QueryCanceled):
        return Unavailable(
            f"{where} was not read from {shown} within {timeout}: {said}",
            expected="fewer rows or columns, or more time",
            do="columns=, where= or cursor= of sources.Postgres, or timeout='2h'",
        )
    if isinstance(wrong, psycopg.errors.InsufficientPrivilege):
        return Refused(text, expected="the right to read it", do="ask its owner: GRANT SELECT ON ... TO ...")
    if isinstance(wrong, psycopg.errors.SyntaxErrorOrAccessRuleViolation):
        return BadData(text, expected="a query, a condition and columns that the server understands")
    if isinstance(wrong, psycopg.OperationalError) and wrong.sqlstate is None:
        return Unavailable(
            f"{shown} went away while {where} was read: {said}",
            expected="a server that stays; nothing of what it sent was taken in",
            do="refresh again",
        )
    if isinstance(wrong, psycopg.OperationalError):
        return Unavailable(text, expected="a server that goes on; nothing was taken in", do="refresh again")
    return BadData(text, expected="rows the server can give")
