"""What the Polars implementations of functions are made of, where one method is not enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import polars as pl

from millstream.expressions.almanac import almanac
from millstream.expressions.casts import BOOLEAN, DATE, DECIMAL, INTEGER
from millstream.expressions.kernel import DAY, INSTANTS
from millstream.expressions.kernel import hash_bucket as bucket_of
from millstream.types import DType

TYPES: dict[DType, pl.DataType] = {
    "boolean": pl.Boolean(),
    "bigint": pl.Int64(),
    "double": pl.Float64(),
    "varchar": pl.String(),
    "timestamptz": pl.Datetime("us", "UTC"),
    "timestamp": pl.Datetime("us"),
    "date": pl.Date(),
    "interval": pl.Duration("us"),
}
"""Polars type of each type of the row language."""

_NO_INTEGER = 2**100
_TIME = (
    r"^[0-9-]{10}[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]{1,6}))?)?(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)$"
)


def finite(value: pl.Expr) -> pl.Expr:
    """Turn NaN and infinities into NULL."""
    return pl.when(value.is_finite()).then(value)


def bounded(value: pl.Expr, low: int, high: int) -> pl.Expr:
    """Narrow a 128-bit integer to 64 bits; values outside of the bounds make the evaluation fail."""
    if (low, high) != (-(2**63), 2**63 - 1):
        outside = (value < low) | (value > high)
        value = pl.when(outside).then(pl.lit(_NO_INTEGER, dtype=pl.Int128)).otherwise(value)
    return value.cast(pl.Int64)


def quotient(a: pl.Expr, b: pl.Expr | float) -> pl.Expr:
    """Divide as one row does, to the last bit: by a constant Polars would multiply with its reciprocal."""
    return a / (a - a + b)


def divide(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Divide; NULL by zero."""
    return pl.when(b != 0).then(quotient(a, b))


