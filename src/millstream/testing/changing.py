"""What is served against what is asked: an engine's answers as steps of time, and its answers at instants."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.features.plan import COUNTS, DAY_US, TARGET, FeaturePlan, ViewPlan
from millstream.testing.asked import LAST, instant, same, spine
from millstream.testing.bench import require
from millstream.types import to_micros

if TYPE_CHECKING:
    import polars as pl

    from millstream.features import Changes, FeatureEngine
    from millstream.lake.frame import TableFrame

BEGIN, END = 11, LAST - 10
"""Steps between which decisions are served."""
ENOUGH = 1 << 30
_MOMENT = 1 / 1_800_000_000
"""A microsecond, in steps."""

EMPTY = (None, 0)
"""What is said of somebody of whom nothing is known: not a count, or one."""

Steps = dict[tuple[Any, ...], list[int]]


def served(*steps: float) -> tuple[int, int]:
    """Return the span between two steps, as engines are given it."""
    since, until = (to_micros(at) for each in steps if (at := instant(each)) is not None)
    return since, until


def decisions(every: int = 1) -> pl.DataFrame:
    """Return rows of people known and unknown, at every step and a moment before the next, or every so many."""
    steps = range(BEGIN, END, every)
    often = [(who, at + shift) for at in steps for who in ("u", "v") for shift in (0, 1 - _MOMENT)]
    asked: list[dict[str, Any]] = [{"p": who, "q": 1, "at": at} for who, at in often]
    asked += [{"p": who, "q": place, "at": at} for at in steps[::7] for who, place in (("u", 2), ("w", 1), (None, 1))]
    return spine(asked)


def agree_as_served(engine: FeatureEngine, plan: FeaturePlan, facts: TableFrame, rows: pl.DataFrame) -> None:
    """Compare what an engine gives as steps of time with what it gives for rows, cell by cell.

    Raises
    ------
    AssertionError
        Naming the feature, the row and both values; or what is wrong with the steps.
    """
    joined = engine.point_in_time(plan, rows, {"facts": facts}).to_dicts()
    for view in plan.views:
        made = engine.changes(view, facts, span=served(BEGIN, END), bound_bytes=ENOUGH)
        steps = _in_order(view, made)
        require(list(made.answers) == list(view.features), f"the features of {view.name} are {list(made.answers)}")
        answers = [each.to_list() for each in made.answers.values()]
        decided, targets = made.decided.tolist(), None if made.target is None else made.target.tolist()
        for row in joined:
            step = _holding(steps.get(tuple(row[key] for key in view.keys), []), decided, targets, row)
            for place, (name, window) in enumerate(view.features.items()):
                found = EMPTY[window.aggregate in COUNTS] if step is None else answers[place][step]
                if window.aged and found is not None:
                    found = (to_micros(row[view.at]) - found) / DAY_US
                same(name := f"{view.name}.{name}", window, row, ({name: found}, row))


def _in_order(view: ViewPlan, made: Changes) -> Steps:
    """Return the steps of each entity; fail unless everybody stands at the beginning, and all in order."""
    named = made.entities.rows()
    require(made.entities.columns == list(view.entity), f"entities are named by {made.entities.columns}")
    require(len(set(named)) == len(named), f"an entity of {view.name} stands there twice")
    steps: Steps = {each: [] for each in named}
    for place, entity in enumerate(made.entity.tolist()):
        steps[named[entity]].append(place)
    decided = made.decided.tolist()
    for who, own in steps.items():
        times = [decided[each] for each in own]
        require(times[:1] == [served(BEGIN, END)[0]], f"{who} of {view.name} does not stand where the span begins")
        require(times == sorted(times), f"the steps of {who} of {view.name} are not in order")
        require(times[-1] < served(BEGIN, END)[1], f"{who} of {view.name} stands after the span")
    return steps


def _holding(
    own: Sequence[int], decided: Sequence[int], targets: Sequence[int] | None, row: Mapping[str, Any]
) -> int | None:
    """Return the step of an entity that holds for a row: the latest by its decision, of these by its target."""
    last = bisect_right(own, to_micros(row["decided_at"]), key=lambda each: decided[each])
    if targets is None or not last:
        return own[last - 1] if last else None
    alike = [each for each in own[:last] if decided[each] == decided[own[last - 1]]]
    place = bisect_right(alike, to_micros(row[TARGET]), key=lambda each: targets[each])
    return alike[place - 1] if place else None
