"""What an estimator is fitted in: its prints in the log, its randomness and threads fixed, its own line found."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np

from millstream.definitions.estimator import Estimator


@contextlib.contextmanager
def printed_to_log() -> Iterator[None]:
    """Let whatever is printed, from Python or from a library below, go to standard error: the worker's log."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


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
