"""The state database: opening, transactions and reads."""

from __future__ import annotations

import importlib
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millstream.errors import Conflict, IntegrityError, Refused, StorageFull, UserError

_OWNERS = (
    "ledger",
    "versions",
    "edits",
    "schemas",
    "pins",
    "stamps",
    "runs",
    "contracts",
    "habits",
    "quarantine",
    "released",
    "releases",
    "pointer",
    "leases",
    "outbox",
    "decisions",
    "notes",
    "segments",
    "alarms",
    "observations",
    "jobs",
    "taken",
    "posted",
    "housekeeping",
)
"""Files of this room that own tables; each has a ``SCHEMA``."""

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs", "lustre"}
_BUSY_TIMEOUT_S = 20.0


def beside(path: Path) -> sqlite3.Connection:
    """Open the state database of another environment to read from; nothing of it can be changed through this."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
    connection.execute("PRAGMA query_only = 1")
    return connection


class Transaction:
    """Writes that become true together or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run one statement; return how many rows it changed."""
        return self._connection.execute(sql, parameters).rowcount

    def insert(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run one INSERT; return the row's id."""
        return self._connection.execute(sql, parameters).lastrowid or 0

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        self._connection.executemany(sql, rows)

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Read inside the transaction."""
        return self._connection.execute(sql, parameters).fetchall()


class State:
    """An open state database; safe to share between threads of one process, opened once by each process.

    Parameters
    ----------
    path
        The file; made with its folder when missing.

    Raises
    ------
    Refused
        On a network file system, where SQLite's locks do not hold.
    IntegrityError
        When the file is not an intact database.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_network(path)
        self.path = path
        self._local = threading.local()
        self._writing = threading.Lock()
        self._open: list[sqlite3.Connection] = []
        self._lay_tables()

    def _lay_tables(self) -> None:
        """Make the tables that are missing, all in one synced commit; a database that has them is only looked at."""
        schema = "".join(importlib.import_module(f"millstream.state.{owner}").SCHEMA for owner in _OWNERS)
        mark = zlib.crc32(schema.encode()) >> 1
        connection = self._connection
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == mark:
                return
            connection.executescript(f"BEGIN IMMEDIATE;{schema}PRAGMA user_version = {mark};COMMIT;")
        except sqlite3.DatabaseError as wrong:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise _storage_error(self.path, wrong) from wrong

    @property
    def _connection(self) -> sqlite3.Connection:
        kept: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if kept is None:
            try:
                kept = sqlite3.connect(
                    self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
                )
            except sqlite3.OperationalError as wrong:
                raise _storage_error(self.path, wrong) from None
            kept.row_factory = sqlite3.Row
            try:
                kept.execute("PRAGMA journal_mode=WAL")
                kept.execute("PRAGMA synchronous=FULL")
                kept.execute("PRAGMA foreign_keys=ON")
            except sqlite3.DatabaseError as wrong:
                kept.close()
                raise _storage_error(self.path, wrong) from None
            self._local.connection = kept
            self._open.append(kept)
        return kept

    @contextmanager
    def transact(self) -> Iterator[Transaction]:
        """Open a write transaction; it commits, synced, when the block ends, and rolls back when it raises.

        Raises
        ------
        StorageFull
            When the disk refuses the write.
        Conflict
            When another process keeps the database locked.
        """
        connection = self._connection
        with self._writing:
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield Transaction(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.DatabaseError, OverflowError, UnicodeEncodeError) as wrong:
                raise _storage_error(self.path, wrong) from wrong

    def query(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Read rows of the last committed state.

        Raises
        ------
        IntegrityError
            When the file is damaged.
        UserError
            For a number or a text that no row can hold.
        """
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.DatabaseError, OverflowError, UnicodeEncodeError) as wrong:
            raise _storage_error(self.path, wrong) from wrong

    def data_version(self) -> int:
        """Return a number that changes when another process committed (cheap: no table is read)."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close every connection."""
        for each in self._open:
            each.close()
        self._open.clear()
        self._local = threading.local()


def _storage_error(path: Path, wrong: Exception) -> Exception:
    """Say of an error of SQLite what it means: a full disk, a lock, a damaged file, or a value no row can hold."""
    said = str(wrong)
    if isinstance(wrong, OverflowError | UnicodeEncodeError):
        return UserError("a number or text that was given is none that can be kept", expected="64 bits, valid Unicode")
    code = getattr(wrong, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StorageFull(
            f"{path} could not be written: {said}", expected="free space", do="free some space and try again"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Conflict(f"{path} was locked by another process for {_BUSY_TIMEOUT_S:.0f} s", do="millstream status")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return IntegrityError(
            f"{path} is not an intact database: {said}", do="millstream restore, or move the file away to look at it"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return Refused(
            f"{path} cannot be opened to write: {said}",
            expected="a file that this user may write, in a folder that this user may write",
            do=f"ls -l {path.parent}",
        )
    return wrong


def _refuse_network(path: Path, mounts: Path = Path("/proc/mounts")) -> None:
    if not mounts.exists():
        return
    here = str(path.parent.resolve())
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, mount, filesystem, *_ = line.split(" ")
        if (here == mount or here.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, filesystem
    if kind in _NETWORK:
        raise Refused(
            f"{path} is on a network file system ({kind} at {best}), where SQLite's locks do not hold",
            expected="a local disk, or PostgreSQL",
            do="set addresses.state in millstream.toml to a local folder",
        )
