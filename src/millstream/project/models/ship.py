"""Ship: sign a release, rehearse its rollback, ask a person, put it live, roll it back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import Conflict, IntegrityError, Refused, UserError
from millstream.project import git
from millstream.project.models.learn import chosen_version
from millstream.state import decisions, edits, pointer
from millstream.state import releases as rows

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project
    from millstream.releases.swap import Swap
    from millstream.state.releases import ReleaseRow

_NUMBER = re.compile(r"[0-9]{1,18}")
WAIT_S = 3.0
"""How long a swap waits for servers whose lease is live."""
WORKER_WAIT_S = 30.0
"""The same where each server first starts a worker that opens the model."""
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
    if not _NUMBER.fullmatch(version):
        raise UserError(f"{subject[:80]!r} names no version", expected=f"{model}@3 or {model}@champion")
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
    from millstream.serving.batch import replay
    from millstream.training.artifact import read_report

    project.manifest.model(model)
    if not dirty:
        git.refuse_dirty(project.root)
    chosen = chosen_version(project, model, version)
    if chosen is None:
        raise Refused(f"{model} was never trained", expected="a registered version", do=f"millstream train {model}")
    folder = Path(chosen.path)
    code = git.source(project.root, project.manifest.digest, patch=dirty)
    if of_notebook(project, model, chosen.version):
        code |= _defined_elsewhere(project, folder, f"{model}@{chosen.version}", dirty=dirty)
    built = project.releases.build(
        folder,
        actor=actor,
        trained_by=trainer(project, model, chosen.version),
        note=note,
        model_version=chosen.version,
        code=code,
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
    if report is not None and report.effect is not None:  # what people are asked about, kept with the question
        verdict["effect"] = msgspec.to_builtins(report.effect)
    asked = project.releases.ask(built, verdict, actor=actor)
    return {
        "model": model,
        "version": built.said.version,
        "model_version": chosen.version,
        "release": built.id,
        "rehearsal": rehearsal.says,
        "rehearsal_ms": round(rehearsal.rollback_ms, 1),
        "decision": asked.id,
        "status": asked.status,
        "verdict": verdict,
        "serving": _rebuilt(project, built.id),
        "by": actor,
    }


def tried(project: Project, *, model: str, version: int | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Say which version of an overlay a release to production rests on: one of the definitions as committed.

    Raises
    ------
    Refused
        In production itself, for uncommitted definitions, or when the version was trained from other ones.
    """
    from millstream.training import read_record

    project.manifest.model(model)
    here = project.settings.environment
    if not project.settings.overlay:
        raise Refused(
            f"this is {here} already", expected="an overlay, such as --env dev", do=f"millstream release {model}"
        )
    git.refuse_dirty(project.root)
    chosen = chosen_version(project, model, version)
    if chosen is None:
        raise Refused(f"{model} was never trained in {here}", do=f"millstream --env {here} train {model}")
    if read_record(Path(chosen.path)).manifest_digest != project.manifest.digest:
        raise Refused(
            f"version {chosen.version} of {model} in {here} was trained from other definitions than those committed",
            expected="the recipe that was tried",
            do=f"millstream --env {here} train {model}, then release again",
        )
    return {
        "model": model,
        "version": chosen.version,
        "run_id": chosen.run_id,
        "environment": here,
        "metrics": chosen.metrics,
        "pins": chosen.pins,
        "edited": [f"{name} ({told.says})" for name, told in _edits(project, chosen.pins)],
    }


def _edits(project: Project, pins: Mapping[str, int]) -> Iterator[tuple[str, edits.Edit]]:
    """Give the edits among the versions that something was trained on."""
    for name, number in pins.items():
        told = edits.get(project.state, name, number)
        if told is not None:
            yield name, told


def trainer(project: Project, model: str, version: int) -> str:
    """Return who trained a model version, from the ledger."""
    named = f"{model}@{version}"
    found = [each for each in project.ledger.rows(act="model.register", subject=named) if each.subject == named]
    return found[0].actor if found else "unknown"


def of_notebook(project: Project, model: str, version: int) -> bool:
    """Say whether a version was trained from a definition that was in no file, from the ledger."""
    named = f"{model}@{version}"
    found = [each for each in project.ledger.rows(act="model.register", subject=named) if each.subject == named]
    return bool(found) and found[0].detail.get("origin") == "notebook"


