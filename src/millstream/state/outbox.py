"""What must still be told to other systems, written in the transaction that made it true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    says TEXT NOT NULL DEFAULT '',
    done_at TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (id) WHERE done_at IS NULL;
"""


class Entry(msgspec.Struct, frozen=True):
    """One thing to tell.

    Parameters
    ----------
    id
        Order in which it became true, and the idempotency key for whoever is told.
    kind
        ``alias``, ``notify``, ...
    attempts, says
        How often telling failed, and how it failed last.
    """

    id: int
    kind: str
    body: dict[str, Any]
    attempts: int = 0
    says: str = ""


def put(tx: Transaction, kind: str, body: Mapping[str, Any]) -> int:
    """Add an entry to the transaction that makes it true; return its id."""
    return tx.insert("INSERT INTO outbox (kind, body) VALUES (?, ?)", (kind, msgspec.json.encode(dict(body)).decode()))


def pending(state: State) -> list[Entry]:
    """List what is not told yet, in the order it became true."""
    rows = state.query("SELECT id, kind, body, attempts, says FROM outbox WHERE done_at IS NULL ORDER BY id")
    return [Entry(**{**dict(each), "body": msgspec.json.decode(each["body"])}) for each in rows]


def done(tx: Transaction, id: int, at: str) -> None:
    """Mark an entry as told."""
    tx.execute("UPDATE outbox SET done_at = ? WHERE id = ? AND done_at IS NULL", (at, id))


def failed(tx: Transaction, id: int, says: str) -> None:
    """Count a failed attempt; the entry stays pending."""
    tx.execute("UPDATE outbox SET attempts = attempts + 1, says = ? WHERE id = ?", (says, id))
