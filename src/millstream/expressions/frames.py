"""The door for Polars frames."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import polars as pl

from millstream.errors import BadData, near
from millstream.expressions.kernel import DAYS, INSTANTS
from millstream.expressions.kernel_polars import TYPES
from millstream.types import DType


def admit(frame: pl.DataFrame, *, timezone: str | None, where: str) -> pl.DataFrame:
    """Turn a frame into values of the row language; see ``expressions.door.frame``."""
    if timezone is not None:
        _check_zone(timezone, where)
    made = []
    for name, dtype in frame.schema.items():
        expression = _admitted(pl.col(name), dtype, timezone, f"{where}: column {name!r}")
        if expression is not None:
            made.append((name, dtype, expression))
    if made:
        try:
            admitted = frame.with_columns(expression for _, _, expression in made)
        except pl.exceptions.InvalidOperationError as wrong:
            raise BadData(f"{where}: {str(wrong).splitlines()[0]}", expected="integers of at most 64 bits") from None
        _check_gaps(frame, admitted, timezone, where)
        frame = admitted
    _check_years(frame, where)
    return frame


def schema_of(frame: pl.DataFrame) -> dict[str, DType]:
    """Name the type of each column; see ``expressions.door.schema``."""
    return {name: _type_of(dtype, f"column {name!r}") for name, dtype in frame.schema.items()}


def _type_of(dtype: pl.DataType, where: str) -> DType:
    if dtype.is_integer():
        return "bigint"
    if dtype.is_numeric() or dtype == pl.Null:
        return "double"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "varchar"
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone is None else "timestamptz"
    if isinstance(dtype, pl.Duration):
        return "interval"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype == pl.Date:
        return "date"
    raise BadData(
        f"{where} has the type {dtype}, which the row language does not have",
        expected=", ".join(sorted(TYPES)),
        do="turn it into one of these at the source, or leave the column out",
    )


def _admitted(column: pl.Expr, dtype: pl.DataType, timezone: str | None, where: str) -> pl.Expr | None:
    """Return what turns a column into values of the language, None when it is so already."""
    kind = _type_of(dtype, where)
    if kind == "double":
        number = column.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number)
    if kind == "timestamp":
        if timezone is None:
            raise BadData(
                f"{where} holds times without a zone",
                expected="times with a zone, or a table that says which zone its times are in",
                do='declare it: Table(..., timezone="Europe/Berlin")',
            )
        local = column.cast(pl.Datetime("us"))
        return local.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null").dt.convert_time_zone(
            "UTC"
        )
    if dtype == TYPES[kind]:
        return None
    if kind == "timestamptz":
        return column.dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    return column.cast(TYPES[kind])


def _check_zone(timezone: str, where: str) -> None:
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadData(
            f"{where}: there is no time zone {timezone!r}", expected=near(timezone, available_timezones())
        ) from None


def _check_gaps(given: pl.DataFrame, admitted: pl.DataFrame, timezone: str | None, where: str) -> None:
    for name, dtype in given.schema.items():
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
            lost = given[name].is_not_null() & admitted[name].is_null()
            if lost.any():
                first = given[name].filter(lost)[0]
                raise BadData(
                    f"{where}: column {name!r} holds {first}, a time that did not exist in {timezone}: clocks went "
                    f"forward over it ({lost.sum()} such rows)",
                    expected="times that a clock in that zone has shown",
                    do="correct the rows, or the zone the table declares",
                )


def _check_years(frame: pl.DataFrame, where: str) -> None:
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime | pl.Date):
            low, high = INSTANTS if isinstance(dtype, pl.Datetime) else DAYS
            outside = frame[name].to_physical()
            least, most = outside.min(), outside.max()
            if least is not None and (least < low or most > high):  # type: ignore[operator]
                raise BadData(
                    f"{where}: column {name!r} holds a time outside of the years 1 to 9999",
                    expected="times in the years 1 to 9999, or NULL",
                )
