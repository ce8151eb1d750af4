"""The facts in a window, and their values, as the aggregates take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.facts import Facts
from millstream.features.intervals import Asked, Indices, Intervals
from millstream.features.sums import ActiveSum, Floats

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Values:
    """What an expression gives for each fact; None counts the facts themselves.

    ``told`` says the middle of all values, where these are some of them.
    """

    series: pl.Series | None
    told: Callable[[], float] | None = None

    @cached_property
    def present(self) -> Mask | None:
        """Mask of the facts whose value is not NULL; None when all are."""
        if self.series is None or not self.series.null_count():
            return None
        return self.series.is_not_null().to_numpy()

    @cached_property
    def numbers(self) -> npt.NDArray[Any]:
        """Return the values as int64 (whole numbers and booleans) or float64, NULL as 0."""
        assert self.series is not None
        dtype = pl.Float64 if self.series.dtype.is_float() else pl.Int64
        return self.series.cast(dtype).fill_null(0).to_numpy()

    @cached_property
    def rank(self) -> Indices:
        """Rank of each fact by its value, then row order: all different, NULL among them as 0."""
        order = np.argsort(self.numbers, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank

    @cached_property
    def centre(self) -> float:
        """The whole number next to the middle value, around which squares and slopes are summed."""
        if self.told is not None:
            return self.told()
        counted = self.numbers if self.present is None else self.numbers[self.present]
        return float(np.rint(np.median(counted))) if len(counted) else 0.0


class Active:
    """The facts in one window, asked: what counts, sums and their kin share.

    Parameters
    ----------
    facts
        The facts.
    intervals
        When they are in the window.
    asked
        The questions.

    Attributes
    ----------
    started, ended
        How many of ``intervals.facts`` have started, and how many have ended, by each question, whoever they are about.
    """

    def __init__(self, facts: Facts, intervals: Intervals, asked: Asked) -> None:
        self.facts = facts
        self.asked = asked
        self.intervals = intervals
        self.started, self.ended = self.intervals.span(asked)

    def count(self, mask: Mask | None) -> Indices:
        """Count active facts, or those of a mask."""
        return self.started - self.ended if mask is None else self.whole(mask.astype(np.int64))

    def whole(self, values: Indices) -> Indices:
        """Sum whole numbers exactly (integers wrap, and unwrap in the difference)."""
        of_active = values[self.intervals.facts]
        starts = prefix(of_active)
        ending = self.intervals.ending
        ends = starts if ending is None else prefix(of_active[ending])
        return starts[self.started] - ends[self.ended]

    def total(self, values: Floats) -> tuple[Floats, Floats]:
        """Sum floats, as an unevaluated pair."""
        return ActiveSum(values[self.intervals.facts], self.intervals.ending).between(self.started, self.ended)


def prefix(values: Indices) -> Indices:
    """Return the sums of the first 0, 1, ... values."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
