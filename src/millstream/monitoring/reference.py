"""What a release promised: the numbers later days are held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from millstream.features.plan import TickPlan
from millstream.metrics.profile import Profile


class NullHabit(msgspec.Struct, frozen=True):
    """How often a source column was NULL when the release was trained.

    Parameters
    ----------
    share
        Over all rows.
    high
        On the worst of the days: sensors that often fail for hours must not cry every day.
    """

    share: float
    high: float


class Reference(msgspec.Struct, frozen=True):
    """What a release was when it was approved.

    Parameters
    ----------
    release
        How people write it: ``late@3``.
    version
        Its number, by which its answers are found.
    goal
        Name of the metric that decides.
    goal_value
        Its value on the release's own hold-out or backtest.
    baseline
        The constant the simple rule answers (the prior or the median).
    profile
        Of the training features.
    nulls
        By ``table.column``, of the columns that features read.
    classes, levels
        Of its answers, where they are of classes or quantiles.
    simple
        All numbers the simple rule answers, where it is more than one.
    labelled
        Whether there is a truth to wait for.
    k
        Items of a list, where its answers are lists.
    scale
        What ``mase`` is measured by, of forecasts.
    offsets
        What is added to the seasonal naive rule for each quantile.
    ticks
        When entities are predicted, and how far ahead; None where rows are no entities at ticks.
    """

    release: str
    version: int
    goal: str
    goal_value: float
    baseline: float
    profile: Profile
    nulls: dict[str, NullHabit] = {}
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    simple: tuple[float, ...] = ()
    labelled: bool = True
    k: int = 0
    scale: float | None = None
    offsets: tuple[float, ...] = ()
    ticks: TickPlan | None = None

    @property
    def width(self) -> int:
        """Numbers an answer has; 0 for one alone."""
        return len(self.classes) or len(self.levels) or self.k


def null_habits(days: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, NullHabit]:
    """Learn how often columns are NULL from the days before training.

    Parameters
    ----------
    days
        For each day ``table.column`` to (rows, nulls).

    >>> null_habits([{"weather.pressure": (72, 9)}, {"weather.pressure": (72, 36)}])["weather.pressure"].high
    0.5
    """
    rows: dict[str, int] = {}
    nulls: dict[str, int] = {}
    high: dict[str, float] = {}
    for day in days:
        for column, (count, missing) in day.items():
            if count:
                rows[column] = rows.get(column, 0) + count
                nulls[column] = nulls.get(column, 0) + missing
                high[column] = max(high.get(column, 0.0), missing / count)
    return {column: NullHabit(share=nulls[column] / rows[column], high=high[column]) for column in rows}
