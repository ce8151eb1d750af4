"""Slices of input rows: what each partition of a table reads, and a digest by which a change of it is noticed.

A digest counts the rows and adds up two 64-bit hashes of each, so it does not depend on their order or their files,
and the digest of any window is the difference of two running sums: one pass over the rows, however many partitions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.definitions.periods import PERIODS, begin_of, named, next_of
from millstream.definitions.table import Table
from millstream.errors import BadData
from millstream.types import from_micros, parse_duration, to_micros

_SEEDS = (11, 4_242_424_242)
_MOST = 20_000
"""Of so many partitions each would hold next to nothing."""


class Slices:
    """The rows of one input, cut.

    Parameters
    ----------
    table
        The table that is made in partitions.
    frame
        Rows of an input.
    event_time
        The input's event time; None when it has none.
    """

    def __init__(self, table: Table, frame: pl.DataFrame, *, event_time: str | None) -> None:
        self._table = table
        self.cut = event_time is not None if table.partition in PERIODS else table.partition in frame.columns
        by_time = table.partition in PERIODS
        self._back = parse_duration(table.lookback) if by_time else None
        self.left_out = 0
        if not self.cut:
            self._frame = frame
        else:
            column = event_time if by_time else table.partition
            assert column is not None
            self.left_out = frame[column].null_count()
            self._frame = frame.drop_nulls(column).sort(column, maintain_order=True)
            self._column = self._frame[column]
            self._at = self._column.to_physical().to_numpy() if by_time else _texts(self._column)
            if not by_time:
                order = np.argsort(self._at, kind="stable")
                self._frame, self._at = self._frame[order], self._at[order]
        self._sums = [_running(self._frame, seed) for seed in _SEEDS]
        self._whole = self._between(0, self._frame.height)

    def names(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        """Return each partition in which this input has rows, with its range of time."""
        if not self.cut or not self._frame.height:
            return {}
        if self._table.partition not in PERIODS:
            return {str(each): (None, None) for each in np.unique(self._at)}
        return _periods(self._table, self._column)

    def digest(self, bounds: tuple[datetime | None, datetime | None], name: str) -> str:
        """Digest what a partition reads of this input: ``count-hash``."""
        return self._between(*self._place(bounds, name)) if self.cut else self._whole

    def rows(self, bounds: tuple[datetime | None, datetime | None], name: str) -> pl.DataFrame:
        """Return what a partition reads of this input."""
        if not self.cut:
            return self._frame
        start, end = self._place(bounds, name)
        return self._frame.slice(start, end - start)

    def _place(self, bounds: tuple[datetime | None, datetime | None], name: str) -> tuple[int, int]:
        low, high = bounds
        if low is None or high is None:
            return int(np.searchsorted(self._at, name, "left")), int(np.searchsorted(self._at, name, "right"))
        assert self._back is not None
        start = np.searchsorted(self._at, to_micros(low - self._back), "left")
        return int(start), int(np.searchsorted(self._at, to_micros(high), "left"))

    def _between(self, start: int, end: int) -> str:
        hashes = [f"{(int(each[end]) - int(each[start])) % (1 << 64):016x}" for each in self._sums]
        return f"{end - start}-{''.join(hashes)}"


def zone_of(table: Table) -> ZoneInfo | None:
    """Return the zone in which a table's days begin."""
    return ZoneInfo(table.timezone) if table.timezone else None


def place(table: Table, name: str, bounds: tuple[datetime | None, datetime | None], rows: pl.DataFrame) -> pl.DataFrame:
    """Keep what of a partition's result belongs to it: rows of its look-back go, others are refused.

    Raises
    ------
    BadData
        For rows of another partition, or of none.
    """
    column = table.event_time if table.partition in PERIODS else table.partition
    assert column is not None
    if column in table.columns or column not in rows.columns:
        raise BadData(
            f"table {table.name!r}, partition {name}: the result has no column {column!r}",
            expected=f"{column!r}, which says to which partition a row belongs",
        )
    low, high = bounds
    if low is None or high is None:
        mine = (rows[column].cast(pl.String) == name).fill_null(False).to_numpy()
        outside = int((~mine).sum())
    else:
        at, missing = rows[column].to_physical().fill_null(0).to_numpy(), rows[column].is_null().to_numpy()
        mine = (at >= to_micros(low)) & (at < to_micros(high)) & ~missing
        near = (at >= to_micros(low - parse_duration(table.lookback))) & (at < to_micros(high)) & ~missing
        outside = int((~near).sum())
    if outside:
        span = f"from {low.isoformat()} to before {high.isoformat()}" if low and high else f"{column} = {name!r}"
        raise BadData(
            f"table {table.name!r}, partition {name}: {outside:,} of {rows.height:,} rows belong to another partition",
            expected=f"rows {span}",
            do=f"give rows by the {column!r} of the rows that were read, or choose longer partitions",
        )
    return rows if mine.all() else rows.filter(pl.Series(mine))


def _periods(table: Table, at: pl.Series) -> dict[str, tuple[datetime | None, datetime | None]]:
    period, zone = table.partition, zone_of(table)
    found: dict[str, tuple[datetime | None, datetime | None]] = {}
    micros = at.to_physical().to_numpy()
    place = 0
    while place < len(micros):
        begin = begin_of(from_micros(int(micros[place])), period, zone)
        end = next_of(begin, period, zone)
        found[named(begin, period, zone)] = (begin.astimezone(UTC), end)
        place = int(np.searchsorted(micros, to_micros(end), "left"))
        if len(found) > _MOST:
            raise BadData(
                f"table {table.name!r} would have more than {_MOST:,} partitions of {period}",
                expected="longer partitions",
            )
    return found


def _texts(column: pl.Series) -> npt.NDArray[np.str_]:
    return np.array(column.cast(pl.String).to_list(), dtype=np.str_)


def _running(frame: pl.DataFrame, seed: int) -> npt.NDArray[np.uint64]:
    """Return running sums of the rows' hashes, from 0; they wrap around."""
    hashes = frame.hash_rows(seed=seed).to_numpy() if frame.height else np.zeros(0, dtype=np.uint64)
    return np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(hashes, dtype=np.uint64)])
