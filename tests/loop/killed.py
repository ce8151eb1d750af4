"""Main program of the kill test: lives once for each fault point, each life a fork that kills itself.

``python -m tests.loop.killed FOLDER POINT...``; DBOS is imported once, before any thread, and the lives share that.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import dbos  # noqa: F401 - imported once for all lives

from millstream.state import jobs
from tests.loop.works import Works, open_loop


def live(folder: Path, point: str) -> None:
    """Start, resume or begin, go on as far as possible, and die where told."""
    loop = open_loop(folder, Works(folder, kill_at=point))
    state = loop.retraining.state
    loop.start()
    if not jobs.recent(state):
        loop.begin("late", actor="ann", reason="test")
    (job,) = jobs.recent(state)
    deadline = time.monotonic() + 30
    while job.ended_at is None and time.monotonic() < deadline:
        if job.status == "waiting" and not (folder / "decision").exists():
            if point == "waiting":
                os.kill(os.getpid(), signal.SIGKILL)
            (folder / "decision").write_text("approved")
        time.sleep(0.005)
        job = jobs.get(state, job.id)
    os._exit(0 if job.ended_at is not None else 1)


def main() -> int:
    folder, points = Path(sys.argv[1]), sys.argv[2:]
    for point in points:
        child = os.fork()
        if child == 0:
            live(folder, point)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(point, "killed" if died else f"exit {os.waitstatus_to_exitcode(status)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
