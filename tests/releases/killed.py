"""Main program of the kill tests: one fork for each life, so that imports are paid once.

``python -m tests.releases.killed points TEMPLATE FOLDER POINT...`` goes through an act on a copy of a project and
kills itself with SIGKILL at a point. ``python -m tests.releases.killed flip FOLDER`` moves the pointer to and fro
until somebody kills it, saying each generation once it was promised.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from millstream.releases import fault
from tests.releases.made import APPROVER, TRAINER, House


def act(root: Path, point: str) -> None:
    """Go through the act a point is in."""
    os.environ[fault.VARIABLE] = point
    house = House(root, fault=fault.from_environment())
    match point.partition(":")[0]:
        case "build":
            house.releases.build(root / "new", actor=TRAINER, trained_by=TRAINER)
        case "swap":
            house.releases.swap("late", house.releases.named("late", 3), actor=APPROVER, reason="better")
        case "rollback":
            house.releases.rollback("late", actor=APPROVER, reason="worse")


def points(template: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        root = folder / name.replace(":", "-")
        shutil.copytree(template, root)
        child = os.fork()
        if child == 0:
            act(root, name)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(name, "killed" if died else f"exit {os.waitstatus_to_exitcode(status)}", flush=True)


def flip(root: Path) -> None:
    house = House(root)
    while True:
        live = house.releases.live("late")
        for version in (1, 2) if live is None or live.version != 1 else (2, 1):
            went = house.releases.rollback("late", to=version, actor=APPROVER, reason="to and fro")
            print(went.generation, went.release, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "points":
        points(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    else:
        flip(Path(sys.argv[2]))
