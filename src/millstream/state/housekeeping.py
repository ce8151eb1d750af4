"""Versions whose data went with a cleaning, files still to be deleted, and what compacted files were written from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from millstream.state.database import State, Transaction, beside
from millstream.types import content_hash

SCHEMA = """
CREATE TABLE IF NOT EXISTS gone_versions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS going_files (
    path TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    kind TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS compacted_files (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, path)
) STRICT;
"""

Runs = tuple[tuple[int, int], ...]
"""Of a file that compaction wrote, its rows in order: the version that brought them, and how many they are."""


class Gone(msgspec.Struct, frozen=True):
    """A version whose record is kept and whose files went.

    Parameters
    ----------
    table, version
        Which.
    at, actor
        When, by the project's clock, and who asked.
    why
        By what rule.
    """

    table: str
    version: int
    at: str
    actor: str
    why: str


class Going(msgspec.Struct, frozen=True):
    """A file that nothing names any more and that is to be deleted: its absolute path, its bytes, what it was."""

    path: str
    bytes: int
    kind: str


def go(tx: Transaction, versions: Iterable[Gone], files: Iterable[Going]) -> None:
    """Note that versions went, and which files are to be deleted for it."""
    tx.execute_many(
        "INSERT INTO gone_versions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(each.table, each.version, each.at, each.actor, each.why) for each in versions],
    )
    tx.execute_many(
        "INSERT INTO going_files VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(each.path, each.bytes, each.kind) for each in files],
    )


def going(state: State | Transaction) -> list[Going]:
    """Return the files that are still to be deleted."""
    return [Going(**dict(each)) for each in state.query("SELECT path, bytes, kind FROM going_files ORDER BY path")]


def went(tx: Transaction) -> None:
    """Note that all files that were to be deleted are."""
    tx.execute("DELETE FROM going_files")


def gone(state: State | Transaction, table: str) -> dict[int, Gone]:
    """Return the versions of a table whose files went."""
    found = state.query("SELECT name, version, at, actor, why FROM gone_versions WHERE name = ?", (table,))
    return {each["version"]: Gone(*each) for each in found}


def gone_beside(other: Path, table: str) -> dict[int, Gone]:
    """Return the versions of a table whose files went, as another environment's state says."""
    with closing(beside(other)) as there:
        known = there.execute("SELECT 1 FROM sqlite_master WHERE name = 'gone_versions'").fetchone()
        query = "SELECT name, version, at, actor, why FROM gone_versions WHERE name = ?"
        found = there.execute(query, (table,)).fetchall() if known else []
    return {each[1]: Gone(*each) for each in found}


def keep_runs(tx: Transaction, table: str, runs: Mapping[str, Runs]) -> None:
    """Keep which version brought which rows of files that compaction wrote."""
    tx.execute_many(
        "INSERT INTO compacted_files VALUES (?, ?, ?)",
        [(table, path, msgspec.json.encode(each)) for path, each in runs.items()],
    )


def runs(state: State, table: str) -> dict[str, Runs]:
    """Return, for each file that compaction wrote, which version brought which of its rows."""
    found = state.query("SELECT path, body FROM compacted_files WHERE name = ? ORDER BY path", (table,))
    return {each["path"]: _runs(each) for each in found}


def runs_hash(source: State | Transaction, table: str, paths: Iterable[str]) -> str:
    """Hash what is kept of the rows of some compacted files."""
    wanted = set(paths)
    found = source.query("SELECT path, body FROM compacted_files WHERE name = ? ORDER BY path", (table,))
    return content_hash([[each["path"], each["body"].decode()] for each in found if each["path"] in wanted])


def _runs(row: sqlite3.Row) -> Runs:
    return msgspec.json.decode(row["body"], type=Runs)
