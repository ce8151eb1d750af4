"""Write expressions as DuckDB SQL, for the judge in tests and for people who want to try one."""

from __future__ import annotations

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
