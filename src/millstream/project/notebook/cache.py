"""What was computed once: frames by what they follow from, on disk, bounded, the least lately used dropped first.

A file says what it is for and carries a checksum over that and its rows. One that is torn, damaged or somebody
else's is never believed: it is taken away, that is said, and what it held is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from millstream.project.notebook.engine import engine
from millstream.types import content_hash, parse_instant

LIMIT_BYTES = 2 * 10**9
_SAME_INSTANT = timedelta(hours=1)
_MAGIC, _DIGEST = b"MSKEPT02", 32
_SUFFIXES = (".kept", ".arrow")
"""Of files that are kept; the second was written by earlier releases and is only dropped."""
_LEFT_S = 3600.0
"""How old a file written aside is when whoever wrote it is taken to be dead."""


class Kept(NamedTuple):
    """A frame, and what was said of it when it was put."""

    frame: pl.DataFrame
    said: Mapping[str, Any] = {}


class Cache:
    """A folder of frames, safe for several processes: files are written aside, synced and renamed.

    Parameters
    ----------
    folder
        Where.
    limit_bytes
        Bound on the files kept.
    tell
        Told of files that were damaged.

    Attributes
    ----------
    hits, misses, damaged
        Frames found, not found, and found damaged since it was opened.
    """

    def __init__(
        self, folder: Path, *, limit_bytes: int = LIMIT_BYTES, tell: Callable[[str], object] = lambda line: None
    ) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.hits = self.misses = self.damaged = 0
        self._tell = tell

    def get(self, key: str) -> Kept | None:
        """Return a frame; None for one that is not there, or not as it was put."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            self.misses += 1
            return None
        found = _decoded(key, data)
        if found is None:
            self.misses += 1
            self.damaged += 1
            path.unlink(missing_ok=True)
            self._tell(f"a kept file was damaged and is gone, what it held is computed again: {path.name}")
            return None
        with contextlib.suppress(OSError):  # dropped meanwhile by somebody else
            os.utime(path)
        self.hits += 1
        return found

    def put(self, key: str, frame: pl.DataFrame) -> None:
        """Keep a frame; a disk that refuses costs the next call its head start and nothing else."""
        self.put_all({key: Kept(frame)})

    def put_all(self, frames: Mapping[str, Kept]) -> None:
        """Keep several frames, as ``put`` does."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            for key, kept in frames.items():
                self._write(key, kept)
            self._drop()

    def bytes(self) -> int:
        """Return the size of the files kept."""
        return sum(size for _, size, _ in self._files())

    def first_asked(self, pins: object, now: datetime) -> datetime:
        """Return the instant at which these pins were first asked for within the hour, else ``now`` from now on.

        A set that ends "now" would never be the same twice; one hour of the same data is one set.
        """
        path = self.folder / f"{content_hash([engine(), pins])[:32]}.now"
        with contextlib.suppress(OSError, ValueError):
            kept = parse_instant(path.read_text())
            if timedelta(0) <= now - kept < _SAME_INSTANT:
                return kept
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(f".{os.getpid()}")
            scratch.write_text(now.isoformat())
            scratch.replace(path)
        return now

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIXES[0]}"

    def _write(self, key: str, kept: Kept) -> None:
        handle, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_encoded(key, kept))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path(key))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in (each for suffix in _SUFFIXES for each in self.folder.glob(f"*{suffix}")):
            with contextlib.suppress(OSError):
                said = path.stat()
                found.append((said.st_mtime, said.st_size, path))
        return sorted(found)

    def _drop(self) -> None:
        files = self._files()
        over = sum(size for _, size, _ in files) - self.limit_bytes
        for _, size, path in files:
            if over <= 0:
                break
            path.unlink(missing_ok=True)
            over -= size
        for path in self.folder.glob(".new-*"):  # whoever wrote it was killed
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFT_S:
                    path.unlink(missing_ok=True)


def key_of(kind: str, *said: object) -> str:
    """Name what follows from some plain data, computed by this code."""
    return f"{kind}-{content_hash([engine(), kind, msgspec.to_builtins(said)])[:40]}"


def _encoded(key: str, kept: Kept) -> bytes:
    rows = io.BytesIO()
    kept.frame.write_ipc(rows, compression="lz4")
    head = msgspec.json.encode([key, dict(kept.said)])
    body = len(head).to_bytes(4, "big") + head + rows.getbuffer()
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST).digest() + body


def _decoded(key: str, data: bytes) -> Kept | None:
    """Read a file; None for one that is not whole, or was put by another name."""
    start = len(_MAGIC) + _DIGEST
    body = memoryview(data)[start:]
    whole = data[: len(_MAGIC)] == _MAGIC and data[len(_MAGIC) : start] == _digest(body)
    if not whole:
        return None
    length = 4 + int.from_bytes(body[:4], "big")
    named, said = msgspec.json.decode(body[4:length])
    if named != key:
        return None
    try:
        return Kept(pl.read_ipc(io.BytesIO(body[length:])), said)
    except pl.exceptions.PolarsError:  # another Polars wrote it
        return None


def _digest(body: memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()
