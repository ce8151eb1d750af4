"""What the lake has of a table already, as it was written: looked at in pieces, and left without rows that are gone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

_PIECE = 1_000_000
"""Rows that are held at a time where a version is written anew."""
BUCKET = 4_000_000
"""Keys that are held at a time, of each side, where keys are compared."""


class Past:
    """The rows of a table's newest version.

    Parameters
    ----------
    files
        Its files, oldest first.
    key
        Columns that name a row.
    schema
        Column to type, as new rows have them.
    """

    def __init__(self, files: Sequence[Path], key: Sequence[str], schema: Mapping[str, pl.DataType]) -> None:
        self._files = list(files)
        self.schema = pl.Schema(schema)
        self.key = list(key)
        self._gone = pl.DataFrame(schema={each: schema[each] for each in self.key})

    def alike(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Read the rows that have one of these keys."""
        return self.rows.join(keys.lazy(), on=self.key, how="semi", nulls_equal=True).collect()

    @property
    def rows(self) -> pl.LazyFrame:
        """The rows that are not gone."""
        if not self._files:
            return pl.LazyFrame(schema=self.schema)
        found = pl.scan_parquet(self._files, glob=False, hive_partitioning=False)
        return found.join(self._gone.lazy(), on=self.key, how="anti", nulls_equal=True) if self.gone else found

    @property
    def gone(self) -> int:
        """How many keys are gone."""
        return self._gone.height

    @property
    def gone_keys(self) -> pl.DataFrame:
        """The keys that are gone."""
        return self._gone

    def between(self, column: str, low: Any, high: Any) -> pl.DataFrame:
        """Read the rows whose value of a column lies within a range, both ends included."""
        return self.rows.filter(pl.col(column).is_between(low, high)).collect()

    def newest(self, column: str, limit: Any) -> Any:
        """Return the largest value of a column that is no more than ``limit``; None where there is none."""
        found = self.rows if limit is None else self.rows.filter(pl.col(column) <= limit)
        return found.select(pl.col(column).max()).collect().item()

    def beyond(self, column: str, limit: Any) -> tuple[int, Any]:
        """Count the rows whose value of a column is more than ``limit``, with the largest of them."""
        found = self.rows.filter(pl.col(column) > limit).select(pl.len(), pl.col(column).max().alias("most")).collect()
        return int(found.item(0, 0)), found.item(0, 1)

    def lose(self, keys: pl.DataFrame) -> None:
        """Leave out the rows with these keys from now on, where there are any."""
        wanted = keys.cast(self._gone.schema).unique()
        found = self.rows.select(self.key).join(wanted.lazy(), on=self.key, how="semi", nulls_equal=True)
        self._gone = pl.concat([self._gone, found.unique().collect()])

    def lose_others(self, keys: Sequence[Path], *, bucket: int = BUCKET) -> None:
        """Leave out the rows whose key is none of those in these files.

        Keys are compared by the part of them that falls into one of several buckets, so memory holds about ``bucket``
        of each side; the files are read once for each bucket.
        """
        here = self.rows.select(self.key)
        there = pl.scan_parquet(list(keys), glob=False, hive_partitioning=False).select(self.key)
        most = max(each.select(pl.len()).collect().item() for each in (here, there))
        parts = max(1, math.ceil(most / bucket))
        found = [self._gone]
        for part in range(parts):
            mine, theirs = (
                each.filter(pl.struct(self.key).hash() % parts == part) if parts > 1 else each for each in (here, there)
            )
            gone = mine.join(theirs, on=self.key, how="anti", nulls_equal=True).unique()
            found.append(gone.collect(engine="streaming"))
        self._gone = pl.concat(found)

    def left(self) -> Iterator[pl.DataFrame]:
        """Read the rows that are not gone, file by file and some at a time."""
        for file in self._files:
            scan = pl.scan_parquet(file, glob=False, hive_partitioning=False).select(self.schema.names())
            rows = scan.select(pl.len()).collect().item()
            for begin in range(0, rows, _PIECE):
                piece = scan.slice(begin, _PIECE).collect()
                yield piece.join(self._gone, on=self.key, how="anti", nulls_equal=True, maintain_order="left")
