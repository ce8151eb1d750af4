"""The bytes of the online store, written and read by this file alone.

A key is 8 bytes of the view's id and the entity's values in MessagePack. A value is the number of steps (int64),
the instants of the steps (int64 microseconds, ascending), their rows (float64 per feature; NULL is NaN) and, for
views with text features, a JSON list of the entity's texts, to which a float is the place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import TypeAlias

import msgspec

from millstream.types import Pins

Part: TypeAlias = str | int | bool
"""One value of an entity; instants and dates are whole numbers."""

APPLIED = b"applied"
"""Key of the record of what each view reflects; no view's key is that short."""

WORD = 8
COUNT = Struct("<q")

_LONGEST_KEY = 511
_encode = msgspec.msgpack.Encoder().encode


class Applied(msgspec.Struct, frozen=True):
    """What the steps of a view reflect.

    Parameters
    ----------
    versions
        Table versions they were computed from.
    since_us
        Instant from which they hold.
    """

    versions: Pins
    since_us: int


def view_prefix(view_id: str) -> bytes:
    """Return the first bytes of every key of a view."""
    return bytes.fromhex(view_id)


def entity_key(view_id: str, entity: tuple[Part, ...]) -> bytes:
    """Return the key of an entity; one too long for the store is hashed."""
    return key_of(view_prefix(view_id), entity)


def key_of(prefix: bytes, entity: Sequence[Part]) -> bytes:
    """Return the key of an entity of the view with this prefix."""
    key = prefix + _encode(entity)
    return key if len(key) <= _LONGEST_KEY else prefix + hashlib.sha256(key).digest()


def pack(instants: bytes, rows: bytes, texts: list[str]) -> bytes:
    """Put an entity's steps together."""
    return COUNT.pack(len(instants) // WORD) + instants + rows + (msgspec.json.encode(texts) if texts else b"")


def covers(old: bytes | memoryview, new: bytes, features: int) -> bool:
    """Say whether stored steps already answer what new steps answer, from the first new instant on."""
    held, wanted = _Steps(old, features), _Steps(new, features)
    if held.texts != wanted.texts:
        return False
    first = wanted.instants[0]
    at = sum(1 for each in held.instants if each <= first) - 1
    if at < 0 or len(held.instants) - at != len(wanted.instants):
        return False
    return held.instants[at + 1 :] == wanted.instants[1:] and held.rows[at * features * WORD :] == wanted.rows


class _Steps:
    """Steps taken apart."""

    def __init__(self, value: bytes | memoryview, features: int) -> None:
        data = memoryview(value)
        count = COUNT.unpack_from(data)[0]
        rows_at = WORD * (1 + count)
        texts_at = rows_at + WORD * features * count
        self.instants = data[WORD:rows_at].cast("q")
        self.rows = data[rows_at:texts_at]
        self.texts = data[texts_at:]
