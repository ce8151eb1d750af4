"""Named points at which a crash can be ordered, so that tests can kill a process between any two steps.

``MILLSTREAM_FAULT=lake.committed`` kills the process with SIGKILL when it reaches that point; ``lake.committed:3``
at the third time. ``interrupted`` ends what runs there by an exception instead, which is quick enough to try every
point; it lets ``finally`` run, which a kill does not. Costs one dictionary look-up where nothing is ordered.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "MILLSTREAM_FAULT"
POINTS = ("lake.begun", "lake.intended", "lake.committed", "lake.synced", "lake.registering", "lake.registered")
"""Points of a lake write, in order."""
PIN_POINTS = ("pin.begun", "pin.copied", "pin.synced", "pin.registering", "pin.registered")
"""Points of copying the files of a pinned version, in order."""
EDIT_POINTS = ("edit.begun", "edit.written", "edit.registering", "edit.registered")
"""Points of an edit in a branch, in order."""
DISCARD_POINTS = ("discard.begun", "discard.moved", "discard.told")
"""Points of discarding a branch, in order."""
RELEASED = "rows.put"
"""A file of rows of a branch, or of their definition, is written into the project."""
LANDED = "lake.landed"
"""A data file of a taking is written, synced and noted; its version is still to come."""
COMPACT_POINTS = ("compact.begun", "compact.written", *POINTS[1:])
"""Points of a compaction, in order; from the intent on they are those of every lake write."""
GC_POINTS = ("gc.begun", "gc.planned", "gc.intended", "gc.deleted", "gc.proven", "gc.done")
"""Points of a cleaning, in order; ``gc.deleted`` comes once for each file."""

POSTED_POINTS = ("posted.kept", "online.computed", "online.applied", "posted.written", "posted.sealed")
"""Points of posted rows, in order: acknowledged, served, on their way into the lake."""

_reached: Counter[str] = Counter()
_interrupt: list[str] = []


class Interrupted(BaseException):
    """A fault point was reached at which an end was ordered; nothing catches it but who ordered it."""


@contextmanager
def interrupted(point: str) -> Iterator[None]:
    """End what runs in here when it first reaches a point; go on quietly after it, or if it does not reach it.

    Parameters
    ----------
    point
        One of ``POINTS``, ``PIN_POINTS`` or ``LANDED``.
    """
    _interrupt.append(point)
    try:
        yield
    except Interrupted:
        pass
    finally:
        _interrupt.clear()


def reach(point: str) -> None:
    """Die here if that was ordered."""
    if point in _interrupt:
        raise Interrupted(point)
    ordered = os.environ.get(VARIABLE)
    if not ordered:
        return
    name, _, times = ordered.partition(":")
    _reached[point] += 1
    if name == point and _reached[point] == int(times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
