"""Mirror: bring what other systems show (the registry's alias ``champion``) to what the state says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millstream.state import alarms, pointer

if TYPE_CHECKING:
    from millstream.project.root import Project


def mirror(project: Project, *, actor: str = "somebody") -> dict[str, Any]:
    """Tell other systems what became true and was not told yet; what could not be told stays for the next time."""

    def alias(body: Mapping[str, Any]) -> None:
        if body["model_version"] is not None:
            project.tracking.set_alias(body["model"], body["alias"], body["model_version"])

    return {"told": project.releases.project({"alias": alias, "notify": lambda body: None})}


def reconcile(project: Project, *, actor: str = "somebody") -> dict[str, Any]:
    """Raise an alarm for each alias that somebody else moved; it releases nothing."""
    if not pointer.all(project.state):
        return {"found": []}
    now = project.clock.now().isoformat()
    strayed = [each for each in project.releases.reconcile(project.tracking.alias) if not each.ok]
    for each in strayed:
        alarm = alarms.Alarm(
            id=alarms.alarm_id(each.subject, "alias", each.subject, now[:10]),
            model=each.subject,
            kind="alias",
            subject=each.subject,
            severity="warn",
            opened_at=now,
            since=now[:10],
            last_at=now,
            value=None,
            threshold=None,
            says=each.says,
            next=f"millstream status; the next swap or rollback of {each.subject} puts the alias right",
        )
        with project.state.transact() as tx:
            alarms.put(tx, alarm)
            detail = {"id": alarm.id, "model": alarm.model, "says": alarm.says}
            project.ledger.append(tx, actor=actor, act="alarm.open", subject=f"alias {each.subject}", detail=detail)
    return {"found": [each.says for each in strayed]}
