"""What a retrain does, in order, as the rooms upstream offer it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

from millstream.state.jobs import Job

Result: TypeAlias = dict[str, Any]
Results: TypeAlias = Mapping[str, Result]
"""Step name to what it returned, of the steps done so far."""

Verdict: TypeAlias = Literal["waiting", "approved", "rejected"]

BEFORE_APPROVAL = ("candidate", "backtest", "gate", "release", "ask")
APPROVAL = "approval"
SWAP = "swap"


class Steps(Protocol):
    """The work of a retrain, injected by the composition root.

    Results are plain data. A step may be begun again after a stop, with the same job and the same results before
    it, so whatever it does outside it does at most once, keyed by ``job.id``: it looks first whether it was done.
    A transient failure (an error whose ``terminal`` is False) is tried again, three times in all.
    """

    def candidate(self, job: Job, done: Results) -> Result:
        """Train a candidate on today's data."""
        ...

    def backtest(self, job: Job, done: Results) -> Result:
        """Replay the recipe over past origins, against the champion."""
        ...

    def gate(self, job: Job, done: Results) -> Result:
        """Decide whether the candidate may go on: ``{"passed": bool, "says": str, ...}``."""
        ...

    def release(self, job: Job, done: Results) -> Result:
        """Build, sign and rehearse the release: ``{"release": id, ...}``."""
        ...

    def ask(self, job: Job, done: Results) -> Result:
        """Ask a person to approve it: ``{"decision": id, ...}``."""
        ...

    def decided(self, decision: str) -> Verdict:
        """Say what became of the question; cheap, because it is asked often."""
        ...

    def swap(self, job: Job, done: Results) -> Result:
        """Make the approved release the champion."""
        ...
