"""Rows let back out of quarantine by a person: which, by whom, why. What masked them stays written down."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.state.database import State, Transaction
from millstream.state.quarantine import Masked
from millstream.types import content_hash

SCHEMA = """
CREATE TABLE IF NOT EXISTS released (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    check_name TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (name, version, key, check_name)
) STRICT;
"""


def put(tx: Transaction, rows: Sequence[Masked], *, actor: str, reason: str, at: str) -> str:
    """Let rows back; return the hash of which they are, for the ledger."""
    tx.execute_many(
        "INSERT INTO released (name, version, key, check_name, actor, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(each.table, each.version, each.key, each.check, actor, reason, at) for each in rows],
    )
    return _hash([(each.version, each.key, each.check) for each in rows])


def hashes(state: State) -> dict[tuple[str, str], str]:
    """Return the hash of what was let back of each table at each instant."""
    found = state.query("SELECT name, at, version, key, check_name FROM released")
    grouped: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for each in found:
        grouped.setdefault((each["name"], each["at"]), []).append((each["version"], each["key"], each["check_name"]))
    return {where: _hash(rows) for where, rows in grouped.items()}


def of(state: State, table: str) -> list[dict[str, object]]:
    """List what was let back of a table: how many rows, by whom, when and why, newest first."""
    found = state.query(
        "SELECT at, actor, reason, check_name AS 'check', count(*) AS rows FROM released WHERE name = ? "
        "GROUP BY at, actor, reason, check_name ORDER BY at DESC, check_name",
        (table,),
    )
    return [dict(each) for each in found]


def _hash(rows: list[tuple[int, str, str]]) -> str:
    return content_hash([list(each) for each in sorted(rows)])
