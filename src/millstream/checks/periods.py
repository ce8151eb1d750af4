"""Days and weeks, and which of them a batch brings to judgement.

A period is numbered: days since 1970 by the local calendar, weeks by their Monday. It is judged once its rows are due:
when it has ended and the table's lag has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from millstream.checks.completeness import last_due
from millstream.checks.habit import DAYS
from millstream.checks.scene import Scene
from millstream.checks.words import day as written
from millstream.definitions.habits import Every, Expected, Volume
from millstream.types import parse_duration

_MONDAY = date(1969, 12, 29).toordinal()
_EPOCH = date(1970, 1, 1).toordinal()


class Period(msgspec.Struct, frozen=True):
    """One period held against its habit.

    Parameters
    ----------
    start
        Its first local day, ISO.
    expected, present
        What should be there, and what is.
    share
        Their ratio.
    habit, habit_periods
        The usual share and the number of periods it was learnt from.
    limit
        The share below which the period fails; above ``most`` it fails too, where there is one.
    ok
        Whether it holds.
    quiet
        Whether it is short in all places together, with fewer rows where there are some: then it holds, and is told.
    """

    start: str
    expected: float
    present: int
    share: float
    habit: float
    habit_periods: int
    limit: float
    most: float | None
    ok: bool
    quiet: bool = False


class Window(msgspec.Struct, frozen=True):
    """Which periods to judge, and how far back to read for them.

    Parameters
    ----------
    every
        Length of a period.
    first
        The first period to read.
    due
        The last that is due.
    settled
        The last that was due when the checks last ran.
    """

    every: Every
    first: int
    due: int
    settled: int

    def between(self, timezone: str) -> tuple[datetime, datetime]:
        """Return the instants from and to which rows are read."""
        start, end = (first_day(each, self.every) for each in (self.first, self.due + 1))
        return midnight(start, timezone), midnight(end, timezone)


def number(day: date, every: Every) -> int:
    """Number the period of a day.

    >>> number(date(1970, 1, 4), "1d"), number(date(1970, 1, 4), "1w"), number(date(1970, 1, 5), "1w")
    (3, 0, 1)
    """
    return day.toordinal() - _EPOCH if every == "1d" else (day.toordinal() - _MONDAY) // 7


def first_day(period: int, every: Every) -> date:
    """Return the first day of a period.

    >>> first_day(number(date(2017, 7, 8), "1w"), "1w")
    datetime.date(2017, 7, 3)
    """
    return date.fromordinal(period + _EPOCH if every == "1d" else period * 7 + _MONDAY)


def said(period: Period, every: Every) -> str:
    """Write a period as people do."""
    start = date.fromisoformat(period.start)
    return written(start) if every == "1d" else f"the week from {written(start)}"


def midnight(day: date, timezone: str) -> datetime:
    """Return the instant a local day begins."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def numbered(event_time: str, every: Every, timezone: str) -> pl.Expr:
    """Number the period of each row."""
    day = pl.col(event_time).dt.convert_time_zone(timezone).dt.date().dt.epoch("d")
    return day if every == "1d" else (day + (_EPOCH - _MONDAY)) // 7


def strides(every: Every) -> int:
    """Return how far apart like periods are: a day is like the same weekday, a week like any week."""
    return 7 if every == "1d" else 1


def last_due_period(now: datetime, *, every: Every, timezone: str, lag: timedelta) -> int:
    """Return the last period whose rows must all be here."""
    day = last_due(now, timezone=timezone, lag=lag)
    at = number(day, every)
    return at if every == "1d" or day.weekday() == 6 else at - 1


def window(asked: Expected | Volume, scene: Scene, *, of: int) -> Window:
    """Find the periods to judge and how far back to read."""
    lag, every = parse_duration(scene.table.lag), asked.every
    due = last_due_period(scene.now, every=every, timezone=scene.timezone, lag=lag)
    settled = due - 1
    if scene.since is not None:
        settled = last_due_period(scene.since, every=every, timezone=scene.timezone, lag=lag)
    first = min(due, settled + 1)
    batch = scene.batch
    earliest = batch.frame[batch.event_time].min() if batch.event_time and batch.frame.height else None
    if isinstance(earliest, datetime):
        first = min(first, number(earliest.astimezone(ZoneInfo(scene.timezone)).date(), every))
    habit = DAYS if every == "1d" else 12
    return Window(every, first - habit - of * strides(every), due, settled)


def wanted(window: Window, came: Mapping[int, float], present: Mapping[int, float]) -> list[int]:
    """Name the periods to judge: newly due ones, and those most of whose rows came with the batch.

    Empty periods just before a judged one were never in any batch: they come to light with it.
    """
    found: list[int] = []
    judged = False
    earliest = min(present, default=window.due)
    for at in range(window.due, max(window.first, earliest) - 1, -1):
        here = present.get(at, 0)
        judged = at > window.settled or came.get(at, 0) > here / 2 or (judged and not here)
        if judged:
            found.append(at)
    return found[::-1]


def plain(periods: list[Period]) -> list[dict[str, Any]]:
    """Return periods as plain data."""
    return [msgspec.to_builtins(each) for each in periods]
