"""Columns that arrived and are not those agreed: they wait here until somebody says that they are meant."""

from __future__ import annotations

import sqlite3

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS schema_waits (
    name TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    says TEXT NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL,
    accepted_by TEXT NOT NULL
) STRICT;
"""


class Waiting(msgspec.Struct, frozen=True):
    """Columns of a table that somebody has to accept, or has accepted and that did not come yet.

    Parameters
    ----------
    table
        Its name.
    at
        Since when, by the project's clock.
    says
        Every difference in words.
    before, after
        Column to type, as Delta names it: agreed, and arrived.
    accepted_by
        Who accepted them; empty while nobody has.
    """

    table: str
    at: str
    says: str
    before: dict[str, str]
    after: dict[str, str]
    accepted_by: str = ""


def put(tx: Transaction, waiting: Waiting) -> None:
    """Keep what a table waits for; it takes the place of what it waited for before."""
    tx.execute(
        "INSERT OR REPLACE INTO schema_waits (name, at, says, before, after, accepted_by) VALUES (?, ?, ?, ?, ?, ?)",
        (
            waiting.table,
            waiting.at,
            waiting.says,
            msgspec.json.encode(waiting.before),
            msgspec.json.encode(waiting.after),
            waiting.accepted_by,
        ),
    )


def forget(tx: Transaction, table: str) -> None:
    """Forget what a table waits for."""
    tx.execute("DELETE FROM schema_waits WHERE name = ?", (table,))


def waiting(state: State | Transaction, table: str) -> Waiting | None:
    """Return what a table waits for, accepted or not; None when its columns are as agreed."""
    found = state.query("SELECT * FROM schema_waits WHERE name = ?", (table,))
    return _waiting(found[0]) if found else None


def all_waiting(state: State) -> dict[str, Waiting]:
    """Return, by table, what nobody has accepted yet."""
    found = state.query("SELECT * FROM schema_waits WHERE accepted_by = '' ORDER BY name")
    return {each["name"]: _waiting(each) for each in found}


def _waiting(row: sqlite3.Row) -> Waiting:
    return Waiting(
        table=row["name"],
        at=row["at"],
        says=row["says"],
        before=msgspec.json.decode(row["before"], type=dict[str, str]),
        after=msgspec.json.decode(row["after"], type=dict[str, str]),
        accepted_by=row["accepted_by"],
    )
