"""What happened, in words: rows of the ledger as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.ledger.chain import LedgerRow
    from millstream.project.root import Project

_TOLD = {
    "alarm.open": "alarm",
    "alarm.close": "calm",
    "loop.failed": "alarm",
    "loop.start": "retrain",
    "loop.end": "retrain",
    "release.build": "release",
    "release.rehearse": "release",
    "decision.ask": "ask",
    "decision.approve": "approve",
    "decision.reject": "reject",
    "decision.void": "reject",
    "decision.note": "note",
    "table.failed": "alarm",
    "pointer.swap": "swap",
    "pointer.rollback": "rollback",
}
"""Acts that the timeline tells, and as what."""
_BESIDE = {"model.register": "train", "model.reproduce": "prove", "release.audit": "prove"}
"""Acts that only the history of one version tells."""
_TIMELINE = 60


def frame(project: Project) -> dict[str, Any]:
    """Name the project, its clock and its zone: what every page says of itself."""
    replay = project.settings.replay
    return {
        "project": project.settings.name,
        "environment": project.settings.environment,
        "now": project.clock.now().isoformat(),
        "clock": replay.label if replay is not None else "machine clock",
        "timezone": project.settings.timezone,
    }


def timeline(project: Project, *, limit: int = _TIMELINE) -> list[dict[str, Any]]:
    """List what happened, newest first, in words."""
    return [told(row) for row in project.ledger.rows(acts=tuple(_TOLD), limit=limit)]


def told(row: LedgerRow) -> dict[str, Any]:
    """Tell one row of the ledger."""
    kind = _TOLD.get(row.act) or _BESIDE.get(row.act, "act")
    says = _says(row.act, row.subject, row.detail)
    return {"at": row.at, "kind": kind, "actor": row.actor, "subject": row.subject, "says": says}


def _says(act: str, subject: str, detail: dict[str, Any]) -> str:
    said = detail.get("says") or detail.get("reason") or ""
    because = f": {said}" if said else ""
    job = detail.get("model") or subject.removeprefix("retrain-").rpartition("-")[0]
    ended = {"done": "ended", "refused": "ended without a better model", "rejected": "ended: a person said no"}
    how = f"{ended.get(detail.get('status', ''), 'failed')}: {(detail.get('result') or {}).get('says', '')}"
    gate = {True: "; it passed its gate", False: "; it did not pass its gate", None: ""}
    passed = gate[(detail.get("verdict") or {}).get("passed")]
    simulated = " (simulated, no person)" if detail.get("simulated") else ""
    words = {
        "alarm.open": said or subject,
        "alarm.close": f"over: {subject}",
        "loop.start": f"{job} is retrained{because}",
        "loop.end": f"the retraining of {job} {how}",
        "loop.failed": f"the loop could not turn: {detail.get('error', {}).get('detail', '')}",
        "release.build": f"{subject} is built and signed",
        "release.rehearse": f"{subject} rehearsed its rollback{because}",
        "release.audit": f"{subject} was audited",
        "decision.ask": f"{subject} waits for approval{passed}",
        "decision.approve": f"{subject} approved{simulated}{because}",
        "decision.reject": f"{subject} rejected{because}",
        "decision.void": f"the question about {subject} is void{because}",
        "decision.note": f"note on {subject}{because}",
        "model.register": f"model version {subject} was trained",
        "model.reproduce": f"{subject} was trained again: {'equal bytes' if detail.get('equal') else 'NOT equal'}",
        "pointer.swap": f"{subject} is live{because}",
        "pointer.rollback": f"rolled back to {subject}{because}",
    }
    return words.get(act, f"{act} {subject}")
