"""What the control plane does beside answering: it sends commands where they belong and turns the loop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from millstream.errors import MillstreamError, NotFound, near
from millstream.project import Project
from millstream.project.root import IN_WORKER, checked
from millstream.project.wheel import ACTOR, Wheel
from millstream.server.posts import Applier
from millstream.server.workers import Worker
from millstream.state import outbox

_FLOW = frozenset({"ingest", "refresh", "check", "monitor", "sql", "score", "features_parity"})
"""Commands that read or move tables: one at a time."""

TICK_S = 60.0
START_S = 30.0
"""How long who needs the loop waits for it to begin: it answers for others meanwhile."""


class Conductor:
    """The control plane's hands.

    Parameters
    ----------
    project
        The project, whose lock this process holds.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._flow = threading.Lock()
        self._flows = 0
        self._stopping, self._begun = threading.Event(), threading.Event()
        self._moving = threading.Lock()
        self._turning: threading.Thread | None = None
        self.worker = Worker(project.root, log=project.places.run / "worker.log")
        self._teller = ThreadPoolExecutor(max_workers=1, thread_name_prefix="teller")
        self._untold = threading.Event()
        project.tell = self._tell
        project.aside = self._let_others
        self.wheel = Wheel(project, run=self.command)
        self.applier = Applier(project)

    def start(self) -> None:
        """Recover what a crash left, then turn the loop by the machine's clock (a replay is ticked by its driver)."""
        self._turning = threading.Thread(target=self._turn, name="loop", daemon=True)
        self._turning.start()
        self.applier.start()

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command: user code in the worker, data one at a time, everything else at once."""
        if name in IN_WORKER:
            return self.worker.run(name, arguments)
        if name == "retrain":
            self._await_the_loop()
            return self.wheel.retrain(**checked(name, self.wheel.retrain, arguments))
        if name in _FLOW:
            with self._flowing():
                return self.project.run(name, arguments)
        return self.project.run(name, arguments)

    def tick(self, part: str = "all") -> dict[str, Any]:
        """Turn the wheel once, or one part of it: ``take-in`` what arrived, then ``look`` at what has ended."""
        parts = {"all": self.wheel.turn, "take-in": self.wheel.take_in, "look": self.wheel.look}
        if part not in parts:
            raise NotFound(f"a turn has no part {part!r}", do=near(part, parts))
        self._await_the_loop()
        with self._flowing():
            return parts[part]()

    @contextlib.contextmanager
    def _flowing(self) -> Iterator[None]:
        """Read or move tables while nobody else does."""
        with self._flow:
            self._flows = threading.get_ident()
            try:
                yield
            finally:
                self._flows = 0

    @contextlib.contextmanager
    def _let_others(self) -> Iterator[None]:
        """Let others read and move tables while a step of the project's code runs in its own process."""
        if self._flows != threading.get_ident():
            yield
            return
        self._flows = 0
        self._flow.release()
        try:
            yield
        finally:
            self._flow.acquire()
            self._flows = threading.get_ident()

    def stop(self) -> None:
        """Stop turning and end the worker."""
        self._stopping.set()
        self.applier.stop()
        with self._moving:  # not while it begins
            self.wheel.stop()
        self._teller.shutdown(wait=False, cancel_futures=True)
        self.worker.stop()

    def _tell(self) -> None:
        """Let the worker tell other systems what became true, once it is free; nobody waits for it."""
        if outbox.pending(self.project.state) and not self._untold.is_set():
            self._untold.set()
            self._teller.submit(self._aside, "mirror")

    def _aside(self, command: str) -> None:
        """Have the worker do what nobody waits for; what failed is tried again at the next turn or start."""
        self._untold.clear()
        with contextlib.suppress(MillstreamError):
            self.worker.run(command, {"actor": ACTOR})

    def _await_the_loop(self) -> None:
        """Wait for the loop that was started to have begun; without one what needs it says so."""
        if self._turning is not None:
            self._begun.wait(START_S)

    def _begin(self) -> None:
        """Begin the loop, unless it is to stop already."""
        try:
            with self._moving:
                if not self._stopping.is_set():
                    self.wheel.start()
        finally:
            self._begun.set()

    def _turn(self) -> None:
        self._begin()
        if self._stopping.is_set():
            return
        for each in ("mirror", "reconcile"):  # what a stop left untold, and what somebody else moved meanwhile
            self._teller.submit(self._aside, each)
        if self.project.settings.replay is not None:
            return
        while not self._stopping.wait(TICK_S):
            try:
                self.tick()
            except MillstreamError as wrong:
                self.project.ledger.record(
                    actor=ACTOR, act="loop.failed", subject="tick", detail={"error": wrong.problem()}
                )
