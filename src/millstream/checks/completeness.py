"""Whether the rows that another table expects have come, day by day, against the days' own habit.

A day is judged once its rows are due: when the day has ended and the table's lag has passed. Of each day's expected
keys the share present is compared with the share that the days before had (``habit``). Where a day falls short the
missing rows are looked at: a sender that loses rows loses them evenly, a storm or one silent sender does not.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from millstream.checks.contract import kind, subject
from millstream.checks.habit import DAYS, Habit, learn
from millstream.checks.report import CheckResult
from millstream.checks.scene import Scene
from millstream.checks.spread import Spread, spread
from millstream.checks.words import count, percent
from millstream.checks.words import day as written
from millstream.definitions.checks import Complete
from millstream.errors import DefinitionError, near
from millstream.lake.frame import TableFrame
from millstream.types import parse_duration


class DayShare(msgspec.Struct, frozen=True):
    """One day's share of expected rows.

    Parameters
    ----------
    day
        The local day, ISO.
    expected, present
        Keys that should and do exist.
    share
        Their ratio.
    habit, habit_days
        The usual share and the number of days it was learnt from.
    limit
        The share below which the day is incomplete.
    ok
        Whether it is not.
    """

    day: str
    expected: int
    present: int
    share: float
    habit: float
    habit_days: int
    limit: float
    ok: bool


def last_due(now: datetime, *, timezone: str, lag: timedelta) -> date:
    """Return the last local day whose rows must all be here: it ended at least ``lag`` ago, by the local clock.

    >>> last_due(datetime(2013, 10, 14, 4, tzinfo=UTC), timezone="America/New_York", lag=timedelta(days=1))
    datetime.date(2013, 10, 12)
    """
    wall = now.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return (wall - lag).date() - timedelta(days=1)


def check(asked: Complete, scene: Scene) -> CheckResult:
    """Judge the days that became due with this batch.

    These are the days that became due since the checks last ran (the last due day, where that is not said) and every
    other due day most of whose rows came with the batch (all of them, for a first batch); a straggler does not reopen
    a day that was judged before.

    Raises
    ------
    DefinitionError
        When the other table has no event time or not the key.

    Notes
    -----
    Reads ``DAYS`` days of both tables before the first day judged.
    """
    lag = parse_duration(scene.table.lag)
    due = last_due(scene.now, timezone=scene.timezone, lag=lag)
    settled = last_due(scene.since, timezone=scene.timezone, lag=lag) if scene.since else due - timedelta(days=1)
    first = min(due, settled + timedelta(days=1), _first_day(scene)) - timedelta(days=DAYS)
    frame = _expected(asked, scene, first=first, due=due)
    counted = frame.group_by("day").agg(
        pl.len().alias("expected"), pl.col("present").sum(), pl.col("came").sum()
    ).sort("day")  # fmt: skip
    judged = _judge(counted, at_least=asked.at_least, settled=settled)
    return _result(asked, scene, judged, frame)


def missing(asked: Complete, scene: Scene, *, days: list[date]) -> pl.DataFrame:
    """Return every row that is expected on these days and is not there, as the other table has it."""
    if not days:
        return pl.DataFrame(schema={asked.key: pl.String})
    frame = _expected(asked, scene, first=min(days), due=max(days))
    gone = frame.filter(pl.col("day").is_in(days), ~pl.col("present"))
    return gone.select("day", asked.key, pl.exclude("day", asked.key, "present", "came"))


def _first_day(scene: Scene) -> date:
    batch = scene.batch
    earliest = batch.frame[batch.event_time].min() if batch.event_time else None
    return _local(earliest, scene.timezone) if isinstance(earliest, datetime) else date.max


def _midnight(day: date, timezone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def _local(instant: datetime, timezone: str) -> date:
    return instant.astimezone(ZoneInfo(timezone)).date()


def _expected(asked: Complete, scene: Scene, *, first: date, due: date) -> pl.DataFrame:
    """Return the expected rows of the days, with ``day``, ``present`` and ``came`` (present through this batch)."""
    start, end = (_midnight(each, scene.timezone) for each in (first, due + timedelta(days=1)))
    against = scene.other(asked.against, between=(start, end))
    if against.event_time is None:
        raise DefinitionError(
            f"check 'complete' of table {scene.table.name!r}: table {asked.against!r} has no event time",
            expected="an event time, which says on which day a row is expected",
        )
    if asked.key not in against.schema:
        raise DefinitionError(
            f"check 'complete' of table {scene.table.name!r}: table {asked.against!r} has no column {asked.key!r}",
            expected=near(asked.key, against.schema),
        )
    # a row may happen later than it was expected to, so the table's own rows have no upper bound
    own = scene.other(scene.table.name, columns=(asked.key,), between=(start - timedelta(days=1), None))
    came = scene.batch.frame[asked.key].unique()
    present = pl.concat([own.frame[asked.key].unique(), came])
    day = pl.col(against.event_time).dt.convert_time_zone(scene.timezone).dt.date().alias("day")
    return (
        against.frame.lazy()
        .filter(_known_by(against, asked.key, scene.now), pl.col(asked.key).is_not_null())
        .unique(subset=asked.key, keep="last", maintain_order=True)
        .with_columns(
            day,
            pl.col(asked.key).is_in(present.implode()).alias("present"),
            pl.col(asked.key).is_in(came.implode()).alias("came"),
        )
        .filter(pl.col("day").is_between(first, due))
        .select(*against.schema, "day", "present", "came")
        .collect()
    )


def _known_by(against: TableFrame, key: str, now: datetime) -> pl.Expr:
    """Expect only what the other table knew by now."""
    columns = [pl.col(each) <= now for each in against.known_for((key,))]
    return pl.all_horizontal(*columns) if columns else pl.lit(True)


def _judge(counted: pl.DataFrame, *, at_least: float, settled: date) -> list[DayShare]:
    days = list(counted.iter_rows())
    judged: list[DayShare] = []
    wanted = False
    for at in range(len(days) - 1, -1, -1):
        day, expected, present, came = days[at]
        # empty days just before a judged one were never in any batch: they come to light with it
        wanted = day > settled or came > present / 2 or (wanted and present == 0)
        if wanted:
            habit = learn([each[2] / each[1] for each in days[max(0, at - DAYS) : at]])
            judged.append(_day_share(day, expected, present, habit, habit.limit(at_least=at_least, expected=expected)))
    return judged[::-1]


def _day_share(day: date, expected: int, present: int, habit: Habit, limit: float) -> DayShare:
    share = present / expected
    return DayShare(
        day=day.isoformat(),
        expected=expected,
        present=present,
        share=share,
        habit=habit.share,
        habit_days=habit.days,
        limit=limit,
        ok=share >= limit,
    )


def _result(asked: Complete, scene: Scene, judged: list[DayShare], frame: pl.DataFrame) -> CheckResult:
    short = [each for each in judged if not each.ok]
    worst = min(short or judged[-1:], key=lambda each: each.share - each.limit, default=None)
    missing = frame.filter(pl.col("day").is_in([date.fromisoformat(each.day) for each in short]), ~pl.col("present"))
    detail: dict[str, Any] = {"days": [msgspec.to_builtins(each) for each in judged]}
    where = scene.table.name
    if worst is None:
        says = f"{where}: no further day of {asked.against} is due"
    else:
        habit = f"usual is {percent(worst.habit)}" if worst.habit_days else "no habit yet"
        says = (
            f"{where}: {written(date.fromisoformat(worst.day))} has {worst.present:,} of "
            f"{count(worst.expected, 'row')} expected by {asked.against} ({percent(worst.share)}; {habit}, "
            f"limit {percent(worst.limit)})"
        )
    if short and worst is not None:
        on_day = frame.filter(pl.col("day") == date.fromisoformat(worst.day))
        columns = [each for each in frame.columns if each not in (asked.key, "day", "present", "came")]
        found: Spread = spread(on_day, missing=~pl.col("present"), columns=columns, timezone=scene.timezone)
        detail["spread"] = msgspec.to_builtins(found)
        says += f"; {found.says}" + (f"; {len(short)} days are incomplete" if len(short) > 1 else "")
    return CheckResult(
        check=kind(asked),
        subject=subject(scene.table, asked),
        severity=asked.severity,
        ok=not short,
        failed_rows=missing.height,
        share=worst.share if worst else None,
        threshold=worst.limit if worst else None,
        says=says,
        rows=tuple(missing.head(5).select(asked.key).to_dicts()),
        detail=detail,
    )
