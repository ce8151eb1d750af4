"""Rows of data files: decoded once, shaped by the table's definition, pruned by the ranges of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from millstream.errors import BadData, IntegrityError
from millstream.lake.cache import FileCache, Range, Rows
from millstream.lake.shape import Shape
from millstream.lake.spare import Folders
from millstream.state.versions import DataFile
from millstream.types import to_micros

Between = tuple[datetime | None, datetime | None]

_DAY_US = 86_400_000_000
_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "long": pl.Int64(),
    "integer": pl.Int32(),
    "short": pl.Int16(),
    "byte": pl.Int8(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
    "timestamp_ntz": pl.Datetime("us"),
}
KINDS: Mapping[str, pl.DataType] = {str(each): each for each in _TYPES.values()}
"""Types that a column of the lake may have, by their name."""
_PATH = "__millstream_path"


def empty(columns: Mapping[str, str], *, where: str) -> pl.DataFrame:
    """Return no rows of a Delta table's raw columns.

    Raises
    ------
    BadData
        For a column whose type the row language has not (nested, binary).
    """
    if strange := unreadable(columns):
        named = ", ".join(f"{name!r} ({columns[name]})" for name in strange)
        tupled = ", ".join(map(repr, strange)) + "," * (len(strange) == 1)
        raise BadData(
            f"{where} has what is no value of one row: {named}",
            expected="numbers, texts, booleans, dates or times",
            do=f"leave it out: sources.Delta(..., without=({tupled}))",
        )
    return pl.DataFrame(schema={name: _TYPES.get(kind, pl.Float64()) for name, kind in columns.items()})


def unreadable(columns: Mapping[str, str]) -> list[str]:
    """Name the columns of a Delta table whose type the row language has not; decimals are numbers."""
    return [name for name, kind in columns.items() if kind not in _TYPES and not kind.startswith("decimal")]


class FileReader:
    """Reads files of one table into shaped rows, through the cache."""

    def __init__(self, cache: FileCache, folders: Folders, columns: Mapping[str, str], *, where: str) -> None:
        self._cache = cache
        self._folders = folders
        self._raw = empty(columns, where=where)
        self._where = where

    def rows(self, files: Sequence[DataFile], shape: Shape, *, digest: str) -> list[Rows]:
        """Return the rows of each file, decoding together those that are not held."""
        found = {each.path: self._cache.get((digest, each.path)) for each in files}
        missing = [each for each in files if found[each.path] is None]
        if missing:
            for file, frame in zip(missing, self._decode(missing, shape), strict=True):
                found[file.path] = self._cache.put((digest, file.path), frame)
        return [rows for each in files if (rows := found[each.path]) is not None]

    def raw(self, file: DataFile) -> pl.DataFrame:
        """Return the rows of one file as they are stored, with the table's columns and types."""
        found = self._read([self._folders.place(file.path)], file.parts)
        assert found is not None
        return found.drop(_PATH)

    def _decode(self, files: Sequence[DataFile], shape: Shape) -> list[pl.DataFrame]:
        inside = set(self._raw.columns)  # parts that are no column of the table need not be filled in
        together = len(files) > 1 and all(each.rows is not None and not inside & set(each.parts) for each in files)
        if together:
            places = [self._folders.place(each.path) for each in files]
            made = self._read(places, {})
            if made is not None:
                cut = _cut(made, [(str(place), each.rows or 0) for place, each in zip(places, files, strict=True)])
                if cut is not None:
                    shaped = shape.apply(made.drop(_PATH))
                    return [shaped.slice(start, count) for start, count in cut]
        frames = []
        for each in files:
            one = self._read([self._folders.place(each.path)], each.parts)
            assert one is not None
            frames.append(shape.apply(one.drop(_PATH)))
        return frames

    def _read(self, paths: list[Path], parts: Mapping[str, str | None]) -> pl.DataFrame | None:
        inside = [each for each in self._raw.columns if each not in parts]
        try:
            read = self._decoded(paths, inside if len(paths) > 1 else self._present(paths[0], inside))
        except (pl.exceptions.SchemaError, pl.exceptions.SchemaFieldNotFoundError, pl.exceptions.ColumnNotFoundError):
            if len(paths) > 1:
                return None
            raise
        except FileNotFoundError as wrong:
            raise IntegrityError(
                f"a data file of {self._where} is missing: {wrong}",
                expected="files of a version are never deleted while the version is used",
                do="millstream verify names what rests on it; millstream pin TABLE@VERSION --copy keeps one for good",
            ) from None
        except (pl.exceptions.ComputeError, OSError) as wrong:
            raise IntegrityError(
                f"a data file of {self._where} cannot be read: {wrong}", do="millstream verify"
            ) from None
        if read.schema != {**self._raw.schema, _PATH: pl.String()}:
            read = self._align(read, parts)
        return read

    @staticmethod
    def _decoded(paths: list[Path], columns: list[str]) -> pl.DataFrame:
        return pl.read_parquet(
            paths, columns=[*columns, _PATH], glob=False, hive_partitioning=False, include_file_paths=_PATH
        )

    @staticmethod
    def _present(path: Path, columns: list[str]) -> list[str]:
        """Return those of the columns that a file has: one written before a column came does not."""
        there = pl.read_parquet_schema(path)
        return [each for each in columns if each in there]

    def _align(self, read: pl.DataFrame, parts: Mapping[str, str | None]) -> pl.DataFrame:
        """Give older files the table's present columns and types."""
        columns = []
        for name, kind in self._raw.schema.items():
            if name in parts:
                columns.append(pl.lit(parts[name], dtype=pl.String).cast(kind).alias(name))
            elif name not in read.columns:
                columns.append(pl.lit(None, dtype=kind).alias(name))
            elif isinstance(kind, pl.Datetime) and isinstance(read.schema[name], pl.Datetime):
                made = pl.col(name).dt.cast_time_unit("us")
                columns.append(_zoned(made, read.schema[name], kind))
            else:
                columns.append(pl.col(name).cast(kind))
        return read.select(*columns, _PATH)


