"""Segments of the prediction log: which were begun where, and of those sealed their hash and what they became."""

from __future__ import annotations

import sqlite3

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS segments (
    name TEXT PRIMARY KEY,
    server TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    records INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sealed_at TEXT NOT NULL,
    lake_version INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS segments_by_server ON segments (server, first_sequence);
CREATE TABLE IF NOT EXISTS segments_begun (
    name TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    begun_at TEXT NOT NULL
) STRICT;
"""


class Begun(msgspec.Struct, frozen=True):
    """A segment that a server has begun, as it said with its lease: one that is gone unsealed is missed.

    Parameters
    ----------
    name, folder
        Its file.
    first_sequence, last_sequence
        Of the records acknowledged so far.
    begun_at
        Instant by the machine's clock, ISO 8601.
    """

    name: str
    folder: str
    first_sequence: int
    last_sequence: int
    begun_at: str


class Segment(msgspec.Struct, frozen=True):
    """One sealed segment.

    Parameters
    ----------
    name
        Its file's name.
    server
        Incarnation of the process that wrote it: the first part of its records' ids.
    first_sequence, last_sequence, records
        What it holds.
    sha256, bytes
        Of the exact bytes.
    sealed_at
        Instant, ISO 8601.
    lake_version
        Version of the lake's table of predictions that it became; None until that commit.
    """

    name: str
    server: str
    first_sequence: int
    last_sequence: int
    records: int
    sha256: str
    bytes: int
    sealed_at: str
    lake_version: int | None = None


def begin(tx: Transaction, begun: Begun) -> None:
    """Write down a segment that was begun, or how far it has come."""
    tx.execute(
        "INSERT INTO segments_begun VALUES (:name, :folder, :first_sequence, :last_sequence, :begun_at)"
        " ON CONFLICT (name) DO UPDATE SET last_sequence = max(last_sequence, excluded.last_sequence)",
        msgspec.structs.asdict(begun),
    )


def begun(state: State) -> list[Begun]:
    """Return every segment that was begun, by name."""
    return [Begun(**dict(row)) for row in state.query("SELECT * FROM segments_begun ORDER BY name")]


def folders(state: State) -> list[str]:
    """Return the folders in which segments were begun."""
    return [row["folder"] for row in state.query("SELECT DISTINCT folder FROM segments_begun ORDER BY folder")]


def put(tx: Transaction, segment: Segment) -> None:
    """Write a sealed segment; writing the same one again changes nothing."""
    tx.execute(
        "INSERT INTO segments VALUES (:name, :server, :first_sequence, :last_sequence, :records, :sha256, :bytes,"
        " :sealed_at, :lake_version) ON CONFLICT (name) DO NOTHING",
        msgspec.structs.asdict(segment),
    )


def committed(tx: Transaction, name: str, lake_version: int) -> None:
    """Note the lake version that a segment became."""
    tx.execute("UPDATE segments SET lake_version = ? WHERE name = ?", (lake_version, name))


def get(state: State, name: str) -> Segment | None:
    """Return a segment by name."""
    found = state.query("SELECT * FROM segments WHERE name = ?", (name,))
    return _segment(found[0]) if found else None


def holding(state: State, server: str, sequence: int) -> Segment | None:
    """Return the segment that holds a record, by the two parts of its id."""
    found = state.query(
        "SELECT * FROM segments WHERE server = ? AND first_sequence <= ? AND last_sequence >= ?"
        " ORDER BY first_sequence DESC LIMIT 1",
        (server, sequence, sequence),
    )
    return _segment(found[0]) if found else None


def pending(state: State) -> list[Segment]:
    """Return the segments that are not in the lake yet, oldest first."""
    rows = state.query("SELECT * FROM segments WHERE lake_version IS NULL ORDER BY name")
    return [_segment(row) for row in rows]


def all(state: State) -> list[Segment]:
    """Return every segment, by name."""
    return [_segment(row) for row in state.query("SELECT * FROM segments ORDER BY name")]


def _segment(row: sqlite3.Row) -> Segment:
    return Segment(**dict(row))
