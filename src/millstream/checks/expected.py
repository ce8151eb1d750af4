"""Which combinations of values should have rows in a period, learnt from the periods before, and do not.

A combination (a store and a category, say) is expected on a Saturday when it had rows on six of the last eight
Saturdays. Not all that is expected comes: the share that does has its own habit (``habit``), and a period whose share
lies far below it is short of rows. The rows are named, and whether they are missing evenly or pile up.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import polars as pl

from millstream.checks.contract import kind, subject
from millstream.checks.habit import DAYS, FEWEST, learn
from millstream.checks.periods import Period, Window, first_day, number, plain, said, strides, wanted, window
from millstream.checks.present import Present
from millstream.checks.quiet import is_quiet
from millstream.checks.report import CheckResult
from millstream.checks.scene import Scene
from millstream.checks.spread import spread
from millstream.checks.words import count, percent, value
from millstream.definitions.habits import Expected

NAMED = 200
"""Missing rows a result names; ``missing`` gives them all."""
QUIET = "where there are rows they are far fewer too, as on a holiday: no alarm"


def check(asked: Expected, scene: Scene) -> CheckResult:
    """Judge the periods that became due with this batch.

    Notes
    -----
    Reads the columns of the periods that the habit is learnt from. A first batch of 1.5 million sales lines, a year of
    days, takes about a second, a later batch of one day a few hundredths.
    """
    seen = window(asked, scene, of=asked.of)
    there = Present(asked, scene, seen)
    judged = _judge(asked, seen, there)
    return _result(asked, scene, judged, there)


def missing(asked: Expected, scene: Scene, *, periods: list[date]) -> pl.DataFrame:
    """Return every row that is missing from these periods: ``period`` (its first day) and the columns."""
    there = Present(asked, scene, _back_to(asked, scene, periods))
    found = [there.rows(number(each, asked.every), asked) for each in periods]
    frame = pl.concat(found) if found else there.rows(0, asked).head(0)
    return frame.filter(~pl.col("present")).drop("present")


def shares(asked: Expected, scene: Scene, *, periods: list[date]) -> dict[str, float | None]:
    """Return what share of the expected rows of each period is there now, by its first day.

    None where none is due, or where the period is longer ago than a check reads.
    """
    there = Present(asked, scene, window(asked, scene, of=asked.of))
    found = {each.isoformat(): there.share(number(each, asked.every), asked) for each in periods}
    return {start: present / due if due else None for start, (due, present) in found.items()}


def _back_to(asked: Expected, scene: Scene, periods: list[date]) -> Window:
    """Find how far back to read for periods that may have been judged long ago."""
    seen = window(asked, scene, of=asked.of)
    first = min([number(each, asked.every) for each in periods], default=seen.first)
    return msgspec.structs.replace(seen, first=min(seen.first, first - asked.of * strides(asked.every)))


def _judge(asked: Expected, seen: Window, there: Present) -> list[tuple[int, Period]]:
    shares: dict[int, tuple[int, int]] = {}
    judged: list[tuple[int, Period]] = []
    habit_length = DAYS if asked.every == "1d" else 12

    def share(at: int) -> tuple[int, int]:
        if at not in shares:
            shares[at] = there.share(at, asked)
        return shares[at]

    first = min(there.at, default=seen.due + 1)
    for period in wanted(seen, there.came, there.count):
        due, present = share(period)
        if not due:
            continue
        before = [share(at) for at in range(max(first, period - habit_length), period)]
        habit = learn([found[1] / found[0] for found in before if found[0]])
        ready = habit.days >= FEWEST
        limit = habit.limit(at_least=asked.at_least, expected=due) if ready else 0.0
        quiet = present / due < limit and is_quiet(there, period, asked, share=present / due, limit=limit)
        judged.append(
            (
                period,
                Period(
                    start=first_day(period, asked.every).isoformat(),
                    expected=due,
                    present=present,
                    share=present / due,
                    habit=habit.share,
                    habit_periods=habit.days,
                    limit=limit,
                    most=None,
                    ok=present / due >= limit or quiet,
                    quiet=quiet,
                ),
            )
        )
    return judged


def _result(asked: Expected, scene: Scene, judged: list[tuple[int, Period]], there: Present) -> CheckResult:
    short = [each for each in judged if not each[1].ok]
    hushed = [each for each in judged if each[1].quiet]
    at, worst = min(short or hushed or judged[-1:], key=lambda each: each[1].share - each[1].limit, default=(0, None))
    periods = plain([each for _, each in judged])
    detail: dict[str, Any] = {"periods": periods, "missing": [], "every": asked.every}
    named, lost = subject(scene.table, asked), 0
    if worst is None:
        says = f"{named}: no period to judge yet; like periods are compared from the fourth on"
    else:
        about = f"usual is {percent(worst.habit)}, limit {percent(worst.limit)}" if worst.limit else "no habit yet"
        says = (
            f"{named}: {said(worst, asked.every)} has {worst.present:,} of {count(int(worst.expected), 'combination')} "
            f"that usually have rows then ({percent(worst.share)}; {about})"
        )
    if (short or hushed) and worst is not None:
        rows = there.rows(at, asked)
        found = spread(rows, missing=~pl.col("present"), columns=asked.columns, timezone=scene.timezone)
        gone = [
            there.rows(each, asked).filter(~pl.col("present")).drop("present").sort(asked.columns)
            for each, _ in short or hushed
        ]
        every = pl.concat(gone)
        lost = every.height
        detail["spread"] = msgspec.to_builtins(found)
        detail["missing"] = [row | {"period": row["period"].isoformat()} for row in every.head(NAMED).to_dicts()]
        some = "; ".join(_one(row) for row in gone[[each for each, _ in short or hushed].index(at)].head(3).to_dicts())
        says += f"; {found.says if short else QUIET}; missing are {some}{' ...' if lost > 3 else ''}"
        number_of = len(short or hushed)
        says += f"; {number_of} periods are {'short' if short else 'quiet'}" if number_of > 1 else ""
    return CheckResult(
        check=kind(asked),
        subject=named,
        severity=asked.severity if short or not hushed else "note",
        ok=not short and not hushed,
        failed_rows=lost,
        share=worst.share if worst else None,
        threshold=worst.limit if worst else None,
        says=says,
        rows=tuple(detail["missing"][:5]),
        detail=detail,
    )


def _one(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value(each)}" for name, each in row.items() if name != "period")