def _zoned(column: pl.Expr, found: pl.DataType, wanted: pl.Datetime) -> pl.Expr:
    """Make times those of a table: instants stay the instants they are, times without a zone are UTC's or stay so."""
    if not isinstance(found, pl.Datetime) or not found.time_zone:
        return column.dt.replace_time_zone(wanted.time_zone) if wanted.time_zone else column
    return column.dt.convert_time_zone(wanted.time_zone) if wanted.time_zone else column.dt.replace_time_zone(None)


def ordered(files: Sequence[DataFile]) -> list[DataFile]:
    """Order files by the events inside, so that a version always reads in one order."""
    return sorted(files, key=lambda each: (each.low is not None, each.low or 0, each.path))


def overlapping(files: Sequence[DataFile], event_time: str | None, between: Between) -> list[DataFile]:
    """Leave out files whose statistics say that they hold no event in a range (widened by a day for zones)."""
    start, end = between
    low = None if start is None else to_micros(start) - _DAY_US
    high = None if end is None else to_micros(end) + _DAY_US
    return [
        each
        for each in files
        if each.timed_by != event_time
        or each.low is None
        or each.high is None
        or ((low is None or each.high >= low) and (high is None or each.low <= high))
    ]


def within(rows: Rows, event_time: str, between: Between) -> pl.DataFrame | None:
    """Return the rows of a file whose event lies in a half-open range; None when there are none."""
    found = rows.range(event_time)
    if found is None:
        return None
    start, end = between
    low, high = found
    if (start is not None and high < start) or (end is not None and low >= end):
        return None
    if (start is None or low >= start) and (end is None or high < end) and rows.frame[event_time].null_count() == 0:
        return rows.frame
    return rows.frame.filter(inside(event_time, between))


def inside(event_time: str, between: Between) -> pl.Expr:
    """Express that an event lies in a half-open range; NULL does not."""
    start, end = between
    said = pl.col(event_time).is_not_null()
    if start is not None:
        said = said & (pl.col(event_time) >= start.astimezone(UTC))
    if end is not None:
        said = said & (pl.col(event_time) < end.astimezone(UTC))
    return said


def matching(rows: Rows, zone: Mapping[str, Range]) -> bool:
    """Say whether a file may hold rows whose columns lie in closed ranges."""
    for column, (low, high) in zone.items():
        found = rows.range(column)
        if found is None or found[1] < low or found[0] > high:
            return False
    return True


def _cut(read: pl.DataFrame, files: Sequence[tuple[str, int]]) -> list[tuple[int, int]] | None:
    """Say which rows came from which file; None when the log's row counts are wrong."""
    if read.height != sum(count for _, count in files):
        return None
    found, start = [], 0
    paths = read[_PATH]
    for path, count in files:
        if count and (paths[start] != path or paths[start + count - 1] != path):
            return None
        found.append((start, count))
        start += count
    return found
