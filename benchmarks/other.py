"""Another library in a process of its own, run by the Python of ``.venv/peers`` and asked once a call."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.harness import ROOT
from benchmarks.peers.asked import MARK

PYTHON = ROOT / ".venv" / "peers" / "bin" / "python"


class Other:
    """One library at its work.

    Parameters
    ----------
    name
        What it is called when it fails.
    module, words
        ``python -m benchmarks.peers.MODULE WORDS...``; see ``benchmarks.peers.asked``.
    check
        Called with what the library found, each time; raises unless that may be compared with ours, and may return
        what is to be said of it.
    """

    def __init__(self, name: str, module: str, *words: str, check: Callable[[Any], str | None]) -> None:
        self.name, self.check, self.peak_mb, self.cpu_s, self.said = name, check, 0.0, 0.0, ""
        command = [str(PYTHON), "-m", f"benchmarks.peers.{module}", *words]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self._said()

    def __call__(self) -> float:
        """Ask once; return the seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        said = self._said()
        self.said = self.check(said["found"]) or ""
        self.peak_mb, self.cpu_s = float(said["peak_mb"]), float(said["cpu"])
        return float(said["took"])

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def _said(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise SystemExit(f"{self.name} ended: see above")


@contextmanager
def started(wanted: Mapping[str, Callable[[], Other]]) -> Iterator[dict[str, Other]]:
    """Start libraries and end them."""
    if not PYTHON.exists():
        raise SystemExit("the other libraries are not installed: make bench does that")
    running: dict[str, Other] = {}
    try:
        for name, start in wanted.items():
            running[name] = start()
        yield running
    finally:
        for each in running.values():
            each.stop()
