"""Resolve what a model learns: an expression over its own row, or a window over facts to come."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.definitions.features import Window
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.definitions.rows import at_most, read_length
from millstream.definitions.table import Table
from millstream.errors import DefinitionError, near
from millstream.expressions import Expression, parse
from millstream.features.plan import TARGET, AheadPlan
from millstream.features.resolve import (
    ACCEPTED,
    ANSWERS,
    ENTITIES,
    answer_type,
    refuse_type,
    refuse_unknown,
    refuse_unlike,
    typed,
)
from millstream.types import MICROSECOND, DType, Schema, parse_duration

_AGGREGATES = ("any", "none", "sum", "count", "mean", "min", "max", "last")
_CALENDAR = ("mo", "w", "d")
_ANYBODY = frozenset(("id", "key", "uuid", "guid", "row_id", "rowid", "index"))
"""Names that every table may use for rows of its own."""


def compile_label(
    manifest: Manifest,
    model: Model,
    schemas: Mapping[str, Schema],
    rows_schema: Schema,
    *,
    zone: str | None,
) -> tuple[Expression | None, AheadPlan | None]:
    """Resolve a model's label, of either kind; two None for a model without. ``zone`` is that of the rows' calendar.

    Raises
    ------
    DefinitionError
        For unknown tables and columns, types that do not fit, and words that do not belong together.
    """
    said, where = model.label, f"model {model.name}: label"
    if isinstance(said, Window):
        return None, _ahead(manifest, model, said, schemas, rows_schema, zone)
    if said is not None and model.rows.step is not None:
        raise DefinitionError(
            f"{where} {said!r} is an expression over a row, and rows of Every are entities at ticks",
            expected='a window that looks ahead: label=f.any("...", of=table, ahead="90d")',
        )
    return typed(said, rows_schema, where=where, accepted=ANSWERS), None


def _ahead(
    manifest: Manifest,
    model: Model,
    said: Window,
    schemas: Mapping[str, Schema],
    rows_schema: Schema,
    zone: str | None,
) -> AheadPlan:
    where = f"model {model.name}: label f.{said.aggregate}"
    _refuse_contradictions(model, said, where)
    assert said.of is not None and said.ahead is not None
    table = manifest.table(said.of)
    schema = schemas[table.name]
    if table.event_time is None:
        raise DefinitionError(
            f"{where} looks ahead in table {table.name!r}, which does not say when its facts happened",
            expected="Table(..., event_time=...)",
        )
    on = _entity(manifest, model, said, table, schemas, where)
    refuse_unknown(on, schema, where=f"{where}: on", table=table.name)
    refuse_unknown(on.values(), rows_schema, where=f"{where}: on", table=model.rows.of)
    for column, key in on.items():
        refuse_unlike((table.name, schema, column), (model.rows.of, rows_schema, key), where=where)
    value, dtype = _value(said, schema, where)
    ahead_us, calendar = _length(said.ahead, where, zone=zone)
    return AheadPlan(
        table=table.name,
        entity=tuple(on),
        keys=tuple(on.values()),
        aggregate=said.aggregate,
        value=value,
        where=typed(said.where, schema, where=f"{where}: where", accepted=("boolean",)),
        ahead=said.ahead,
        timezone=calendar,
        ahead_us=ahead_us,
        lag_us=parse_duration(table.lag) // MICROSECOND,
        at=said.at,
        dtype=dtype,
        text=_text(said, table.name),
    )


def _refuse_contradictions(model: Model, said: Window, where: str) -> None:
    if said.ahead is None or said.over is not None or said.ago is not None:
        raise DefinitionError(
            f"{where} looks back" if said.over or said.ago else f"{where} does not say how far it looks ahead",
            expected="a label looks ahead, features look back",
            do=f'f.{said.aggregate}(..., of=table, ahead="90d")',
        )
    if said.of is None:
        raise DefinitionError(f"{where} does not say of which table", do="f.any(of=orders, ahead=...)")
    if said.aggregate not in _AGGREGATES:
        raise DefinitionError(f"{where} is no label", expected=f"one of {', '.join(_AGGREGATES)}")
    horizon = model.rows.horizon is not None
    if horizon != (said.at == TARGET):
        raise DefinitionError(
            f"{where} begins at {said.at}, and the rows have {'a' if horizon else 'no'} horizon",
            expected='at="target_at" where rows=Every(..., horizon=...), and nowhere else',
        )


def _entity(
    manifest: Manifest, model: Model, said: Window, table: Table, schemas: Mapping[str, Schema], where: str
) -> dict[str, str]:
    """Match columns of the facts with those of the rows: as said, else by name."""
    if said.on is not None:
        if not said.on:
            raise DefinitionError(
                f"{where}: on is empty", expected=f"on={{column of {table.name}: column of the rows}}"
            )
        return said.on
    rows, schema = manifest.table(model.rows.of), schemas[table.name]
    if model.rows.step is not None:
        missing = [each for each in rows.key if each not in schema]
        found = list(rows.key)
    else:
        found = _shared(manifest, model, rows, table, schemas)
        missing = [] if found else list(rows.key)
    guessed = model.rows.step is None or table.name != rows.name
    if not missing and guessed and set(found) == set(table.key) and set(found) <= _ANYBODY:
        missing = found  # both tables number their own rows by such a name
    if missing:
        near_by = near(missing[0], schema)
        raise DefinitionError(
            f"{where}: whom a fact of table {table.name!r} is about is not clear, as it has no column"
            f" {missing[0]!r} that names a row of {rows.name!r}"
            if missing[0] not in schema
            else f"{where}: {missing[0]!r} of table {table.name!r} and of {rows.name!r} may number rows of their own",
            expected=f"on={{column of {table.name}: column of {rows.name}}}",
            do=near_by if missing[0] not in schema else f'on={{"{rows.name}_id": "{missing[0]}"}}, for instance',
        )
    return {each: each for each in found}


def _shared(manifest: Manifest, model: Model, rows: Table, table: Table, schemas: Mapping[str, Schema]) -> list[str]:
    """Find what names an entity in both tables: parts of the rows' key, else entities of the model's features."""
    schema, there = schemas[table.name], schemas[rows.name]
    times = {rows.event_time, table.event_time}
    found = [each for each in rows.key if each in schema and each not in times]
    if found:
        return found
    entities = ((role, each) for role in manifest.roles(model) for each in manifest.view(role.view).entity)
    named = dict.fromkeys(role.keys.get(each, each) for role, each in entities)
    found = [each for each in named if each in schema and each in there]
    if found:
        return found
    alike = [e for e in there if e in schema and e not in times and there[e] in ENTITIES and e not in table.key]
    return alike if len(alike) == 1 else []


def _value(said: Window, schema: Schema, where: str) -> tuple[Expression | None, DType]:
    if said.value is None:
        if said.aggregate not in ("any", "none", "count"):
            raise DefinitionError(f"{where} has no value", expected=f'f.{said.aggregate}("column", of=...)')
        return None, "bigint" if said.aggregate == "count" else "boolean"
    value = parse(said.value, schema, where=where)
    if said.aggregate == "count":
        return value, "bigint"
    refuse_type(where, value, ACCEPTED[said.aggregate])
    return value, answer_type(said.aggregate, value.dtype)


def _length(ahead: str, where: str, *, zone: str | None) -> tuple[int, str | None]:
    """Return a window's length, at most, and the zone of the calendar that measures it."""
    if zone is not None and isinstance(ahead, str) and ahead.endswith(_CALENDAR):
        try:
            number, _ = read_length(ahead, where=where)
        except DefinitionError:
            pass  # several units, such as 1h1d, are a length without a calendar
        else:
            _refuse_empty(number, where)
            return at_most(ahead) // MICROSECOND, zone
    try:
        length = parse_duration(ahead) // MICROSECOND
    except ValueError as wrong:
        months = " (months are for rows=Every(...))" if ahead.endswith("mo") else ""
        raise DefinitionError(f"{where}: ahead {wrong}{months}") from None
    _refuse_empty(length, where)
    return length, None


def _refuse_empty(length: int, where: str) -> None:
    if not length:
        raise DefinitionError(f"{where} has an empty window", expected="a length such as ahead='90d'")


def _text(said: Window, table: str) -> str:
    value = "" if said.value is None else f"{said.value} "
    where = "" if said.where is None else f" where {said.where}"
    return f"{said.aggregate} {value}of {table} {said.ahead} ahead{where}"
