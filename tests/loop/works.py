"""A retrain's work in files: each outside effect is one line, written at most once for a job."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from millstream.errors import MillstreamError
from millstream.ledger import Ledger
from millstream.loop.durable import Durable
from millstream.loop.retraining import Retraining
from millstream.loop.steps import Result, Results, Verdict
from millstream.state import State
from millstream.state.jobs import Job
from millstream.types import SystemClock

STEPS = ("candidate", "backtest", "gate", "release", "ask", "swap")


class Works:
    """Real steps in a folder, with faults.

    Parameters
    ----------
    folder
        Where effects are written, and ``decision`` is looked for.
    kill_at
        ``step:before`` or ``step:after`` its effect: the process kills itself there.
    fail
        What a step raises, one error a call.
    """

    def __init__(
        self, folder: Path, *, kill_at: str = "", fail: dict[str, list[Exception]] | None = None, passes: bool = True
    ) -> None:
        self.folder = folder
        self.kill_at = kill_at
        self.fail = fail or {}
        self.passes = passes

    def candidate(self, job: Job, done: Results) -> Result:
        return self._once("candidate", job, {"run": f"run of {job.id}"})

    def backtest(self, job: Job, done: Results) -> Result:
        return self._once("backtest", job, {"of": done["candidate"]["run"], "roc_auc": 0.71})

    def gate(self, job: Job, done: Results) -> Result:
        return self._once("gate", job, {"passed": self.passes, "says": f"{done['backtest']['roc_auc']} beats 0.70"})

    def release(self, job: Job, done: Results) -> Result:
        return self._once("release", job, {"release": "abc", "of": done["candidate"]["run"]})

    def ask(self, job: Job, done: Results) -> Result:
        return self._once("ask", job, {"decision": f"decision of {job.id}"})

    def decided(self, decision: str) -> Verdict:
        said = self.folder / "decision"
        word = said.read_text() if said.exists() else ""  # a file being written is empty for an instant
        return word if word in ("approved", "rejected") else "waiting"

    def swap(self, job: Job, done: Results) -> Result:
        return self._once("swap", job, {"generation": 2, "release": done["release"]["release"]})

    @property
    def effects(self) -> list[str]:
        written = self.folder / "effects"
        return written.read_text().splitlines() if written.exists() else []

    def _once(self, step: str, job: Job, result: Result) -> Result:
        if self.fail.get(step):
            raise self.fail[step].pop(0)
        self._die(f"{step}:before")
        line = f"{job.id} {step}"
        if line not in self.effects:
            with (self.folder / "effects").open("a") as file:
                file.write(line + "\n")
        self._die(f"{step}:after")
        return result

    def _die(self, point: str) -> None:
        if self.kill_at == point:
            os.kill(os.getpid(), signal.SIGKILL)


class Transient(MillstreamError):
    """Trying again helps."""

    terminal = False


def open_loop(folder: Path, works: Works) -> Durable:
    """Return a loop over a folder's state, not started."""
    state = State(folder / "state.db")
    return Durable(folder / "loop.db", Retraining(state, Ledger(state, SystemClock()), SystemClock(), works))
