"""Notice what is unusual of a batch without being asked for, and keep what batches were like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from millstream.state import contracts, habits

if TYPE_CHECKING:
    import polars as pl

    from millstream.definitions.table import Table
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project


def notice(
    project: Project, table: Table, version: int, *, batch: TableFrame, since: int | None
) -> tuple[list[Any], list[pl.DataFrame], bytes]:
    """Judge what came since the table's memory was written; return results, rows to set aside, and the new memory.

    ``batch`` is what came after version ``since``: read again only where the memory is of another version.
    A version that was judged before, whose checks run again because their wording changed, keeps what was noticed of
    it, less what is turned off now.
    """
    from millstream.checks.memory import Memory
    from millstream.checks.noticed import notice as judged

    kept = habits.last(project.state, table.name)
    if kept is not None and kept.version >= version:
        return _again(project, table), [], kept.memory
    memory = None if kept is None else msgspec.json.decode(kept.memory, type=Memory)
    learnt = None if kept is None else kept.version
    if learnt != since:
        batch = project.lake.added(table.name, since=learnt, version=version)
    whole = kept is not None and batch.frame.height >= (project.lake.version(table.name, version).rows or 0)
    made = judged(table, batch, memory, timezone=project.settings.timezone, whole=whole)
    return [*made.results, *made.remarks], made.aside, msgspec.json.encode(made.memory)


def _again(project: Project, table: Table) -> list[Any]:
    from millstream.checks.noticed import still_wanted
    from millstream.checks.report import CheckResult

    last = contracts.last(project.state, table.name)
    said = msgspec.convert(last.report["results"], list[CheckResult]) if last is not None else []
    return [
        again
        for each in said
        if "remark" in each.detail or each.detail.get("noticed")
        if (again := still_wanted(table, each)) is not None
    ]
