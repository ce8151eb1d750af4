"""What was computed once: frames by what they follow from, on disk, bounded, the least lately used dropped first."""

from __future__ import annotations

import contextlib
import os
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from millstream.types import content_hash, parse_instant

FORMAT = 1
"""Part of every key: raise it when the same inputs lead to other frames."""
_SAME_INSTANT = timedelta(hours=1)


class Cache:
    """A folder of frames, safe for several processes: files are written aside and renamed.

    Parameters
    ----------
    folder
        Where.
    limit_bytes
        Bound on the files kept.

    Attributes
    ----------
    hits, misses
        Frames found and not found since it was opened.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = 2 * 1024**3) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.hits = 0
        self.misses = 0

    def get(self, key: str) -> pl.DataFrame | None:
        """Return a frame; None for one that is not there or cannot be read any more."""
        path = self._path(key)
        try:
            found = pl.read_ipc(path)
            os.utime(path)
        except (OSError, pl.exceptions.PolarsError):
            self.misses += 1
            return None
        self.hits += 1
        return found

    def put(self, key: str, frame: pl.DataFrame) -> None:
        """Keep a frame; a disk that refuses costs the next call its head start and nothing else."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(key, frame)
            self._drop()

    def bytes(self) -> int:
        """Return the size of the files kept."""
        return sum(size for _, size, _ in self._files())

    def first_asked(self, pins: object, now: datetime) -> datetime:
        """Return the instant at which these pins were first asked for within the hour, else ``now`` from now on.

        A set that ends "now" would never be the same twice; one hour of the same data is one set.
        """
        path = self.folder / f"{content_hash([FORMAT, pins])[:32]}.now"
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
        return self.folder / f"{key}.arrow"

    def _write(self, key: str, frame: pl.DataFrame) -> None:
        handle, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
        os.close(handle)
        try:
            frame.write_ipc(name, compression="lz4")
            Path(name).replace(self._path(key))
        except BaseException as wrong:
            Path(name).unlink(missing_ok=True)
            if isinstance(wrong, pl.exceptions.PolarsError):
                raise OSError(str(wrong)) from None
            raise

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.glob("*.arrow"):
            with contextlib.suppress(OSError):
                said = path.stat()
                found.append((said.st_mtime, said.st_size, path))
        return sorted(found)

    def _drop(self) -> None:
        files = self._files()
        over = sum(size for _, size, _ in files) - self.limit_bytes
        for _, size, path in files[:-1]:
            if over <= 0:
                break
            path.unlink(missing_ok=True)
            over -= size


def key_of(kind: str, *said: object) -> str:
    """Name what follows from some plain data."""
    return f"{kind}-{content_hash([FORMAT, kind, msgspec.to_builtins(said)])[:40]}"
