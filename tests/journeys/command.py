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


def millstream(*words: str | Path, actor: str = "ann", cwd: Path | None = None, timeout_s: float = 120) -> Said:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"MILLSTREAM_USER": actor, "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "millstream.cli", *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
