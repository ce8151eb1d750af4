"""What generated closures call: the few operations that are more than one line of Python. Standard library only."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from millstream.errors import BadData

BIGINT = (-(2**63), 2**63 - 1)
INSTANTS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
DAYS = (-719_162, 2_932_896)
BOUNDS = {"bigint": BIGINT, "interval": BIGINT, "timestamptz": INSTANTS, "timestamp": INSTANTS, "date": DAYS}
"""Smallest and largest value of each integer type: 64 bits; years 1 to 9999."""

DAY = 86_400_000_000
HOUR = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ORDINAL = date(1970, 1, 1).toordinal()
_ERA_DAYS = 146_097
_CACHED_HOURS = 20_000


def out_of_range(kind: str, text: str) -> NoReturn:
    """Refuse an integer that its type cannot hold."""
    what = "outside the years 1 to 9999" if kind in ("timestamptz", "timestamp", "date") else "beyond 64 bits"
    raise BadData(f"{text}: the {kind} result is {what}", do="check the values of its columns, or guard them with case")


def refuse(kind: str, value: object) -> NoReturn:
    """Refuse a value that cannot be cast."""
    raise BadData(f"{value!r} cannot be cast to {kind}", do=f"use try_cast(... as {kind}) to get NULL instead")


def half_away(x: float) -> float:
    """Round to the nearest whole number, halves away from zero."""
    part, whole = math.modf(x)
    if part >= 0.5:
        return whole + 1.0
    if part <= -0.5:
        return whole - 1.0
    return whole


def round_to(x: float, digits: int) -> float:
    """Round to decimal digits, halves (of the scaled double) away from zero."""
    scale = 10.0**digits
    scaled = x * scale
    return x if scaled - scaled else half_away(scaled) / scale


def whole(x: float) -> int:
    """Round a double to an integer, halves away from zero; what is no integer is an error."""
    if x - x:
        out_of_range("interval", "number * interval")
    return int(half_away(x))


def truncated_division(a: int, b: int) -> int:
    """Divide, dropping the fraction."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def remainder(a: int, b: int) -> int:
    """Return what truncated division leaves; it has the sign of the dividend."""
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def power(a: float, b: float) -> float | None:
    """Raise to a power; None where there is no finite real result."""
    try:
        return math.pow(a, b)
    except (OverflowError, ValueError):
        return None


def exponential(a: float) -> float | None:
    """Return e to a power; None beyond the doubles."""
    try:
        return math.exp(a)
    except OverflowError:
        return None


def least(values: tuple[Any, ...]) -> Any:
    """Return the smallest value that is not None."""
    return min((each for each in values if each is not None), default=None)


def greatest(values: tuple[Any, ...]) -> Any:
    """Return the largest value that is not None."""
    return max((each for each in values if each is not None), default=None)


def like(pattern: str) -> Callable[[str], Any]:
    """Compile a LIKE pattern: ``%`` is any text, ``_`` is one character."""
    return re.compile(like_regex(pattern), re.DOTALL).fullmatch


def like_regex(pattern: str) -> str:
    """Turn a LIKE pattern into a regular expression, without anchors."""
    return "".join(".*" if each == "%" else "." if each == "_" else re.escape(each) for each in pattern)


def members(values: tuple[Any, ...]) -> frozenset[Any]:
    """Prepare the values of IN."""
    return frozenset(values)


def edges(values: tuple[Any, ...]) -> Callable[[Any], int]:
    """Return how many of ascending edges a number has reached."""
    return partial(bisect_right, values)


def hash_bucket(text: str, count: int) -> int:
    """Put a text into one of so many buckets, by the first 60 bits of its SHA-256."""
    return (int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 4) % count


def part_of(text: str, mark: str, place: int) -> str:
    """Return the part of a text between marks, counted from 1; empty where there is none."""
    parts = text.split(mark, place)
    return parts[place - 1] if place <= len(parts) else ""


def zone(name: str) -> Callable[[int], int]:
    """Return the offset of a zone from UTC at an instant, both in microseconds; offsets are kept per hour of time."""
    info = ZoneInfo(name)
    known: dict[int, int] = {}

    def exact(at: int) -> int:
        bounded = min(max(at, INSTANTS[0] + DAY), INSTANTS[1] - DAY)
        local = (_EPOCH + timedelta(microseconds=bounded)).astimezone(info)
        return (local.utcoffset() or timedelta()) // _MICROSECOND

    def offset(at: int) -> int:
        hour = at // HOUR
        found = known.get(hour)
        if found is not None:
            return found
        first, last = exact(hour * HOUR), exact(hour * HOUR + HOUR - 1)
        if first != last:
            return exact(at)
        if len(known) >= _CACHED_HOURS:
            known.clear()
        known[hour] = first
        return first

    return offset


