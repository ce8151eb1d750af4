"""Which combinations of values had rows in which period, and which were to be expected by the periods before."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.checks.periods import Window, first_day, numbered, strides
from millstream.checks.scene import Scene
from millstream.definitions.habits import Expected

_FEWEST_LIKE = 4
"""Like periods before which nothing is expected yet."""

_Codes: TypeAlias = npt.NDArray[np.int64]


class Present:
    """Which combinations had rows in which period, as numbers."""

    def __init__(self, asked: Expected, scene: Scene, seen: Window) -> None:
        columns, at = list(asked.columns), numbered(str(scene.table.event_time), asked.every, scene.timezone)
        event_time = str(scene.table.event_time)
        own = scene.other(scene.table.name, columns=(*columns, event_time), between=seen.between(scene.timezone))
        parts = [
            each.lazy()
            .select(*columns, at.cast(pl.Int64).alias("_at"), pl.lit(came).alias("_came"))
            .filter(pl.col("_at").is_between(seen.first, seen.due))
            for each, came in ((own.frame, False), (scene.batch.frame, True))
        ]
        rows = (
            pl.concat(parts)
            .group_by(*columns, "_at")
            .agg(pl.col("_came").any(), (~pl.col("_came")).sum().alias("_rows"))
            .collect()
        )
        self.columns = columns
        self.names = rows.select(columns).unique(maintain_order=True).with_row_index("_code")
        codes = rows.join(self.names, on=columns, how="left", nulls_equal=True).sort("_at")
        at_numbers = codes["_at"].to_numpy()
        starts = (
            np.flatnonzero(np.r_[True, at_numbers[1:] != at_numbers[:-1]]) if at_numbers.size else np.array([], int)
        )
        parts_of = np.split(codes["_code"].to_numpy().astype(np.int64), starts[1:]) if at_numbers.size else []
        came = np.split(codes["_came"].to_numpy(), starts[1:]) if at_numbers.size else []
        rows_of = np.split(codes["_rows"].to_numpy().astype(np.int64), starts[1:]) if at_numbers.size else []
        self.at: dict[int, _Codes] = {
            int(at_numbers[start]): part for start, part in zip(starts, parts_of, strict=True)
        }
        self.came = {period: float(part.sum()) for period, part in zip(self.at, came, strict=True)}
        self.lines = dict(zip(self.at, rows_of, strict=True))
        self.count = {period: float(part.size) for period, part in self.at.items()}

    def like(self, period: int, asked: Expected) -> list[int]:
        """Name the like periods before a period."""
        step, first = strides(asked.every), min(self.at, default=period)
        return [each for each in range(period - step * asked.of, period, step) if each >= first]

    def expected(self, period: int, asked: Expected) -> _Codes:
        """Return the combinations expected in a period, by the like periods before it."""
        like = self.like(period, asked)
        if len(like) < min(_FEWEST_LIKE, asked.of):
            return np.array([], dtype=np.int64)
        none = np.array([], dtype=np.int64)
        often = np.bincount(np.concatenate([self.at.get(each, none) for each in like]), minlength=self.names.height)
        return np.flatnonzero(often >= math.ceil(asked.seen * len(like) / asked.of))

    def share(self, period: int, asked: Expected) -> tuple[int, int]:
        """Count what is expected in a period, and what of it is there."""
        due = self.expected(period, asked)
        here = np.zeros(self.names.height, dtype=bool)
        here[self.at.get(period, np.array([], dtype=np.int64))] = True
        return int(due.size), int(here[due].sum())

    def rows(self, period: int, asked: Expected) -> pl.DataFrame:
        """Return the combinations expected in a period, with ``period`` (its first day) and ``present``."""
        due = self.expected(period, asked)
        present = np.isin(due, self.at.get(period, np.array([], dtype=np.int64)))
        return self.names[due].select(
            pl.lit(first_day(period, asked.every)).alias("period"), *self.columns, pl.Series("present", present)
        )
