"""Write expressions as DuckDB SQL, for the judge in tests and for people who want to try one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from millstream.expressions import feasts
from millstream.expressions.function import Function
from millstream.expressions.kernel import BOUNDS
from millstream.expressions.node import Call, Case, Column, Expression, Literal, Node
from millstream.expressions.table import FUNCTIONS

_NAMES = {
    "boolean": "BOOLEAN",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "varchar": "VARCHAR",
    "timestamptz": "TIMESTAMPTZ",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "interval": "BIGINT",
}
_EPOCH = date(1970, 1, 1).toordinal()


def to_sql(expression: Expression) -> str:
    """Write an expression as DuckDB SQL with the rules of the row language spelt out.

    The session's TimeZone must be UTC. Intervals are BIGINT microseconds, in columns and in the result.
    """
    return _sql(expression.node)


def _sql(node: Node) -> str:
    if isinstance(node, Column):
        return '"' + node.name.replace('"', '""') + '"'
    if isinstance(node, Literal):
        return literal(node)
    if isinstance(node, Case):
        branches = " ".join(
            f"WHEN {_sql(condition)} THEN {_sql(result)}"
            for condition, result in zip(node.conditions, node.results, strict=True)
        )
        return f"(CASE {branches} ELSE {_sql(node.otherwise)} END)"
    return _call(node, FUNCTIONS[node.function])


def literal(node: Literal) -> str:
    """Write a constant with its type."""
    if node.value is None:
        return f"CAST(NULL AS {_NAMES[node.dtype]})"
    if node.dtype == "varchar":
        return "'" + str(node.value).replace("'", "''") + "'"
    if node.dtype == "timestamptz":
        return f"make_timestamptz(CAST({node.value} AS BIGINT))"
    if node.dtype == "timestamp":
        return f"make_timestamp(CAST({node.value} AS BIGINT))"
    if node.dtype == "date":
        return f"(DATE '1970-01-01' + CAST({node.value} AS INTEGER))"
    if node.dtype == "double":
        return f"CAST('{float(node.value)!r}' AS DOUBLE)"
    return f"CAST({node.value} AS {_NAMES[node.dtype]})"


def _call(node: Call, function: Function) -> str:
    places = [_sql(each) for each in node.args]
    made = function.sql.format(*places, all=", ".join(places), rest=", ".join(places[1:]))
    if function.check == "finite":
        return f"(CASE WHEN isfinite({made}) THEN {made} END)"
    if function.check == "timestamptz":
        low, high = BOUNDS["timestamptz"]
        outside = f"epoch_us({made}) NOT BETWEEN {low} AND {high}"
        return f"(CASE WHEN {outside} THEN error('out of range') ELSE {made} END)"
    if function.check == "date":
        outside = f"{made} NOT BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"
        return f"(CASE WHEN {outside} THEN error('out of range') ELSE {made} END)"
    return made


MACROS = (
    "clip(x, low, high) AS CASE WHEN x IS NOT NULL AND low IS NOT NULL AND high IS NOT NULL"
    " THEN least(greatest(x, low), high) END",
    "bucket"
    + ", ".join(
        f"(x, {', '.join(f'e{n}' for n in range(1, count + 1))}) AS CASE WHEN x IS NOT NULL"
        f" THEN {' + '.join(f'CAST(x >= e{n} AS BIGINT)' for n in range(1, count + 1))} END"
        for count in range(1, 21)
    ),
    "hash_bucket(x, n) AS CAST('0x' || left(sha256(CAST(x AS VARCHAR)), 15) AS BIGINT) % CAST(n AS BIGINT)",
    *(
        f"{each.name}(x) AS {each.sql.format('x')}"
        for each in FUNCTIONS.values()
        if each.name.endswith("_fraction") and each.arguments == ("timestamp",)
    ),
    *(f"{name}(x, calendar) AS ask_calendar_{name}(CAST(x AS DATE), calendar)" for name in feasts.NAMES),
)
"""What the language has and DuckDB has not, so that expressions can be tried there; ``bucket`` to 20 edges."""


def functions() -> dict[str, tuple[Callable[[date | None, str | None], Any], str]]:
    """Return, by name, the Python functions of a DATE and a VARCHAR that the macros of calendars call, and their types.

    They look calendars up when they are called, and raise ValueError for one that there is not.
    """

    def asked(name: str) -> Callable[[date | None, str | None], Any]:
        from millstream.expressions.almanac import almanac
        from millstream.expressions.holidays import calendar

        method = feasts.METHODS[name]

        def ask(day: date | None, code: str | None) -> Any:
            if day is None or code is None:
                return None
            return getattr(almanac(calendar(code, name)), method)(day.toordinal() - _EPOCH)

        return ask

    return {f"ask_calendar_{name}": (asked(name), _NAMES[feasts.RESULTS[name]]) for name in feasts.NAMES}
