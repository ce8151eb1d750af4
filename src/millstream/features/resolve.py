"""Refuse names and types that do not fit, in the words of whoever wrote the definition."""

from __future__ import annotations

import math
from collections.abc import Iterable

from millstream.definitions.features import Window
from millstream.errors import DefinitionError, near
from millstream.expressions import Expression, parse
from millstream.features.plan import Span
from millstream.types import MICROSECOND, DType, Schema, parse_duration

RESERVED = ("decided_at", "label", "label_known_at")
"""Columns the spine adds."""
NUMBERS: tuple[DType, ...] = ("bigint", "double", "boolean")
ANSWERS: tuple[DType, ...] = (*NUMBERS, "varchar")
ENTITIES: tuple[DType, ...] = ("varchar", "bigint", "boolean", "date", "timestamptz")
ACCEPTED: dict[str, tuple[DType, ...]] = {
    "sum": NUMBERS,
    "mean": NUMBERS,
    "std": NUMBERS,
    "target": NUMBERS,
    "min": ("bigint", "double"),
    "max": ("bigint", "double"),
    "last": ANSWERS,
    "any": ("boolean",),
    "none": ("boolean",),
    "first": ANSWERS,
    "distinct": (*ANSWERS, "date", "timestamptz"),
    "quantile": ("bigint", "double"),
    "trend": NUMBERS,
}
"""Types of value that an aggregate takes; ``count`` and the times since take any."""
TIMED = ("trend", "since_last", "since_first")
"""Aggregates that are about when facts happened."""
VALUELESS = ("count", "since_last", "since_first")
"""Aggregates that may be of the facts themselves."""


def answer_type(aggregate: str, value: DType) -> DType:
    """Return the type of an aggregate over values of a type."""
    if aggregate == "sum":
        return "double" if value == "double" else "bigint"
    if aggregate in ("count", "distinct"):
        return "bigint"
    if aggregate in ("last", "first", "min", "max", "any", "none"):
        return value
    return "double"


def filtered(value: str, where: str | None) -> str:
    """Return a value that is NULL, and so passed over, where a condition does not hold."""
    return value if where is None else f"case when ({where}) then ({value}) end"


def window_span(said: Window, *, where: str, ttl: str | None, static: bool) -> Span:
    """Return which events a window takes; a table without event time has no window, no lag and no trend."""
    over = said.over or ttl
    if static:
        if over is not None:
            wrong = f"has a window of {over}"
        elif said.ago is not None:
            wrong = f"looks {said.ago} back"
        else:
            wrong = f"is a {said.aggregate.replace('_', ' ')}" if said.aggregate in TIMED else ""
        if wrong:
            raise DefinitionError(
                f"{where} {wrong}, but its table has no event time",
                expected="a window without length, or Table(..., event_time=...)",
            )
    over_us = None if over is None else parse_duration(over) // MICROSECOND
    if over_us == 0:
        raise DefinitionError(f"{where} has an empty window", expected="a length such as over='7d'")
    ago_us = 0 if said.ago is None else parse_duration(said.ago) // MICROSECOND
    if said.ago is not None and ago_us == 0:
        raise DefinitionError(f"{where} ends {said.ago} ago", expected="a length such as ago='7d', or none")
    return Span(over_us, ago_us)


def refuse_quantile(said: Window, *, where: str) -> None:
    """Refuse a quantile that does not say which, or that is none."""
    number = isinstance(said.q, int | float) and not isinstance(said.q, bool)
    if said.aggregate == "quantile":
        if not number or said.q is None or not (math.isfinite(said.q) and 0 <= said.q <= 1):
            raise DefinitionError(
                f"{where} is the quantile {said.q!r}", expected="a number from 0 to 1: 0.5 is the median"
            )
    elif said.q is not None:
        raise DefinitionError(f"{where} is a {said.aggregate} and has q={said.q!r}", expected="q for f.quantile alone")


def typed(text: str | None, schema: Schema, *, where: str, accepted: tuple[DType, ...]) -> Expression | None:
    """Parse an expression that must be of one of these types; None for none."""
    if text is None:
        return None
    found = parse(text, schema, where=where)
    refuse_type(where, found, accepted)
    return found


def refuse_type(where: str, found: Expression, accepted: tuple[DType, ...]) -> None:
    """Refuse an expression of another type."""
    if found.dtype not in accepted:
        raise DefinitionError(f"{where}: {found.text!r} is {found.dtype}", expected=f"one of {', '.join(accepted)}")


def refuse_unknown(names: Iterable[str], there: Iterable[str], *, where: str, table: str) -> None:
    """Refuse columns that a table does not have."""
    known = list(there)
    for name in names:
        if name not in known:
            raise DefinitionError(f"{where}: table {table!r} has no column {name!r}", do=near(name, known))


def refuse_unlike(facts: tuple[str, Schema, str], rows: tuple[str, Schema, str], *, where: str) -> None:
    """Refuse two columns (table, its schema, column) that cannot name the same entity."""
    (table, schema, column), (other, rows_schema, key) = facts, rows
    if schema[column] not in ENTITIES or schema[column] != rows_schema[key]:
        raise DefinitionError(
            f"{where}: {table}.{column} is {schema[column]}, {other}.{key} is {rows_schema[key]}",
            expected=f"two columns of one type among {', '.join(ENTITIES)}",
        )


def refuse_reserved(table: str, schema: Schema, reserved: Iterable[str] = RESERVED) -> None:
    """Refuse a table of rows with columns that training sets add."""
    for name in reserved:
        if name in schema:
            raise DefinitionError(
                f"table {table!r} has a column {name!r}, a word that training sets use themselves",
                expected="another name, given in columns={...} or the table's sql",
            )
