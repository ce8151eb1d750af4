"""Databases that production data comes from, and whatever else dlt can read: rows are taken in, not attached."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from millstream.errors import DefinitionError
from millstream.types import parse_duration

_SECRET = re.compile("password|passwd|secret|token|api_?key|credential", re.IGNORECASE)


class Relational(msgspec.Struct, frozen=True):
    """What is said alike of every database: which rows, which are new, which are gone.

    Parameters
    ----------
    table
        Its name, ``schema.name`` or ``name``.
    database
        Name of an address under ``[databases]`` of ``millstream.toml``; may be left out where there is one only.
    query
        A SELECT in place of a table.
    columns
        Columns wanted; all when left out. Others are not read.
    where
        Condition in the database's SQL; other rows are not read.
    cursor
        Column that never gets smaller as rows are added or changed (a time, a date or a whole number). Only rows from
        the largest value seen on are read then, and added; without it every refresh reads all rows, and notices those
        that are gone.
    late
        How far behind the largest value to look again, for transactions that commit after later ones: a length of
        time (``"10m"``), or a whole number for a cursor that is one.
    times
        Text, date or number column to the formats its times are written in, as of ``Parquet``.
    rename
        Name in the database to name in the table; all other words here use the database's names.
    timeout
        After how long the server is to give up.
    deletes
        With a cursor: how often to read all keys, and only the keys, to notice which are gone (``"1d"``; ``"0s"`` at
        each refresh). Rows that are gone are not in the new version; earlier versions keep them.
    deleted
        Column that marks a row as deleted: true, not 0, or a time. Such a row is gone from the new version likewise.
    """

    table: str = ""
    database: str = ""
    query: str = ""
    columns: tuple[str, ...] = ()
    where: str = ""
    cursor: str = ""
    late: str = ""
    times: dict[str, tuple[str, ...]] = {}
    rename: dict[str, str] = {}
    timeout: str = "30m"
    deletes: str = ""
    deleted: str = ""

    def __post_init__(self) -> None:
        kind = type(self).__name__
        what = f"sources.{kind}({self.table or self.query!r})"
        if bool(self.table) == bool(self.query):
            said = "both a table and a query" if self.table else "neither a table nor a query"
            raise DefinitionError(f"sources.{kind} has {said}", expected=f"{kind}('schema.name') or query='select'")
        if "://" in self.database:
            raise DefinitionError(
                f"{what} has an address in place of the name of a database",
                expected="database='shop', and under [databases] in millstream.toml: shop = \"postgresql://...\"",
            )
        for word in ("late", "deletes"):
            if getattr(self, word) and not self.cursor:
                raise DefinitionError(f"{what} has {word} without cursor", expected="both, or neither")
        if self.cursor in self.times:
            raise DefinitionError(f"{what}: cursor {self.cursor!r} is written in a way of its own", expected="a time")
        for word, name in (("cursor", self.cursor), ("deleted", self.deleted)):
            if name and self.columns and name not in self.columns:
                raise DefinitionError(f"{what}: {word} {name!r} is not in columns", expected="it among them")
        for word, text in (("deletes", self.deletes), ("timeout", self.timeout)):
            try:
                parse_duration(text or "0s")
            except ValueError as wrong:
                raise DefinitionError(f"{what}: {word} {wrong}") from None


class Postgres(Relational, frozen=True, tag="postgres"):
    """A table, view or query of a PostgreSQL database, ingested; its words are those of ``Relational``."""


class Sql(Relational, frozen=True, tag="sql"):
    """A table, view or query of a database that SQLAlchemy has a driver for, ingested, with the words of ``Postgres``.

    The address names the driver: ``"sqlite:///shop.db"`` (relative to the project),
    ``"mysql+pymysql://reader:${SHOP_PASSWORD}@host/shop"``.
    """


class Dlt(msgspec.Struct, frozen=True, tag="dlt"):
    """A resource that dlt reads (REST, warehouses, SaaS), ingested; needs ``millstream[dlt]``.

    Parameters
    ----------
    resource
        ``"module:function"`` of the project, which gives a dlt resource, or a source.
    name
        Which resource of a source that has several.
    arguments
        What the function is called with, by name.
    timeout
        After how long reading is ended.
    """

    resource: str
    name: str = ""
    arguments: dict[str, Any] = {}
    timeout: str = "30m"

    def __post_init__(self) -> None:
        module, _, function = self.resource.partition(":")
        if not function.isidentifier() or not all(each.isidentifier() for each in module.split(".")):
            raise DefinitionError(
                f"sources.Dlt({self.resource!r}) does not name a function",
                expected="'module:function' of the project, which gives a dlt resource or source",
            )
        secret = next((each for each in self.arguments if _SECRET.search(each)), None)
        if secret is not None:
            raise DefinitionError(
                f"sources.Dlt({self.resource!r}): the argument {secret!r} would be written down with the definition",
                expected="no secret in arguments",
                do=f"@dlt.source def {function}({secret}=dlt.secrets.value), and a variable of the environment",
            )
        try:
            parse_duration(self.timeout)
        except ValueError as wrong:
            raise DefinitionError(f"sources.Dlt({self.resource!r}): timeout {wrong}") from None


ASKED = (Postgres, Sql, Dlt)
"""Sources that are asked for their rows; they may be away while others go on."""
