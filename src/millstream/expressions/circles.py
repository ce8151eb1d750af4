"""Trigonometry, and where in the day, week or year a time stands, for what comes round again."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.expressions.kernel import DAY
from millstream.types import DType

_WEEK = 7 * DAY
_NOON = "timestamptz '2013-07-04 12:34:56Z' at time zone 'America/New_York'"
_OF_YEAR = "(dayofyear({0}) - 1)"
_YEAR_DAYS = "dayofyear(make_date(year({0}), 12, 31))"


def _angle(name: str, says: str, example: str, polars: str) -> Function:
    return Function(
        name, ("double",), "double", f"{name}({{0}})", lambda k, a: getattr(a, polars)(), f"{name}({{0}})",
        check="finite", says=says, example=example,
    )  # fmt: skip


def _back(name: str, says: str, example: str, polars: str) -> Function:
    return Function(
        name, ("double",), "double", f"{name}({{0}}) if -1.0 <= {{0}} <= 1.0 else None",
        lambda k, a: getattr(a, polars)(), f"(CASE WHEN {{0}} BETWEEN -1 AND 1 THEN {name}({{0}}) END)",
        check="finite", nullable=True, says=says, example=example,
    )  # fmt: skip


def _fraction(name: str, argument: DType, python: str, sql: str, says: str = "") -> Function:
    example = f"{name}({_NOON})" if argument == "timestamp" else f"{name}(date '2013-07-04')"
    return Function(
        name, (argument,), "double", python, lambda k, a: getattr(k, name)(a), sql, says=says, example=example
    )


FUNCTIONS = (
    _angle("sin", "Sine of an angle in radians.", "sin(0)", "sin"),
    _angle("cos", "Cosine of an angle in radians.", "cos(0)", "cos"),
    _angle("tan", "Tangent of an angle in radians.", "tan(0)", "tan"),
    _back("asin", "The angle of a sine, in radians; NULL beyond -1 and 1.", "asin(0)", "arcsin"),
    _back("acos", "The angle of a cosine, in radians; NULL beyond -1 and 1.", "acos(1)", "arccos"),
    _angle("atan", "The angle of a tangent, in radians.", "atan(0)", "arctan"),
    Function(
        "atan2", ("double", "double"), "double", "atan2({0} or 0.0, {1} or 0.0)", lambda k, a, b: k.atan2(a, b),
        "atan2(CASE WHEN {0} = 0 THEN 0 ELSE {0} END, CASE WHEN {1} = 0 THEN 0 ELSE {1} END)",
        check="finite", says="The angle to a point: `atan2(y, x)`.", example="atan2(0, 1)",
    ),
    _angle("radians", "Degrees in radians.", "radians(180)", "radians"),
    _angle("degrees", "Radians in degrees.", "degrees(0)", "degrees"),
    _fraction(
        "day_fraction", "timestamp", f"{{0}} % {DAY} / {DAY}.0",
        f"(((epoch_us({{0}}) % {DAY}) + {DAY}) % {DAY} / CAST({DAY} AS DOUBLE))",
        "How much of the day has passed, from 0 to below 1; of a day of 24 hours of the clock on the wall.",
    ),
    _fraction(
        "week_fraction", "timestamp", f"({{0}} + {3 * DAY}) % {_WEEK} / {_WEEK}.0",
        f"((((epoch_us({{0}}) + {3 * DAY}) % {_WEEK}) + {_WEEK}) % {_WEEK} / CAST({_WEEK} AS DOUBLE))",
        "How much of the week has passed, from 0 on Monday at 0:00 to below 1.",
    ),
    _fraction(
        "year_fraction", "timestamp", "year_fraction({0})",
        f"(({_OF_YEAR} * {DAY} + ((epoch_us({{0}}) % {DAY}) + {DAY}) % {DAY})"
        f" / CAST({_YEAR_DAYS} * CAST({DAY} AS BIGINT) AS DOUBLE))",
        "How much of the year has passed, from 0 to below 1.",
    ),
    _fraction("year_fraction", "date", f"year_fraction({{0}} * {DAY})", f"({_OF_YEAR} / CAST({_YEAR_DAYS} AS DOUBLE))"),
)  # fmt: skip
