"""What the contracts said of each table version, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS contracts (
    "table" TEXT NOT NULL,
    version INTEGER NOT NULL,
    checked_at TEXT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY ("table", version)
) STRICT;
"""


class Checked(msgspec.Struct, frozen=True):
    """A contract run on what a version added.

    Parameters
    ----------
    report
        The report, as the checks room makes it.
    """

    table: str
    version: int
    checked_at: str
    report: dict[str, Any]


def put(tx: Transaction, table: str, version: int, *, at: str, report: Mapping[str, Any]) -> str:
    """Keep a report; one of the same version replaces it. Return the hash of what was written."""
    body = msgspec.json.encode(report)
    tx.execute(
        'INSERT OR REPLACE INTO contracts ("table", version, checked_at, report) VALUES (?, ?, ?, ?)',
        (table, version, at, body.decode()),
    )
    return hashlib.sha256(body).hexdigest()


def hashes(state: State) -> dict[tuple[str, int], str]:
    """Return the hash of the report of every table and version that was checked, of the exact bytes that are kept."""
    found = state.query('SELECT "table", version, report FROM contracts ORDER BY "table", version')
    return {(each["table"], each["version"]): hashlib.sha256(each["report"].encode()).hexdigest() for each in found}


def last(state: State, table: str) -> Checked | None:
    """Return the newest report of a table, or None when it was never checked."""
    found = state.query('SELECT * FROM contracts WHERE "table" = ? ORDER BY version DESC LIMIT 1', (table,))
    if not found:
        return None
    return Checked(**(dict(found[0]) | {"report": msgspec.json.decode(found[0]["report"])}))
