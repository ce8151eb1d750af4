"""Named points at which a test may kill the process, to show that whatever was begun is whole or absent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TypeAlias

Fault: TypeAlias = Callable[[str], None]
"""Called with the name of each step as it is passed."""

VARIABLE = "MILLSTREAM_FAULT"


def no_fault(name: str) -> None:
    """Pass every point."""


def from_environment() -> Fault:
    """Kill this process with SIGKILL at the point named by ``MILLSTREAM_FAULT``; pass every point when unset."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return no_fault

    def fault(name: str) -> None:
        if name == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault
