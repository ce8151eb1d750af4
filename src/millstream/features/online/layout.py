"""The bytes of the online store, written and read by this file alone.

A key is 8 bytes of the view's id and the entity's values in MessagePack. A value is the number of steps (int64),
the instants of the steps (int64 microseconds, ascending), their rows (float64 per feature; NULL is NaN) and, for
views with text features, a JSON list of the entity's texts, to which a float is the place.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from millstream.types import Pins

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Part: TypeAlias = str | int | bool
"""One value of an entity; instants and dates are whole numbers."""

APPLIED = b"applied"
"""Key of the record of what each view reflects; no view's key is that short."""

SHELF = b"shelf"
"""What follows the prefix of a list of candidates in its one key."""

WORD = 8
COUNT = Struct("<q")
FIRST = Struct("<8xq")
"""The first instant of a value."""
SECOND = Struct("<q8xq")
"""The number of steps, and the second instant where there is one; a number of the row where there is not."""

_LONGEST_KEY = 511
_encode = msgspec.msgpack.Encoder().encode

coded = _encode
"""Returns an entity as keys hold it, after the prefix of a view."""
LONGEST_CODED = _LONGEST_KEY - WORD
"""Bytes of one that is not hashed."""


class Applied(msgspec.Struct, frozen=True):
    """What the steps of a view reflect.

    Parameters
    ----------
    versions
        Table versions they were computed from.
    since_us, until_us
        Instant from which they hold, and the one before which (None: for good).
    posted
        Number of the last row posted to the table that they reflect beside the version.
    masked
        What was in quarantine of the table, as a number that grows with it.
    stopped
        Why they are kept no more; empty while they are.
    at_us
        When they were last brought up to date.
    name
        What the view is called in messages.
    """

    versions: Pins
    since_us: int
    until_us: int | None = None
    posted: int = 0
    masked: int = 0
    stopped: str = ""
    at_us: int = 0
    name: str = ""


POSTED = "+posted"
"""Behind a table's name among what an answer reflects: the number of the last posted row, beside the version."""


def reflected(applied: Applied) -> Pins:
    """Return what an answer from a view reflects, by name: the version of its table, and what was posted beside."""
    if not applied.posted:
        return applied.versions
    return {**applied.versions, **{f"{table}{POSTED}": applied.posted for table in applied.versions}}


def flat(applied: Mapping[str, Pins]) -> Pins:
    """Say per table, not per view, what an answer reflects; a view that reflects something else is named before it.

    What stands for the table is the most that was posted of it, so that views which follow versions stay as they are
    while others follow fact by fact.

    >>> flat({"usual": {"orders": 3}, "form": {"orders": 3, "orders+posted": 7}})
    {'orders': 3, 'orders+posted': 7, 'usual/orders+posted': 0}
    """
    found: dict[str, int] = {}
    for pins in applied.values():
        for name, number in pins.items():
            most = max(found.get(name, 0), number) if name.endswith(POSTED) else found.get(name, number)
            found[name] = most
    apart = {
        f"{view}/{name}": pins.get(name, 0)
        for view, pins in applied.items()
        for name, most in found.items()
        if name.removesuffix(POSTED) in pins and pins.get(name, 0) != most
    }
    return {**found, **apart}


def view_prefix(view_id: str) -> bytes:
    """Return the first bytes of every key of a view."""
    return bytes.fromhex(view_id)


def key_of(prefix: bytes, entity: Sequence[Part]) -> bytes:
    """Return the key of an entity of the view with this prefix; one too long for the store is hashed."""
    key: bytes = prefix + _encode(entity)
    return key if len(key) <= _LONGEST_KEY else prefix + hashlib.sha256(key).digest()


def keys_of(prefix: bytes, entities: Iterable[Sequence[Part]]) -> Iterator[bytes]:
    """Return the keys of many entities, as ``key_of`` does each."""
    for coded in map(_encode, entities):
        key = prefix + coded
        yield key if len(key) <= _LONGEST_KEY else prefix + hashlib.sha256(key).digest()


def pack(instants: bytes, rows: bytes, texts: list[str]) -> bytes:
    """Put an entity's steps together."""
    return COUNT.pack(len(instants) // WORD) + instants + rows + (msgspec.json.encode(texts) if texts else b"")


def pack_many(
    instants: npt.NDArray[np.int64],
    rows: npt.NDArray[np.float64],
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
) -> Iterator[bytes]:
    """Yield, for each entity, what ``pack`` makes of its steps: those from ``starts`` to ``stops``; without texts.

    All are laid out in one array at once and cut apart: half the time of one by one.
    """
    import numpy as np

    counts, width = stops - starts, rows.shape[1]
    ends = np.cumsum(1 + counts * (1 + width))
    begins = ends - 1 - counts * (1 + width)
    words = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.int64)
    words[begins] = counts
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    step = np.repeat(starts, counts) + place
    words[np.repeat(begins + 1, counts) + place] = instants[step]
    first, numbers = np.repeat(begins + 1 + counts, counts) + place * width, words.view(np.float64)
    for column in range(width):
        numbers[first + column] = rows[step, column]
    packed = words.tobytes()
    for begin, end in zip((begins * WORD).tolist(), (ends * WORD).tolist(), strict=True):
        yield packed[begin:end]


def pack_epochs(instants: bytes, steps: Sequence[bytes]) -> bytes:
    """Put together the steps that hold from each of some instants of knowledge on.

    The number of instants, the instants, where the steps of each end, and the steps one behind the other.
    """
    ends: list[int] = []
    for each in steps:
        ends.append((ends[-1] if ends else 0) + len(each))
    return COUNT.pack(len(steps)) + instants + b"".join(map(COUNT.pack, ends)) + b"".join(steps)


def epoch(value: bytes | memoryview, at_us: int) -> memoryview:
    """Return the steps that hold for what is known at an instant, from what ``pack_epochs`` put together."""
    held = memoryview(value)
    (count,) = COUNT.unpack_from(held)
    place = max(bisect_right(held[WORD : WORD * (1 + count)].cast("q"), at_us) - 1, 0)
    ends = held[WORD * (1 + count) : WORD * (1 + 2 * count)].cast("q")
    body = held[WORD * (1 + 2 * count) :]
    return body[(ends[place - 1] if place else 0) : ends[place]]


def covers(old: bytes | memoryview, new: bytes, features: int) -> bool:
    """Say whether stored steps already answer what new steps answer, from the first new instant on."""
    held, wanted = memoryview(old), memoryview(new)
    had, has = COUNT.unpack_from(held)[0], COUNT.unpack_from(wanted)[0]
    at = bisect_right(held[WORD : WORD * (1 + had)].cast("q"), FIRST.unpack_from(wanted)[0]) - 1
    if at < 0 or had - at != has:
        return False
    # From the step that holds then: instants but the first, which may be earlier; rows and texts.
    same_instants = held[WORD * (2 + at) : WORD * (1 + had)] == wanted[WORD * 2 : WORD * (1 + has)]
    return same_instants and held[WORD * (1 + had + at * features) :] == wanted[WORD * (1 + has) :]
