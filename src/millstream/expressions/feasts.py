"""Functions of calendars: holidays and working days. The calendar's days stand in the expression itself."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.expressions.kernel import DAY
from millstream.types import DType

_FOURTH = "date '2013-07-04', 'US'"
_DAYS = "list_transform(string_split(split_part({1}, '|', 5), ','), lambda d: try_cast(d AS INTEGER))"
_WITHIN = "{day} BETWEEN CAST(split_part({1}, '|', 2) AS INTEGER) AND CAST(split_part({1}, '|', 3) AS INTEGER)"
_RESTS = "list_contains(string_split(split_part({1}, '|', 4), ','), CAST(({day} + 3) % 7 + 1 AS VARCHAR))"
_PLACE = f"CAST(string_split(split_part({{1}}, '|', 6), ',')[list_position({_DAYS}, {{day}})] AS BIGINT)"

_ALL: tuple[tuple[str, DType, str, str, str], ...] = (
    (
        "is_holiday", "boolean", "is_holiday", f"(CASE WHEN {_WITHIN} THEN list_contains({_DAYS}, {{day}}) END)",
        "Whether a day is a public holiday of a country (`US`), of a part of one (`US-NY`) or of a market (`XNYS`), a"
        " literal; NULL beyond the years that the calendar knows, 1970 to 2050 for most.",
    ),
    (
        "is_working_day", "boolean", "is_working_day",
        f"(CASE WHEN {_WITHIN} THEN {_RESTS} = list_contains({_DAYS}, {{day}}) END)",
        "Whether people work there: no weekend, no holiday, or a weekend that is worked.",
    ),
    (
        "holiday_name", "varchar", "holiday_name",
        f"(CASE WHEN {_WITHIN} THEN string_split(split_part({{1}}, '|', 7), chr(9))[{_PLACE}] END)",
        "Name of the holiday, in English where the calendar has it; NULL on other days.",
    ),
    (
        "days_until_holiday", "bigint", "until_holiday",
        f"(CASE WHEN {{day}} >= CAST(split_part({{1}}, '|', 2) AS INTEGER)"
        f" THEN list_min(list_filter({_DAYS}, lambda e: e >= {{day}})) - {{day}} END)",
        "Days to the next holiday, 0 on one.",
    ),
    (
        "days_since_holiday", "bigint", "since_holiday",
        f"(CASE WHEN {{day}} <= CAST(split_part({{1}}, '|', 3) AS INTEGER)"
        f" THEN {{day}} - list_max(list_filter({_DAYS}, lambda e: e <= {{day}})) END)",
        "Days since the last holiday, 0 on one.",
    ),
)  # fmt: skip

NAMES = tuple(name for name, *_ in _ALL)
"""Functions whose last argument names a calendar."""
METHODS = {name: method for name, _, method, _, _ in _ALL}
RESULTS: dict[str, DType] = {name: result for name, result, *_ in _ALL}


def _function(name: str, result: DType, method: str, sql: str, says: str, argument: DType) -> Function:
    number = "CAST(CAST({0} AS DATE) - DATE '1970-01-01' AS BIGINT)"
    day = "{0}" if argument == "date" else f"{{0}} // {DAY}"
    sql = sql.replace("{day}", number)
    if result == "bigint":
        sql = f"CAST({sql} AS BIGINT)"
    return Function(
        name, (argument, "varchar"), result, f"{{1}}.{method}({day})",
        lambda k, a, packed: k.almanac_of(a, packed, method), sql, constants=(1,), prepare="almanac", nullable=True,
        says=says, example=f"{name}({_FOURTH})",
    )  # fmt: skip


FUNCTIONS = tuple(
    _function(name, result, method, sql, says, argument)
    for name, result, method, sql, says in _ALL
    for argument in ("date", "timestamp")
)
