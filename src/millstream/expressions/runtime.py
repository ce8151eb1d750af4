"""What generated row functions call: the rules of the row language in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from millstream.errors import BadData
from millstream.types import EPOCH

_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)
_BUCKET_US = 900_000_000
"""Zones change their offset only at quarters of an hour."""
_DAY_US = 86_400_000_000
_offsets: dict[tuple[str, int], int] = {}
_BOUND = 200_000


def finite(value: float) -> float | None:
    """Give NULL for what is not finite."""
    return value if -math.inf < value < math.inf else None


def whole(value: int) -> int:
    """Refuse a whole number that does not fit 64 bits."""
    if _SMALLEST <= value <= _LARGEST:
        return value
    raise BadData(f"{value} does not fit a bigint", expected="a number between -2^63 and 2^63 - 1")


def quotient(left: float, right: float) -> float | None:
    """Divide; NULL by zero."""
    return finite(left / right) if right != 0 else None


def whole_quotient(left: int, right: int) -> int | None:
    """Divide towards zero; NULL by zero."""
    if right == 0:
        return None
    made = abs(left) // abs(right)
    return whole(made if (left < 0) == (right < 0) else -made)


def remainder(left: float, right: float) -> float | None:
    """Give the rest with the dividend's sign; NULL by zero."""
    if right == 0:
        return None
    if isinstance(left, int) and isinstance(right, int):
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return math.fmod(left, right)


def half_away(value: float) -> float:
    """Round to the nearest whole number, halves away from zero."""
    size = abs(value)
    below = float(math.floor(size))
    return math.copysign(below + 1.0 if size - below >= 0.5 else below, value)


def length_of(left: float, right: float) -> int:
    """Multiply a length of time by a double, to the microsecond."""
    made = half_away(float(left) * float(right))
    return whole(int(made))


def sign(value: float) -> int:
    """Give -1, 0 or 1."""
    return (value > 0) - (value < 0)


def floor(value: float) -> float:
    """Give the largest whole number not above."""
    return float(math.floor(value))


def ceil(value: float) -> float:
    """Give the smallest whole number not below."""
    return float(math.ceil(value))


def sqrt(value: float) -> float | None:
    """Give the square root; NULL below zero."""
    return math.sqrt(value) if value >= 0 else None


def ln(value: float) -> float | None:
    """Give the natural logarithm; NULL at or below zero."""
    return math.log(value) if value > 0 else None


def log10(value: float) -> float | None:
    """Give the decimal logarithm; NULL at or below zero."""
    return math.log10(value) if value > 0 else None


def exp(value: float) -> float | None:
    """Give e to the power; NULL when too large."""
    try:
        return math.exp(value)
    except OverflowError:
        return None


def power(base: float, exponent: float) -> float | None:
    """Give the power; NULL when not finite or not real."""
    try:
        return finite(math.pow(base, exponent))
    except (OverflowError, ValueError):
        return None


def least(*values: Any) -> Any:
    """Give the smallest that is not NULL."""
    return min((each for each in values if each is not None), default=None)


def greatest(*values: Any) -> Any:
    """Give the largest that is not NULL."""
    return max((each for each in values if each is not None), default=None)


def coalesce(*values: Any) -> Any:
    """Give the first that is not NULL."""
    return next((each for each in values if each is not None), None)


def epoch(micros: int) -> float:
    """Give seconds of microseconds."""
    return micros / 1e6


def local_us(micros: int, zone: str) -> int:
    """Move an instant to the wall clock of a zone, in microseconds since 1970 of that clock."""
    bucket = (zone, micros // _BUCKET_US)
    offset = _offsets.get(bucket)
    if offset is None:
        instant = (EPOCH + timedelta(microseconds=micros)).astimezone(ZoneInfo(zone))
        offset = int((instant.utcoffset() or timedelta()).total_seconds() * 1_000_000)
        if len(_offsets) >= _BOUND:
            _offsets.clear()
        _offsets[bucket] = offset
    return micros + offset


def hour(micros: int, zone: str) -> int:
    """Give the hour of day, 0 to 23."""
    return local_us(micros, zone) // 3_600_000_000 % 24


def minute(micros: int, zone: str) -> int:
    """Give the minute of the hour."""
    return local_us(micros, zone) // 60_000_000 % 60


def isodow(micros: int, zone: str) -> int:
    """Give the day of the week, Monday 1 to Sunday 7."""
    return (local_us(micros, zone) // _DAY_US + 3) % 7 + 1


def dayofweek(micros: int, zone: str) -> int:
    """Give the day of the week, Sunday 0 to Saturday 6."""
    return (local_us(micros, zone) // _DAY_US + 4) % 7


def _date_part(read: Callable[[date], int]) -> Callable[[int, str], int]:
    def part(micros: int, zone: str) -> int:
        return read(date(1970, 1, 1) + timedelta(days=local_us(micros, zone) // _DAY_US))

    return part


_INTEGER = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def cast_bigint(value: Any) -> int:
    """Cast to bigint, or refuse."""
    try:
        if isinstance(value, str):
            return whole(int(value.strip()))
        return whole(round(value))
    except ValueError:
        raise _uncastable(value, "bigint") from None


def cast_double(value: Any) -> float | None:
    """Cast to double, or refuse."""
    try:
        return finite(float(value))
    except ValueError:
        raise _uncastable(value, "double") from None


def cast_varchar(value: Any) -> str:
    """Cast to text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def cast_boolean(value: Any) -> bool:
    """Cast to boolean, or refuse."""
    if isinstance(value, str):
        known = _INTEGER.get(value.strip().lower())
        if known is None:
            raise _uncastable(value, "boolean")
        return known
    return bool(value)


def _tried(cast: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def attempt(value: Any) -> Any:
        try:
            return cast(value)
        except BadData:
            return None

    return attempt


def _uncastable(value: Any, wanted: str) -> BadData:
    return BadData(f"{value!r} is not a {wanted}", do=f"try_cast(... as {wanted}) gives NULL instead")


_CASTS: dict[str, Callable[[Any], Any]] = {
    "bigint": cast_bigint,
    "double": cast_double,
    "varchar": cast_varchar,
    "boolean": cast_boolean,
}
_HERE = (
    finite, whole, quotient, whole_quotient, remainder, half_away, length_of, sign, floor, ceil, sqrt, ln, log10, exp, power,
    least, greatest, coalesce, epoch, hour, minute, isodow, dayofweek,
)  # fmt: skip
NAMES: dict[str, Callable[..., Any]] = {
    **{each.__name__: each for each in _HERE},
    **{f"cast_{kind}": cast for kind, cast in _CASTS.items()},
    **{f"try_cast_{kind}": _tried(cast) for kind, cast in _CASTS.items()},
    "year": _date_part(lambda day: day.year),
    "quarter": _date_part(lambda day: (day.month + 2) // 3),
    "month": _date_part(lambda day: day.month),
    "week": _date_part(lambda day: day.isocalendar().week),
    "day": _date_part(lambda day: day.day),
    "dayofyear": _date_part(lambda day: day.timetuple().tm_yday),
}

__all__ = ["NAMES"]
