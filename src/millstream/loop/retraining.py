"""The record of a retrain: each step is written down before it begins and after it ends, once.

Nothing here knows how a step is made durable; ``durable`` drives it, and a plain call does in tests.
"""

from __future__ import annotations

from millstream.errors import Conflict, MillstreamError
from millstream.ledger import Ledger
from millstream.loop.steps import APPROVAL, SWAP, Result, Results, Steps, Verdict
from millstream.state import State, jobs
from millstream.state.jobs import Job, JobStatus
from millstream.types import Clock

KIND = "retrain"
ACTOR = "system:loop"


class StepFailed(MillstreamError):
    """A step of a retrain failed for good; the job has ended and says why."""


class Retraining:
    """Asks for retrains and writes down what becomes of them.

    Parameters
    ----------
    state, ledger, clock
        The project's.
    steps
        The work.
    """

    def __init__(self, state: State, ledger: Ledger, clock: Clock, steps: Steps) -> None:
        self.state = state
        self.ledger = ledger
        self.clock = clock
        self.steps = steps

    def ask(self, model: str, *, actor: str, reason: str) -> tuple[Job, bool]:
        """Write a retrain down; a second one while one is at work is the same one.

        Returns
        -------
        tuple
            The job, and whether it is new.
        """
        now = self._now()
        with self.state.transact() as tx:
            count = tx.query("SELECT count(*) AS n FROM jobs WHERE kind = ? AND model = ?", (KIND, model))[0]["n"]
            job = Job(
                id=f"{KIND}-{model}-{count + 1}",
                kind=KIND,
                model=model,
                status="running",
                step="",
                asked_at=now,
                actor=actor,
                reason=reason,
            )
            new = jobs.start(tx, job)
            if new:
                detail = {"model": model, "reason": reason}
                self.ledger.append(tx, actor=actor, act="loop.start", subject=job.id, detail=detail)
        return (job, True) if new else (self._at_work(model), False)

    def run_step(self, job_id: str, name: str, done: Results) -> Result:
        """Run one step and write down how it ended; a step written down as done is not run again.

        Raises
        ------
        StepFailed
            When the step failed for good.
        MillstreamError
            When trying again may help.
        """
        job = jobs.get(self.state, job_id)
        kept = self.done(job_id).get(name)
        if kept is not None:
            return kept
        if job.ended_at is not None:
            raise StepFailed(f"{job_id} has ended ({job.status})")
        with self.state.transact() as tx:
            jobs.begin_step(tx, job_id, name, at=self._now())
        try:
            result: Result = getattr(self.steps, name)(job, done)
        except Exception as wrong:  # a border: a step may raise anything
            if isinstance(wrong, MillstreamError) and not wrong.terminal:
                raise
            self._failed(job_id, name, wrong)
            raise StepFailed(f"step {name} of {job_id}: {wrong}", do=f"millstream retrain {job.model}") from wrong
        with self.state.transact() as tx:
            if jobs.end_step(tx, job_id, name, status="done", at=self._now(), result=result):
                detail = {"step": name, "result": result}
                self.ledger.append(tx, actor=ACTOR, act="loop.step", subject=job_id, detail=detail)
        return result

    def give_up(self, job_id: str, name: str, wrong: Exception) -> None:
        """Write down that a step went on failing and nobody tries again."""
        if jobs.get(self.state, job_id).ended_at is None:
            self._failed(job_id, name, wrong)

    def wait(self, job_id: str) -> None:
        """Write down that the job waits for a person."""
        with self.state.transact() as tx:
            jobs.wait_step(tx, job_id, APPROVAL, at=self._now())

    def decide(self, job: Job) -> Verdict:
        """Take note of the decision a waiting job waits for; rejection ends it."""
        verdict = self.steps.decided(str(self.done(job.id)["ask"]["decision"]))
        if verdict == "waiting":
            return verdict
        with self.state.transact() as tx:
            if jobs.end_step(tx, job.id, APPROVAL, status="done", at=self._now(), result={"verdict": verdict}):
                detail = {"step": APPROVAL, "result": {"verdict": verdict}}
                self.ledger.append(tx, actor=ACTOR, act="loop.step", subject=job.id, detail=detail)
        if verdict == "rejected":
            self.end(job.id, "rejected", {"says": "a person decided against it"})
        return verdict

    def end(self, job_id: str, status: JobStatus, result: Result) -> bool:
        """Write down how the job ended, once; return whether it was news."""
        with self.state.transact() as tx:
            news = jobs.finish(tx, job_id, status=status, at=self._now(), result=result)
            if news:
                detail = {"status": status, "result": result}
                self.ledger.append(tx, actor=ACTOR, act="loop.end", subject=job_id, detail=detail)
        return news

    def cancel(self, job_id: str, *, actor: str, reason: str) -> Job:
        """End a job on a person's word, between its steps; a release it asked about stays undecided.

        Raises
        ------
        NotFound
            When there is no such job.
        Conflict
            When it has ended, or is already swapping.
        """
        job = jobs.get(self.state, job_id)
        if job.ended_at is None and job.step == SWAP:
            raise Conflict(f"{job_id} is swapping", expected="a job that waits", do=f"millstream rollback {job.model}")
        if not self.end(job_id, "cancelled", {"by": actor, "says": reason}):
            raise Conflict(f"{job_id} has ended ({job.status})", expected="a job that is at work")
        return jobs.get(self.state, job_id)

    def done(self, job_id: str) -> dict[str, Result]:
        """Return what the finished steps of a job returned."""
        steps = jobs.steps(self.state, job_id)
        return {each.name: each.result or {} for each in steps if each.status == "done"}

    def _at_work(self, model: str) -> Job:
        found = jobs.at_work(self.state, kind=KIND, model=model)
        if not found:
            raise Conflict(f"a retrain of {model} ended this moment", do=f"millstream retrain {model}")
        return found[0]

    def _failed(self, job_id: str, name: str, wrong: Exception) -> None:
        said = {"step": name, "error": type(wrong).__name__, "says": str(wrong)}
        with self.state.transact() as tx:
            jobs.end_step(tx, job_id, name, status="failed", at=self._now(), result=said)
        self.end(job_id, "failed", said)

    def _now(self) -> str:
        return self.clock.now().isoformat()
