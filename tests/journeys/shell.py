"""Lines of a document, run as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the fenced blocks of a document: their language, and their lines without empty ones."""
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield found[1], [line for line in found[2].splitlines() if line.strip()]


def commands(page: Path) -> list[str]:
    """Read the commands of a document, in order."""
    return [line for language, lines in blocks(page) if language == "sh" for line in lines]


class Shell:
    """Runs lines as a person types them, in a folder that ``cd`` changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        self.environment |= {"MILLSTREAM_USER": "newcomer", "COLUMNS": "120"}

    def start(self, line: str, *more: str) -> subprocess.Popen[str]:
        words = shlex.split(line, comments=True)
        said = dict(each.split("=", 1) for each in words if re.fullmatch(r"[A-Z_]+=.*", each))
        program, *rest = [each for each in words if not re.fullmatch(r"[A-Z_]+=.*", each)]
        assert program == "millstream", line
        return subprocess.Popen(
            [sys.executable, "-m", "millstream.cli", *rest, *more],
            cwd=self.folder,
            env=self.environment | said,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, line: str) -> str:
        words = shlex.split(line, comments=True)
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            return ""
        if words[-2:] == ["millstream", "up"]:
            with self.up(line) as process:
                assert process.stdout is not None
                return next(each for each in process.stdout if "scoring" in each)
        process = self.start(line)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, f"{line}\n{out}\n{err}"
        return out

    @contextlib.contextmanager
    def up(self, line: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command that serves, on free ports, until the block ends."""
        process = self.start(line, "--scoring-port", "0", "--control-port", "0")
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def answered(up: subprocess.Popen[str], model: str, body: dict[str, Any]) -> dict[str, Any]:
    """Wait until the server says where it is and the champion answers."""
    assert up.stdout is not None
    line = next(each for each in up.stdout if "scoring" in each)
    url = re.search(r"http://\S+", line)
    assert url is not None
    deadline = time.monotonic() + 60
    while True:
        (said,) = ask(f"{url.group()}/v1/models/{model}/predict", body)["predictions"]
        if said["answered_by"] == "champion" or time.monotonic() > deadline:
            return dict(said)
