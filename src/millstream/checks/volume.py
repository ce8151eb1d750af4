"""Whether a period has about as many rows as usual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

import polars as pl

from millstream.checks.contract import kind, subject
from millstream.checks.habit import DAYS, FEWEST, SPREADS, learn
from millstream.checks.periods import Period, first_day, numbered, plain, said, strides, wanted, window
from millstream.checks.report import CheckResult
from millstream.checks.scene import Scene
from millstream.checks.words import count, percent
from millstream.definitions.habits import Volume

LIKE = 8
"""Like periods whose median says how many rows to expect."""
_FEWEST_LIKE = 4


def check(asked: Volume, scene: Scene) -> CheckResult:
    """Judge the periods that became due with this batch: rows against the median of eight like periods.

    How far periods usually are from that median is the habit; a period fails outside ``at_least`` to ``at_most`` times
    the median and of the habit, more than four spreads away from it, and with more rows than any period of the habit.
    Where fewer than sixteen rows are usual chance alone explains any number of them, and nothing is judged.
    """
    seen = window(asked, scene, of=LIKE)
    event_time = str(scene.table.event_time)
    at = numbered(event_time, asked.every, scene.timezone).cast(pl.Int64).alias("at")
    own = scene.other(
        scene.table.name, columns=(*scene.table.key, event_time), between=seen.between(scene.timezone)
    ).frame.lazy()
    if scene.table.key:  # a correction is no further row
        own = own.unique(subset=list(scene.table.key))
    counted, brought = pl.collect_all(
        [each.group_by(at).len().filter(pl.col("at").is_between(seen.first, seen.due))
         for each in (own, scene.batch.frame.lazy())]
    )  # fmt: skip
    rows, came = ({int(a): float(n) for a, n in each.rows()} for each in (counted, brought))
    judged = [_period(each, rows, asked) for each in wanted(seen, came, rows)]
    return _result(asked, scene, [each for each in judged if each is not None])


def usual(period: int, rows: Mapping[int, float], asked: Volume) -> float | None:
    """Return the median rows of the like periods before; None where they are too few or empty."""
    first, step = min(rows, default=period), strides(asked.every)
    like = [rows.get(each, 0.0) for each in range(period - step * LIKE, period, step) if each >= first]
    return (median(like) or None) if len(like) >= _FEWEST_LIKE else None


def _period(period: int, rows: Mapping[int, float], asked: Volume) -> Period | None:
    expected = usual(period, rows, asked)
    if expected is None:
        return None
    here = rows.get(period, 0.0)
    length = DAYS if asked.every == "1d" else 12
    before = [(rows.get(each, 0.0), usual(each, rows, asked)) for each in range(period - length, period)]
    habit = learn([had / should for had, should in before if should])
    low, high = 0.0, math.inf
    if habit.days >= FEWEST and habit.share > 0 and expected >= SPREADS**2:
        wide = SPREADS * max(habit.spread, math.sqrt(habit.share / expected))
        low = max(0.0, min(asked.at_least * min(habit.share, 1.0), habit.share - wide))
        most = max(had / should for had, should in before if should)
        high = max(asked.at_most * max(habit.share, 1.0), habit.share + wide, most)
    share = here / expected
    return Period(
        start=first_day(period, asked.every).isoformat(),
        expected=expected,
        present=int(here),
        share=share,
        habit=habit.share,
        habit_periods=habit.days,
        limit=low,
        most=None if math.isinf(high) else high,
        ok=low <= share <= high and (share > 0 or low == 0.0),
    )


def _result(asked: Volume, scene: Scene, judged: list[Period]) -> CheckResult:
    wrong = [each for each in judged if not each.ok]
    worst = max(wrong or judged[-1:], key=lambda each: abs(each.share - each.habit), default=None)
    named = subject(scene.table, asked)
    if worst is None:
        says = f"{named}: no period to judge yet; like periods are compared from the fourth on"
    else:
        most = "" if worst.most is None else f", limits {percent(worst.limit)} and {percent(worst.most)}"
        says = (
            f"{named}: {said(worst, asked.every)} has {count(worst.present, 'row')}, {percent(worst.share)} of the "
            f"{worst.expected:,.0f} usual then{most}"
        )
        says += f"; {len(wrong)} periods are not as usual" if len(wrong) > 1 else ""
    return CheckResult(
        check=kind(asked),
        subject=named,
        severity=asked.severity,
        ok=not wrong,
        failed_rows=sum(max(0, round(each.expected * each.habit) - each.present) for each in wrong),
        share=worst.share if worst else None,
        threshold=worst.limit if worst else None,
        says=says,
        detail={"periods": plain(judged), "every": asked.every},
    )
