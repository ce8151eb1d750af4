"""Where served features are kept: a small protocol and its embedded default, LMDB."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import lmdb

from millstream.errors import StorageFull, Unavailable

Change = tuple[bytes, bytes | None]
"""A key and its new value; None deletes."""


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
        When the folder cannot be opened.
    """

    def __init__(self, path: Path, *, readonly: bool = False, map_bytes: int = 4 << 30) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            if readonly and not (path / "data.mdb").exists():
                lmdb.open(str(path), map_size=map_bytes).close()
            self._env = lmdb.open(str(path), map_size=map_bytes, readonly=readonly, max_spare_txns=4, readahead=False)
        except (lmdb.Error, OSError) as wrong:
            raise Unavailable(
                f"the online store {path} cannot be opened: {wrong}",
                do="millstream verify; if the folder is damaged, remove it: it is rebuilt from the lake",
            ) from None

    def snapshot(self) -> Snapshot:
        """Open a consistent view; leave it soon, because it keeps old pages alive."""
        snapshot: Snapshot = self._env.begin(buffers=True)
        return snapshot

    def keys(self, prefix: bytes) -> list[bytes]:
        """List the keys that start with a prefix."""
        found: list[bytes] = []
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            there = cursor.set_range(prefix)
            while there and cursor.key().startswith(prefix):
                found.append(cursor.key())
                there = cursor.next()
        return found

    def commit(self, changes: Iterable[Change]) -> None:
        """Write all changes in one synced transaction.

        Raises
        ------
        StorageFull
            When the map's bound or the disk is reached; nothing was written.
        """
        self._env.reader_check()
        try:
            with self._env.begin(write=True) as transaction:
                for key, value in changes:
                    if value is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, value)
        except (lmdb.MapFullError, lmdb.DiskError) as full:
            raise StorageFull(
                f"the online store {self.path} could not take a refresh: {full}",
                expected="room for the served features of every view",
                do="free disk space, shorten windows, or raise the bound; then millstream refresh",
            ) from None

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
