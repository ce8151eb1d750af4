"""Propose a contract for tables from their data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.project.people import Person
from millstream.project.unseen import refuse_blind

if TYPE_CHECKING:
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project


def suggest(project: Project, *, tables: Iterable[str] | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Propose checks for tables (all when left out) from their rows at the head; nothing is run or written.

    A proposal quotes values, so columns that the one who asks sees masked are left out.

    Raises
    ------
    NotFound
        For a table that is not there or was never read.
    Refused
        For somebody who sees only some rows of a table, or its times masked: its days would tell them.
    """
    return {"tables": [_one(project, name, actor) for name in (list(tables or []) or list(project.manifest.tables))]}


def _one(project: Project, name: str, actor: str) -> dict[str, Any]:
    from millstream import profiling
    from millstream.profiling.suggest import suggest as proposed

    table, head = project.manifest.table(name), project.lake.head(name)
    batch = project.lake.read(name, trusted=False)
    reader = Person(project, actor)
    refuse_blind(reader, name, [table.event_time] if table.event_time else ())
    hidden = sorted(reader.sight(name).masks)
    batch = _without(batch, hidden)
    frame = batch.frame.select(list(batch.schema))
    keys = () if table.key or not frame.height else profiling.profile(frame, event_time=table.event_time).keys
    found = proposed(table, batch, timezone=project.settings.timezone, keys=keys)
    reader.record({name: head.version}, {name: frame.columns}, {"suggest": True, "rows": frame.height})
    judged = max((each.judged for each in found), default=0)
    held = f"held against {judged} later days of its own past" if judged else "no past to hold a proposal against"
    return {
        "table": name,
        "version": head.version,
        "rows": frame.height,
        "held": held,
        "left_out": hidden,
        "suggestions": [msgspec.to_builtins(each) | {"says": _says(each)} for each in found],
    }


def _without(batch: TableFrame, hidden: list[str]) -> TableFrame:
    """Leave columns out of what is looked at; the rows keep them, since a key names rows whoever may see it."""
    schema = {name: dtype for name, dtype in batch.schema.items() if name not in hidden}
    return dataclasses.replace(batch, schema=schema, key=batch.key if set(batch.key) <= set(schema) else ())


def _says(each: Any) -> str:
    if each.alarms is None:
        return str(each.saw)
    many = "1 false alarm" if each.alarms == 1 else f"{each.alarms} false alarms"
    return f"{each.saw}; {many} in {each.judged} days"
