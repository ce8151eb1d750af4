"""How long tables take to be made against their habit, why their partitions ran, an alarm where one is far outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from millstream.project.tables.alarms import Wrong, settle, undefined
from millstream.state import runs

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.state.runs import Run
    from millstream.state.versions import TableVersion

KIND = "slow"
ACTOR = "system:lake"
LAST = 20
"""Runs a habit is the median of."""
FEWEST = 5
"""Runs without which there is no habit yet."""
FACTOR, SPREADS, LEAST_S = 2.0, 4.0, 5.0
"""An alarm: more than so many times the habit, so many spreads beyond it, and so many seconds."""
_NAMED = 3


def habit(before: Iterable[Run], seconds: float) -> dict[str, Any] | None:
    """Compare how long a run took with the runs before it; None while there are too few.

    The habit is the median; the spread is 1.4826 times the median distance from it, as of a normal law.
    """
    times = [each.seconds for each in before]
    if len(times) < FEWEST:
        return None
    usual = median(times)
    spread = 1.4826 * median(abs(each - usual) for each in times)
    slow = seconds > FACTOR * usual and seconds > usual + 1.0
    far = slow and seconds > usual + max(SPREADS * spread, LEAST_S)
    return {"seconds": seconds, "usual": round(usual, 3), "spread": round(spread, 3), "slow": slow, "far": far}


def of_version(project: Project, made: TableVersion) -> dict[str, Any] | None:
    """Compare the slowest run of a version with the habit of the table's runs before it."""
    own = [each for each in runs.of_version(project.state, made.table, made.version) if each.seconds > 0]
    if not own:
        return None
    slowest = max(own, key=lambda each: each.seconds)
    before = runs.latest(project.state, made.table, before=made.version, limit=LAST)
    said = habit(before, slowest.seconds)
    return None if said is None else said | {"piece": slowest.piece}


def in_words(made: TableVersion, said: Mapping[str, Any] | None) -> str:
    """Say how long a version took, and its habit where it was slower."""
    if made.making is None or made.making.reused or not made.making.seconds:
        return ""
    count = len(made.making.pieces)
    what = f"{count} partition{'s' * (count != 1)}" if count else "it"
    if said is None or not said["slow"]:
        return f"{what} took {made.making.seconds:.1f} s"
    of = f"partition {said['piece']}" if said["piece"] else "it"
    return f"{of} took {said['seconds']:.1f} s, usual {said['usual']:.1f} s"


def why_pieces(pieces: Mapping[str, str]) -> str:
    """Say which partitions were made and why, the same reason once."""
    if not pieces:
        return "no partition changed"
    parts = []
    for reason, count in Counter(pieces.values()).most_common():
        names = [name for name, each in pieces.items() if each == reason]
        shown = ", ".join(names[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")
        parts.append(f"{shown}: {reason}")
    return "; ".join(parts)


def tell_slow(project: Project, made: Iterable[TableVersion]) -> None:
    """Open an alarm for each table that took far longer than its habit, and close it when one took its time again."""
    last = {version.table: (version, said) for version in made if (said := of_version(project, version)) is not None}
    settle(
        project,
        KIND,
        wrong={name: _wrong(version, said) for name, (version, said) in last.items() if said["far"]},
        over=lambda name: f"table {name} takes its usual time again" if name in last else undefined(project, name),
    )


def lately(project: Project, table: str) -> dict[str, Any] | None:
    """Say what the last runs of a table were: for ``status``; None of a table nothing ran for."""
    last = runs.latest(project.state, table, limit=LAST)
    if not last:
        return None
    usual = round(median(each.seconds for each in last), 3) if len(last) >= FEWEST else None
    shown = ("piece", "version", "at", "seconds", "rows", "why")
    return {"usual": usual, "runs": [{name: getattr(each, name) for name in shown} for each in last]}


def _wrong(version: TableVersion, said: Mapping[str, Any]) -> Wrong:
    of = f"partition {said['piece']} of {version.table}" if said["piece"] else version.table
    return Wrong(
        f"{of} took {said['seconds']:.1f} s to be made, usual {said['usual']:.1f} s",
        f"look at .millstream/steps/{version.table}.log and at what came in",
        value=said["seconds"],
        threshold=said["usual"],
    )
