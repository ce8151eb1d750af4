"""Wait for what another thread or process does, where there is nothing to await it by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Said = TypeVar("Said")


def until(condition: Callable[[], Said], what: object = "", *, within_s: float = 30.0) -> Said:
    """Wait until a condition says something that is true, and return it; fail, naming ``what``, when it never does."""
    deadline = time.monotonic() + within_s
    while not (said := condition()):
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain: {what or condition}"
        time.sleep(0.005)
    return said
