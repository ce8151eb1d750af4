"""Look at a table: what it holds, what stands out, and what could mislead a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import NotFound, near
from millstream.project.people import Person
from millstream.project.tables.lags import lag

if TYPE_CHECKING:
    from millstream.project.root import Project

MOST_VERSIONS = 20


def profile(project: Project, *, table: str, label: str = "", actor: str = "somebody") -> dict[str, Any]:
    """Profile a table at its head, rows in quarantine included; with a label, name the columns that may tell it.

    What is sensitive is profiled as the one who asks sees it.

    Raises
    ------
    NotFound
        For a table or label that is not there.
    """
    from millstream import profiling

    definition = project.manifest.table(table)
    head = project.lake.head(table)
    reader = Person(project, actor)
    frame, _ = reader.rows(table, version=head.version, trusted=False)
    if label and label not in frame.columns:
        raise NotFound(f"table {table!r} has no column {label!r}", do=near(label, frame.columns))
    found = profiling.profile(frame, key=definition.key, event_time=definition.event_time)
    suspects = profiling.suspects(frame, label, event_time=definition.event_time) if label else ()
    history = project.lake.history(table)
    reader.record({table: head.version}, {table: frame.columns}, {"profile": True, "rows": frame.height})
    return {
        "table": table,
        "version": head.version,
        "versions": [
            {"version": each.version, "rows": each.rows, "at": each.registered_at} for each in history[-MOST_VERSIONS:]
        ],
        "version_count": len(history),
        "description": definition.description,
        "key": list(definition.key),
        "event_time": definition.event_time,
        "key_holds": not definition.key or not found.rows or frame.select(definition.key).n_unique() == found.rows,
        "profile": msgspec.to_builtins(found),
        "label": label,
        "suspects": msgspec.to_builtins(suspects),
        "assumptions": project.lake.assumptions(table),
        "lag": lag(project, table),
    }
