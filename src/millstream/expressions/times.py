"""Instants, intervals, dates and calendar parts. Instants and intervals are exact microseconds."""

from __future__ import annotations

from millstream.expressions.function import Function
from millstream.expressions.kernel import DAY

_NOON = "'2013-07-04 12:34:56Z' at time zone 'America/New_York'"

# fmt: off
_ARITHMETIC = (
    Function(
        "+", ("timestamptz", "interval"), "timestamptz", "{0} + {1}", lambda k, a, b: a + b,
        "make_timestamptz(epoch_us({0}) + {1})", check="timestamptz",
    ),
    Function(
        "+", ("interval", "timestamptz"), "timestamptz", "{0} + {1}", lambda k, a, b: a + b,
        "make_timestamptz({0} + epoch_us({1}))", check="timestamptz",
    ),
    Function(
        "-", ("timestamptz", "interval"), "timestamptz", "{0} - {1}", lambda k, a, b: a - b,
        "make_timestamptz(epoch_us({0}) - {1})", check="timestamptz",
    ),
    Function(
        "-", ("timestamptz", "timestamptz"), "interval", "{0} - {1}", lambda k, a, b: a - b,
        "(epoch_us({0}) - epoch_us({1}))", check="interval",
    ),
    Function(
        "+", ("interval", "interval"), "interval", "{0} + {1}", lambda k, a, b: a + b, "({0} + {1})", check="interval"
    ),
    Function(
        "-", ("interval", "interval"), "interval", "{0} - {1}", lambda k, a, b: a - b, "({0} - {1})", check="interval"
    ),
    Function(
        "negate", ("interval",), "interval", "-{0}", lambda k, a: 0 - a, "(CAST(0 AS BIGINT) - {0})", check="interval",
    ),
    Function(
        "*", ("bigint", "interval"), "interval", "{0} * {1}", lambda k, a, b: a * b, "({0} * {1})", check="interval"
    ),
    Function(
        "*", ("interval", "bigint"), "interval", "{0} * {1}", lambda k, a, b: a * b, "({0} * {1})", check="interval"
    ),
    Function(
        "*", ("double", "interval"), "interval", "whole({0} * {1})", lambda k, a, b: k.scale(a, b),
        "CAST(round({0} * CAST({1} AS DOUBLE)) AS BIGINT)", check="interval",
    ),
    Function(
        "*", ("interval", "double"), "interval", "whole({0} * {1})", lambda k, a, b: k.scale(b, a),
        "CAST(round(CAST({0} AS DOUBLE) * {1}) AS BIGINT)", check="interval",
    ),
    Function(
        "+", ("date", "bigint"), "date", "{0} + {1}", lambda k, a, b: a + b,
        "CAST(DATE '1970-01-01' + CAST(({0} - DATE '1970-01-01') + {1} AS INTEGER) AS DATE)", check="date",
    ),
    Function(
        "-", ("date", "bigint"), "date", "{0} - {1}", lambda k, a, b: a - b,
        "CAST(DATE '1970-01-01' + CAST(({0} - DATE '1970-01-01') - {1} AS INTEGER) AS DATE)", check="date",
    ),
    Function(
        "-", ("date", "date"), "bigint", "{0} - {1}", lambda k, a, b: a - b, "({0} - {1})", check="bigint"
    ),
    Function(
        "epoch", ("interval",), "double", "{0} / 1000000.0", lambda k, a: k.seconds(a),
        "({0} / CAST(1000000 AS DOUBLE))", says="Seconds of an interval, or of an instant since 1970, as a double.",
        example="epoch(interval '90 minutes')",
    ),
    Function(
        "epoch", ("timestamptz",), "double", "{0} / 1000000.0", lambda k, a: k.seconds(a),
        "(epoch_us({0}) / CAST(1000000 AS DOUBLE))",
    ),
    Function(
        "at time zone", ("timestamptz", "varchar"), "timestamp", "{0} + {1}({0})", lambda k, a, zone: k.local(a, zone),
        "({0} AT TIME ZONE {1})", constants=(1,), prepare="zone",
        says="The clock on the wall in a zone (a literal), for calendar parts and `cast(... as date)`.",
        example=f"hour(timestamptz {_NOON})",
    ),
)

_PARTS = (
    ("year", "Calendar year.", "year({day})", "year"),
    ("quarter", "Quarter, 1 to 4.", "(month({day}) + 2) // 3", "quarter"),
    ("month", "Month, 1 to 12.", "month({day})", "month"),
    ("week", "ISO 8601 week, 1 to 53.", "week({day})", "week"),
    ("day", "Day of the month.", "day({day})", "day"),
    ("dayofyear", "Day of the year, from 1.", "dayofyear({day})", "ordinal_day"),
    ("dayofweek", "Day of the week: Sunday is 0, Saturday 6.", "({day} + 4) % 7", "sunday_zero"),
    ("isodow", "Day of the week: Monday is 1, Sunday 7.", "({day} + 3) % 7 + 1", "weekday"),
)
_CLOCK = (
    ("hour", "Hour of the day, 0 to 23.", "{0} // 3600000000 % 24", "hour"),
    ("minute", "Minute of the hour.", "{0} // 60000000 % 60", "minute"),
    ("second", "Whole second of the minute.", "{0} // 1000000 % 60", "second"),
)


def _part(name: str, argument: str, says: str, python: str, method: str) -> Function:
    example = f"{name}(timestamptz {_NOON})"
    return Function(
        name, (argument,), "bigint", python, lambda k, a: k.part(a, method), f"{name}({{0}})",  # type: ignore[arg-type]
        says=says, example=example,
    )


FUNCTIONS = (
    *_ARITHMETIC,
    *(
        _part(name, "timestamp", says, python.replace("{day}", f"({{0}} // {DAY})"), method)
        for name, says, python, method in _PARTS
    ),
    *(_part(name, "date", says, python.replace("{day}", "{0}"), method) for name, says, python, method in _PARTS),
    *(_part(name, "timestamp", says, python, method) for name, says, python, method in _CLOCK),
)
