"""Hashes of files that somebody else owns, kept by what the file system says of them: a file is read once."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS attached_stamps (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) STRICT;
"""

Stamped = tuple[str, str]
"""What the file system says of a file, and the hash its bytes had then."""


def kept(state: State, table: str) -> dict[str, Stamped]:
    """Return what is kept of a table's files, by path."""
    found = state.query("SELECT path, stamp, sha256 FROM attached_stamps WHERE name = ?", (table,))
    return {each["path"]: (each["stamp"], each["sha256"]) for each in found}


def keep(tx: Transaction, table: str, files: Mapping[str, Stamped]) -> None:
    """Keep the hashes of a table's files."""
    tx.execute_many(
        "INSERT OR REPLACE INTO attached_stamps (name, path, stamp, sha256) VALUES (?, ?, ?, ?)",
        [(table, path, stamp, sha256) for path, (stamp, sha256) in files.items()],
    )
