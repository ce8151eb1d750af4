"""What people said about a decision, before and after it was taken."""

from __future__ import annotations

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    decision INTEGER NOT NULL REFERENCES decisions (id),
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS notes_by_decision ON notes (decision);
CREATE TRIGGER IF NOT EXISTS notes_never_change BEFORE UPDATE ON notes
    BEGIN SELECT RAISE(ABORT, 'notes are append-only'); END;
CREATE TRIGGER IF NOT EXISTS notes_never_vanish BEFORE DELETE ON notes
    BEGIN SELECT RAISE(ABORT, 'notes are append-only'); END;
"""


class Note(msgspec.Struct, frozen=True):
    """One note; ``by`` is a name as asserted, ``at`` an instant by the project's clock."""

    id: int
    decision: int
    at: str
    by: str
    text: str


def add(tx: Transaction, decision: int, *, at: str, by: str, text: str) -> int:
    """Write a note down; return its id."""
    return tx.insert("INSERT INTO notes (decision, at, by, text) VALUES (?, ?, ?, ?)", (decision, at, by, text))


def about(state: State, decision: int) -> list[Note]:
    """List the notes of a decision, oldest first."""
    found = state.query("SELECT * FROM notes WHERE decision = ? ORDER BY id", (decision,))
    return [Note(**dict(each)) for each in found]


def count(state: State, decision: int) -> int:
    """Count the notes of a decision."""
    return int(state.query("SELECT count(*) AS n FROM notes WHERE decision = ?", (decision,))[0]["n"])
