"""Lag, measured at each refresh against what is declared; an alarm while it is longer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from millstream.project.tables.alarms import Wrong, settle
from millstream.state import observations, versions
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.lake.bitemporal.lag import Lag
    from millstream.project.root import Project
    from millstream.state.versions import TableVersion

KIND = "lag"


def keep_lags(project: Project, made: Iterable[TableVersion]) -> None:
    """Measure the lag of new versions, keep it, and open or close the alarm of each table."""
    from millstream.lake.bitemporal.lag import measure

    shared = project.lake.shared()
    for version in made:
        if version.table in shared:
            continue
        before = versions.before(project.state, version.table, version.version)
        found = measure(project.lake, version, before=before)
        if found is not None:
            _keep(project, found, behind_s=_behind(project, version))


def _behind(project: Project, version: TableVersion) -> float:
    """Say how far the clock stands behind a version that was just seen: it was put back since the one before."""
    return max(0.0, (parse_instant(version.registered_at) - project.clock.now()).total_seconds())


def lag(project: Project, table: str) -> dict[str, Any] | None:
    """Return what was last measured of a table; None while nothing was."""
    found = observations.newest(project.state, KIND, f"{table}@")
    if found is None:
        return None
    return {**found.detail, "says": found.says, "late": found.verdict == "alarm"}


def _keep(project: Project, found: Lag, *, behind_s: float) -> None:
    now = project.clock.now()
    day = now.astimezone(ZoneInfo(project.settings.timezone)).date().isoformat()
    detail = {**msgspec.to_builtins(found), "suggested": found.suggested, "clock_behind_s": behind_s}
    says = found.says
    if found.future:
        said = "facts are here and known only in the future: look at known_at, timezone and the source's clock"
        says += f"; {found.future:,} {said}"
    if behind_s:
        says += f"; the clock was put back by {behind_s:.0f} s, and rows are seen right after those before"
    said_of = observations.Observation(
        day=day,
        model="",
        kind=KIND,
        subject=f"{found.table}@{found.version}",
        value=found.p95,
        threshold=found.declared,
        verdict="unknown" if found.p95 is None else "alarm" if found.late else "ok",
        says=says,
        detail=detail,
    )
    wrong = Wrong(
        f"{found.table}: {says}",
        f"declare lag='{found.suggested}' of table {found.table} and train again, or ask its owner",
        value=found.p95,
        threshold=found.declared,
        detail={"version": found.version, "suggested": found.suggested},
    )
    settle(
        project,
        KIND,
        wrong={found.table: wrong} if found.late else {},
        over=lambda name: found.says if name == found.table and found.p95 is not None else None,
        also=lambda tx: observations.put(tx, [said_of]),
    )
