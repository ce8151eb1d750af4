"""Propose a contract for tables from their data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from millstream.project.root import Project


def suggest(project: Project, *, tables: Iterable[str] | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Propose checks for tables (all when left out) from their rows at the head; nothing is run or written.

    Raises
    ------
    NotFound
        For a table that is not there or was never read.
    """
    return {"tables": [_one(project, name, actor) for name in (list(tables or []) or list(project.manifest.tables))]}


def _one(project: Project, name: str, actor: str) -> dict[str, Any]:
    from millstream import profiling
    from millstream.profiling.suggest import suggest as proposed

    table, head = project.manifest.table(name), project.lake.head(name)
    batch = project.lake.read(name, trusted=False)
    frame = batch.frame.select(list(batch.schema))
    keys = () if table.key or not frame.height else profiling.profile(frame, event_time=table.event_time).keys
    found = proposed(table, batch, timezone=project.settings.timezone, keys=keys)
    project.ledger.record(
        actor=actor, act="table.read", subject=f"{name}@{head.version}", detail={"suggest": True, "rows": frame.height}
    )
    judged = max((each.judged for each in found), default=0)
    held = f"held against {judged} later days of its own past" if judged else "no past to hold a proposal against"
    return {
        "table": name,
        "version": head.version,
        "rows": frame.height,
        "held": held,
        "suggestions": [msgspec.to_builtins(each) | {"says": _says(each)} for each in found],
    }


def _says(each: Any) -> str:
    if each.alarms is None:
        return str(each.saw)
    many = "1 false alarm" if each.alarms == 1 else f"{each.alarms} false alarms"
    return f"{each.saw}; {many} in {each.judged} days"