def _civil(days: int) -> tuple[date, int]:
    """Return a date and what must be added to its year; beyond datetime's years, the same day 400 years nearer."""
    ordinal = days + _ORDINAL
    if ordinal < 1:
        return date.fromordinal(ordinal + _ERA_DAYS), -400
    if ordinal > date.max.toordinal():
        return date.fromordinal(ordinal - _ERA_DAYS), 400
    return date.fromordinal(ordinal), 0


def year(days: int) -> int:
    """Return the calendar year of a day since 1970."""
    found, more = _civil(days)
    return found.year + more


def month(days: int) -> int:
    """Return the month, 1 to 12."""
    return _civil(days)[0].month


def day(days: int) -> int:
    """Return the day of the month."""
    return _civil(days)[0].day


def dayofyear(days: int) -> int:
    """Return the day of the year, from 1."""
    found = _civil(days)[0]
    return found.toordinal() - date(found.year, 1, 1).toordinal() + 1


def week(days: int) -> int:
    """Return the ISO 8601 week, 1 to 53."""
    return _civil(days)[0].isocalendar().week


def year_fraction(at: int) -> float:
    """Return how much of the year has passed at a local time in microseconds."""
    days, rest = divmod(at, DAY)
    found = _civil(days)[0]
    first, following = date(found.year, 1, 1).toordinal(), date(found.year, 12, 31).toordinal() + 1
    return ((found.toordinal() - first) * DAY + rest) / ((following - first) * DAY)


def strict(found: Any, given: Any, kind: str) -> Any:
    """Pass on what a cast found, or refuse the value it was given."""
    if found is None:
        refuse(kind, given)
    return found


def bigint_of_double(x: float) -> int | None:
    """Return the nearest integer, halves to even; None beyond 64 bits."""
    found = round(x)
    return found if BIGINT[0] <= found <= BIGINT[1] else None


_INTEGER = re.compile(r"[+-]?[0-9]+").fullmatch
_DECIMAL = re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?").fullmatch
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})").fullmatch
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]{1,6}))?)?"
    r"(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
).fullmatch


def bigint_of_varchar(text: str) -> int | None:
    """Read decimal digits with an optional sign."""
    if not _INTEGER(text) or len(text.lstrip("+-0")) > 19:
        return None
    found = int(text[-20:]) if text[0] not in "+-" else int(text[0] + text[1:][-20:])
    return found if BIGINT[0] <= found <= BIGINT[1] else None


def double_of_varchar(text: str) -> float | None:
    """Read a decimal number; None beyond the doubles."""
    if not _DECIMAL(text):
        return None
    found = float(text)
    return None if found - found else found


def boolean_of_varchar(text: str) -> bool | None:
    """Read true or false, in any case."""
    if not text.isascii():
        return None
    return {"true": True, "false": False}.get(text.lower())


def date_of_varchar(text: str) -> int | None:
    """Read ``YYYY-MM-DD`` as days since 1970."""
    parts = _DATE(text)
    if not parts:
        return None
    try:
        return date(int(parts[1]), int(parts[2]), int(parts[3])).toordinal() - _ORDINAL
    except ValueError:
        return None


def timestamptz_of_varchar(text: str) -> int | None:
    """Read an ISO 8601 instant with an offset as microseconds since 1970."""
    parts = _INSTANT(text)
    if not parts:
        return None
    days = date_of_varchar(parts[1])
    hours, minutes, seconds = int(parts[2]), int(parts[3]), int(parts[4] or 0)
    ahead_hours, ahead_minutes = int(parts[7] or 0), int(parts[8] or 0)
    if days is None or hours > 23 or minutes > 59 or seconds > 59 or ahead_hours > 15 or ahead_minutes > 59:
        return None
    ahead = (ahead_hours * 60 + ahead_minutes) * (-1 if parts[6] == "-" else 1)
    local = ((days * 24 + hours) * 60 + minutes - ahead) * 60 + seconds
    found = local * 1_000_000 + int((parts[5] or "0").ljust(6, "0"))
    return found if INSTANTS[0] <= found <= INSTANTS[1] else None


def date_text(days: int) -> str:
    """Write a day since 1970 as ``YYYY-MM-DD``."""
    found, more = _civil(days)
    return found.isoformat() if not more else f"{found.year + more:04d}-{found.month:02d}-{found.day:02d}"
