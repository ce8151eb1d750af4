"""Rows that failed a check: their keys and why, per table version. A mask: no row is dropped or copied.

A key masked at a version stays masked in later ones, for the rows the version had: a corrected row that a later
version brings is a new row, to be checked on its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from millstream.state.database import State, Transaction
from millstream.types import content_hash

SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    check_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (name, version, key, check_name)
) STRICT;
"""


_HELD = (
    "NOT EXISTS (SELECT 1 FROM released AS r WHERE r.name = quarantine.name AND r.version = quarantine.version "
    "AND r.key = quarantine.key AND r.check_name = quarantine.check_name)"
)
"""What no person let back (``released``)."""


class Masked(msgspec.Struct, frozen=True):
    """One key that a check masked.

    Parameters
    ----------
    table, version
        Version at which the check failed.
    key
        JSON list of the key's values, instants as microseconds since the epoch.
    check, reason
        Which check, and what it says.
    """

    table: str
    version: int
    key: str
    check: str
    reason: str


def put(tx: Transaction, masked: Iterable[Masked]) -> None:
    """Mask keys; masking the same key for the same check again changes nothing."""
    tx.execute_many(
        "INSERT INTO quarantine (name, version, key, check_name, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(each.table, each.version, each.key, each.check, each.reason) for each in masked],
    )


def masked_hash(source: State | Transaction, table: str, version: int) -> str:
    """Hash all that is masked since a version; the empty text where nothing is."""
    found = source.query(
        "SELECT key, check_name, reason FROM quarantine WHERE name = ? AND version = ? ORDER BY key, check_name",
        (table, version),
    )
    return content_hash([list(each) for each in found]) if found else ""


def versions_of(state: State) -> list[tuple[str, int]]:
    """List the tables and versions at which something was masked."""
    found = state.query("SELECT DISTINCT name, version FROM quarantine ORDER BY name, version")
    return [(each["name"], each["version"]) for each in found]


def upto(state: State, table: str, version: int) -> list[Masked]:
    """Return what was masked at a version or before, and not let back since."""
    found = state.query(
        "SELECT name AS 'table', version, key, check_name AS 'check', reason FROM quarantine "
        f"WHERE name = ? AND version <= ? AND {_HELD} ORDER BY version, key, check_name",
        (table, version),
    )
    return [Masked(**dict(each)) for each in found]


def count(state: State, table: str, version: int) -> int:
    """Count the keys masked at a version or before."""
    found = state.query(
        f"SELECT count(DISTINCT key) AS n FROM quarantine WHERE name = ? AND version <= ? AND {_HELD}", (table, version)
    )
    return int(found[0]["n"])


def all_back(state: State, table: str, version: int, check: str) -> bool:
    """Whether a check masked rows at a version, and a person let every one of them back."""
    found = state.query(
        f"SELECT count(*) AS n, coalesce(sum({_HELD}), 0) AS held FROM quarantine "
        "WHERE name = ? AND version = ? AND check_name = ?",
        (table, version, check),
    )[0]
    return bool(found["n"]) and not found["held"]


def latest(state: State, table: str) -> int:
    """Return a number that grows whenever something of a table is masked or let back."""
    found = state.query(
        "SELECT (SELECT coalesce(max(rowid), 0) FROM quarantine WHERE name = ?) "
        "+ (SELECT coalesce(max(rowid), 0) FROM released WHERE name = ?) AS n",
        (table, table),
    )
    return int(found[0]["n"])
