"""Where served features are kept: a small protocol and its embedded default, LMDB."""

from __future__ import annotations

import contextlib
import mmap
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import lmdb

from millstream.errors import StorageFull, Unavailable

LOOK_S = 1.0
"""How often a reader looks whether its file is still the one that lies there."""
Change = tuple[bytes, bytes | None]
"""A key and its new value; None deletes."""
_DAMAGE = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.MapResizedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


_HEAD = 2 * mmap.PAGESIZE


class Damaged(Unavailable):
    """What lies in the folder is no store any more; its one writer computes it again."""


class Snapshot(Protocol):
    """One consistent view of a store; what it returns is valid until it is left."""

    def __enter__(self) -> Snapshot: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def get(self, key: bytes, /) -> memoryview | bytes | None:
        """Return the value of a key, or None."""
        ...


class OnlineStore(Protocol):
    """Keeps keys and values; many readers, one writer."""

    def snapshot(self) -> Snapshot:
        """Open a consistent view."""
        ...

    def keys(self, prefix: bytes) -> list[bytes]:
        """List the keys that start with a prefix."""
        ...

    def commit(self, changes: Iterable[Change]) -> None:
        """Write all changes, or none."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class LmdbOnline:
    """An LMDB environment: readers never wait, values are read where they lie in memory.

    Parameters
    ----------
    path
        Folder; made when it is not there.
    readonly
        For the scoring server. A process opens a folder once: its writer and readers share one object.
    map_bytes
        Most the store may grow to. Pages that readers killed in mid-read hold on to are given back at every commit.

    Raises
    ------
    Unavailable
        When the folder cannot be opened; ``Damaged`` when what lies there is no store.
    """

    def __init__(self, path: Path, *, readonly: bool = False, map_bytes: int = 4 << 30) -> None:
        self.path = path
        self._readonly, self._map_bytes = readonly, map_bytes
        self.trouble = ""
        """What showed that the file is damaged; empty while nothing did."""
        self._renewing = threading.Lock()
        self._env = self._opened()
        self._file = _identity(path)
        self._look_at = time.monotonic() + LOOK_S

    def _opened(self) -> lmdb.Environment:
        path, size = self.path, self._map_bytes
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_stub(path / "data.mdb")
            if self._readonly and not (path / "data.mdb").exists():
                lmdb.open(str(path), map_size=size).close()
            return lmdb.open(str(path), map_size=size, readonly=self._readonly, max_spare_txns=4, readahead=False)
        except (lmdb.Error, OSError) as wrong:
            kind = Damaged if isinstance(wrong, _DAMAGE) else Unavailable
            raise kind(
                f"the online store {path} cannot be opened: {wrong}",
                do="millstream verify; if the folder is damaged, remove it: it is rebuilt from the lake",
            ) from None

    @property
    def lost(self) -> bool:
        """Whether the file that was opened lies there no more, or was found damaged."""
        return bool(self.trouble) or _identity(self.path) != self._file

    def reopen(self) -> None:
        """Open what lies there now, in place of a file that was lost; snapshots that are open stay whole.

        A damaged file is taken away first: readers go on with what they have until another was filled in its place.
        """
        with self._renewing:
            if not self.lost:
                return
            if self.trouble:
                discard(self.path)
            self._env = self._opened()
            self._file, self.trouble = _identity(self.path), ""

    def damaged(self, wrong: Exception) -> Damaged:
        """Note that the file cannot be read or written any more, and say so."""
        self.trouble = str(wrong) or type(wrong).__name__
        return Damaged(
            f"the online store {self.path} is damaged: {self.trouble}",
            expected="a store that nobody else wrote into",
            do="nothing while millstream up runs, which computes it again; else millstream check",
        )

    def _follow(self) -> None:
        """For a reader of a lost file: go on with it until another was filled in its place."""
        self._look_at = time.monotonic() + LOOK_S
        file = _identity(self.path)
        if file is None or file == self._file:
            return
        with contextlib.suppress(Unavailable):
            found = self._opened()
            with found.begin() as transaction:
                filled = transaction.stat()["entries"] > 0
            if filled:
                self._env, self._file = found, file

    def snapshot(self) -> Snapshot:
        """Open a consistent view; leave it soon, because it keeps old pages alive."""
        if self._readonly and time.monotonic() >= self._look_at:
            self._follow()
        if self._readonly:
            snapshot: Snapshot = self._env.begin(buffers=True)
            return snapshot
        try:
            return _Watched(self, self._env.begin(buffers=True))
        except _DAMAGE as wrong:
            raise self.damaged(wrong) from None

    def keys(self, prefix: bytes) -> list[bytes]:
        """List the keys that start with a prefix."""
        found: list[bytes] = []
        try:
            with self._env.begin() as transaction, transaction.cursor() as cursor:
                there = cursor.set_range(prefix)
                while there and cursor.key().startswith(prefix):
                    found.append(cursor.key())
                    there = cursor.next()
        except _DAMAGE as wrong:
            raise self.damaged(wrong) from None
        return found

    def commit(self, changes: Iterable[Change]) -> None:
        """Write all changes in one synced transaction.

        Raises
        ------
        StorageFull
            When the map's bound or the disk is reached; nothing was written.
        """
        try:
            self._env.reader_check()
            with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
                for key, value in changes:
                    if value is None:
                        transaction.delete(key)
                    else:
                        cursor.put(key, value)  # a third quicker than the transaction's own
        except (lmdb.MapFullError, lmdb.DiskError) as full:
            raise StorageFull(
                f"the online store {self.path} could not take a refresh: {full}",
                expected="room for the served features of every view",
                do="free disk space, or shorten windows; then millstream refresh",
            ) from None
        except _DAMAGE as wrong:
            raise self.damaged(wrong) from None

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


class _Watched:
    """A snapshot of the writer's own, which notes damage that it comes upon."""

    def __init__(self, store: LmdbOnline, transaction: lmdb.Transaction) -> None:
        self._store, self._transaction = store, transaction

    def __enter__(self) -> _Watched:
        self._transaction.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._transaction.__exit__(kind, value, trace)

    def get(self, key: bytes, /) -> memoryview | bytes | None:
        try:
            found: memoryview | bytes | None = self._transaction.get(key)
        except _DAMAGE as wrong:
            raise self._store.damaged(wrong) from None
        return found


def _refuse_stub(file: Path) -> None:
    """Refuse a file that ends within its head: reading on would end the process, not raise."""
    if file.exists() and 0 < file.stat().st_size < _HEAD:
        raise lmdb.CorruptedError(f"it ends after {file.stat().st_size:,} bytes")


def discard(path: Path) -> None:
    """Take away what lies in the folder of a store; who has it open keeps what it has."""
    for name in ("data.mdb", "lock.mdb"):
        (path / name).unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = (path / "data.mdb").stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
