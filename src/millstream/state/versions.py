"""Versions of lake tables: which there are, which files each is made of, and writes that were intended.

A version only names files. A file belongs to the versions ``since <= version < until`` of its table, so the file list
of any registered version is read here, not from the table's log. An older version that was registered on demand keeps
its list in the table's own log (``listed`` is false).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from millstream.state.database import State, Transaction, beside
from millstream.types import content_hash

BRANCHED = 1_000_000_000
"""Versions above it are edits of a branch (``edits``): no table's own numbers reach so far."""

Kind: TypeAlias = Literal["attached", "ingested", "derived", "made", "own"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS table_versions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    rows INTEGER,
    listed INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS table_files (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    bytes INTEGER NOT NULL,
    rows INTEGER,
    sha256 TEXT,
    parts BLOB NOT NULL,
    timed_by TEXT,
    low INTEGER,
    high INTEGER,
    PRIMARY KEY (name, path, since)
) STRICT;
CREATE INDEX IF NOT EXISTS table_files_since ON table_files (name, since);
CREATE INDEX IF NOT EXISTS table_files_until ON table_files (name, until);
CREATE TABLE IF NOT EXISTS rewritten_files (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    since INTEGER NOT NULL,
    brought INTEGER NOT NULL,
    PRIMARY KEY (name, path, since)
) STRICT;
CREATE TABLE IF NOT EXISTS file_hashes (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) STRICT;
CREATE TABLE IF NOT EXISTS lake_intents (
    name TEXT NOT NULL,
    app_id TEXT NOT NULL,
    app_version INTEGER NOT NULL,
    actor TEXT NOT NULL,
    at TEXT NOT NULL,
    note TEXT NOT NULL,
    version INTEGER,
    PRIMARY KEY (name, app_id, app_version)
) STRICT;
CREATE TABLE IF NOT EXISTS table_schemas (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;
"""


_FILES = "SELECT * FROM table_files LEFT JOIN rewritten_files USING (name, path, since)"


class Making(msgspec.Struct, frozen=True):
    """What a version made by a step rests on, beside its inputs and its definition.

    Parameters
    ----------
    step
        The function or command, as one writes it.
    code
        File of the project that ran to the hash of its bytes.
    masked
        Table to how much of it was in quarantine, and so was not read.
    columns
        Raw columns, as Delta names their types: a changed definition may have changed them since.
    seconds
        How long it took.
    reused
        The version of production that was taken over, ``table@version``, because it rests on the same; empty when the
        step ran.
    environment
        Package or program that counts to its version.
    pieces
        For a table in partitions: each that was made for this version, and why.
    why
        Why it ran, where somebody asked for it although nothing had changed.
    """

    step: str
    code: dict[str, str]
    masked: dict[str, int]
    columns: dict[str, str]
    seconds: float
    reused: str = ""
    environment: dict[str, str] = {}
    pieces: dict[str, str] = {}
    why: str = ""


class TableVersion(msgspec.Struct, frozen=True):
    """One immutable state of a table.

    Parameters
    ----------
    table, version
        Its name and number: Delta's own number for tables with files, a counter from 0 for derived ones.
    rows
        Rows, where the log says; None for derived tables and logs without statistics.
    kind
        ``attached`` (read where it lies), ``ingested``, ``derived`` (computed on read), ``made`` (by a step) or
        ``own`` (written here).
    delta_version
        Version of the Delta table it names; None for derived tables.
    files_hash
        Hash of the names and sizes of its files; of pins and definition for derived tables.
    schema
        Column to type of the row language, computed columns included.
    inputs
        Versions a derived or made table is computed from.
    definition
        Hash of what was said about the table when the version was registered.
    bytes_copied
        Data bytes written into the lake to make it; 0 for attached and derived tables.
    registered_at
        Instant by the project's clock.
    event_min, event_max
        Range of event times, from file statistics (to the millisecond); None where they say nothing.
    quarantined
        Keys that checks put in quarantine, as counted when the record was read.
    content
        Hash of what was ingested, or of all that a step's result rests on, by which the same input is recognised;
        empty otherwise.
    making
        For a table that is made: how.
    columns
        Raw columns of its files, as Delta names their types; empty for derived tables, and in records of before this
        was kept.
    """

    table: str
    version: int
    rows: int | None
    kind: Kind
    delta_version: int | None
    files_hash: str
    schema: dict[str, str]
    inputs: dict[str, int]
    definition: str
    bytes_copied: int
    registered_at: str
    event_min: str | None
    event_max: str | None
    quarantined: int = 0
    content: str = ""
    making: Making | None = None
    columns: dict[str, str] = {}


class DataFile(msgspec.Struct, frozen=True):
    """One immutable data file of a table.

    Parameters
    ----------
    path
        Path relative to the table, or absolute.
    size
        Bytes.
    rows
        Rows, where the log says.
    parts
        Partition column to its value as text (None is NULL); such columns are not inside the file.
    timed_by
        Column whose range ``low`` and ``high`` give.
    low, high
        Its range inside, in microseconds since the epoch, from statistics; None where unknown.
    sha256
        Hash of the bytes, for files written here.
    since
        First registered version that has the file.
    brought
        First version that had its rows, where the owner of an attached table only wrote rows anew (compaction); of
        rows of several versions the oldest. None where the file came with its rows.
    """

    path: str
    size: int
    rows: int | None = None
    parts: dict[str, str | None] = {}
    timed_by: str | None = None
    low: int | None = None
    high: int | None = None
    sha256: str | None = None
    since: int = 0
    brought: int | None = None

    @property
    def rows_since(self) -> int:
        """Return the first version that had its rows."""
        return self.since if self.brought is None else self.brought


class Intent(msgspec.Struct, frozen=True):
    """A write that is about to happen, so that a crash inside it can be told from a stranger's commit.

    Parameters
    ----------
    table, app_id, app_version
        What is written, and the identity by which a second try is recognised.
    actor, at
        Who intends it, since when (project's clock).
    note
        JSON of what registering the commit needs.
    version
        Version it became; None while open.
    """

    table: str
    app_id: str
    app_version: int
    actor: str
    at: str
    note: str = "{}"
    version: int | None = None


def insert(tx: Transaction, version: TableVersion, *, listed: bool) -> None:
    """Register a version; ``listed`` says whether its files are kept here."""
    tx.execute(
        "INSERT INTO table_versions (name, version, kind, rows, listed, body) VALUES (?, ?, ?, ?, ?, ?)",
        (version.table, version.version, version.kind, version.rows, int(listed), msgspec.json.encode(version)),
    )


def change_files(
    tx: Transaction, table: str, version: int, *, added: Iterable[DataFile], removed: Iterable[str]
) -> None:
    """Note which files a version has that the one before had not, and the other way round."""
    tx.execute_many(
        "UPDATE table_files SET until = ? WHERE name = ? AND path = ? AND until IS NULL",
        [(version, table, path) for path in removed],
    )
    tx.execute_many(
        "INSERT INTO table_files (name, path, since, until, bytes, rows, sha256, parts, timed_by, low, high) "
        "VALUES (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                table,
                each.path,
                version,
                each.size,
                each.rows,
                each.sha256,
                msgspec.json.encode(each.parts),
                each.timed_by,
                each.low,
                each.high,
            )
            for each in added
        ],
    )


def keep_brought(tx: Transaction, table: str, version: int, added: Iterable[DataFile]) -> None:
    """Note which files of a version hold rows that earlier versions had already."""
    tx.execute_many(
        "INSERT INTO rewritten_files (name, path, since, brought) VALUES (?, ?, ?, ?)",
        [(table, each.path, version, each.brought) for each in added if each.brought is not None],
    )


def brought_hash(source: State | Transaction, table: str, version: int) -> str:
    """Hash what is kept of the files of a version that hold rows of earlier ones; empty when there are none."""
    query = "SELECT path, brought FROM rewritten_files WHERE name = ? AND since = ? ORDER BY path"
    found = [list(each) for each in source.query(query, (table, version))]
    return content_hash(found) if found else ""


def change_hash(source: State | Transaction, table: str, version: int) -> str:
    """Hash all that is kept of the files a version added, their statistics included, and which it removed."""
    added = source.query(
        "SELECT path, bytes, rows, sha256, parts, timed_by, low, high FROM table_files WHERE name = ? AND since = ?"
        " ORDER BY path",
        (table, version),
    )
    removed = source.query("SELECT path FROM table_files WHERE name = ? AND until = ? ORDER BY path", (table, version))
    rows = [[each.decode() if isinstance(each, bytes) else each for each in row] for row in added]
    return content_hash([rows, [each["path"] for each in removed]])


def record_hashes(source: State | Transaction, table: str) -> dict[int, str]:
    """Return the hash of each version's record, of the exact bytes that are kept."""
    found = source.query("SELECT version, body FROM table_versions WHERE name = ?", (table,))
    return {each["version"]: hashlib.sha256(each["body"]).hexdigest() for each in found}


def record_hash(version: TableVersion) -> str:
    """Hash a version's record as it is written."""
    return hashlib.sha256(msgspec.json.encode(version)).hexdigest()


def taken_hash(source: State | Transaction, table: str, version: int) -> str:
    """Hash the records and changes of files of all versions up to one."""
    records = record_hashes(source, table)
    upto = sorted(each for each in records if each <= version)
    return content_hash([[each, records[each], change_hash(source, table, each)] for each in upto])


def head(state: State, table: str) -> TableVersion | None:
    """Return the newest registered version, if any."""
    found = state.query("SELECT body FROM table_versions WHERE name = ? ORDER BY version DESC LIMIT 1", (table,))
    return msgspec.json.decode(found[0]["body"], type=TableVersion) if found else None


def before(state: State, table: str, version: int) -> TableVersion | None:
    """Return the registered version before one, if any."""
    query = "SELECT body FROM table_versions WHERE name = ? AND version < ? ORDER BY version DESC LIMIT 1"
    found = state.query(query, (table, version))
    return msgspec.json.decode(found[0]["body"], type=TableVersion) if found else None


def heads(state: State) -> dict[str, int]:
    """Return the newest version of every table."""
    found = state.query("SELECT name, max(version) AS version FROM table_versions GROUP BY name ORDER BY name")
    return {each["name"]: each["version"] for each in found}


def get(state: State, table: str, version: int) -> TableVersion | None:
    """Return one registered version, if any."""
    found = state.query("SELECT body FROM table_versions WHERE name = ? AND version = ?", (table, version))
    return msgspec.json.decode(found[0]["body"], type=TableVersion) if found else None


def history(state: State, table: str) -> list[TableVersion]:
    """Return the registered versions of a table, oldest first."""
    found = state.query("SELECT body FROM table_versions WHERE name = ? ORDER BY version", (table,))
    return [msgspec.json.decode(each["body"], type=TableVersion) for each in found]


def all_versions(state: State) -> list[TableVersion]:
    """Return every registered version of every table, in order."""
    found = state.query("SELECT body FROM table_versions ORDER BY name, version")
    return [msgspec.json.decode(each["body"], type=TableVersion) for each in found]


def listed(state: State, table: str, version: int) -> bool:
    """Say whether the files of a version are kept here."""
    found = state.query("SELECT listed FROM table_versions WHERE name = ? AND version = ?", (table, version))
    return bool(found and found[0]["listed"])


def files(state: State, table: str, version: int) -> list[DataFile]:
    """Return the files of a listed version, in the order in which they came."""
    return _files(state, "name = ? AND since <= ? AND (until IS NULL OR until > ?)", (table, version, version))


def all_files(state: State, table: str) -> list[tuple[DataFile, int | None]]:
    """Return every file any listed version of a table has, with the version that dropped it (None: still there)."""
    found = state.query(f"{_FILES} WHERE name = ? ORDER BY since, table_files.rowid", (table,))
    return [(_file(each), each["until"]) for each in found]


def keep_hashes(tx: Transaction, table: str, hashes: Mapping[str, str]) -> None:
    """Keep the hash of files that had none when they were registered: they are somebody else's, and large."""
    tx.execute_many(
        "INSERT INTO file_hashes VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(table, path, sha256) for path, sha256 in hashes.items()],
    )


def late_hashes(source: State | Transaction, table: str) -> dict[str, str]:
    """Return the hashes kept after registration, by path."""
    found = source.query("SELECT path, sha256 FROM file_hashes WHERE name = ? ORDER BY path", (table,))
    return {each["path"]: each["sha256"] for each in found}


def _files(state: State, where: str, parameters: Sequence[object]) -> list[DataFile]:
    found = state.query(f"{_FILES} WHERE {where} ORDER BY since, table_files.rowid", parameters)
    return [_file(each) for each in found]


def _file(row: sqlite3.Row) -> DataFile:
    return DataFile(
        path=row["path"],
        size=row["bytes"],
        rows=row["rows"],
        parts=msgspec.json.decode(row["parts"]),
        timed_by=row["timed_by"],
        low=row["low"],
        high=row["high"],
        sha256=row["sha256"],
        since=row["since"],
        brought=row["brought"],
    )


def intend(tx: Transaction, intent: Intent) -> None:
    """Write down a write before it happens; the same intent again is the same intent."""
    tx.execute(
        "INSERT INTO lake_intents (name, app_id, app_version, actor, at, note) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name, app_id, app_version) DO NOTHING",
        (intent.table, intent.app_id, intent.app_version, intent.actor, intent.at, intent.note),
    )


def fulfil(tx: Transaction, intent: Intent, version: int) -> None:
    """Note which version an intended write became."""
    tx.execute(
        "UPDATE lake_intents SET version = ? WHERE name = ? AND app_id = ? AND app_version = ?",
        (version, intent.table, intent.app_id, intent.app_version),
    )


def intent(state: State, table: str, app_id: str, app_version: int) -> Intent | None:
    """Return one intended write, if it was."""
    found = _intents(state, "name = ? AND app_id = ? AND app_version = ?", (table, app_id, app_version))
    return found[0] if found else None


def open_intents(state: State) -> list[Intent]:
    """Return the intended writes that have not become a version."""
    return _intents(state, "version IS NULL", ())


def _intents(state: State, where: str, parameters: Sequence[object]) -> list[Intent]:
    found = state.query(
        "SELECT name AS 'table', app_id, app_version, actor, at, note, version "
        f"FROM lake_intents WHERE {where} ORDER BY rowid",
        parameters,
    )
    return [Intent(**dict(each)) for each in found]


def forget_intent(tx: Transaction, intent: Intent) -> None:
    """Forget an intended write of which nothing was committed."""
    tx.execute(
        "DELETE FROM lake_intents WHERE name = ? AND app_id = ? AND app_version = ? AND version IS NULL",
        (intent.table, intent.app_id, intent.app_version),
    )


def expected_schema(state: State, table: str) -> dict[str, str] | None:
    """Return the raw columns a table must arrive with: those of its newest version, or accepted since."""
    found = state.query("SELECT body FROM table_schemas WHERE name = ?", (table,))
    return msgspec.json.decode(found[0]["body"], type=dict[str, str]) if found else None


def expect_schema(tx: Transaction, table: str, schema: dict[str, str]) -> None:
    """Keep the raw columns of a table's newest version as what must arrive from then on."""
    tx.execute(
        "INSERT INTO table_schemas (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
        (table, msgspec.json.encode(schema)),
    )


def forget_schema(tx: Transaction, table: str) -> None:
    """Let the next version's columns be the agreed ones."""
    tx.execute("DELETE FROM table_schemas WHERE name = ?", (table,))


def shared(state: State, other: Path) -> frozenset[str]:
    """Name the tables with files of another project's state database that this one can take over.

    A table of which this database has a version of its own making is not among them; one with edits upon the other's
    version is.
    """
    if not other.exists():
        return frozenset()
    own = {name: before(state, name, BRANCHED) for name in heads(state)}
    with closing(beside(other)) as there:
        query = "SELECT DISTINCT name FROM table_versions WHERE kind NOT IN ('derived', 'made')"
        theirs = there.execute(query).fetchall()
        return frozenset(name for (name,) in theirs if _theirs(there, own.get(name)))


def _theirs(there: sqlite3.Connection, mine: TableVersion | None) -> bool:
    if mine is None:
        return True
    query = "SELECT body FROM table_versions WHERE name = ? AND version = ?"
    found = there.execute(query, (mine.table, mine.version)).fetchone()
    return found is not None and msgspec.json.decode(found[0], type=TableVersion).files_hash == mine.files_hash


def pull(tx: Transaction, other: Path, tables: Iterable[str]) -> list[TableVersion]:
    """Take over the versions of these tables from another state database, which is only read; return the new heads."""
    made: list[TableVersion] = []
    if not other.exists():
        return made
    with closing(beside(other)) as there:
        for name in tables:
            query = "SELECT body FROM table_versions WHERE name = ? ORDER BY version DESC LIMIT 1"
            newest = msgspec.json.decode(there.execute(query, (name,)).fetchone()[0], type=TableVersion)
            known = tx.query("SELECT 1 FROM table_versions WHERE name = ? AND version = ?", (name, newest.version))
            if known:
                continue
            for table in ("table_versions", "table_files", "rewritten_files", "table_schemas", "compacted_files"):
                rows = there.execute(f"SELECT * FROM {table} WHERE name = ?", (name,)).fetchall()
                own = " AND version < ?" if table == "table_versions" else ""  # edits stay
                tx.execute(f"DELETE FROM {table} WHERE name = ?{own}", (name, BRANCHED) if own else (name,))
                if rows:
                    tx.execute_many(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
            made.append(newest)
    return made
