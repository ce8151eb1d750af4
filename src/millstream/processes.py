"""Small facts about processes that the servers and workers share."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PARENT = "MILLSTREAM_PARENT"


def environment_of_child(**more: str) -> dict[str, str]:
    """Return the environment for a process that is to die with this one: it says who its parent is."""
    return {**os.environ, **more, _PARENT: str(os.getpid())}


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere nothing happens).

    A parent that said who it is may end before this is called, while modules are imported: that is noticed too.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = int(os.environ.pop(_PARENT, "") or os.getppid())
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)
