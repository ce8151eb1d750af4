"""Read one view of an entity, or its views together, out of the bytes that are kept of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from struct import Struct
from typing import Any, TypeAlias

import msgspec

from millstream.features.online import layout
from millstream.features.plan import DAY_US, TARGET, ViewPlan

Value: TypeAlias = float | str
Row: TypeAlias = Mapping[str, Any]
Get: TypeAlias = Callable[[bytes], memoryview | bytes | None]
Read: TypeAlias = Callable[[Get, Row, int], list[Value]]

_Parts: TypeAlias = tuple[
    bytes,
    Sequence[Value],
    int,
    Callable[..., Sequence[float]],
    Callable[[memoryview | bytes, Row, int], Iterable[Value]],
]


class ViewReader:
    """Reads one view: the bytes of an entity, the step that holds, its row.

    Parameters
    ----------
    view
        Which view.
    kept
        Give of a time since the instant it counts from (microseconds), as it is kept, instead of the days.
    """

    def __init__(self, view: ViewPlan, *, kept: bool = False) -> None:
        self._prefix = layout.view_prefix(view.id)
        self.keys = view.keys
        self._width = len(view.features)
        self._row = Struct(f"<{self._width}d").unpack_from
        self._never = tuple(view.never_seen)
        self._texts = tuple(place for place, each in enumerate(view.features.values()) if each.dtype == "varchar")
        self._aged = () if kept else view.aged
        self._planned = view.at == TARGET

    def read(self, get: Get, row: Row, at_us: int) -> Iterable[Value]:
        """Return the view's features for a row at an instant, in order."""
        entity: list[Any] = [row.get(key) for key in self.keys]
        if None in entity:
            return self._never
        value = get(layout.key_of(self._prefix, entity))
        return self._never if value is None else self._of(value, row, at_us)

    def parts(self) -> _Parts:
        """Return what reads the value of an entity: key's prefix, never seen, bytes of one step as it lies, and how."""
        one_step = 0 if self._texts or self._aged or self._planned else layout.WORD * (2 + self._width)
        return self._prefix, self._never, one_step, self._row, self._of

    def _of(self, value: memoryview | bytes, row: Row, at_us: int) -> Iterable[Value]:
        """Take the features out of what is kept of an entity."""
        if self._planned:
            target = row.get(TARGET)
            if target is None:
                return self._never
            value, at_us = layout.epoch(value, at_us), target
        count, second = layout.SECOND.unpack_from(value)
        step = 0
        if count > 1 and at_us >= second:
            instants = memoryview(value)[8 : 8 + 8 * count].cast("q")
            step = bisect_right(instants, at_us) - 1
        found: Sequence[float] = self._row(value, 8 * (1 + count + step * self._width))
        if self._aged:
            found = self._with_ages(found, at_us)
        return self._with_texts(found, value, count) if self._texts else found

    def _with_ages(self, found: Sequence[float], at_us: int) -> Sequence[float]:
        """Put days in place of the instants they are counted from."""
        values = list(found)
        for place in self._aged:
            values[place] = (at_us - values[place]) / DAY_US
        return values

    def _with_texts(self, found: Sequence[float], value: memoryview | bytes, count: int) -> list[Value]:
        """Put texts in place of their numbers."""
        values: list[Value] = list(found)
        texts: list[str] | None = None
        for place in self._texts:
            number = found[place]
            if number == number:  # not NULL
                texts = texts or msgspec.json.decode(memoryview(value)[8 * (1 + count * (1 + self._width)) :])
                values[place] = texts[int(number)]
        return values


def reading(views: Sequence[ViewPlan]) -> list[Read]:
    """Return what reads views, in order: neighbours about one entity together, whose key is laid out once.

    Each reads as ``ViewReader.read`` does, in less time: what it needs is bound, one step is taken as it lies.
    """
    alike = [[ViewReader(view) for view in some] for _, some in groupby(views, key=attrgetter("keys"))]
    return [_alone(some[0]) if len(some) == len(some[0].keys) == 1 else _together(some) for some in alike]


def _alone(reader: ViewReader) -> Read:
    (key,), key_of, head = reader.keys, layout.key_of, 2 * layout.WORD
    prefix, never, one_step, unpack, of = reader.parts()

    def read(get: Get, row: Row, at_us: int) -> list[Value]:
        part = row.get(key)
        if part is None:
            return [*never]
        value = get(key_of(prefix, (part,)))
        if value is None:
            return [*never]
        if len(value) == one_step:
            return [*unpack(value, head)]
        return [*of(value, row, at_us)]

    return read


def _together(readers: Sequence[ViewReader]) -> Read:
    keys, parts = readers[0].keys, [each.parts() for each in readers]
    coded_of, longest, head = layout.coded, layout.LONGEST_CODED, 2 * layout.WORD

    def read(get: Get, row: Row, at_us: int) -> list[Value]:
        entity = list(map(row.get, keys))
        coded = b"" if None in entity else coded_of(entity)
        if not coded or len(coded) > longest:
            return [value for each in readers for value in each.read(get, row, at_us)]
        found: list[Value] = []
        for prefix, never, one_step, unpack, of in parts:
            value = get(prefix + coded)
            if value is None:
                found += never
            elif len(value) == one_step:
                found += unpack(value, head)
            else:
                found += of(value, row, at_us)
        return found

    return read


def nothing(get: Get, row: Row, at_us: int) -> list[Value]:
    """Read a plan without views."""
    return []
