"""Retrains that survive a kill at any instant: the only door to DBOS.

A retrain is two workflows around the question to a person. The first makes, tests and gates a candidate, builds its
release and asks; it then ends, and what waits is a row in the state database: no thread, no timer, nothing to lose.
The second, named after the same job, swaps; it begins once the decision is there, whoever notices it and however
often. A killed process resumes its workflows at its next start, because executor and version never change.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from millstream.errors import MillstreamError, Unavailable
from millstream.loop.retraining import KIND, Retraining, StepFailed
from millstream.loop.steps import APPROVAL, BEFORE_APPROVAL, SWAP, Result
from millstream.state import jobs
from millstream.state.jobs import Job

if TYPE_CHECKING:
    from dbos import DBOS

EXECUTOR = "millstream"
VERSION = "1"
"""Pinned: a workflow is recovered only by the version that began it. Raise it with the order of the steps."""

_ATTEMPTS = 3
_PAUSE_S = 0.5
_LOOK_S = 0.1


class Durable:
    """Runs retrains; one per project, in the control plane.

    Parameters
    ----------
    path
        DBOS's database (``loop.db``).
    retraining
        What writes the record and does the work.
    """

    def __init__(self, path: Path, retraining: Retraining) -> None:
        self.path = path
        self.retraining = retraining
        self._dbos: type[DBOS] | None = None
        self._workflows: dict[str, Callable[[str], str]] = {}
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Launch, resume what a kill interrupted, and begin to look for decisions (about 1.5 s, DBOS's import)."""
        from dbos import DBOS  # 1.2 s: only the process that runs the loop pays it

        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        DBOS(
            config={
                "name": "millstream",
                "system_database_url": f"sqlite:///{self.path}",
                "executor_id": EXECUTOR,
                "application_version": VERSION,
                "log_level": "ERROR",
                "enable_otlp": False,
                "notification_listener_polling_interval_sec": 0.1,  # nothing listens; stopping waits for it
                "max_executor_threads": 4,
            }
        )

        def prepare(job_id: str) -> str:
            return self._prepare(job_id)

        def swap(job_id: str) -> str:
            return self._swap(job_id)

        self._workflows = {
            "prepare": DBOS.workflow(name="retrain.prepare")(prepare),
            "swap": DBOS.workflow(name="retrain.swap")(swap),
        }
        self._dbos = DBOS
        DBOS.launch()
        self._stopping.clear()
        self._adopt()
        self._watcher = threading.Thread(target=self._watch, name="loop-decisions", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stop taking steps; what is under way resumes at the next start."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._dbos is not None:
            self._dbos.destroy(destroy_registry=True)
        self._dbos = self._watcher = None

    def begin(self, model: str, *, actor: str, reason: str) -> tuple[Job, bool]:
        """Begin a retrain, or return the one at work; the second value says whether it is new."""
        job, new = self.retraining.ask(model, actor=actor, reason=reason)
        if new:
            self._run("prepare", job.id)
        return job, new

    def cancel(self, job_id: str, *, actor: str, reason: str) -> Job:
        """End a job on a person's word; a step that is running finishes, no other begins."""
        return self.retraining.cancel(job_id, actor=actor, reason=reason)

    def look(self) -> list[str]:
        """Look for decisions on waiting jobs and go on with those that have one; return the jobs that moved."""
        moved = []
        for job in jobs.at_work(self.retraining.state, kind=KIND):
            if job.status != "waiting":
                continue
            try:
                verdict = self.retraining.decide(job)
            except MillstreamError as wrong:
                if wrong.terminal:
                    self.retraining.give_up(job.id, APPROVAL, wrong)
                continue
            if verdict == "approved":
                self._run("swap", job.id)
            if verdict != "waiting":
                moved.append(job.id)
        return moved

    def join(self, job_id: str, *, timeout_s: float) -> Job:
        """Wait until a job waits for a person or has ended.

        Raises
        ------
        Unavailable
            When it still works after ``timeout_s`` seconds.
        """
        waited = threading.Event()
        for _ in range(max(1, int(timeout_s / 0.02))):
            job = jobs.get(self.retraining.state, job_id)
            if job.ended_at is not None or job.status == "waiting":
                return job
            waited.wait(0.02)
        raise Unavailable(f"{job_id} is still in step {job.step!r} after {timeout_s:.0f} s", do="millstream status")

    def _run(self, name: str, job_id: str) -> None:
        from dbos import SetWorkflowID

        if self._dbos is None:
            raise Unavailable("the loop is not running", do="millstream up")
        with SetWorkflowID(f"{job_id}.{name}"):  # the same id again is the same workflow
            self._dbos.start_workflow(self._workflows[name], job_id)

    def _adopt(self) -> None:
        """Begin what was written down but never began: the process died between the two."""
        assert self._dbos is not None
        for job in jobs.at_work(self.retraining.state, kind=KIND):
            name = "swap" if APPROVAL in self.retraining.done(job.id) else "prepare"
            if job.status == "running" and self._dbos.get_workflow_status(f"{job.id}.{name}") is None:
                self._run(name, job.id)

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self.look()

    def _prepare(self, job_id: str) -> str:
        done: dict[str, Result] = {}
        for name in BEFORE_APPROVAL:
            result = self._step(job_id, name, done)
            if result is None:
                return "ended"
            done[name] = result
            if name == "gate" and not result["passed"]:
                self.retraining.end(job_id, "refused", result)
                return "refused"
        self.retraining.wait(job_id)
        return "waiting"

    def _swap(self, job_id: str) -> str:
        result = self._step(job_id, SWAP, self.retraining.done(job_id))
        if result is not None:
            self.retraining.end(job_id, "done", result)
        return "ended"

    def _step(self, job_id: str, name: str, done: dict[str, Result]) -> Result | None:
        """Run a step once for all time; None says that it failed for good, and the job has ended."""
        assert self._dbos is not None
        result: Result | None = self._dbos.run_step({"name": name}, self._attempts, job_id, name, done)
        return result

    def _attempts(self, job_id: str, name: str, done: dict[str, Result]) -> Result | None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self.retraining.run_step(job_id, name, done)
            except StepFailed:
                return None
            except MillstreamError as wrong:
                if attempt == _ATTEMPTS:
                    self.retraining.give_up(job_id, name, wrong)
                    return None
            if self._stopping.wait(_PAUSE_S * attempt):
                raise _Stopped
        raise AssertionError("the last attempt returns")


class _Stopped(BaseException):
    """The process stops; not an Exception, so that DBOS leaves the step unwritten and it runs again."""
