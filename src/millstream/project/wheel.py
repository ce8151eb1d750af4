"""The wheel: refresh, check, keep features current, judge, trigger; and the steps of a retrain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.loop.durable import Durable
from millstream.loop.retraining import Retraining
from millstream.loop.schedule import Schedule
from millstream.project.answering.answers import folders, keep_ended
from millstream.project.models import ship
from millstream.project.watch import Watch
from millstream.serving.seal import ended
from millstream.state import decisions, jobs, pointer
from millstream.state import releases as rows
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.state.jobs import Job

ACTOR = "system:loop"
Run = Callable[[str, Mapping[str, Any]], Any]


class Wheel:
    """Turns the loop of one project; one per control plane.

    Parameters
    ----------
    project
        The project.
    run
        Carries out a command: training in a worker, the rest here.
    """

    def __init__(self, project: Project, *, run: Run) -> None:
        self.project = project
        self.watch = Watch(project)
        retraining = Retraining(project.state, project.ledger, project.clock, ProjectSteps(project, run))
        self.durable = Durable(project.places.loop_db, retraining)
        self.schedule = Schedule(
            project.manifest.models,
            state=project.state,
            durable=self.durable,
            since=lambda model: first_live(project, model),
        )

    def start(self) -> None:
        """Resume what a stop interrupted."""
        self.durable.start()

    def stop(self) -> None:
        """Stop; what is under way resumes at the next start."""
        self.durable.stop()

    def turn(self) -> dict[str, Any]:
        """Turn once, by the project's clock, and say what came of it."""
        self.take_in()
        return self.look()

    def take_in(self) -> dict[str, Any]:
        """Take in what arrived: new versions, their contracts, and served features kept current with them."""
        checked: dict[str, Any] = self.project.run("check", {"actor": ACTOR})
        return checked

    def look(self) -> dict[str, Any]:
        """Judge the days that have ended, and begin what harm or the schedule asks for; requests may flow meanwhile."""
        over = ended(*folders(self.project))
        judged = self.watch.judge()
        keep_ended(self.project, over)
        triggers = self.schedule.tick(self.project.clock.now())
        self.project.tell()
        return {
            "now": self.project.clock.now().isoformat(),
            "opened": [msgspec.to_builtins(alarm) for each in judged for alarm in each.opened],
            "closed": [msgspec.to_builtins(alarm) for each in judged for alarm in each.closed],
            "says": [each.says for each in triggers if not each.held],
            "held": [each.says for each in triggers if each.held],
            "working": [each.id for each in jobs.at_work(self.project.state) if each.status == "running"],
            "decisions": [_asked(self.project, each) for each in decisions.waiting(self.project.state)],
        }

    def retrain(self, *, model: str, reason: str = "asked for", actor: str = "somebody") -> dict[str, Any]:
        """Begin a retrain and wait until it asks a person or has ended."""
        self.project.manifest.model(model)
        job, _ = self.durable.begin(model, actor=actor, reason=reason)
        return _told(self.project, self.durable.join(job.id, timeout_s=3600.0))


class ProjectSteps:
    """The work of a retrain, step by step; each looks first whether it was done for its job already."""

    def __init__(self, project: Project, run: Run) -> None:
        self._project = project
        self._run = run

    def candidate(self, job: Job, done: Mapping[str, Any]) -> dict[str, Any]:
        """Train on today's data, beside baseline and champion."""
        made: dict[str, Any] = self._run(
            "train", {"model": job.model, "note": job.reason, "job": job.id, "actor": ACTOR}
        )
        return made

    def backtest(self, job: Job, done: Mapping[str, Any]) -> dict[str, Any]:
        """Read the rolling origins the candidate was judged on."""
        made: dict[str, Any] = self._run(
            "backtest", {"model": job.model, "version": done["candidate"]["version"], "actor": ACTOR}
        )
        return made

    def gate(self, job: Job, done: Mapping[str, Any]) -> dict[str, Any]:
        """Give the verdict."""
        verdict: dict[str, Any] = done["backtest"]["verdict"]
        return verdict

    def release(self, job: Job, done: Mapping[str, Any]) -> dict[str, Any]:
        """Build, sign, rehearse and ask; all of it once for a model version."""
        version = done["candidate"]["version"]
        for row in rows.history(self._project.state, job.model):
            if row.model_version == version and (asked := decisions.about(self._project.state, row.id)):
                return {"release": row.id, "version": row.version, "decision": asked[-1].id}
        made: dict[str, Any] = self._project.run(
            "release", {"model": job.model, "version": version, "note": job.reason, "dirty": True, "actor": ACTOR}
        )
        return made

    def ask(self, job: Job, done: Mapping[str, Any]) -> dict[str, Any]:
        """Name the question that the release asked."""
        return {"decision": str(done["release"]["decision"])}

    def decided(self, decision: str) -> Any:
        """Say what became of the question."""
        status = decisions.get(self._project.state, int(decision)).status
        return "rejected" if status == "void" else status

    def swap(self, job: Job, done: Mapping[str, Any]) -> dict[str, Any]:
        """Put the approved release live; nothing to do when it was live since, even if it was rolled back again."""
        release = done["release"]["release"]
        if any(each["release"] == release for each in pointer.was_live(self._project.state, job.model)):
            self._project.tell()
            row = rows.get(self._project.state, release)
            return {"says": f"{row.name} went live when it was approved", "version": row.version, "ms": 0.0}
        return ship.put_live(self._project, release, actor=ACTOR, reason=job.reason)


def first_live(project: Project, model: str) -> datetime | None:
    """Return when the first release of a model went live."""
    moves = pointer.was_live(project.state, model)
    return parse_instant(moves[-1]["at"]) if moves else None


def retrain(project: Project, *, model: str, reason: str = "asked for", actor: str = "somebody") -> dict[str, Any]:
    """Run a retrain without a control plane, up to its question; ``approve`` puts the release live."""
    steps = ProjectSteps(project, project.run)
    job = jobs.Job(
        id=f"retrain-{project.clock.now():%Y%m%dT%H%M%S}",
        kind="retrain",
        model=model,
        status="running",
        step="candidate",
        asked_at=project.clock.now().isoformat(),
        actor=actor,
        reason=reason,
    )
    done: dict[str, Any] = {}
    for name in ("candidate", "backtest", "gate"):
        done[name] = getattr(steps, name)(job, done)
    if not done["gate"]["passed"]:
        return {"status": "failed", "says": done["gate"]["says"], "exit_code": 7}
    asked = steps.release(job, done)
    return {
        "status": "waiting",
        "says": done["gate"]["says"],
        "decision": asked["decision"],
        "version": asked["version"],
    }


def _asked(project: Project, decision: decisions.Decision) -> dict[str, Any]:
    row = rows.get(project.state, decision.release)
    return {
        "id": decision.id,
        "model": decision.model,
        "version": row.version,
        "says": decision.verdict.get("says", ""),
        "asked_by": decision.asked_by,
    }


def _told(project: Project, job: Job) -> dict[str, Any]:
    result = job.result or {}
    waiting = decisions.waiting(project.state, job.model) if job.status == "waiting" else []
    says = result.get("says") or (waiting[0].verdict.get("says", "") if waiting else f"{job.id}: {job.status}")
    status = {"done": "live", "refused": "failed"}.get(job.status, job.status)
    return {
        "job": job.id,
        "status": status,
        "says": says,
        "decision": waiting[0].id if waiting else None,
        "exit_code": 7 if status == "failed" else 0,
    }
