"""A control plane that kills itself where a file says: ``python -m tests.journeys.doomed --project DIR --fd N``.

The file ``doom`` in the project's folder lists points, one a line: ``begin:candidate`` before a step's work,
``end:candidate`` after its work and before it is written down. The first line is struck out, then it is obeyed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from millstream.loop.steps import BEFORE_APPROVAL, SWAP
from millstream.project.wheel import ProjectSteps
from millstream.server import control

FILE = "doom"
POINTS = tuple(f"{when}:{name}" for name in (*BEFORE_APPROVAL, SWAP) for when in ("begin", "end"))


def pass_by(root: Path, point: str) -> None:
    """Die here if this is the next point."""
    file = root / FILE
    waiting = file.read_text().split() if file.exists() else []
    if waiting[:1] == [point]:
        file.write_text("\n".join(waiting[1:]))
        with (root / f"{FILE}.log").open("a") as log:
            log.write(f"{point} {os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def doom(root: Path, name: str) -> None:
    work = getattr(ProjectSteps, name)

    def step(self: ProjectSteps, job: Any, done: Any) -> Any:
        pass_by(root, f"begin:{name}")
        made = work(self, job, done)
        pass_by(root, f"end:{name}")
        return made

    setattr(ProjectSteps, name, step)


if __name__ == "__main__":
    folder = Path(sys.argv[sys.argv.index("--project") + 1])
    for each in (*BEFORE_APPROVAL, SWAP):
        doom(folder, each)
    sys.exit(control.main())
