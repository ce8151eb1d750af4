"""JSON lines: one object a line, laid flat into columns."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.sources import Json
from millstream.errors import BadData, near
from millstream.sources.chunks import chunks
from millstream.sources.texts import as_json
from millstream.sources.unpacking import CUT_SHORT, unpacked

_SHOWN = 80
_NOT_READ = (pl.exceptions.ComputeError, pl.exceptions.SchemaError)


def json_frames(file: Path, source: Json, *, kinds: Mapping[str, pl.DataType], where: str) -> Iterator[pl.DataFrame]:
    """Read a file in frames, each of the columns it is said to have.

    Parameters
    ----------
    file, source
        What to read, and how.
    kinds
        Column to type, in order; a column that a frame lacks is NULL there. Empty for whatever is in the file.
    where
        What is read, for messages.

    Raises
    ------
    BadData
        Naming the line that is no JSON object, or the field that is new.
    """
    try:
        with unpacked(file) as stream:
            for part in chunks(stream, encoding="utf-8", quoted=False):
                frame = _flat(_parsed(part.text, file, line=part.line, where=where), file, where=where)
                yield _agreed(frame, kinds, file, where=where) if kinds else frame
    except CUT_SHORT as wrong:
        raise BadData(
            f"{file} of {where} is cut short, or not packed as its name says: {wrong}",
            expected="a whole file",
            do="copy or export it again",
        ) from None


def survey(file: Path, source: Json, *, where: str) -> dict[str, pl.DataType]:
    """Look at every row of a file for its columns and types; a type that no value shows is text."""
    found: dict[str, pl.DataType] = {}
    for frame in json_frames(file, source, kinds={}, where=where):
        found = joined(found, frame.schema, where=f"{file.name} of {where}")
    return found


def joined(one: Mapping[str, pl.DataType], other: Mapping[str, pl.DataType], *, where: str) -> dict[str, pl.DataType]:
    """Return columns and types that hold both; whole numbers and others are numbers.

    Raises
    ------
    BadData
        For a column that is of one type here and of another there.
    """
    made = dict(one)
    for name, kind in other.items():
        had = made.get(name, pl.Null())
        if had in (kind, pl.Null()):
            made[name] = kind
        elif had.is_numeric() and kind.is_numeric():
            made[name] = pl.Float64()
        elif kind != pl.Null():
            raise BadData(
                f"field {name!r} of {where} is {kind}, and {had} before",
                expected="one type for each field",
                do=f"texts=({name!r},) in its source keeps both as text",
            )
    return made


def _parsed(text: bytes, file: Path, *, line: int, where: str) -> pl.DataFrame:
    if not text.strip():
        return pl.DataFrame()
    try:
        return pl.read_ndjson(io.BytesIO(text), infer_schema_length=None)
    except _NOT_READ as wrong:
        said = str(wrong).splitlines()[0]
    _refuse_line(text, file, line=line, where=where)
    raise BadData(
        f"{file} of {where} is not JSON lines: {said}",
        expected="one JSON object a line, each field of one type in all of them",
        do="correct the file",
    )


def _refuse_line(text: bytes, file: Path, *, line: int, where: str) -> None:
    for number, each in enumerate(text.split(b"\n"), start=line):
        if not each.strip():
            continue
        try:
            found = msgspec.json.decode(each)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            said = f"is not JSON ({wrong})"
        else:
            if isinstance(found, dict):
                continue
            said = "is no JSON object"
        raise BadData(
            f"line {number:,} of {file} of {where} {said}: {each[:_SHOWN].decode(errors='replace')}",
            expected="one JSON object a line",
            do="correct the line, or wait until the file is whole",
        )


def _flat(frame: pl.DataFrame, file: Path, *, where: str) -> pl.DataFrame:
    """Lay objects flat, and write lists as JSON text."""
    while inner := [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]:
        made: list[pl.Expr] = []
        for name, kind in frame.schema.items():
            if name not in inner:
                made.append(pl.col(name))
            elif isinstance(kind, pl.Struct):
                made += [pl.col(name).struct.field(each.name).alias(f"{name}_{each.name}") for each in kind.fields]
        names = [each.meta.output_name() for each in made]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise BadData(
                f"{file.name} of {where} has two fields that would both be column {twice[0]!r}",
                expected="names that stay apart when objects are laid flat",
                do="rename one of them where the file is written",
            )
        frame = frame.select(made)
    return frame.with_columns(
        as_json(name) for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)
    )


def _agreed(frame: pl.DataFrame, kinds: Mapping[str, pl.DataType], file: Path, *, where: str) -> pl.DataFrame:
    new = [name for name in frame.columns if name not in kinds]
    if new:
        raise BadData(
            f"{file} of {where} has a field that was not there before: {', '.join(map(repr, new))}",
            expected=f"these: {', '.join(kinds)}",
            do=near(new[0], kinds),
        )
    if not frame.width:  # blank lines
        return pl.DataFrame(schema=dict(kinds))
    columns = []
    for name, kind in kinds.items():
        had = frame.schema.get(name)
        if had is None or had == pl.Null:
            columns.append(pl.lit(None, dtype=kind).alias(name))
        elif had.is_numeric() and kind == pl.Float64:
            columns.append(pl.col(name).cast(kind))
        else:
            columns.append(pl.col(name))
    return frame.with_columns(columns).select(list(kinds))  # of literals alone, select would make one row
