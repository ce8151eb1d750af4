"""Reading files that are ingested, and refusing what is not as agreed."""

from __future__ import annotations

import glob
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.sources import Csv, Parquet
from millstream.errors import BadData, NotFound, near
from millstream.sources import texts
from millstream.sources.csvs import read_csv
from millstream.sources.drift import refuse_change

_SETTLED_S = 2.0
"""A file changed less than this ago may change again within one tick of its clock: hash it anew."""


@dataclass(frozen=True)
class Arrival:
    """What lies at a source now.

    Parameters
    ----------
    files
        Files, by name.
    content
        Hash of their bytes and of how they are read.
    """

    files: tuple[Path, ...]
    content: str


class Watch:
    """Recognises files that did not change since they were last hashed by this process."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def look(self, source: Csv | Parquet, root: Path, *, where: str) -> Arrival:
        """Find the files of a source and hash what is in them.

        Raises
        ------
        NotFound
            When there is no such file.
        """
        files = find(source, root, where=where)
        digest = hashlib.sha256(msgspec.json.encode(source, order="deterministic"))
        for each in files:
            digest.update(bytes.fromhex(self._hash(each)))
        return Arrival(files=files, content=digest.hexdigest())

    def _hash(self, file: Path) -> str:
        stat = file.stat()
        signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        kept = self._seen.get(file)
        if kept and kept[0] == signature:
            return kept[1]
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if time.time() - stat.st_mtime > _SETTLED_S:
            self._seen[file] = (signature, found)
        return found


def find(source: Csv | Parquet, root: Path, *, where: str) -> tuple[Path, ...]:
    """List the files of a source, by name.

    Raises
    ------
    NotFound
        When there is none, naming what lies near.
    """
    wanted = root / source.path
    if wanted.is_file():  # a name that holds a * or [ of its own
        return (wanted,)
    pattern = source.path if Path(source.path).is_absolute() else f"{glob.escape(str(root))}/{source.path}"
    matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
    found = tuple(sorted(Path(each) for each in matches if Path(each).is_file()))
    if not found:
        beside = [each.name for each in wanted.parent.iterdir()] if wanted.parent.is_dir() else []
        raise NotFound(
            f"{where} has no file: nothing matches {wanted}",
            expected="a file or glob relative to the project, or absolute",
            do=near(wanted.name, beside),
        )
    return found


def read(arrival: Arrival, source: Csv | Parquet, *, expected: Mapping[str, str] | None, where: str) -> pl.DataFrame:
    """Read the files of an arrival into one frame.

    Parameters
    ----------
    arrival, source
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
    frames = [_read_one(each, source, expected=expected, where=where) for each in arrival.files]
    for file, frame in zip(arrival.files[1:], frames[1:], strict=True):
        _refuse_unlike(schema(frames[0]), schema(frame), where=where, first=arrival.files[0], file=file)
    made = pl.concat(frames)
    if source.row_number:
        made = made.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(source.row_number), pl.all())
    if made.width == 0 or made.height == 0:
        raise BadData(
            f"{where} is empty: {', '.join(each.name for each in arrival.files)} holds no rows",
            expected="at least one row",
            do="look at the export that wrote it",
        )
    return made


def schema(frame: pl.DataFrame) -> dict[str, str]:
    """Return column to type, as kept of a table's first arrival."""
    return {name: str(kind) for name, kind in frame.schema.items()}


def _refuse_unlike(wanted: dict[str, str], found: dict[str, str], *, where: str, first: Path, file: Path) -> None:
    """Refuse files of one arrival that differ: which of them is right cannot be said."""
    try:
        refuse_change(wanted, found, where=f"{where}, file {file.name}")
    except BadData as wrong:
        do = f"ask their owner, or make {file.name} like {first.name}"
        raise BadData(wrong.happened, expected=wrong.expected, do=do) from None


def _read_one(file: Path, source: Csv | Parquet, *, expected: Mapping[str, str] | None, where: str) -> pl.DataFrame:
    if isinstance(source, Csv):
        kinds = {**_kinds(expected), **{own: _kinds(expected)[new] for own, new in source.rename.items()
                                        if new in _kinds(expected)}}  # fmt: skip
        return storable(texts.settle(read_csv(file, source, kinds=kinds, where=where), source, where=where))
    try:
        frame = pl.read_parquet(file, glob=False, hive_partitioning=False)
    except (pl.exceptions.ComputeError, OSError) as wrong:
        raise BadData(f"{file} of {where} is not Parquet: {wrong}") from None
    return storable(texts.settle(frame, source, where=where))


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
