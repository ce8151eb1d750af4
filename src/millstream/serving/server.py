"""The scoring server's process: ``python -m millstream.serving.server --project DIR``.

It binds a port or takes over a listening socket, loads what is live, says where it is in ``run/scoring.json`` and
answers until it is told to stop; what is in flight then is still answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvicorn

from millstream import settings as settings_
from millstream.errors import Conflict, MillstreamError, Refused, Unavailable
from millstream.processes import die_with_parent
from millstream.serving.app import HOSTS, App
from millstream.serving.live import Live
from millstream.serving.load import Loader
from millstream.serving.log import PredictionLog
from millstream.serving.watch import LEASE_S, Switch, Watcher
from millstream.settings import Places
from millstream.state import State
from millstream.types import Clock, SystemClock, to_micros

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_DRAIN_S = 5


class Running(msgspec.Struct, frozen=True):
    """What ``run/scoring.json`` says of the scoring server that runs."""

    url: str
    pid: int
    server: str


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its own signal handlers: it would die of the signal before the log is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop; return the exit code."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    die_with_parent()
    try:
        root: Path = asked.project
        settings = settings_.read(root)
        places = settings_.places(root, settings)
        listening = _listen(asked.fd, settings.server.host, _port(asked.port, settings))
        state = State(places.state_db)
        log = PredictionLog(places.log, spool=asked.spool, acknowledge=asked.acknowledge)
        server = _Server(
            places,
            state,
            log,
            listening,
            replay=asked.replay,
            clock=settings_.clock(settings, places),
            python=settings.server.python,
        )
    except MillstreamError as wrong:
        sys.stderr.write(f"millstream: {wrong}\n")
        return wrong.exit_code
    try:
        server.run()
    finally:
        log.close()
        state.close()
    return 0


class _Server:
    """The parts of one scoring process, and how they start and end."""

    def __init__(
        self, places: Places, state: State, log: PredictionLog, listening: socket.socket, *, replay: bool,
        clock: Clock, python: str,
    ) -> None:  # fmt: skip
        self._log, self._listening, self._file = log, listening, places.run / "scoring.json"
        host, port = listening.getsockname()[:2]
        self._running = Running(f"http://{f'[{host}]' if ':' in host else host}:{port}", os.getpid(), log.incarnation)
        live = self._live = Live()
        loader = Loader(keys=places.keys, online=places.online, python=python)
        self._watcher = Watcher(
            state, live, server=log.incarnation, url=self._running.url, open_chain=loader.open_chain, log=log
        )
        app = App(live, log, now_us=_now_us(clock), replay=replay, hosts=HOSTS | {host.lower()})
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", interface="asgi3", lifespan="off", ws="none", access_log=False,
            log_config=None, server_header=False, date_header=False, timeout_graceful_shutdown=_DRAIN_S,
            timeout_keep_alive=75,
        )  # fmt: skip
        self._uvicorn = _Uvicorn(config)

    def run(self) -> None:
        """Answer until SIGTERM or SIGINT."""
        self._watcher.tick()
        factory = self._uvicorn.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, self._log.rotate))
        self._watcher.start(_switch(loop))
        write_running(self._file, self._running)
        try:
            await self._uvicorn.serve(sockets=[self._listening])
        finally:
            await loop.run_in_executor(None, self._watcher.stop)
            for chain in self._live.chains.values():
                await loop.run_in_executor(None, chain.close, ())
            forget_running(self._file, self._running)

    def _stop(self) -> None:
        self._uvicorn.should_exit = True


def _switch(loop: asyncio.AbstractEventLoop) -> Switch:
    """Run a change between two requests, and wait until it has run."""

    def switch(change: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            change()
            done.set()

        loop.call_soon_threadsafe(run)
        if not done.wait(LEASE_S):
            raise Unavailable(f"the event loop did not take a change in {LEASE_S:g} s")

    return switch


def _now_us(clock: Clock) -> Callable[[], int]:
    if isinstance(clock, SystemClock):
        return lambda: time.time_ns() // 1000
    return lambda: to_micros(clock.now())


def _listen(descriptor: int | None, host: str, port: int) -> socket.socket:
    """Take over a listening socket, or bind one.

    Raises
    ------
    Conflict
        When the port is in use.
    Refused
        For an address other machines can reach: this server does not know who asks.
    """
    if descriptor is not None:
        listening = socket.socket(fileno=descriptor)
        host = listening.getsockname()[0]
    if host not in _LOOPBACK:
        raise Refused(
            f"the scoring server was told to listen on {host}, and it does not know who asks",
            expected="a loopback address; a proxy in front of it says who may ask",
            do="set server.host to 127.0.0.1 in millstream.toml",
        )
    if descriptor is None:
        listening = _bind(host, port)
    # Head and body of an answer are two writes; without this the second waits 40 ms for the first's receipt.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _bind(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as wrong:
        listening.close()
        if wrong.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Conflict(
            f"port {port} of {host} cannot be used: {wrong.strerror}",
            expected="a free port",
            do="--port 0 takes a free one; server.scoring_port in millstream.toml names another",
        ) from None
    return listening


def write_running(file: Path, running: Running) -> None:
    """Say where this server is, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f"{file.name}.{running.pid}")
    scratch.write_bytes(msgspec.json.encode(running))
    scratch.replace(file)


def read_running(file: Path) -> Running | None:
    """Read where the scoring server is; None when none says so. It may have died since."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def forget_running(file: Path, running: Running) -> None:
    """Take back what this server said, unless another said something since."""
    if read_running(file) == running:
        file.unlink(missing_ok=True)


def _port(asked: int | None, settings: settings_.Settings) -> int:
    return settings.server.scoring_port if asked is None else asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m millstream.serving.server", description=__doc__)
    parser.add_argument("--project", type=Path, required=True, help="the project's folder")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, help="port to bind; 0 takes a free one")
    where.add_argument("--fd", type=int, help="a listening socket that was passed on")
    parser.add_argument("--replay", action="store_true", help="let requests say 'at'")
    parser.add_argument("--spool", type=Path, help="second path of the prediction log, on another disk")
    parser.add_argument(
        "--acknowledge", choices=("fsynced", "written"), default="fsynced",
        help="when an answer may leave: its record synced, or only written (lost with the machine's power)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
