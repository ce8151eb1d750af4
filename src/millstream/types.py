"""The few types every room shares: column types, instants, clocks, pins and content hashes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

DType: TypeAlias = Literal["boolean", "bigint", "double", "varchar", "timestamptz", "timestamp", "date", "interval"]
"""Column types of the row language. ``timestamp`` (naive) exists only before the door localises it."""

Schema: TypeAlias = Mapping[str, DType]
Pins: TypeAlias = Mapping[str, int]
"""Table name to the version that was read."""

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DURATION = re.compile(r"(?P<number>\d+)(?P<unit>ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> timedelta:
    """Read a length of time such as ``"7d"``, ``"36h"`` or ``"1d12h"``.

    Units are ms, s, m (minutes), h, d (24 hours) and w. Calendar months are not a fixed length and are refused.

    >>> parse_duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)

    Raises
    ------
    ValueError
        When the text is not a sequence of number-unit pairs.
    """
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise ValueError(f"{text!r} is not a length of time; write for instance '6h', '7d' or '1d12h'")
    return timedelta(seconds=sum(int(part["number"]) * _SECONDS[part["unit"]] for part in parts))


def to_micros(instant: datetime) -> int:
    """Count microseconds since the epoch of an aware instant (exact, no floats).

    >>> to_micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; every instant in Millstream has one")
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Turn microseconds since the epoch into an aware UTC instant.

    >>> from_micros(1000000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return EPOCH + timedelta(microseconds=micros)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant; a bare date or a naive time is taken as UTC.

    >>> parse_instant("2013-02-01T05:00:00-05:00").isoformat()
    '2013-02-01T10:00:00+00:00'
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an instant; write for instance 2013-02-01 or 2013-02-01T10:00:00Z") from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def canonical_json(value: Any) -> bytes:
    """Encode plain data so that equal data always gives equal bytes (sorted keys, no spaces)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_hash(value: Any) -> str:
    """Hash plain data by content: SHA-256 of its canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


class Clock(Protocol):
    """Where a process learns what time it is. Exactly one is injected into a project."""

    def now(self) -> datetime:
        """Return the current aware UTC instant."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's current UTC instant."""
        return datetime.now(UTC)


class ReplayClock:
    """A labelled clock that stands still until somebody moves it; its instant lives in a small file.

    Every process of a replayed project reads the same file, so all commands agree on the time.
    """

    def __init__(self, path: Path, *, start: datetime) -> None:
        self.path = path
        self.start = start

    def now(self) -> datetime:
        """Return the instant the replay has reached."""
        try:
            return parse_instant(self.path.read_text().strip())
        except FileNotFoundError:
            return self.start

    def advance(self, to: datetime) -> None:
        """Move the clock forward; moving it back is refused."""
        if to < self.now():
            raise ValueError(f"the replay clock stands at {self.now().isoformat()} and never runs backwards")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".new")
        scratch.write_text(to.isoformat())
        scratch.replace(self.path)