def power(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Raise to a power as one row does, to the last bit: to a constant power Polars would multiply by itself."""

    def raised(parts: Sequence[pl.Series]) -> pl.Series:
        rows = min(map(len, parts)) and max(map(len, parts))
        if not rows:
            return pl.Series(dtype=pl.Float64)
        base, exponent = (each if len(each) > 1 else each.new_from_index(0, max(rows, 2)) for each in parts)
        return base.pow(exponent).head(rows)

    return pl.map_batches([a, b], raised, return_dtype=pl.Float64, is_elementwise=True)


def log10(a: pl.Expr) -> pl.Expr:
    """Return the logarithm to base 10 of positive numbers; Polars' own is a quotient of logarithms, off by a bit."""

    def exact(numbers: pl.Series) -> pl.Series:
        positive = numbers > 0
        made = pl.Series(list(map(math.log10, numbers.filter(positive))), dtype=pl.Float64)
        return pl.repeat(None, len(numbers), dtype=pl.Float64, eager=True).scatter(positive.arg_true(), made)

    return a.map_batches(exact, return_dtype=pl.Float64, is_elementwise=True)


def truncated_division(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Divide integers, dropping the fraction; NULL by zero."""
    divisor = pl.when(b != 0).then(b)
    more = (a % divisor != 0) & ((a < 0) != (divisor < 0))
    return a // divisor + more.cast(pl.Int128)


def remainder(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Return the remainder with the sign of the dividend; NULL by zero."""
    divisor = pl.when((b != 0) & (b != -1)).then(b)
    rest = a % divisor
    signed = pl.when((rest != 0) & ((a < 0) != (divisor < 0))).then(rest - divisor).otherwise(rest)
    return pl.when(b == -1).then(a - a).otherwise(signed)


def sign(a: pl.Expr) -> pl.Expr:
    """Return -1, 0 or 1."""
    return a.sign().cast(pl.Int64)


def half_away(a: pl.Expr) -> pl.Expr:
    """Round halves away from zero."""
    return a.round(0, mode="half_away_from_zero")


def round_to(a: pl.Expr, digits: int) -> pl.Expr:
    """Round to decimal digits; what is too large to have such digits stays."""
    scale = 10.0**digits
    scaled = a * scale
    return pl.when(scaled.is_infinite()).then(a).otherwise(quotient(half_away(scaled), scale))


def scale(number: pl.Expr, interval: pl.Expr) -> pl.Expr:
    """Multiply an interval, in microseconds, by a double; too long is an error."""
    return half_away(number * interval.cast(pl.Float64)).cast(pl.Int64).cast(pl.Int128)


def least(values: Sequence[pl.Expr]) -> pl.Expr:
    """Return the smallest that is not NULL."""
    return pl.min_horizontal(*values)


def greatest(values: Sequence[pl.Expr]) -> pl.Expr:
    """Return the largest that is not NULL."""
    return pl.max_horizontal(*values)


def members(a: pl.Expr, values: Sequence[Any]) -> pl.Expr:
    """Say whether a value is one of several."""
    return a.is_in(list(values))


def length(a: pl.Expr) -> pl.Expr:
    """Count characters."""
    return a.str.len_chars().cast(pl.Int64)


def concat(values: Sequence[pl.Expr]) -> pl.Expr:
    """Join texts, leaving NULLs out."""
    return pl.concat_str(list(values), ignore_nulls=True)


def like(a: pl.Expr, pattern: str) -> pl.Expr:
    """Match a LIKE pattern."""
    parts = [".*" if each == "%" else "." if each == "_" else f"\\x{{{ord(each):x}}}" for each in pattern]
    return a.str.contains(f"(?s)^{''.join(parts)}$")


def clip(a: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    """Keep a number between bounds; NULL where one of the three is."""
    raised = pl.when(low > a).then(low).otherwise(a)
    kept = pl.when(high < raised).then(high).otherwise(raised)
    return pl.when(a.is_not_null() & low.is_not_null() & high.is_not_null()).then(kept)


def bucket(a: pl.Expr, edges: Sequence[float]) -> pl.Expr:
    """Count the edges that a number has reached."""
    return sum(((a >= each).cast(pl.Int64) for each in edges[1:]), (a >= edges[0]).cast(pl.Int64))


def hash_bucket(a: pl.Expr, count: int) -> pl.Expr:
    """Put texts into buckets; each distinct text is hashed once."""

    def hashed(texts: pl.Series) -> pl.Series:
        distinct = texts.drop_nulls().unique()
        made = pl.Series([bucket_of(each, count) for each in distinct], dtype=pl.Int64)
        return texts.replace_strict(distinct, made, default=None, return_dtype=pl.Int64)

    return a.map_batches(hashed, return_dtype=pl.Int64, is_elementwise=True)


def part_of(a: pl.Expr, mark: str, place: int) -> pl.Expr:
    """Return the part between marks; empty where there is none."""
    found = a.str.split(mark).list.get(place - 1, null_on_oob=True).fill_null("")
    return pl.when(a.is_not_null()).then(found)


def atan2(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Return the angle to a point; -0.0 is the number 0."""
    return pl.arctan2(pl.when(a == 0).then(0.0).otherwise(a), pl.when(b == 0).then(0.0).otherwise(b))


def day_fraction(a: pl.Expr) -> pl.Expr:
    """Return how much of the day has passed."""
    return quotient((a.to_physical() % DAY).cast(pl.Float64), float(DAY))


def week_fraction(a: pl.Expr) -> pl.Expr:
    """Return how much of the week has passed, from Monday on."""
    return quotient(((a.to_physical() + 3 * DAY) % (7 * DAY)).cast(pl.Float64), 7.0 * DAY)


def year_fraction(a: pl.Expr) -> pl.Expr:
    """Return how much of the year has passed."""
    at = a.cast(pl.Datetime("us"))
    passed = (at.dt.ordinal_day().cast(pl.Int64) - 1) * DAY + at.to_physical() % DAY
    return passed / ((365 + at.dt.is_leap_year().cast(pl.Int64)) * DAY)


def almanac_of(a: pl.Expr, packed: str, method: str) -> pl.Expr:
    """Ask a calendar about days; of a day that it does not know the answer is NULL."""
    days, answers = _answers(packed, method)
    day = a.cast(pl.Date).to_physical().cast(pl.Int64)
    return day.replace_strict(days, answers, default=None, return_dtype=answers.dtype)


@cache
def _answers(packed: str, method: str) -> tuple[pl.Series, pl.Series]:
    asked = almanac(packed)
    found = {day: getattr(asked, method)(day) for day in range(asked.first, asked.last + 1)}
    dtype = {"is_holiday": pl.Boolean, "is_working_day": pl.Boolean, "holiday_name": pl.String}.get(method, pl.Int64)
    return pl.Series(list(found), dtype=pl.Int64), pl.Series(list(found.values()), dtype=dtype)


def seconds(a: pl.Expr) -> pl.Expr:
    """Turn microseconds into seconds."""
    return quotient(a.to_physical().cast(pl.Float64), 1_000_000.0)


def local(a: pl.Expr, zone: str) -> pl.Expr:
    """Return the clock on the wall in a zone."""
    return a.dt.convert_time_zone(zone).dt.replace_time_zone(None)


def part(a: pl.Expr, name: str) -> pl.Expr:
    """Take a calendar part; ``sunday_zero`` is DuckDB's ``dayofweek``."""
    found = a.dt.weekday() % 7 if name == "sunday_zero" else getattr(a.dt, name)()
    return found.cast(pl.Int64)


def cast(a: pl.Expr, to: DType) -> pl.Expr:
    """Cast what always has a counterpart."""
    if to == "boolean":
        return a != 0
    return a.cast(TYPES[to])


def _guarded(valid: pl.Expr, text: pl.Expr, to: str, *, strict: bool) -> pl.Expr:
    """Keep valid texts; replace others by NULL, or by what makes the strict cast fail and tell."""
    kept = pl.when(valid).then(text)
    return kept.otherwise(pl.lit(f"not a {to}: ") + text) if strict else kept


def _fail(valid: pl.Expr, given: pl.Expr, value: pl.Expr, to: str, *, strict: bool) -> pl.Expr:
    """Return a value where valid; elsewhere NULL, or fail when the given one is not NULL."""
    if not strict:
        return pl.when(valid).then(value)
    told = pl.when(valid.not_() | (valid.is_null() & given.is_not_null())).then(
        pl.lit(f"not a {to}: ") + given.cast(pl.String)
    )
    failing = told.cast(pl.Int64).is_null()
    return pl.when(failing & valid).then(value)


def bigint_of_double(a: pl.Expr, *, strict: bool) -> pl.Expr:
    """Return the nearest integer, halves to even."""
    return a.round(0, mode="half_to_even").cast(pl.Int64, strict=strict)


def bigint_of_varchar(a: pl.Expr, *, strict: bool) -> pl.Expr:
    """Read digits."""
    return _guarded(a.str.contains(f"^({INTEGER})$"), a, "bigint", strict=strict).cast(pl.Int64, strict=strict)


def double_of_varchar(a: pl.Expr, *, strict: bool) -> pl.Expr:
    """Read a decimal number."""
    matches = a.str.contains(f"^({DECIMAL})$")
    number = pl.when(matches).then(a).cast(pl.Float64, strict=False)
    return _guarded(matches & number.is_finite(), a, "double", strict=strict).cast(pl.Float64, strict=strict)


def boolean_of_varchar(a: pl.Expr, *, strict: bool) -> pl.Expr:
    """Read true or false."""
    return _fail(a.str.contains(f"^({BOOLEAN})$"), a, a.str.to_lowercase() == "true", "boolean", strict=strict)


def _date(a: pl.Expr) -> pl.Expr:
    found = pl.when(a.str.contains(f"^{DATE}$")).then(a).str.to_date("%Y-%m-%d", strict=False)
    return pl.when(found.dt.year() >= 1).then(found)


def date_of_varchar(a: pl.Expr, *, strict: bool) -> pl.Expr:
    """Read a day."""
    found = _date(a)
    return _fail(found.is_not_null(), a, found, "date", strict=strict)


def timestamptz_of_varchar(a: pl.Expr, *, strict: bool) -> pl.Expr:
    """Read an instant with an offset."""
    groups = a.str.extract_groups(_TIME)
    hours, minutes, seconds, fraction, sign, ahead_hours, ahead_minutes = (
        groups.struct.field(str(place)) for place in range(1, 8)
    )

    def number(text: pl.Expr) -> pl.Expr:
        return text.fill_null("0").cast(pl.Int64, strict=False)

    days = _date(a.str.slice(0, 10)).to_physical().cast(pl.Int64)
    ahead = (number(ahead_hours) * 60 + number(ahead_minutes)) * pl.when(sign == "-").then(-1).otherwise(1)
    local = ((days * 24 + number(hours)) * 60 + number(minutes) - ahead) * 60 + number(seconds)
    found = local * 1_000_000 + number(fraction.str.pad_end(6, "0"))
    valid = (
        (number(hours) < 24)
        & (number(minutes) < 60)
        & (number(seconds) < 60)
        & (number(ahead_hours) < 16)
        & (number(ahead_minutes) < 60)
        & hours.is_not_null()
        & found.is_between(*INSTANTS)
    ).fill_null(False)
    return _fail(valid, a, found.cast(TYPES["timestamptz"]), "timestamptz", strict=strict)
