"""Files that are packed (``.gz``, ``.bz2``, ``.xz``, ``.zst``), read as what is inside, a part at a time."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
CUT_SHORT = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
"""What a packed file raises that is cut short, or is not what its name says."""
_LINES = 100_000


def unpacked(file: Path, *, name: str = "") -> IO[bytes]:
    """Open a file, unpacking it by the end of its name.

    Parameters
    ----------
    file
        The file.
    name
        What it is called, where that is not its path.
    """
    suffix = Path(name or file.name).suffix
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if suffix == ".bz2":
        return bz2.open(file, "rb")
    if suffix == ".xz":
        return lzma.open(file, "rb")
    if suffix == ".zst":
        return io.BufferedReader(_Lines(file), 1 << 20)
    return file.open("rb")


def is_packed(name: str) -> bool:
    """Say whether a name ends like that of a packed file."""
    return Path(name).suffix in SUFFIXES


class _Lines(io.RawIOBase):
    """A ``.zst`` file of UTF-8 lines, unpacked by Polars: the standard library of this Python cannot."""

    def __init__(self, file: Path) -> None:
        self._parts = self._read(file)
        self._held = b""

    @staticmethod
    def _read(file: Path) -> Iterator[bytes]:
        try:
            lines = pl.scan_lines(file, glob=False)
            for frame in lines.collect_batches(chunk_size=_LINES, maintain_order=True, engine="streaming"):
                if frame.height:
                    yield frame.select(pl.col("line").str.join("\n")).item().encode() + b"\n"
        except (pl.exceptions.ComputeError, OSError) as wrong:
            raise EOFError(str(wrong).splitlines()[0]) from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._held:
            self._held = next(self._parts, b"")
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count
