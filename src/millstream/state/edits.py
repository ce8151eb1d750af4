"""Edits of a branch: versions of shared tables that an overlay made of production's files and a few of its own.

Such a version is numbered from ``versions.BRANCHED`` on, so that it never means one of production's.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from millstream.state.database import State, Transaction
from millstream.state.versions import BRANCHED, DataFile
from millstream.types import content_hash

SCHEMA = """
CREATE TABLE IF NOT EXISTS table_edits (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    base INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
"""


class Edit(msgspec.Struct, frozen=True):
    """One edit of a table, upon those before it.

    Parameters
    ----------
    table, version
        What it made.
    base
        Production's version that it rests on.
    at, actor
        When, by the project's clock, and by whom.
    says
        What was asked for.
    removed
        Paths of the base's files that it has no more.
    added
        Files of the branch's own that it has instead, all edits before it included.
    changed, new, gone
        Rows that this edit changed, brought and took away.
    written
        Bytes that it wrote.
    shared
        Bytes of the base's files that it reads where they are.
    """

    table: str
    version: int
    base: int
    at: str
    actor: str
    says: str
    removed: tuple[str, ...]
    added: tuple[DataFile, ...]
    changed: int
    new: int
    gone: int
    written: int
    shared: int

    def files(self, base: Iterable[DataFile]) -> list[DataFile]:
        """Return its files, given those of its base."""
        without = set(self.removed)
        return [*(each for each in base if each.path not in without), *self.added]


def put(tx: Transaction, edit: Edit) -> None:
    """Keep an edit."""
    tx.execute(
        "INSERT INTO table_edits (name, version, base, body) VALUES (?, ?, ?, ?)",
        (edit.table, edit.version, edit.base, msgspec.json.encode(edit)),
    )


def get(source: State | Transaction, table: str, version: int) -> Edit | None:
    """Return the edit that made a version, if one did."""
    found = source.query("SELECT body FROM table_edits WHERE name = ? AND version = ?", (table, version))
    return msgspec.json.decode(found[0]["body"], type=Edit) if found else None


def newest(source: State | Transaction, table: str) -> Edit | None:
    """Return the last edit of a table, if there is one."""
    found = history(source, table)
    return found[-1] if found else None


def history(source: State | Transaction, table: str) -> list[Edit]:
    """Return the edits of a table, oldest first."""
    found = source.query("SELECT body FROM table_edits WHERE name = ? ORDER BY version", (table,))
    return [msgspec.json.decode(each["body"], type=Edit) for each in found]


def tables(source: State | Transaction) -> list[str]:
    """Name the tables that have edits."""
    return [each["name"] for each in source.query("SELECT DISTINCT name FROM table_edits ORDER BY name")]


def words(source: State | Transaction, table: str, version: int | None) -> str:
    """Say of a version that a branch made which edit it is; empty for every other version."""
    found = None if version is None or version <= BRANCHED else get(source, table, version)
    return "" if found is None else f"edit {found.version - BRANCHED} of {found.base}"


def edit_hash(edit: Edit) -> str:
    """Hash all that is kept of an edit, for the ledger."""
    return content_hash(msgspec.to_builtins(edit))
