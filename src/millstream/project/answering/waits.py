"""How long posted facts wait until they are usable: measured by who brings them in, kept in memory for ``status``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from millstream.state import posted
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project

LAST = 1000
"""Requests of a table that are remembered."""


class Waits:
    """How long the facts of the last requests waited, by table; safe to share between threads.

    A wait begins when a request comes and ends when every view that follows its table fact by fact reflects it, both by
    the project's clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usable: dict[str, int] = {}
        self._waited: dict[str, deque[tuple[float, int]]] = {}

    def note(self, project: Project, plans: Iterable[FeaturePlan]) -> None:
        """Learn which facts became usable since it was asked last; the first time, from where to count."""
        from millstream.features.online.live import by_table

        applied, now = project.writer.applied(), project.clock.now()
        for table, views in by_table(plans).items():
            there = [each for each in views if each.id in applied and not applied[each.id].stopped]
            following = [each for each in there if not each.of_everybody] or there
            if following:
                self._count(project, table, min(applied[each.id].posted for each in following), now)

    def usable(self, table: str) -> dict[str, Any] | None:
        """Say how long the last facts of a table waited.

        Returns
        -------
        dict
            ``p50`` and ``p99`` in seconds, of ``facts``; None where none became usable since this process began.
        """
        with self._lock:
            waited = sorted(self._waited.get(table, ()))
        facts = sum(count for _, count in waited)
        return {"p50": _within(waited, 0.5), "p99": _within(waited, 0.99), "facts": facts} if facts else None

    def stands(self, project: Project, table: str) -> dict[str, Any] | None:
        """Say how many facts of a table wait, the oldest for how long, and ``usable``; None where none are applied."""
        number = self._usable.get(table)
        last = posted.last(project.state, table) if number is not None else 0
        if number is None or not last:
            return None
        waiting = max(last - number, 0)
        return {
            "waiting": waiting,
            "waiting_seconds": oldest(project, table, after=number) if waiting else None,
            "usable_seconds": self.usable(table),
        }

    def _count(self, project: Project, table: str, number: int, now: datetime) -> None:
        with self._lock:
            before = self._usable.setdefault(table, number)
            if number <= before:
                return
            self._usable[table] = number
            waited = self._waited.setdefault(table, deque(maxlen=LAST))
            for at, count in posted.came(project.state, table, after=before, upto=number):
                waited.append((max((now - parse_instant(at)).total_seconds(), 0.0), count))


def oldest(project: Project, table: str, *, after: int) -> float | None:
    """Return for how long the oldest posted fact of a table beyond a number has waited, in seconds."""
    at = posted.oldest(project.state, table, after=after)
    return None if at is None else max((project.clock.now() - parse_instant(at)).total_seconds(), 0.0)


def behind(project: Project, table: str, event_max: str | None, *, posting: bool = True) -> float | None:
    """Return how old the newest event of a table is, in seconds: of its version, or of what was posted since.

    Parameters
    ----------
    project, table
        Where, and which.
    event_max
        The newest event of its version.
    posting
        Whether what was posted counts before a version has it.
    """
    found = (event_max, posted.newest(project.state, table) if posting else None)
    now = project.clock.now()
    return min((max((now - parse_instant(each)).total_seconds(), 0.0) for each in found if each), default=None)


def _within(waited: list[tuple[float, int]], share: float) -> float:
    """Return the wait within which a share of facts became usable; waits ascend.

    >>> _within([(0.1, 98), (2.0, 2)], 0.5), _within([(0.1, 98), (2.0, 2)], 0.99)
    (0.1, 2.0)
    """
    left = share * sum(count for _, count in waited)
    for seconds, count in waited:
        left -= count
        if left <= 0:
            return seconds
    return waited[-1][0]
