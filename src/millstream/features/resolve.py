"""Refuse names and types that do not fit, in the words of whoever wrote the definition."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.errors import DefinitionError, near
from millstream.expressions import Expression, parse
from millstream.types import DType, Schema

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
}
"""Types of value that an aggregate takes; ``count`` takes any."""


def answer_type(aggregate: str, value: DType) -> DType:
    """Return the type of an aggregate over values of a type."""
    if aggregate == "sum":
        return "double" if value == "double" else "bigint"
    if aggregate in ("mean", "std", "target"):
        return "double"
    return value


def filtered(value: str, where: str | None) -> str:
    """Return a value that is NULL, and so passed over, where a condition does not hold."""
    return value if where is None else f"case when ({where}) then ({value}) end"


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
