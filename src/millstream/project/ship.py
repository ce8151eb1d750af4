"""Ship: sign a release, rehearse its rollback, ask a person, put it live, roll it back."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import Conflict, IntegrityError, Refused, UserError
from millstream.project import git
from millstream.state import decisions, pointer
from millstream.state import releases as rows

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project
    from millstream.releases.swap import Swap
    from millstream.state.releases import ReleaseRow

WAIT_S = 3.0
"""How long a swap waits for servers whose lease is live."""
_moving = threading.RLock()
"""Held while a release goes live or back: a person who approves and the loop that notices it are one swap."""


def live(project: Project, model: str) -> ReleaseRow | None:
    """Return the live release of a model, if it has one."""
    at = pointer.get(project.state, model)
    return rows.get(project.state, at.release) if at.release else None


def live_plans(project: Project) -> list[FeaturePlan]:
    """Return the feature plans of every release that may answer: the live ones and those they would fall back to."""
    from millstream.features.plan import FeaturePlan

    wanted = dict.fromkeys(
        each for at in pointer.all(project.state) for each in (at.release, at.previous) if each is not None
    )
    return [
        FeaturePlan.decode((Path(rows.get(project.state, each).path) / "plan.json").read_bytes()) for each in wanted
    ]


def release_of(project: Project, subject: str) -> ReleaseRow:
    """Find a release by ``MODEL@VERSION`` or ``MODEL@champion``.

    Raises
    ------
    UserError
        When the subject is not written so.
    NotFound
        When there is no such release.
    """
    model, _, version = subject.partition("@")
    project.manifest.model(model)
    if version == "champion":
        found = live(project, model)
        if found is None:
            raise UserError(f"{model} has no live release", do=f"millstream release {model}")
        return found
    if not version.isdigit():
        raise UserError(f"{subject!r} names no version", expected=f"{model}@3 or {model}@champion")
    return rows.named(project.state, model, int(version))


def release(
    project: Project,
    *,
    model: str,
    version: int | None = None,
    dirty: bool = False,
    note: str = "",
    actor: str = "somebody",
) -> dict[str, Any]:
    """Build a signed release, rehearse its rollback, and ask for approval."""
    from millstream import registry
    from millstream.training.artifact import read_report

    project.manifest.model(model)
    if not dirty:
        git.refuse_dirty(project.root)
    chosen = registry.version(project.places, model, version) if version else registry.latest(project.places, model)
    if chosen is None:
        raise Refused(f"{model} was never trained", expected="a registered version", do=f"millstream train {model}")
    folder = Path(chosen.path)
    built = project.releases.build(
        folder,
        actor=actor,
        trained_by=trainer(project, model, chosen.version),
        note=note,
        model_version=chosen.version,
        code=git.source(project.root, project.manifest.digest, patch=dirty),
    )
    if (status := rows.get(project.state, built.id).status) in ("live", "retired"):
        said = f"{model}@{built.said.version} is live already" if status == "live" else f"{built.name} was live before"
        raise Conflict(said, expected="a version that was never live", do=f"millstream train {model}")
    rehearsal = project.releases.rehearse(built, replay, actor=actor)
    if not rehearsal.ok:
        raise IntegrityError(
            f"the rehearsal of {model}@{chosen.version} failed: {rehearsal.says}",
            expected="the answers it was trained to give, and those of the release before after rolling back",
            do=f"millstream train {model}, then release again",
        )
    report = read_report(folder)
    verdict = msgspec.to_builtins(report.verdict) if report is not None and report.verdict is not None else {}
    asked = project.releases.ask(built, verdict, actor=actor)
    return {
        "model": model,
        "version": built.said.version,
        "model_version": chosen.version,
        "release": built.id,
        "rehearsal": rehearsal.says,
        "rehearsal_ms": round(rehearsal.rollback_ms, 1),
        "decision": asked.id,
        "verdict": verdict,
        "by": actor,
    }


def replay(release: Path, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Answer a release's own sample by its scorer, with the features recorded beside the rows."""
    from millstream.serving import batch

    return batch.replay(release, rows)


