"""What the batches of each table were like, as plain data: one small memory a table, replaced by each check."""

from __future__ import annotations

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS habits (
    "table" TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    memory TEXT NOT NULL
) STRICT;
"""


class Habit(msgspec.Struct, frozen=True):
    """What a table's batches were like up to a version.

    Parameters
    ----------
    memory
        As the checks room writes it, JSON.
    """

    table: str
    version: int
    memory: bytes


def put(tx: Transaction, table: str, version: int, *, memory: bytes) -> None:
    """Keep what the batches of a table were like up to a version."""
    tx.execute(
        'INSERT OR REPLACE INTO habits ("table", version, memory) VALUES (?, ?, ?)', (table, version, memory.decode())
    )


def last(state: State, table: str) -> Habit | None:
    """Return what is kept of a table; None where nothing is."""
    found = state.query('SELECT "table", version, memory FROM habits WHERE "table" = ?', (table,))
    return Habit(found[0]["table"], found[0]["version"], found[0]["memory"].encode()) if found else None
