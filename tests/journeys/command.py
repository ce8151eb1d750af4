"""The command line as a person types it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        return json.loads(self.out)


def millstream(*words: str | Path, actor: str = "ann", timeout_s: float = 120) -> Said:
    """Run a command to its end."""
    done = started(*words, actor=actor)
    try:
        out, err = done.communicate(timeout=timeout_s)
    finally:
        done.kill()
    return Said(done.returncode, out, err)


def started(*words: str | Path, actor: str = "ann") -> subprocess.Popen[str]:
    """Start a command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.Popen(
        [sys.executable, "-m", "millstream.cli", *map(str, words)],
        env=environment | {"MILLSTREAM_USER": actor, "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