def trainer(project: Project, model: str, version: int) -> str:
    """Return who trained a model version, from the ledger."""
    named = f"{model}@{version}"
    found = [each for each in project.ledger.rows(act="model.register", subject=named) if each.subject == named]
    return found[0].actor if found else "unknown"


def approve(
    project: Project,
    *,
    decision: int | str | None = None,
    reason: str = "",
    simulated: bool = False,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Approve a waiting release and put it live."""
    asked = _waiting(project, decision)
    with _moving:
        decided = project.releases.decide(asked.id, True, by=actor, reason=reason, simulated=simulated)
        return {
            "status": decided.status,
            "decision": decided.id,
            **put_live(project, decided.release, actor=actor, reason=reason),
        }


def put_live(project: Project, release_id: str, *, actor: str, reason: str) -> dict[str, Any]:
    """Swap to an approved release; nothing to do when it is live already."""
    from millstream.project.data import keep_served

    with _moving:
        row = rows.get(project.state, release_id)
        at = pointer.get(project.state, row.model)
        if at.release == release_id:
            return {"says": f"{row.name} is live already", "version": row.version, "ms": 0.0}
        keep_served_for(project, row)
        swapped = project.releases.swap(
            row.model, row, expected_generation=at.generation, actor=actor, reason=reason, wait_s=WAIT_S
        )
    keep_served(project)
    project.tell()
    return {"says": f"{row.name} is live{_followed(swapped)}", "version": row.version, "ms": swapped.ms}


def _followed(swapped: Swap) -> str:
    """Say how many servers answer with what is live now, and name those that do not yet."""
    servers = len(swapped.acknowledged)
    said = f" on {servers} server{'s' * (servers != 1)} after {swapped.ms:.0f} ms" if servers else ""
    if swapped.waiting:
        said += (
            f"; {', '.join(swapped.waiting)} did not follow in {WAIT_S:.0f} s and answers with what was live until"
            " its lease ends: millstream status"
        )
    return said


def keep_served_for(project: Project, row: ReleaseRow) -> None:
    """Fill the served features a release reads before it goes live, so that its first answer has them."""
    from millstream.features.plan import FeaturePlan
    from millstream.project.data import serve_plans

    serve_plans(project, [*live_plans(project), FeaturePlan.decode((Path(row.path) / "plan.json").read_bytes())])


def reject(
    project: Project, *, decision: int | str | None = None, reason: str = "", actor: str = "somebody"
) -> dict[str, Any]:
    """Reject a waiting release; nothing changes for callers."""
    asked = _waiting(project, decision)
    decided = project.releases.decide(asked.id, False, by=actor, reason=reason)
    row = rows.get(project.state, decided.release)
    return {
        "status": decided.status,
        "decision": decided.id,
        "says": f"{row.name} is rejected; what was live stays live",
    }


def rollback(
    project: Project, *, model: str, to: int | None = None, reason: str = "", actor: str = "somebody"
) -> dict[str, Any]:
    """Put the release before back, whole."""
    project.manifest.model(model)
    swapped = project.releases.rollback(model, to=to, actor=actor, reason=reason, wait_s=WAIT_S)
    project.tell()
    row = live(project, model)
    assert row is not None
    return {
        "status": "approved",
        "says": f"{model} is rolled back to {row.name}" + (_followed(swapped) if swapped.waiting else ""),
        "version": row.version,
        "ms": swapped.ms,
    }


def _waiting(project: Project, decision: int | str | None) -> decisions.Decision:
    if decision is not None:
        if isinstance(decision, str) and not decision.isdigit():
            raise UserError(f"{decision!r} is no decision", expected="its number, as millstream status shows it")
        return decisions.get(project.state, int(decision))
    found = decisions.waiting(project.state)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Conflict("no decision waits", do="millstream status")
    names: Sequence[str] = [f"{each.id} ({each.model})" for each in found]
    raise UserError(f"{len(found)} decisions wait: {', '.join(names)}", expected="one of them by its number")
