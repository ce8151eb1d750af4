"""What an estimator is fitted in: its prints in the log, its randomness and threads fixed, its own line found."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

from millstream.definitions.estimator import Estimator
from millstream.errors import DefinitionError
from millstream.types import parse_duration

_KEPT = 8000
"""Characters of what was printed that are kept: the end."""


class Printed(io.TextIOBase):
    """What was printed: passed on to standard error at once, its end kept for the run.

    Parameters
    ----------
    onward
        Where it goes.
    """

    def __init__(self, onward: TextIO) -> None:
        self._onward, self._kept = onward, ""

    @property
    def text(self) -> str:
        """The end of it."""
        return self._kept.strip()

    def write(self, text: str) -> int:
        """Take a text."""
        self._kept = (self._kept + text)[-_KEPT:]
        return self._onward.write(text)

    def flush(self) -> None:
        """Let what was passed on be seen."""
        self._onward.flush()


@contextlib.contextmanager
def printed_to_log() -> Iterator[Printed]:
    """Let whatever is printed, from Python or from a library below, go to standard error and be kept.

    Standard output stays as it was: what ``--json`` writes there is never mixed with it.
    """
    sys.stdout.flush()
    said = Printed(sys.stderr)
    with tempfile.TemporaryFile() as below:  # of libraries that write to the descriptor itself, and their processes
        kept = os.dup(1)
        os.dup2(below.fileno(), 1)
        try:
            with contextlib.redirect_stdout(said):
                yield said
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            size = below.seek(0, os.SEEK_END)
            below.seek(max(0, size - _KEPT))
            said.write(below.read().decode(errors="replace"))


class _Stopped(BaseException):
    """Time is up; no Exception, so that an estimator that catches those does not go on."""


@contextlib.contextmanager
def within(limit: str | None, *, name: str) -> Iterator[None]:
    """Stop what takes longer than a length of time (``"2h"``); None is without bound.

    It is stopped where it comes back to Python, as whatever iterates does again and again.

    Raises
    ------
    DefinitionError
        When time is up; what was doing it is named.
    """
    if limit is None:
        yield
        return
    seconds = parse_duration(limit).total_seconds()
    began = time.monotonic()
    try:
        with _alarm(seconds):
            yield
        late = time.monotonic() - began > seconds  # it was away from Python all the time
    except _Stopped:
        late = True
    if late:
        raise DefinitionError(
            f"estimator {name} was stopped after {time.monotonic() - began:,.0f} s: its model has fit_within={limit!r}",
            expected="a fit that takes less time",
            do="fewer rounds, a shorter span, or a longer fit_within",
        )


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise in this thread when time is up."""
    if threading.current_thread() is threading.main_thread():

        def ring(signal_number: int, frame: object) -> None:
            raise _Stopped

        before = signal.signal(signal.SIGALRM, ring)
        began, (left, _) = time.monotonic(), signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if left:  # somebody else's alarm goes on
                signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001))
        return
    here = ctypes.c_ulong(threading.get_ident())
    stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
    timer = threading.Timer(seconds, lambda: stop(here, ctypes.py_object(_Stopped)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Fix the random numbers everybody shares and the threads of numeric libraries; all is as before afterwards.

    What a library would do in processes of its own (joblib's) it does in threads: only this process knows a project's
    own code, and stopping it stops everything.
    """
    before, state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with _limited(threads), _in_threads():
            yield
    finally:
        random.setstate(before)
        np.random.set_state(state)


def _limited(threads: int) -> contextlib.AbstractContextManager[Any]:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[Any] = threadpool_limits(limits=threads)
    return limits


def _in_threads() -> contextlib.AbstractContextManager[Any]:
    try:
        from joblib import parallel_config
    except ImportError:
        return contextlib.nullcontext()
    config: contextlib.AbstractContextManager[Any] = parallel_config(backend="threading")
    return config


def single_threaded(made: Any) -> None:
    """Let a fitted model answer on one thread, and everything in it: the order of a sum is then always the same."""
    seen: set[int] = set()
    waiting = [made]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, list | tuple):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif callable(getattr(each, "get_params", None)) and not isinstance(each, type):
            held = vars(each)
            if "n_jobs" in held:
                each.n_jobs = 1
            waiting.extend(held.values())


def own_line(wrong: BaseException, said: Estimator) -> str:
    """Say where in the project's own code an error arose; empty when it did not."""
    frames = [each for each in traceback.extract_tb(wrong.__traceback__) if each.filename.startswith("<own code>/")]
    if not frames or not said.code:
        return ""
    last = frames[-1]
    return f"\n{last.filename.removeprefix('<own code>/')}, line {last.lineno}: {last.line}"
