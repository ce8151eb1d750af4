"""The control plane's side of a worker: start it, ask it, start it again when it died."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from millstream.errors import Unavailable
from millstream.processes import environment_of_child
from millstream.server.client import rebuilt


class Worker:
    """One worker process; commands queue for it.

    Parameters
    ----------
    root
        The project.
    log
        File that gets whatever the worker prints.
    """

    def __init__(self, root: Path, *, log: Path) -> None:
        self._root = root
        self._log = log
        self._busy, self._moving = threading.Lock(), threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel ends a child with the thread that started it: this thread lives as long as the control plane.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker-starter")
        self.start()

    def start(self) -> None:
        """Start the process; it warms up while nobody waits for it.

        Raises
        ------
        Unavailable
            When it was stopped for good.
        """
        with self._moving:  # a stop that comes meanwhile ends the process that is being started
            if self._stopped:
                raise Unavailable("the worker was stopped", do="millstream up")
            self._starter.submit(self._start).result()

    def _start(self) -> None:
        self._let_go()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "millstream.server.worker", str(self._root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment_of_child(),
            )
        self._ready = False

    def run(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Run a command in the worker and return its record.

        Raises
        ------
        Unavailable
            When the worker died on it; a new one is already starting.
        """
        with self._busy:
            if self._process is None or self._process.poll() is not None:
                self.start()
            process = self._process
            assert process is not None and process.stdin and process.stdout
            if not self._ready:
                self._ready = bool(process.stdout.readline())
            try:
                process.stdin.write(msgspec.json.encode({"command": command, "arguments": dict(arguments)}) + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = b""
            if not line:
                code = process.wait()
                self.start()
                raise Unavailable(
                    _ended(code, command),
                    expected="user code that does not end its process, and enough memory",
                    do=f"look at {self._log}, then try again",
                )
            answer = msgspec.json.decode(line)
            if "problem" in answer:
                raise rebuilt(answer["problem"], 500)
            return answer["record"]

    def stop(self) -> None:
        """End the process for good."""
        with self._moving:
            self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with self._busy:  # whoever waited for its answer has heard that it ended
            self._let_go()
        self._starter.shutdown()

    def _let_go(self) -> None:
        """Close the pipes to a process that has ended."""
        for pipe in (self._process.stdin, self._process.stdout) if self._process is not None else ():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _ended(code: int, command: str) -> str:
    """Say how a worker came to its end: the kernel ends with signal 9 what takes more memory than there is."""
    if code == -signal.SIGKILL:
        return f"the worker was killed by the system while it ran {command}, most often because memory ran out"
    return f"the worker ended with code {code} while it ran {command}"
