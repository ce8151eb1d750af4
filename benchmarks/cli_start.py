"""How long a person waits for the command line: ``millstream --version`` against a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Work


def version(_: object) -> None:
    """Run the installed command."""
    command = Path(sys.executable).with_name("millstream")
    subprocess.run([str(command), "--version"], check=True, stdout=subprocess.DEVNULL)


def nothing(_: object) -> None:
    """Start the interpreter and end it."""
    subprocess.run([sys.executable, "-c", "pass"], check=True)


WORKS = {"cli-start": Work("cli-start", "1 start", lambda: None, version, nothing, in_children=True)}
