"""What another table says of the same key."""

from __future__ import annotations

import re

import polars as pl

from millstream.checks.scene import Scene
from millstream.definitions.values import Agrees
from millstream.errors import DefinitionError, near
from millstream.expressions import parse
from millstream.expressions.polars import to_polars
from millstream.lake.frame import TableFrame

_AGGREGATE = re.compile(r"\s*(sum|count|min|max|mean)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)


def theirs(check: Agrees, scene: Scene) -> pl.Series:
    """Return what the other table says of each row of the batch, in the batch's order.

    Raises
    ------
    DefinitionError
        When a table lacks the key, or the expression is not one of its row language.
    """
    said = f"check 'agrees' of table {scene.table.name!r}"
    other = scene.other(check.table)
    for name, schema in ((scene.table.name, scene.batch.schema), (check.table, other.schema)):
        if check.on not in schema:
            raise DefinitionError(f"{said}: table {name!r} has no column {check.on!r}", expected=near(check.on, schema))
    if scene.batch.schema[check.on] != other.schema[check.on]:
        types = f"{check.on} is {scene.batch.schema[check.on]} here and {other.schema[check.on]} in {check.table}"
        raise DefinitionError(f"{said}: {types}", expected="columns of one type")
    found = _newest(other).group_by(check.on).agg(_value(check, other, said).alias("_theirs"))
    joined = scene.batch.frame.select(check.on).join(found, on=check.on, how="left", maintain_order="left")
    empty = _word(check) in ("sum", "count")
    return joined["_theirs"].fill_null(0) if empty else joined["_theirs"]


def _newest(other: TableFrame) -> pl.DataFrame:
    """Keep the last correction of each row."""
    key = list(other.key)
    if not key or not other.known:
        return other.frame
    return other.frame.sort(list(other.known_for(key)), maintain_order=True).unique(
        subset=key, keep="last", maintain_order=True
    )


def _word(check: Agrees) -> str:
    found = _AGGREGATE.fullmatch(check.value)
    return found[1].lower() if found else ""


def _value(check: Agrees, other: TableFrame, said: str) -> pl.Expr:
    found = _AGGREGATE.fullmatch(check.value)
    inner = (found[2] if found else check.value).strip()
    if _word(check) == "count" and inner in ("", "*"):
        return pl.len().cast(pl.Int64)
    value = to_polars(parse(inner, other.schema, where=f"{said}, over {check.table}"))
    match _word(check):
        case "sum":
            return value.sum()
        case "count":
            return value.count().cast(pl.Int64)
        case "min":
            return value.min()
        case "max":
            return value.max()
        case "mean":
            return value.mean()
        case _:
            return value.first()
