"""All of it on one machine, one process tree.

The supervisor binds each port once, passes the listening sockets on, and starts a process again when it dies. A
caller's connection is never refused while a process is being replaced.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from millstream.errors import Conflict, Refused, Unavailable
from millstream.processes import environment_of_child
from millstream.server.client import Control, posting_token, running
from millstream.settings import places, read

CONTROL = "millstream.server.control"
SCORING = "millstream.serving.server"
_RESTART_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_YOUNG_S = 2.0
"""A process that dies younger than this is started again after a pause, longer each time in a row."""
_READY_S = 30.0


class Child:
    """One supervised process."""

    def __init__(self, name: str, arguments: list[str], *, listening: socket.socket, log: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._listening = listening
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._began = 0.0
        self._young_deaths = 0
        self._again_at: float | None = None

    def start(self) -> None:
        """Start the process with the listening socket."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._listening.fileno()
        with self._log.open("ab") as log:
            self.process = self._spawn(descriptor, log)
        self.starts += 1
        self._began, self._again_at = time.monotonic(), None

    def keep_up(self) -> None:
        """Start the process again if it died: at once, or after a pause when it keeps dying young."""
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if self._again_at is None:
            self._young_deaths = self._young_deaths + 1 if now - self._began < _YOUNG_S else 0
            self._again_at = now + min(_RESTART_PAUSE_S * self._young_deaths, _LONGEST_PAUSE_S)
        if now >= self._again_at:
            self.start()

    def _spawn(self, descriptor: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *self._arguments, "--fd", str(descriptor)]
        return subprocess.Popen(
            command,
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment_of_child(),
        )

    def stop(self) -> None:
        """End the process, gently first."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """The process tree of one project.

    Parameters
    ----------
    root
        The project.
    scoring_port, control_port
        Ports to bind; None takes those of ``millstream.toml``, 0 free ones.

    Raises
    ------
    Conflict
        When a port is in use.
    Refused
        When the host is not this machine's loopback: nobody is authenticated yet.
    UserError
        When the environment says a token for posting rows that is none.
    """

    def __init__(self, root: Path, *, scoring_port: int | None = None, control_port: int | None = None) -> None:
        self.root = root
        posting_token()  # one that is none is refused here, where somebody looks
        settings = read(root)
        self._run = places(root, settings).run
        host = _loopback(settings.server.host)
        self._scoring = _bind(host, settings.server.scoring_port if scoring_port is None else scoring_port, "scoring")
        self._control = _bind(host, settings.server.control_port if control_port is None else control_port, "control")
        replay = ["--replay"] if settings.replay is not None else []
        project = ["--project", str(root)]
        self.control = Child("control", [CONTROL, *project], listening=self._control, log=self._run / "control.log")
        self.scoring = Child(
            "scoring",
            [SCORING, *project, *replay],
            listening=self._scoring,
            log=self._run / "scoring.log",
        )
        self._stopping = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    @property
    def scoring_url(self) -> str:
        """Address of the scoring server."""
        host, port = self._scoring.getsockname()[:2]
        return f"http://{host}:{port}"

    def start(self) -> None:
        """Start every process, and keep them up."""
        self.control.start()
        self.scoring.start()
        self._watching.start()

    def ready(self) -> Control:
        """Wait for the control plane and return a client of it."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            found = running(self.root)
            if found is not None:
                return found
            self._stopping.wait(0.02)
        raise Unavailable(
            f"the control plane did not come up in {_READY_S:.0f} s", do=f"look at {self._run / 'control.log'}"
        )

    def stop(self) -> None:
        """Stop every process and let the ports go."""
        self._stopping.set()
        if self._watching.is_alive():
            self._watching.join(timeout=30)
        for each in (self.scoring, self.control):
            each.stop()
        (self._run / "control.json").unlink(missing_ok=True)  # a control plane that had to be killed left it
        for listening in (self._scoring, self._control):
            listening.close()

    def wait(self) -> None:
        """Wait until somebody stops it."""
        while not self._stopping.wait(1.0):
            pass

    def _watch(self) -> None:
        while not self._stopping.wait(0.05):
            for each in (self.scoring, self.control):
                if not self._stopping.is_set():
                    each.keep_up()


def _loopback(host: str) -> str:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return host
    raise Refused(
        f"server.host is {host!r}, which other machines may reach",
        expected="127.0.0.1 or localhost, since names are asserted and not yet authenticated",
        do="put a proxy that authenticates in front of it",
    )


def _bind(host: str, port: int, what: str) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as wrong:
        listening.close()
        raise Conflict(
            f"the {what} server cannot listen on {host}:{port}: {wrong.strerror}",
            expected="a free port",
            do=f"set server.{what}_port in millstream.toml, or pass --{what}-port 0 for a free one",
        ) from None
    listening.listen(1024)
    listening.set_inheritable(True)
    return listening
