"""NULLs in the columns that features read, a day's batch at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date

from millstream.definitions.monitors import Classic
from millstream.monitoring.finding import Finding
from millstream.monitoring.reference import Reference

_SURE = 2.326
"""One-sided 99 %."""


def null_findings(
    day: date, *, model: str, monitors: Classic, reference: Reference, batches: Mapping[str, tuple[int, int]]
) -> list[Finding]:
    """Hold a day's NULLs against the reference's.

    A column is judged by what is usual for it: the limit is the reference's share plus ``monitors.nulls``, or what
    the worst day of the reference had. With few rows a share must exceed its limit by more than chance would
    (Wilson 1927).

    Parameters
    ----------
    batches
        ``table.column`` to (rows, nulls) of what arrived that day. A column the reference does not know is
        ``unknown``.
    """
    return [
        _judge(day, model, monitors, reference, column, rows, missing)
        for column, (rows, missing) in sorted(batches.items())
    ]


def lower_bound(count: int, of: int) -> float:
    """Return the share that ``count`` of ``of`` is at least, with 99 % confidence (Wilson's score interval)."""
    if not of:
        return 0.0
    share, square = count / of, _SURE**2 / of
    half = _SURE * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (share + square / 2 - half) / (1 + square))


def _judge(
    day: date, model: str, monitors: Classic, reference: Reference, column: str, rows: int, missing: int
) -> Finding:
    share = missing / rows if rows else None
    habit = reference.nulls.get(column)
    if share is None or habit is None:
        return Finding(
            day=day.isoformat(),
            model=model,
            kind="nulls",
            subject=column,
            verdict="unknown",
            value=share,
            threshold=None,
            says=f"{column}: no rows today" if share is None else f"{column}: {reference.release} does not know it",
        )
    limit = min(1.0, max(habit.share + monitors.nulls, habit.high))
    alarm = lower_bound(missing, rows) > limit
    says = f"{column}: {share:.0%} of {rows} rows are NULL; usual is {habit.share:.0%}, at worst {habit.high:.0%}"
    return Finding(
        day=day.isoformat(),
        model=model,
        kind="nulls",
        subject=column,
        verdict="alarm" if alarm else "ok",
        value=share,
        threshold=limit,
        says=says,
        since=day.isoformat(),
        next=f"millstream check {column.partition('.')[0]}",
        detail={"rows": rows, "nulls": missing},
    )
