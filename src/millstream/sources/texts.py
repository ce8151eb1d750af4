"""Texts that are numbers or times, as a source says they are written; names as the table has them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from millstream.definitions.databases import Relational
from millstream.definitions.sources import Csv, Files, Json, Parquet
from millstream.errors import BadData, near

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
"""Format to microseconds of its unit."""
SIGN = "[%$€£¥]"
MINUS = "\u2212"
"""The minus of typesetters."""
FIRST_YEAR = 100
"""A year before it was written with two digits."""


def settle(frame: pl.DataFrame, source: Files | Relational, *, where: str) -> pl.DataFrame:
    """Read the texts of a frame as its source says, then give columns the names of the table.

    Raises
    ------
    BadData
        For a value that is not written as said, or a column that is not there.
    """
    numbers = source.numbers if isinstance(source, Csv) else ()
    nulls = source.nulls if isinstance(source, Csv) else {}
    without = source.without if isinstance(source, Parquet | Json) else ()
    texts = () if isinstance(source, Relational) else source.texts
    for name in (*numbers, *nulls, *without, *texts, *source.times, *source.rename):
        if name not in frame.columns:
            raise BadData(f"{where} has no column {name!r}, which its source names", do=near(name, frame.columns))
    frame = frame.drop(without)
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in texts)
    for name, words in nulls.items():
        text = pl.col(name).cast(pl.String)
        frame = frame.with_columns(pl.when(~text.str.strip_chars().is_in(list(words))).then(text).alias(name))
    if isinstance(source, Csv):
        for name in numbers:
            made = frame.select(number(name, decimal=source.decimal, thousands=source.thousands)).to_series()
            _refuse_lost(frame[name], made, where=where, expected=f"numbers such as {_example(source)}")
            frame = frame.with_columns(made)
    for name, formats in source.times.items():
        made = times(frame[name], formats)
        _refuse_lost(frame[name], made, where=where, expected=f"times written as {' or '.join(formats)}")
        frame = frame.with_columns(made)
    return frame.rename(source.rename)


def as_json(name: str) -> pl.Expr:
    """Write the lists of a column as JSON texts, ``[0.5,null]``; NULL stays NULL."""
    written = pl.struct(pl.col(name).alias("x")).struct.json_encode()
    return pl.when(pl.col(name).is_not_null()).then(written.str.slice(5).str.head(-1)).alias(name)


def number(name: str, *, decimal: str, thousands: str) -> pl.Expr:
    """Read a text column as numbers, without a percent or currency sign; what is none becomes NULL."""
    text = pl.col(name).cast(pl.String).str.replace(SIGN, "").str.strip_chars()
    text = text.str.replace(f"^{MINUS}", "-")
    if thousands:
        text = text.str.replace_all(thousands, "", literal=True)
    if decimal != ".":
        text = text.str.replace(decimal, ".", literal=True)
    return text.cast(pl.Float64, strict=False)


def times(column: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Read a column as times by the first format that fits each value; what fits none becomes NULL."""
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    made: pl.Series | None = None
    for each in formats:
        if each in EPOCHS:
            numbers = column.cast(pl.Float64, strict=False) * EPOCHS[each]
            read = numbers.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        elif each == "date":
            read = column.cast(pl.String).str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
        else:
            text = column.cast(pl.String).str.strip_chars()
            if each.endswith("%z"):
                text = text.str.replace("[zZ]$", "+00:00")
            timed = any(part in each for part in ("%H", "%I", "%T", "%R"))
            read = (
                text.str.to_datetime(each, strict=False, time_unit="us", exact=True, ambiguous="earliest")
                if timed
                else text.str.to_date(each, strict=False).cast(pl.Datetime("us"))
            )
            if "%Y" in each:
                read = read.to_frame().select(pl.when(pl.first().dt.year() >= FIRST_YEAR).then(pl.first())).to_series()
        made = read if made is None else made.fill_null(read)
    return made.alias(column.name) if made is not None else column


def _refuse_lost(before: pl.Series, after: pl.Series, *, where: str, expected: str) -> None:
    lost = before.is_not_null() & after.is_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise BadData(
            f"column {before.name!r} of {where} has {int(lost.sum()):,} values that cannot be read, "
            f"the first is {before[row]!r} in row {row + 1:,}",
            expected=expected,
            do="correct the file, or what its source says of the column",
        )


def _example(source: Csv) -> str:
    return f"1{source.thousands}234{source.decimal}5"
