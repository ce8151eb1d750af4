"""What the control plane does beside answering: it sends commands where they belong and turns the loop."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from millstream.errors import MillstreamError
from millstream.project import Project
from millstream.project.root import USER_CODE, checked
from millstream.project.wheel import Wheel
from millstream.server.workers import Worker

_FLOW = frozenset({"ingest", "refresh", "check", "monitor", "sql", "score"})
"""Commands that read or move tables: one at a time."""

TICK_S = 60.0


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
        self._stopping = threading.Event()
        self._turning: threading.Thread | None = None
        self.worker = Worker(project.root, log=project.places.run / "worker.log")
        self.wheel = Wheel(project, run=self.command)

    def start(self) -> None:
        """Recover what a crash left, then turn the loop by the machine's clock (a replay is ticked by its driver)."""
        self._turning = threading.Thread(target=self._turn, name="loop", daemon=True)
        self._turning.start()

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command: user code in the worker, data one at a time, everything else at once."""
        if name in USER_CODE:
            return self.worker.run(name, arguments)
        if name == "retrain":
            return self.wheel.retrain(**checked(name, self.wheel.retrain, arguments))
        if name in _FLOW:
            with self._flow:
                return self.project.run(name, arguments)
        return self.project.run(name, arguments)

    def tick(self) -> dict[str, Any]:
        """Turn the wheel once: refresh, check, keep features current, judge, trigger."""
        with self._flow:
            return self.wheel.turn()

    def stop(self) -> None:
        """Stop turning and end the worker."""
        self._stopping.set()
        self.wheel.stop()
        self.worker.stop()

    def _turn(self) -> None:
        self.wheel.start()
        if self.project.settings.replay is not None:
            return
        while not self._stopping.wait(TICK_S):
            try:
                self.tick()
            except MillstreamError as wrong:
                self.project.ledger.record(
                    actor="system:loop", act="loop.failed", subject="tick", detail={"error": wrong.problem()}
                )
