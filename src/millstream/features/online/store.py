"""Where served features are kept: a small protocol and its embedded default, LMDB."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import lmdb

from millstream.errors import StorageFull, Unavailable

LOOK_S = 1.0
"""How often a reader looks whether its file is still the one that lies there."""
FILLED_S = 2.0
"""How long a writer may take from what the head says to a file that is as long: the disk syncs the head meanwhile."""
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
        self._env, self._extent = self._opened()
        self._file = _identity(path)
        self._look_at = time.monotonic() + LOOK_S

    def _opened(self) -> tuple[lmdb.Environment, _Extent]:
        path, size = self.path, self._map_bytes
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_stub(path / "data.mdb")
            if self._readonly and not (path / "data.mdb").exists():
                lmdb.open(str(path), map_size=size).close()
            found = lmdb.open(str(path), map_size=size, readonly=self._readonly, max_spare_txns=4, readahead=False)
            extent = _Extent(path / "data.mdb", writable=not self._readonly)
            if short := extent.short(found, patience_s=FILLED_S if self._readonly else 0.0):
                found.close()
                raise lmdb.CorruptedError(short)
            return found, extent
        except (lmdb.Error, OSError) as wrong:
            kind = Damaged if isinstance(wrong, _DAMAGE) else Unavailable
            raise kind(
                f"the online store {path} cannot be opened: {wrong}",
                do="millstream verify; if the folder is damaged, remove it: it is rebuilt from the lake",
            ) from None

    @property
    def lost(self) -> bool:
        """Whether the file that was opened lies there no more, or was found damaged or cut."""
        return bool(self.trouble or self._extent.cut()) or _identity(self.path) != self._file

    def reopen(self) -> str:
        """Open what lies there now, in place of a file that was lost; snapshots that are open stay whole.

        A damaged file is taken away first: readers go on with what they have until another was filled in its place.

        Returns
        -------
        str
            How the file was damaged; empty where it was gone, and where nothing was lost.
        """
        with self._renewing:
            if not self.lost:
                return ""
            why = self.trouble or self._extent.cut()
            if why:
                discard(self.path)
            self._env, self._extent = self._opened()
            self._file, self.trouble = _identity(self.path), ""
            return why

    def damaged(self, wrong: Exception) -> Damaged:
        """Note that the file cannot be read or written any more, and say so."""
        self.trouble = str(wrong) or type(wrong).__name__
        return self._broken(self.trouble)

    def _broken(self, says: str) -> Damaged:
        return Damaged(
            f"the online store {self.path} is damaged: {says}",
            expected="a store that nobody else wrote into",
            do="nothing while millstream up runs, which computes it again; else millstream check",
        )

    def _follow(self) -> None:
        """For a reader of a lost file: go on with it until another was filled in its place."""
        self._look_at = time.monotonic() + LOOK_S
        file = _identity(self.path)
        if file is None or file == self._file:
            self._extent.follow(self._env)
            return
        with contextlib.suppress(Unavailable):
            found, extent = self._opened()
            with found.begin() as transaction:
                filled = transaction.stat()["entries"] > 0
            if filled:
                self._env, self._extent, self._file = found, extent, file

    def snapshot(self) -> Snapshot:
        """Open a consistent view; leave it soon, because it keeps old pages alive.

        Raises
        ------
        Damaged
            When the file was found to be no store any more, or was cut: no page beyond its end is touched.
        """
        if self._readonly and time.monotonic() >= self._look_at:
            self._follow()
        self._refuse_cut()
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
        self._refuse_cut()
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
        self._refuse_cut()
        try:
            self._env.reader_check()
            with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
                for key, value in changes:
                    if value is None:
                        transaction.delete(key)
                    else:
                        cursor.put(key, value)  # a third quicker than the transaction's own
            self._extent.fill(self._env)
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

    def _refuse_cut(self) -> None:
        if cut := self._extent.cut():
            raise self._broken(cut)


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


class _Extent:
    """How many bytes the file of an open store must have: touching a page beyond its end would end the process."""

    def __init__(self, file: Path, *, writable: bool) -> None:
        self._descriptor = os.open(file, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._least = _HEAD
        self._said = _HEAD, time.monotonic()

    def cut(self) -> str:
        """Say how the file is shorter than it was; empty while it is not. Half a microsecond: each read asks."""
        least, size = self._least, self._size()  # in this order: a commit beside makes the file longer first
        return "" if size >= least else f"it ends after {size:,} bytes, and {least:,} belong to it"

    def short(self, env: lmdb.Environment, *, patience_s: float) -> str:
        """Learn from the head how long the file must be; say how it is shorter, or nothing.

        A writer that commits says first what belongs to the file and makes it as long next (``fill``), which may take
        a slow disk a while: beside one, that is waited for.
        """
        if short := self.cut():  # the head itself may be gone
            return short
        needed, until = _said(env), time.monotonic() + patience_s
        while (size := self._size()) < needed and time.monotonic() < until:
            time.sleep(0.001)
        self._least = max(self._least, size, needed)
        return self.cut()

    def follow(self, env: lmdb.Environment) -> None:
        """Learn how long the file must be by now, waiting for nobody: what was said a while ago must be there."""
        size, now = self._size(), time.monotonic()
        needed, since = self._said
        if size < needed:
            if now - since < FILLED_S:
                return
            self._least = max(self._least, needed)
        self._said = _said(env), now
        self._least = max(self._least, min(size, self._said[0]))

    def fill(self, env: lmdb.Environment) -> None:
        """After a commit, have the file as long as its head says: pages that were freed at its end are not written."""
        needed = _said(env)
        if self._size() < needed:
            with contextlib.suppress(OSError):  # then it is short, and computed again
                os.ftruncate(self._descriptor, needed)
        self._least = max(self._least, needed)

    def _size(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_END)


def _said(env: lmdb.Environment) -> int:
    """Return the bytes that a store has by its head."""
    return int((env.info()["last_pgno"] + 1) * env.stat()["psize"])


def _refuse_stub(file: Path) -> None:
    """Refuse a file that ends within its head: reading on would end the process, not raise."""
    if file.exists() and file.stat().st_size < _HEAD:
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
