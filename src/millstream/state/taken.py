"""Which deliveries a table's rows came from: every file's content is taken once, and it is known what it brought."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS taken_contents (
    name TEXT NOT NULL,
    what TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (name, what, since)
) STRICT;
CREATE INDEX IF NOT EXISTS taken_contents_now ON taken_contents (name, until);
CREATE TABLE IF NOT EXISTS takings (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS file_stamps (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) STRICT;
CREATE TABLE IF NOT EXISTS landed_files (
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    reading TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, data)
) STRICT;
"""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one content inside a data file of the lake: the file, where they start, how many they are."""

    data: str
    start: int
    rows: int


class Content(msgspec.Struct, frozen=True):
    """What one delivered file brought.

    Parameters
    ----------
    what
        Hash of its bytes and of the folder values that became columns.
    path
        The first file, by name, that brought it.
    size
        Its bytes.
    rows
        Rows it brought.
    at
        When the file was last changed, as its folder or store says.
    pieces
        Where its rows lie; none where it brought no rows.
    """

    what: str
    path: str
    size: int
    rows: int
    at: str
    pieces: tuple[Piece, ...] = ()


class Stamp(msgspec.Struct, frozen=True):
    """What a name brought last, and by what it is recognised without reading it.

    Parameters
    ----------
    path, size
        The file.
    stamp
        What its store says changes with it; empty while it may change again within one tick of its clock.
    sha256
        Hash of its bytes, or of an object's etag.
    """

    path: str
    size: int
    stamp: str
    sha256: str


class Taking(msgspec.Struct, frozen=True):
    """What a version took and let go of.

    Parameters
    ----------
    reading
        Hash of how files were read: the source's words.
    came, went
        Contents that are new, and those whose rows are no longer there.
    moved
        Contents whose rows were moved into other data files, or that another file brings now.
    anew
        Whether all that was there before was left behind.
    says
        What there is to say of it, in words.
    stamps, forgotten
        Names that bring something else than before, and names that no longer count.
    """

    reading: str
    came: tuple[Content, ...] = ()
    went: tuple[Content, ...] = ()
    moved: tuple[Content, ...] = ()
    anew: bool = False
    says: tuple[str, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    forgotten: tuple[str, ...] = ()


class Landed(msgspec.Struct, frozen=True):
    """A data file that was written and synced before it belongs to a version.

    Parameters
    ----------
    data
        Its path in the table's folder.
    size, rows
        Bytes and rows.
    sha256
        Hash of its bytes.
    stats
        Delta's statistics of it, as JSON.
    schema
        Column to type.
    contents
        Contents it holds rows of, in order; each with its piece in this file.
    whole
        Whether it holds the last rows of the last of them.
    future
        Rows in it whose event is after the clock, and the latest such instant.
    """

    data: str
    size: int
    rows: int
    sha256: str
    stats: str
    schema: dict[str, str]
    contents: tuple[Content, ...]
    whole: bool
    future: int = 0


def contents(state: State | Transaction, table: str) -> dict[str, Content]:
    """Return the contents of which a table's newest version holds the rows."""
    found = state.query("SELECT body FROM taken_contents WHERE name = ? AND until IS NULL ORDER BY rowid", (table,))
    decoded = (msgspec.json.decode(each["body"], type=Content) for each in found)
    return {each.what: each for each in decoded}


def contents_at(state: State, table: str, version: int) -> list[Content]:
    """Return the contents of which one version holds the rows, in the order in which they came."""
    query = (
        "SELECT body FROM taken_contents WHERE name = ? AND since <= ? AND (until IS NULL OR until > ?) ORDER BY rowid"
    )
    return [msgspec.json.decode(each["body"], type=Content) for each in state.query(query, (table, version, version))]


def taking(state: State, table: str, version: int) -> Taking | None:
    """Return what one version took, where it was made of files."""
    found = state.query("SELECT body FROM takings WHERE name = ? AND version = ?", (table, version))
    return msgspec.json.decode(found[0]["body"], type=Taking) if found else None


def record(tx: Transaction, table: str, version: int, made: Taking) -> None:
    """Keep what a version took; what was landed for it is no longer waiting."""
    gone = [each.what for each in (*made.went, *made.moved)]
    if made.anew:
        tx.execute("UPDATE taken_contents SET until = ? WHERE name = ? AND until IS NULL", (version, table))
    tx.execute_many(
        "UPDATE taken_contents SET until = ? WHERE name = ? AND what = ? AND until IS NULL",
        [(version, table, each) for each in gone],
    )
    tx.execute_many(
        "INSERT INTO taken_contents (name, what, since, until, body) VALUES (?, ?, ?, NULL, ?)",
        [(table, each.what, version, msgspec.json.encode(each)) for each in (*made.moved, *made.came)],
    )
    kept = msgspec.structs.replace(made, stamps=(), forgotten=())
    tx.execute("INSERT INTO takings VALUES (?, ?, ?)", (table, version, msgspec.json.encode(kept)))
    if made.anew:
        tx.execute("DELETE FROM file_stamps WHERE name = ?", (table,))
    keep_stamps(tx, table, made.stamps, made.forgotten)
    tx.execute("DELETE FROM landed_files WHERE name = ?", (table,))


def stamps(state: State, table: str) -> dict[str, Stamp]:
    """Return by what the files of a table that were read before are recognised."""
    found = state.query("SELECT path, size, stamp, sha256 FROM file_stamps WHERE name = ?", (table,))
    return {each["path"]: Stamp(**dict(each)) for each in found}


def keep_stamps(tx: Transaction, table: str, kept: Iterable[Stamp], gone: Iterable[str]) -> None:
    """Keep what names brought last; no row changes by it."""
    tx.execute_many(
        "INSERT INTO file_stamps VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, path) "
        "DO UPDATE SET size = excluded.size, stamp = excluded.stamp, sha256 = excluded.sha256",
        [(table, each.path, each.size, each.stamp, each.sha256) for each in kept],
    )
    tx.execute_many("DELETE FROM file_stamps WHERE name = ? AND path = ?", [(table, each) for each in gone])


def land(tx: Transaction, table: str, reading: str, landed: Landed) -> None:
    """Note a data file that waits for its version, so that a killed taking goes on where it was."""
    tx.execute(
        "INSERT OR REPLACE INTO landed_files VALUES (?, ?, ?, ?)",
        (table, landed.data, reading, msgspec.json.encode(landed)),
    )


def landed(state: State, table: str, reading: str) -> list[Landed]:
    """Return the data files that wait for a version, in the order in which they were written."""
    query = "SELECT body FROM landed_files WHERE name = ? AND reading = ? ORDER BY data"
    return [_landed(each) for each in state.query(query, (table, reading))]


def all_landed(state: State) -> dict[str, list[str]]:
    """Return, by table, the data files that wait for a version."""
    found: dict[str, list[str]] = {}
    for each in state.query("SELECT name, data FROM landed_files ORDER BY name, data"):
        found.setdefault(each["name"], []).append(each["data"])
    return found


def forget_landed(tx: Transaction, table: str) -> None:
    """Let go of all data files that wait for a version."""
    tx.execute("DELETE FROM landed_files WHERE name = ?", (table,))


def _landed(row: sqlite3.Row) -> Landed:
    return msgspec.json.decode(row["body"], type=Landed)
