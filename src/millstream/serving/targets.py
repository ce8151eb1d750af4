"""Rows of a forecast that do not say for when: one for each target of the horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from millstream.definitions.rows import at_most
from millstream.errors import BadData
from millstream.features import almanac
from millstream.features.plan import TARGET, FeaturePlan, TickPlan
from millstream.types import from_micros

MOST_ANSWERS = 10_000
"""Answers one request may ask for without naming each."""


def targets(ticks: TickPlan, at_us: int) -> list[int]:
    """List the targets that are to come, of the horizon of the latest tick; microseconds since the epoch.

    They are those that ``millstream score`` predicts at that instant.
    """
    if ticks.horizon is None:
        return []
    at, zone = from_micros(at_us), ticks.timezone
    back = at_most(ticks.step) + timedelta(days=1)
    tick = almanac.ticks(ticks.step, timezone=zone, since=at - back, until=at + timedelta(microseconds=1))[-1]
    first, last = (almanac.after(tick, each, timezone=zone) for each in ticks.horizon)
    since, until = from_micros(max(first, at_us)), from_micros(last + 1)
    return almanac.ticks(ticks.step, timezone=zone, since=since, until=until)


def expanded(
    plan: FeaturePlan, rows: Sequence[Mapping[str, Any]], at_us: int
) -> tuple[list[dict[str, Any]], list[int]]:
    """Return rows that each name their target, and which of the rows asked each one answers.

    A row without ``target_at`` stands for one row per target of the horizon that is to come, in order.

    Raises
    ------
    BadData
        When that would be more than ``MOST_ANSWERS``, or no target is to come.
    """
    if plan.ticks is None or plan.ticks.horizon is None or all(TARGET in row for row in rows):
        return [dict(row) for row in rows], list(range(len(rows)))
    ahead = [from_micros(each).isoformat() for each in targets(plan.ticks, at_us)]
    if not ahead:
        raise BadData(
            f"no target of the horizon {plan.ticks.horizon[0]} to {plan.ticks.horizon[1]} is to come at"
            f" {from_micros(at_us).isoformat()}",
            expected="a target_at in each row",
        )
    wanted = sum(1 if TARGET in row else len(ahead) for row in rows)
    if wanted > MOST_ANSWERS:
        raise BadData(
            f"{len(rows):,} rows for {len(ahead)} targets each are {wanted:,} answers",
            expected=f"at most {MOST_ANSWERS:,} in one request",
            do="fewer rows, a target_at in each, or millstream score for everybody at once",
        )
    found, of = [], []
    for place, row in enumerate(rows):
        for each in (row,) if TARGET in row else ({**row, TARGET: target} for target in ahead):
            found.append(dict(each))
            of.append(place)
    return found, of