def _defined_elsewhere(project: Project, folder: Path, name: str, *, dirty: bool) -> dict[str, str]:
    """Refuse a version whose definition the files do not have; with ``dirty`` what differs comes along.

    Raises
    ------
    Refused
        Naming what to do.
    """
    from millstream.project.notebook import source
    from millstream.training.artifact import read_manifest

    model, then = name.partition("@")[0], read_manifest(folder)
    if source.meaning(then, model) == source.meaning(project.manifest, model):
        return {}
    before, after = source.told(project.manifest, model), source.told(then, model)
    differs = source.difference(before, after, old="the definition files", new=name)
    if not dirty:
        raise Refused(
            f"{name} was trained in a notebook from a definition that the project's files do not have:\n{differs}",
            expected="the definition of what is released, in a commit",
            do=f'p.adopt("{name}") in a notebook, git commit, then release again; or --dirty to keep the difference',
        )
    return {"dirty": "yes", "definition": differs}


def approve(
    project: Project,
    *,
    decision: int | str | None = None,
    reason: str = "",
    simulated: bool = False,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Approve a waiting release and put it live; one that was approved and never went live goes live now.

    The features it reads are filled before it is approved, so that where they cannot be, the question stays open.
    """
    asked = waiting_one(project, decision)
    with _moving:
        decided = asked
        if asked.status != "approved" or rows.get(project.state, asked.release).status != "approved":
            decided = project.releases.decide(
                asked.id, True, by=actor, reason=reason, simulated=simulated,
                before=lambda row: keep_served_for(project, row),
            )  # fmt: skip
        return {
            "status": decided.status,
            "decision": decided.id,
            **put_live(project, decided.release, actor=actor, reason=reason),
        }


def put_live(project: Project, release_id: str, *, actor: str, reason: str) -> dict[str, Any]:
    """Swap to an approved release; nothing to do when it is live already."""
    from millstream.project.tables.data import keep_served

    with _moving:
        row = rows.get(project.state, release_id)
        at = pointer.get(project.state, row.model)
        if at.release == release_id:
            return {"says": f"{row.name} is live already", "version": row.version, "ms": 0.0}
        keep_served_for(project, row)
        wait_s = _wait_s(row)
        swapped = project.releases.swap(
            row.model, row, expected_generation=at.generation, actor=actor, reason=reason, wait_s=wait_s
        )
    keep_served(project)
    project.tell()
    return {"says": f"{row.name} is live{_followed(swapped, wait_s)}", "version": row.version, "ms": swapped.ms}


def _wait_s(row: ReleaseRow) -> float:
    """Say how long a swap to a release waits for the servers."""
    said = msgspec.json.decode((Path(row.path) / "model.json").read_bytes(), type=dict[str, Any])
    return WORKER_WAIT_S if said.get("kind") == "python" else WAIT_S


def _followed(swapped: Swap, wait_s: float = WAIT_S) -> str:
    """Say how many servers answer with what is live now, and name those that do not yet."""
    servers = len(swapped.acknowledged)
    said = f" on {servers} server{'s' * (servers != 1)} after {swapped.ms:.0f} ms" if servers else ""
    if swapped.waiting:
        said += (
            f"; {', '.join(swapped.waiting)} did not follow in {wait_s:.0f} s and answers with what was live until"
            " its lease ends: millstream status"
        )
    return said


def keep_served_for(project: Project, row: ReleaseRow) -> None:
    """Fill the served features a release reads before it goes live, so that its first answer has them."""
    from millstream.project.tables.data import serve_plans

    serve_plans(project, _plans_with(project, row))


def _rebuilt(project: Project, release_id: str) -> list[str]:
    """Say which served features are computed before a release goes live, because it defines them anew."""
    from millstream.project.answering.serving_state import rebuilt

    return rebuilt(project, _plans_with(project, rows.get(project.state, release_id)), project.lake.heads(), new=True)


def _plans_with(project: Project, row: ReleaseRow) -> list[FeaturePlan]:
    """Return the feature plans of what may answer now, and of a release beside them."""
    from millstream.features.plan import FeaturePlan

    return [*live_plans(project), FeaturePlan.decode((Path(row.path) / "plan.json").read_bytes())]


def reject(
    project: Project, *, decision: int | str | None = None, reason: str = "", actor: str = "somebody"
) -> dict[str, Any]:
    """Reject a waiting release; nothing changes for callers."""
    asked = waiting_one(project, decision)
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


def waiting_one(project: Project, decision: int | str | None) -> decisions.Decision:
    """Find a decision by its number; the only one that waits when none is named.

    Raises
    ------
    NotFound
        When there is none with that number.
    Conflict, UserError
        When none, or more than one, waits.
    """
    if decision is not None:
        if isinstance(decision, str) and not _NUMBER.fullmatch(decision):
            raise UserError(f"{decision[:80]!r} is no decision", expected="its number, as millstream status shows it")
        return decisions.get(project.state, int(decision))
    found = decisions.waiting(project.state)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Conflict("no decision waits", do="millstream status")
    names: Sequence[str] = [f"{each.id} ({each.model})" for each in found]
    raise UserError(f"{len(found)} decisions wait: {', '.join(names)}", expected="one of them by its number")
