"""Decoded data files, kept in memory up to a bound: files never change, so neither do the rows read from them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import polars as pl

Range = tuple[Any, Any]
"""Smallest and largest value of a column."""

Key = tuple[str, str]
"""What was made of a file of which table, and its path."""


class Rows:
    """Rows of one file, with the ranges of the columns that were asked for."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.bytes = int(frame.estimated_size())
        self._ranges: dict[str, Range | None] = {}

    def range(self, column: str) -> Range | None:
        """Return the smallest and largest value; None when every value is NULL."""
        if column not in self._ranges:
            values = self.frame[column]
            low = values.min()
            self._ranges[column] = None if low is None else (low, values.max())
        return self._ranges[column]


class FileCache:
    """Rows of files, least recently used first out.

    Parameters
    ----------
    limit_bytes
        Bound on the memory of the frames held.
    """

    def __init__(self, limit_bytes: int = 512 * 1024 * 1024) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._held: OrderedDict[Key, Rows] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Rows | None:
        """Return the rows of a file if they are held."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: Key, frame: pl.DataFrame) -> Rows:
        """Hold the rows of a file, letting go of others beyond the bound."""
        rows = Rows(frame)
        with self._lock:
            before = self._held.pop(key, None)
            self.bytes += rows.bytes - (before.bytes if before else 0)
            self._held[key] = rows
            while self.bytes > self.limit_bytes and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self.bytes -= gone.bytes
        return rows
