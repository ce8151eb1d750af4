"""The door for frames: from whatever a file or table held to the types of the row language."""

from __future__ import annotations

import polars as pl

from millstream.errors import BadData
from millstream.expressions.values import value
from millstream.types import DType, Schema

__all__ = ["frame", "schema", "value"]


def frame(raw: pl.DataFrame, *, timezone: str | None, where: str) -> pl.DataFrame:
    """Bring a frame to the types of the row language.

    Whole numbers become Int64, floats Float64 with NaN and infinity as NULL, times microseconds in UTC. A naive time
    is read in ``timezone``: where the clock shows an hour twice the earlier is meant, an hour it skips is an error.

    Raises
    ------
    BadData
        For a naive time without a zone, a time the zone's clock never showed, or a type the language has not.
    """
    return raw.select(_column(raw, name, kind, timezone=timezone, where=where) for name, kind in raw.schema.items())


def schema(made: pl.DataFrame) -> Schema:
    """Return the types of a frame that came through the door."""
    return {name: _dtype(kind) for name, kind in made.schema.items()}


def _column(raw: pl.DataFrame, name: str, kind: pl.DataType, *, timezone: str | None, where: str) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.UInt64:
        return column.cast(pl.Int64, strict=True)
    if kind.is_integer():
        return column.cast(pl.Int64)
    if kind.is_float() or kind.is_decimal():
        made = column.cast(pl.Float64)
        return pl.when(made.is_finite()).then(made).alias(name)
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is not None:
            return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
        return _localised(raw, name, timezone=timezone, where=where)
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if kind == pl.Null:
        return column.cast(pl.Float64)
    if kind in (pl.String, pl.Boolean, pl.Date) or isinstance(kind, pl.Duration):
        return column
    raise BadData(f"column {name!r} of {where} is a {kind}", expected="numbers, texts, booleans, dates or times")


def _localised(raw: pl.DataFrame, name: str, *, timezone: str | None, where: str) -> pl.Expr:
    if timezone is None:
        raise BadData(
            f"column {name!r} of {where} has times without a zone",
            expected="the zone they are in",
            do="Table(..., timezone='Area/City')",
        )
    naive = pl.col(name).dt.cast_time_unit("us")
    local = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    never = raw.filter(pl.col(name).is_not_null() & local.is_null())
    if never.height:
        raise BadData(
            f"column {name!r} of {where} says {never[name][0]}, a time the clocks of {timezone} skipped ({never.height} rows)",
            expected="times those clocks showed",
            do="set timezone to the zone the times were written in",
        )
    return local.dt.convert_time_zone("UTC")


def _dtype(kind: pl.DataType) -> DType:
    if isinstance(kind, pl.Datetime):
        return "timestamptz" if kind.time_zone else "timestamp"
    if isinstance(kind, pl.Duration):
        return "interval"
    found = _NAMES.get(kind)
    if found is None:
        raise BadData(f"a column is a {kind}", expected=", ".join(_NAMES.values()))
    return found


_NAMES: dict[pl.DataType, DType] = {
    pl.Boolean(): "boolean",
    pl.Int64(): "bigint",
    pl.Float64(): "double",
    pl.String(): "varchar",
    pl.Date(): "date",
}
