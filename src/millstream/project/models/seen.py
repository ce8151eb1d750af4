"""Whether what a model was trained on was here when its rows were decided: the table versions of that time say."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from millstream.errors import MillstreamError
from millstream.types import from_micros, parse_instant, to_micros

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project
    from millstream.training import TrainingSet

BUDGET_S, MOST_VERSIONS, SHOWN = 60.0, 12, 20


def seen_then(
    project: Project, training: TrainingSet, tables: dict[str, TableFrame], *, rows: int, seed: int = 7
) -> dict[str, Any]:
    """Recompute rows decided while the project was running from the versions that were the newest then.

    A known-at is somebody's word; the version that brought a fact is evidence. Rows decided before the first version
    was seen, or whose tables have not changed since, say nothing and are not counted.

    Returns
    -------
    dict
        ``rows`` and ``values`` compared, ``later`` that are other than what was trained on, ``findings`` in words (the
        feature, both values, the fact and the version that brought it) and ``says``.
    """
    from millstream.features.proof.facts import plain
    from millstream.features.proof.seen import then_and_now

    plan, began = training.plan, time.monotonic()
    history = {each: _readable(project, each, tables[each].version) for each in plan.tables}
    first = min((each[0][0] for each in history.values() if each), default=None)
    told: dict[str, Any] = {"rows": 0, "values": 0, "later": 0, "findings": []}
    recent = np.flatnonzero(training.decided >= first) if first is not None else np.zeros(0, dtype=np.intp)
    if not len(recent) or not any(len(each) > 1 for each in history.values()):
        return {
            **told,
            "says": "No row was decided between two versions of its tables: their known-at is taken at its word.",
        }
    edges = np.linspace(0, len(recent), min(rows, len(recent)) + 1).astype(np.intp)
    chance = np.random.default_rng(seed)
    picked = [int(recent[chance.integers(low, high)]) for low, high in pairwise(edges)]
    read: dict[tuple[str, int], TableFrame | None] = {}
    for row in plain(training.frame[picked]):
        if time.monotonic() - began > BUDGET_S:
            break
        then = _then(project, plan, history, read, at=int(row["decided_at"]), now=tables)
        if not then:
            continue
        told["rows"] += 1
        told["values"] += sum(len(each.features) for each in plan.views if each.table in then)
        for name, before, after, behind in then_and_now(plan, row, then, tables):
            told["later"] += 1
            if len(told["findings"]) < SHOWN:
                told["findings"].append(_finding(project, row, (name, before, after), behind, then))
    return {**told, "says": _says(told)}


def _readable(project: Project, table: str, trained: int) -> list[tuple[int, int]]:
    """List when versions up to the one trained on were seen, with their numbers, oldest first."""
    known = [each for each in project.lake.history(table) if each.version <= trained]
    return sorted((to_micros(parse_instant(each.registered_at)), each.version) for each in known)


def _then(
    project: Project,
    plan: FeaturePlan,
    history: dict[str, list[tuple[int, int]]],
    read: dict[tuple[str, int], TableFrame | None],
    *,
    at: int,
    now: dict[str, TableFrame],
) -> dict[str, TableFrame]:
    """Return the tables as they were at an instant, where they are others than those trained on and can be read."""
    found = {}
    for table in plan.tables:
        there = [version for seen, version in history[table] if seen <= at]
        if not there or there[-1] == now[table].version:
            continue
        name = table, there[-1]
        if name not in read:
            if sum(each == table for each, _ in read) >= MOST_VERSIONS:
                continue
            try:
                read[name] = project.lake.read(table, version=there[-1])
            except MillstreamError:  # its files are gone: no evidence, and no finding
                read[name] = None
        frame = read[name]
        if frame is not None:
            found[table] = frame
    return found


def _finding(
    project: Project, row: dict[str, Any], values: tuple[str, Any, Any], behind: Any, then: dict[str, TableFrame]
) -> dict[str, Any]:
    name, before, after = values
    decided = f"{from_micros(int(row['decided_at'])):%Y-%m-%d %H:%M:%S} UTC"
    says = f"{name}, decided at {decided}: trained on {after}, the tables that were here then give {before}"
    if behind is not None:
        key = ", ".join(f"{column} {value}" for column, value in behind.key.items())
        claimed = "always" if behind.known_at is None else f"{from_micros(behind.known_at):%Y-%m-%d %H:%M:%S} UTC"
        version = then[behind.table].version
        says += f"; {key} of {behind.table} says it was known {claimed} and {behind.kind} than version {version}"
        says = says.replace("was rewritten than", "was rewritten after").replace("no more than", "no more after")
    return {"feature": name, "decided_at": decided, "then": before, "trained": after, "says": says}


def _says(told: dict[str, Any]) -> str:
    if not told["rows"]:
        return "No row was decided between two versions of its tables: their known-at is taken at its word."
    if not told["later"]:
        return (
            f"All {told['values']:,} values of {told['rows']:,} rows are also what the tables gave that were here then."
        )
    return (
        f"{told['later']:,} of {told['values']:,} values of {told['rows']:,} rows are others than the tables gave that"
        " were here then: facts came, or were rewritten, later than their known_at and lag say"
    )
