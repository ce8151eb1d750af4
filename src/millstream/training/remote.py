"""A model in a worker process: asked over a socket, requests that wait sent together, started again when it dies.

The scoring server imports this file; it needs the standard library and msgspec only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import select
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

import msgspec

from millstream.errors import IntegrityError, Unavailable
from millstream.processes import environment_of_child
from millstream.training.worker import Asked, Opening, Part, Told, receive, send

_log = logging.getLogger("millstream.workers")

START_S = 60.0
"""How long a model may take to be opened."""
HUNG_S = 1.0
"""How long after the last deadline of what it was asked a worker is given up."""
BATCH_ROWS = 512
"""Rows sent together at most, unless one request has more."""
_LONGEST_PAUSE_S = 5.0
_YOUNG_S = 5.0
_EXIT_S = 0.5
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class _Request:
    __slots__ = ("done", "features", "rows", "until")

    def __init__(self, features: bytes, rows: int, until: float | None) -> None:
        self.features, self.rows, self.until = features, rows, until
        self.done: Future[Part] = Future()


class Remote:
    """A fitted Python model behind a worker process.

    It starts at once, in a thread that lives as long as this object is open: the worker ends with that thread.

    Parameters
    ----------
    opening
        The model.
    name
        What messages call it.
    width
        Features a row.
    python
        Interpreter of the environment the model needs; this process's own unless given.
    """

    def __init__(self, opening: Opening, *, name: str, width: int, python: str = "") -> None:
        self.width, self.name = width, name
        self.problem = f"the worker of {name} is starting"
        self.pid = 0
        self._opening, self._python = opening, python or sys.executable
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        self._closed = threading.Event()
        self._opened: Future[None] = Future()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_up, name=f"worker of {name}", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the model was opened at least once.

        Raises
        ------
        IntegrityError
            When it cannot be opened at all.
        """
        return self._opened.done() and self._opened.result() is None

    def wait(self) -> None:
        """Wait until the model is open.

        Raises
        ------
        IntegrityError, Unavailable
            When it cannot be opened, or is not in time.
        """
        try:
            self._opened.result(timeout=START_S)
        except TimeoutError:
            raise Unavailable(f"the worker of {self.name} did not open its model in {START_S:.0f} s") from None

    def predict_one(self, features: array[float]) -> float:
        """Predict one row; waits as long as it takes."""
        return self.predict_many(features, 1)[0]

    def predict_many(self, features: array[float], rows: int) -> list[float]:
        """Predict rows that lie one after another; waits as long as it takes."""
        part = self.predict_bytes(features.tobytes(), rows)
        return _values(part)

    def predict_bytes(self, features: bytes, rows: int) -> Part:
        """Predict rows given and answered as the bytes of float64; waits as long as it takes.

        Raises
        ------
        Unavailable
            When the model fails on them, or its worker ends.
        """
        self.wait()
        return _checked(self._ask(features, rows, None).done.result(), self.name)

    async def predict_soon(self, features: array[float], rows: int, until: float) -> list[float]:
        """Predict rows by an instant of ``time.monotonic``, while others are served.

        Raises
        ------
        Unavailable
            When there is no answer by then, the model fails on them, or its worker is down.
        """
        if self.problem:
            raise Unavailable(self.problem, expected="a worker that runs", do="look at run/scoring.log")
        left = until - time.monotonic()
        asked = self._ask(features.tobytes(), rows, until)
        try:
            done = asyncio.wrap_future(asked.done)
            part = await (done if math.isinf(left) else asyncio.wait_for(done, max(left, 0.0)))
        except TimeoutError:
            raise Unavailable(f"the worker of {self.name} did not answer by the deadline") from None
        return _values(_checked(part, self.name))

    def close(self) -> None:
        """End the worker."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._ring()
        process = self._process
        if process is not None:
            process.kill()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=START_S)

    def _ask(self, features: bytes, rows: int, until: float | None) -> _Request:
        request = _Request(features, rows, until)
        with self._lock:
            ring = not self._waiting
            self._waiting.append(request)
        if self._closed.is_set():
            self._fail(self._take(), f"the worker of {self.name} is closed")
        elif ring:
            self._ring()
        return request

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # a bell that is full rings already; one that is gone has no listener
            self._ringer.send(b"x")

    def _take(self) -> list[_Request]:
        """Take what waits, up to a batch; requests whose callers have left are dropped."""
        taken: list[_Request] = []
        rows = 0
        with self._lock:
            while self._waiting and (not taken or rows + self._waiting[0].rows <= BATCH_ROWS):
                request = self._waiting.popleft()
                if request.done.set_running_or_notify_cancel():
                    taken.append(request)
                    rows += request.rows
        return taken

    def _keep_up(self) -> None:
        """Start the worker, serve it until it ends, and so on until closed."""
        pause = 0.0
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                with self._started() as connection:
                    self.problem = ""
                    if not self._opened.done():
                        self._opened.set_result(None)
                    said = self._serve(connection)
            except (OSError, EOFError, IntegrityError) as wrong:
                said = wrong.happened if isinstance(wrong, IntegrityError) else self._ended()
                if not self._opened.done():
                    self._opened.set_exception(wrong if isinstance(wrong, IntegrityError) else IntegrityError(said))
            self.problem = said or f"the worker of {self.name} is closed"
            while waiting := self._take():
                self._fail(waiting, self.problem)
            if not self._closed.is_set():
                _log.warning("%s; it is started again", self.problem)
                pause = min(2 * pause + 0.1, _LONGEST_PAUSE_S) if time.monotonic() - began < _YOUNG_S else 0.0
                self._closed.wait(pause)
        self._bell.close()
        self._ringer.close()

    @contextlib.contextmanager
    def _started(self) -> Iterator[socket.socket]:
        """Start a worker, let it open the model, and end it at the end."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [self._python, "-P", "-m", "millstream.training.worker", str(theirs.fileno())]
            environment = environment_of_child(**_ONE_THREAD)
            try:
                process = subprocess.Popen(
                    command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, env=environment
                )
            except OSError as wrong:
                raise IntegrityError(
                    f"the worker of {self.name} cannot be started: {self._python}: {wrong.strerror}",
                    expected="the interpreter of the environment the model needs",
                    do="set server.python in millstream.toml",
                ) from None
            self._process, self.pid = process, process.pid
            theirs.close()
            try:
                ours.settimeout(START_S)
                send(ours, self._opening)
                told = msgspec.msgpack.decode(receive(ours), type=Told)
                ours.settimeout(None)
                if refused := told.parts[0].wrong:
                    raise IntegrityError(
                        f"the model of {self.name} cannot be opened: {refused}",
                        expected="the environment it was trained in (environment.lock)",
                        do="install what is missing, or set server.python in millstream.toml",
                    )
                yield ours
            finally:
                process.kill()
                process.wait()

    def _serve(self, connection: socket.socket) -> str:
        """Answer what comes until the worker ends or this is closed; return what happened."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while not self._closed.is_set():
            batch = self._take()
            if not batch:
                if any(descriptor == connection.fileno() for descriptor, _ in poll.poll()):
                    return self._ended()
                self._bell.recv(4096)
                continue
            said = self._answer(connection, batch)
            if said:
                self._fail(batch, said)
                return said
        return ""

    def _answer(self, connection: socket.socket, batch: list[_Request]) -> str:
        """Have one batch answered; return what happened when it was not."""
        untils = [each.until for each in batch]
        limit = max((each for each in untils if each is not None), default=math.inf)
        patient = None in untils or math.isinf(limit)
        try:
            send(connection, Asked([each.rows for each in batch], b"".join(each.features for each in batch)))
            wait = select.poll()
            wait.register(connection, select.POLLIN)
            left_ms = None if patient else max(0.0, limit + HUNG_S - time.monotonic()) * 1000
            if not wait.poll(left_ms):
                return f"the worker of {self.name} hung on a request and was ended"
            told = msgspec.msgpack.decode(receive(connection), type=Told)
        except (OSError, EOFError, msgspec.MsgspecError):
            return self._ended()
        for request, part in zip(batch, told.parts, strict=True):
            request.done.set_result(part)
        return ""

    def _ended(self) -> str:
        if self._closed.is_set():
            return f"the worker of {self.name} is closed"
        said = f"the worker of {self.name} ended"
        if self._process is None:
            return said
        try:
            return f"{said} with code {self._process.wait(timeout=_EXIT_S)}"
        except subprocess.TimeoutExpired:
            return f"{said} its connection"

    def _fail(self, batch: list[_Request], said: str) -> None:
        for each in batch:
            if not each.done.done():
                each.done.set_result(Part(wrong=said))


def _checked(part: Part, name: str) -> Part:
    if part.wrong:
        said = part.wrong if part.wrong.startswith("the worker") else f"{name} failed: {part.wrong}"
        raise Unavailable(said, do="look at what the worker printed")
    return part


def _values(part: Part) -> list[float]:
    """Return one number a row, or one tuple a row where the model gives several."""
    values = array("d")
    values.frombytes(part.values)
    if not part.width:
        return list(values)
    rows: list[float] = [
        tuple(values[start : start + part.width])  # type: ignore[misc]
        for start in range(0, len(values), part.width)
    ]
    return rows
