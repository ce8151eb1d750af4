"""Facts as half-open intervals of time per entity, asked at many instants at once.

Entity and instant are folded into one integer that sorts by entity, then time. What is active for an entity at an
instant is then what has started by it minus what has ended by it: two binary searches, whoever the entity is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from millstream.features.facts import ALWAYS, FOREVER, NOBODY, Codes, Instants

Indices = npt.NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)

_ROOM = 2**62


class Line:
    """A line on which every (entity, instant) that matters has a place.

    Parameters
    ----------
    instants
        All starts and ends of facts. An instant between two of them stands with the earlier.
    entities
        How many there are.
    """

    def __init__(self, instants: Iterable[Instants], *, entities: int) -> None:
        finite = [each[(each != ALWAYS) & (each != FOREVER)] for each in instants]
        finite = [each for each in finite if len(each)]
        self._low = min((int(each.min()) for each in finite), default=0) - 1
        self._high = max((int(each.max()) for each in finite), default=0) + 1
        self._width = self._high - self._low + 2
        self._ranks: Instants | None = None
        if self._width * (entities + 1) >= _ROOM:
            self._ranks = ascending(np.concatenate([np.empty(0, dtype=np.int64), *finite]))
            self._width = len(self._ranks) + 2

    def place(self, entity: Codes, instants: Instants, *, asked: bool = False) -> Indices:
        """Return the place of each (entity, instant); an instant that is asked about is before the end of time."""
        if self._ranks is not None:
            within = _search(self._ranks, instants)
            within[instants == FOREVER] = len(self._ranks) + 1
        else:
            within = np.clip(instants, self._low, self._high + 1) - self._low
        if asked:
            within = np.minimum(within, self._width - 2)
        return entity * self._width + within


class Asked:
    """Questions (entity, instant) in the order of the line, so that searching walks forward.

    Parameters
    ----------
    entity, instants
        What is asked, in the caller's order.
    line
        Where they are placed.
    """

    def __init__(self, entity: Codes, instants: Instants, line: Line) -> None:
        self.entity = entity
        self.instants = instants
        places = line.place(entity, instants, asked=True)
        self._order = None if _ascending(places) else np.argsort(places)
        self._places = places if self._order is None else places[self._order]
        self._counted: dict[int, tuple[Indices, Indices]] = {}

    def count_until(self, places: Indices) -> Indices:
        """Count, for each question, the places (ascending) at or before it. Features of one window ask once."""
        known = self._counted.get(id(places))
        if known is not None:
            return known[1]
        counts = self.count_once(places)
        self._counted[id(places)] = places, counts  # kept alive, so that its id stays its own
        return counts

    def count_once(self, places: Indices) -> Indices:
        """Count as ``count_until`` does, and keep nothing."""
        counts = np.searchsorted(places, self._places, side="right").astype(np.int64, copy=False)
        if self._order is not None:
            found, counts = counts, np.empty(len(counts), dtype=np.int64)
            counts[self._order] = found
        return counts


class Intervals:
    """Facts with an interval that is not empty.

    Parameters
    ----------
    entity, start, end
        Of all facts of a table; those about nobody and those that end before they start are left out.
    line
        Where they are placed.

    Attributes
    ----------
    facts
        Positions of the facts in the table's rows, in the order in which they start.
    starts
        Where they start, ascending.
    until
        When each of all facts ends, by its position in the table's rows.
    """

    def __init__(self, entity: Codes, start: Instants, end: Instants, line: Line) -> None:
        kept = (entity != NOBODY) & (start < end)
        facts = np.flatnonzero(kept)
        places = line.place(entity[facts], start[facts])
        if not _ascending(places):
            order = np.argsort(places)
            facts, places = facts[order], places[order]
        self.facts = facts
        self.starts = places
        self.until = end
        self._place = entity, line

    @cached_property
    def end_of(self) -> Indices:
        """Return where each of ``facts`` ends."""
        entity, line = self._place
        return line.place(entity[self.facts], self.until[self.facts])

    @cached_property
    def ending(self) -> Indices | None:
        """Positions within ``facts`` in the order in which they end; None when that is the same order."""
        return None if _ascending(self.end_of) else np.argsort(self.end_of)

    @cached_property
    def ends(self) -> Indices:
        """Where facts end, ascending."""
        return self.end_of if self.ending is None else self.end_of[self.ending]

    def span(self, asked: Asked) -> tuple[Indices, Indices]:
        """Count what of all entities has started, and what has ended, by each question."""
        return asked.count_until(self.starts), asked.count_until(self.ends)

    @cached_property
    def _segments(self) -> tuple[Indices, Indices, Indices]:
        """Return where anything starts or ends, ascending, and which of these each of ``facts`` starts and ends at."""
        places = np.concatenate([self.starts, self.ends])
        order = np.argsort(places, kind="stable")  # merges two runs that ascend already
        in_order = places[order]
        fresh = np.ones(len(in_order), dtype=bool)
        np.not_equal(in_order[1:], in_order[:-1], out=fresh[1:])
        number = np.empty(len(in_order), dtype=np.int64)
        number[order] = np.cumsum(fresh) - 1
        left, right = number[: len(self.facts)], number[len(self.facts) :]
        if self.ending is not None:
            by_end, right = right, np.empty(len(self.facts), dtype=np.int64)
            right[self.ending] = by_end
        return in_order[fresh], left, right

    def highest(self, rank: Indices, asked: Asked) -> Indices:
        """Find the active fact of the highest rank; -1 where none is active.

        Parameters
        ----------
        rank
            Rank of each of ``facts``, all different; -1 for facts that do not count.
        asked
            The questions.

        Notes
        -----
        Between two neighbouring starts or ends nothing changes. Each interval covers a run of such segments as two
        overlapping runs of a power of two; runs are handed down from long to short. O(n log n), all of it in arrays,
        whatever was retracted.
        """
        if not len(self.facts):
            return np.full(len(asked.instants), -1)
        counted = np.flatnonzero(rank >= 0)
        segments, left, right = self._segments
        cover = highest_cover(left[counted], right[counted], rank[counted], segments=len(segments))
        by_rank = np.full(int(rank.max(initial=-1)) + 2, -1)
        by_rank[rank[counted]] = counted
        winner = by_rank[cover]  # rank -1 reads the last place, which is -1
        at = asked.count_until(segments) - 1
        return np.where(at >= 0, winner[at], -1)


def highest_cover(left: Indices, right: Indices, rank: Indices, *, segments: int) -> Indices:
    """Return the highest rank among the intervals [left, right) that cover each segment; -1 for none.

    >>> highest_cover(np.array([0, 1]), np.array([3, 2]), np.array([0, 1]), segments=4).tolist()
    [0, 1, 0, -1]
    """
    level = np.frexp((right - left).astype(np.float64))[1] - 1
    best = np.full(segments, -1)
    for height in range(int(level.max(initial=0)), -1, -1):
        here = level == height
        np.maximum.at(best, left[here], rank[here])
        np.maximum.at(best, right[here] - (1 << height), rank[here])
        if height:
            half = 1 << (height - 1)
            best[half:] = np.maximum(best[half:], best[:-half])
    return best


def _search(ascending: Indices, values: Indices) -> Indices:
    """Count, for each value, what is at or before it; sorted values walk forward, where random ones miss the cache."""
    order = np.argsort(values)
    found = np.empty(len(values), dtype=np.int64)
    found[order] = np.searchsorted(ascending, values[order], side="right")
    return found


def _ascending(values: Indices) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def ascending(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return distinct values in order; ``numpy.unique`` hashes them first, which takes seconds for a million.

    >>> ascending(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ordered = np.sort(values)
    fresh = np.ones(len(ordered), dtype=bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    distinct: npt.NDArray[Scalar] = ordered[fresh]
    return distinct
