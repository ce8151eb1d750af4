"""Lag, measured at each refresh against what is declared; an alarm while it is longer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from millstream.state import alarms, observations, versions
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.lake.lag import Lag
    from millstream.project.root import Project
    from millstream.state.versions import TableVersion

KIND = "lag"
ACTOR = "system:lake"


def keep_lags(project: Project, made: Iterable[TableVersion]) -> None:
    """Measure the lag of new versions, keep it, and open or close the alarm of each table."""
    from millstream.lake.lag import measure

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
    open_ = alarms.of_tables(project.state, KIND).get(found.table)
    with project.state.transact() as tx:
        observations.put(tx, [said_of])
        if found.late:
            alarm = _alarm(found, now.isoformat(), says)
            if open_:
                words = {"last_at": alarm.last_at, "says": alarm.says, "value": alarm.value, "next": alarm.next}
                alarms.put(tx, msgspec.structs.replace(open_, **words))
                return
            alarms.put(tx, alarm)
            detail = {"id": alarm.id, "model": "", "says": says}
            project.ledger.append(tx, actor=ACTOR, act="alarm.open", subject=f"{KIND} {found.table}", detail=detail)
        elif open_ and found.p95 is not None:
            closed = {"closed": found.says}
            alarms.put(tx, msgspec.structs.replace(open_, closed_at=now.isoformat(), detail=open_.detail | closed))
            detail = {"id": open_.id, "model": "", "says": found.says}
            project.ledger.append(tx, actor=ACTOR, act="alarm.close", subject=f"{KIND} {found.table}", detail=detail)


def _alarm(found: Lag, now: str, says: str) -> alarms.Alarm:
    return alarms.Alarm(
        id=alarms.alarm_id("", KIND, found.table, now),
        model="",
        kind=KIND,
        subject=found.table,
        severity="warn",
        opened_at=now,
        since=now[:10],
        last_at=now,
        value=found.p95,
        threshold=found.declared,
        says=f"{found.table}: {says}",
        next=f"declare lag='{found.suggested}' of table {found.table} and train again, or ask its owner",
        detail={"version": found.version, "suggested": found.suggested},
    )
