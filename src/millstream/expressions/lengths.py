"""Interval literals: fixed lengths only."""

from __future__ import annotations

import re
from fractions import Fraction

_PAIR = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")
_UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}
_SHORT = {
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
}
_UNEQUAL = {"month", "mon", "quarter", "year", "decade", "century", "centurie", "millennium", "y"}


class UnequalLengthError(ValueError):
    """A month or year: not a fixed length."""


def interval_micros(text: str) -> int:
    """Return the microseconds of an interval such as ``1 minute`` or ``3 days 2 hours``; a day is 24 hours.

    Raises
    ------
    UnequalLengthError
        For months and years.
    ValueError
        For anything else that is not number-unit pairs of whole microseconds.
    """
    pairs = list(_PAIR.finditer(text))
    if not pairs or "".join(each.group() for each in pairs) != text:
        raise ValueError(text)
    total = Fraction(0)
    for each in pairs:
        unit = each[2].lower()
        unit = _SHORT.get(unit, unit.removesuffix("s") if len(unit) > 2 else unit)
        if unit in _UNEQUAL:
            raise UnequalLengthError(unit)
        if unit not in _UNITS:
            raise ValueError(each[2])
        total += Fraction(each[1]) * _UNITS[unit]
    if total.denominator != 1 or abs(total) >= 2**63:
        raise ValueError(text)
    return int(total)
