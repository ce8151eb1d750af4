"""Reading files that are ingested, and refusing what is not as agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.sources import Csv, Files, Parquet
from millstream.errors import BadData, near
from millstream.sources import texts
from millstream.sources.csv_parts import csv_frames
from millstream.sources.jsons import json_frames, survey
from millstream.sources.parquets import parquet_frames


@dataclass(frozen=True)
class Delivery:
    """One file that is to be read.

    Parameters
    ----------
    file
        Where it is on this machine.
    parts
        Folder name to value, for the columns that come from its path.
    arrived
        When it was last written, ISO 8601 with its zone.
    """

    file: Path
    parts: Mapping[str, str] = field(default_factory=dict)
    arrived: str = ""


def read(files: Sequence[Path], source: Files, *, expected: Mapping[str, str] | None, where: str) -> pl.DataFrame:
    """Read files into one frame.

    Parameters
    ----------
    files, source
        What to read, and how.
    expected
        Column to type that the table had before, by which texts are read; None the first time.
    where
        What is read, for messages.

    Raises
    ------
    BadData
        For an empty table, duplicate names, text that is not of its column's type, or files that differ.
    """
    found: list[pl.DataFrame] = []
    for each in files:
        found.extend(frames(Delivery(each), source, expected=expected, where=where))
        refuse_change(schema(found[0]), schema(found[-1]), where=f"{where}, file {each.name}")
    made = pl.concat(found)
    if source.row_number:
        made = made.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(source.row_number), pl.all())
    if made.width == 0 or made.height == 0:
        raise no_rows([each.name for each in files], where)
    return made


def no_rows(names: Sequence[str], where: str) -> BadData:
    """Say that there are no rows."""
    return BadData(
        f"{where} is empty: {', '.join(names[:5])}{', ...' * (len(names) > 5)} holds no rows",
        expected="at least one row",
        do="look at the export that wrote it",
    )


def frames(
    delivery: Delivery,
    source: Files,
    *,
    expected: Mapping[str, str] | None,
    where: str,
    tell: Callable[[str], object] = lambda said: None,
) -> Iterator[pl.DataFrame]:
    """Read one file in frames, as the table will have its rows; memory holds one at a time.

    Parameters
    ----------
    delivery, source
        What to read, and how.
    expected
        Column to type that the table had before, by which texts are read; None the first time.
    where
        What is read, for messages.
    tell
        Called with what there is to say of it that is no error.

    Raises
    ------
    BadData
        For a file that is empty, cut short, or not as its source says, naming the line where there is one.
    Misled
        When a later row shows that the types of the first ones were not those of the file: read it again by what it
        says.
    """
    file = delivery.file
    if not file.stat().st_size:
        raise BadData(
            f"{file} of {where} is empty: it has no bytes",
            expected="a header line and rows" if isinstance(source, Csv) else "rows",
            do="look at the export that wrote it; an upload may not have ended",
        )
    for frame in _raw(file, source, expected=expected, where=where, tell=tell):
        made = frame.with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in delivery.parts.items())
        if source.columns:
            made = made.select(_wanted(source, made.columns, where=f"{file} of {where}"))
        plain = msgspec.structs.replace(source, without=()) if isinstance(source, Parquet) else source
        made = storable(texts.settle(made, plain, where=where))
        if source.arrived:
            stamp = pl.lit(delivery.arrived).str.to_datetime(time_unit="us", time_zone="UTC")
            made = made.with_columns(stamp.alias(source.arrived))
        yield made


def _raw(
    file: Path,
    source: Files,
    *,
    expected: Mapping[str, str] | None,
    where: str,
    tell: Callable[[str], object],
) -> Iterator[pl.DataFrame]:
    if isinstance(source, Parquet):
        return parquet_frames(file, source, where=where)
    back = {new: own for own, new in source.rename.items()}
    if isinstance(source, Csv):
        known = {back.get(name, name): kind for name, kind in _kinds(expected).items()}
        return csv_frames(file, source, kinds={**_kinds(expected), **known}, where=where, tell=tell)
    found = survey(file, source, where=where)
    kinds = {name: pl.String() if kind == pl.Null else kind for name, kind in found.items()}
    if expected is not None:
        made = {source.row_number, source.arrived, *source.folders}
        had = {back.get(name, name): _kinds(expected).get(name, pl.String()) for name in expected if name not in made}
        own = (*source.texts, *source.times)
        left = {name: kind for name, kind in kinds.items() if name in source.without or (
            source.columns and name not in source.columns)}  # fmt: skip
        kinds = {**{name: kinds.get(name, kind) if name in own else kind for name, kind in had.items()}, **left}
    return json_frames(file, source, kinds=kinds, where=where)


def _wanted(source: Files, there: Sequence[str], *, where: str) -> list[str]:
    for each in source.columns:
        if each not in there:
            raise BadData(f"{where} has no column {each!r}, which its source names", do=near(each, there))
    return [each for each in there if each in source.columns or each in source.folders]


def schema(frame: pl.DataFrame) -> dict[str, str]:
    """Return column to type, as kept of a table's first arrival."""
    return {name: str(kind) for name, kind in frame.schema.items()}


def refuse_change(expected: Mapping[str, str], found: Mapping[str, str], *, where: str) -> None:
    """Refuse columns that are missing, new or of another type than agreed.

    Raises
    ------
    BadData
        Naming every difference.
    """
    said = [f"{name!r} is missing ({near(name, set(found) - set(expected))})" for name in expected if name not in found]
    said += [f"{name!r} is new ({kind})" for name, kind in found.items() if name not in expected]
    said += [
        f"{name!r} was {kind}, is {found[name]}"
        for name, kind in expected.items()
        if name in found and found[name] != kind
    ]
    if said:
        raise BadData(
            f"the columns of {where} changed: {'; '.join(said)}",
            expected=", ".join(f"{name} {kind}" for name, kind in expected.items()),
            do="ask its owner, or take them: millstream.open('.').lake.accept_schema(TABLE, actor=YOU)",
        )


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """Widen numbers and times to the few types a lake table is kept in."""
    columns = []
    for name, kind in frame.schema.items():
        made = pl.col(name)
        if kind.is_integer():
            _refuse_too_large(frame[name])
            made = made.cast(pl.Int64)
        elif kind.is_float() or kind.is_decimal():
            made = made.cast(pl.Float64)
        elif isinstance(kind, pl.Datetime):
            made = made.dt.cast_time_unit("us")
            made = made.dt.convert_time_zone("UTC") if kind.time_zone else made
        elif kind == pl.Null or isinstance(kind, pl.Categorical | pl.Enum):
            made = made.cast(pl.String)
        columns.append(made)
    return frame.select(columns)


def _refuse_too_large(column: pl.Series) -> None:
    lost = column.is_not_null() & column.cast(pl.Int64, strict=False).is_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise BadData(
            f"column {column.name!r} holds whole numbers beyond 64 bits in {int(lost.sum()):,} rows, "
            f"the first is {column[row]} in row {row + 1:,}",
            expected="whole numbers between -2^63 and 2^63 - 1",
            do=f"keep them as text: texts=({column.name!r},) in its source",
        )


def _kinds(expected: Mapping[str, str] | None) -> dict[str, pl.DataType]:
    known: dict[str, pl.DataType] = {str(each): each for each in (pl.Int64(), pl.Float64(), pl.String(), pl.Boolean())}
    return {name: known[kind] for name, kind in (expected or {}).items() if kind in known}
