"""Pins: versions of attached tables that must stay readable, the copies of their files, and when owners may delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS pins (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS pin_copies (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) STRICT;
CREATE TABLE IF NOT EXISTS files_leaving (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (name, path)
) STRICT;
"""


class Pin(msgspec.Struct, frozen=True):
    """A version that a person wants to keep readable.

    Parameters
    ----------
    table, version
        Which.
    at, actor
        Since when, by the project's clock, and who said so.
    note
        Why.
    """

    table: str
    version: int
    at: str
    actor: str
    note: str = ""


class Copied(msgspec.Struct, frozen=True):
    """A file of an attached table of which the lake has a copy: its path as registered, its size and its hash."""

    path: str
    size: int
    sha256: str


def put(tx: Transaction, pin: Pin) -> None:
    """Keep a pin; the same again is the same pin."""
    tx.execute(
        "INSERT INTO pins (name, version, at, actor, note) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (pin.table, pin.version, pin.at, pin.actor, pin.note),
    )


def drop(tx: Transaction, table: str, version: int) -> None:
    """Forget a pin; copies of its files stay."""
    tx.execute("DELETE FROM pins WHERE name = ? AND version = ?", (table, version))


def get(state: State, table: str, version: int) -> Pin | None:
    """Return a pin, if there is one."""
    return next((each for each in every(state) if (each.table, each.version) == (table, version)), None)


def every(state: State) -> list[Pin]:
    """Return all pins, by table and version."""
    found = state.query("SELECT name AS 'table', version, at, actor, note FROM pins ORDER BY name, version")
    return [Pin(**dict(each)) for each in found]


def put_copies(tx: Transaction, table: str, copies: list[Copied]) -> None:
    """Keep what was copied of a table's files; every copy is whole and synced."""
    tx.execute_many(
        "INSERT INTO pin_copies (name, path, bytes, sha256) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(table, each.path, each.size, each.sha256) for each in copies],
    )


def copies(state: State | Transaction, table: str) -> dict[str, Copied]:
    """Return the files of a table that were copied, by path."""
    found = state.query("SELECT path, bytes AS size, sha256 FROM pin_copies WHERE name = ? ORDER BY path", (table,))
    return {each["path"]: Copied(**dict(each)) for each in found}


def forget_copies(tx: Transaction, table: str, paths: Iterable[str]) -> None:
    """Forget copies that are to be deleted."""
    tx.execute_many("DELETE FROM pin_copies WHERE name = ? AND path = ?", [(table, each) for each in paths])


def leave(tx: Transaction, table: str, files: Mapping[str, str]) -> None:
    """Note from when (ISO 8601) the owner of a table may delete files that its newest version has no more."""
    tx.execute_many(
        "INSERT OR REPLACE INTO files_leaving (name, path, at) VALUES (?, ?, ?)",
        [(table, path, at) for path, at in files.items()],
    )


def leaving(state: State, table: str) -> dict[str, str]:
    """Return from when the owner of a table may delete which files."""
    found = state.query("SELECT path, at FROM files_leaving WHERE name = ?", (table,))
    return {each["path"]: each["at"] for each in found}
