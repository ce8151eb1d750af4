"""A worker: the process that runs user code (training, backtests, reproduction) for the control plane.

It reads one JSON object a line from standard input, runs the command and writes one JSON object a line. It ends
with its parent. The control plane itself never unpickles and never imports an estimator.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from millstream.errors import MillstreamError
from millstream.processes import die_with_parent


def main() -> None:
    """Serve commands until standard input ends."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the control plane ends this process
    root = Path(sys.argv[1])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever user code prints is not an answer
    from millstream.project import Project

    with Project(root) as project:
        _warm()
        answers.write(b'{"ready":true}\n')
        for line in sys.stdin.buffer:
            asked = msgspec.json.decode(line)
            answers.write(msgspec.json.encode(_answer(project, asked)) + b"\n")


def _answer(project: Any, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"record": project.run(asked["command"], asked["arguments"])}
    except MillstreamError as wrong:
        return {"problem": wrong.problem()}
    except Exception as wrong:  # noqa: BLE001 - a border: user code may raise anything
        traceback.print_exc()
        said = f"{asked['command']} failed: {type(wrong).__name__}: {wrong}"
        return {"problem": MillstreamError(said, do="look at .millstream/run/worker.log").problem()}


def _warm() -> None:
    """Import what training needs before the first job asks for it."""
    with contextlib.suppress(ImportError):
        import lightgbm  # noqa: F401


if __name__ == "__main__":
    main()
