"""The files that were given, read as the project's tables will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from millstream.cli.starting import names
from millstream.definitions.sources import Csv, Delta, Parquet, Postgres
from millstream.errors import BadData, NotFound, near
from millstream.expressions import door
from millstream.sources import read
from millstream.sources.instants import instants
from millstream.sources.sniff import sniff
from millstream.sources.stores import files
from millstream.sources.told import Told
from millstream.types import Schema

PARQUET = (".parquet", ".pq")
DELTA_SAMPLE = 1_000_000
_INSTEAD = {
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".ods": "save the sheet as CSV",
    ".zip": "unpack it and name a file of it",
    ".json": "write it as CSV or Parquet, one row a record",
    ".jsonl": "write it as CSV or Parquet, one row a record",
    ".db": "export the table as CSV",
    ".sqlite": "export the table as CSV",
}


@dataclass(frozen=True)
class Database:
    """Where a table of a database comes from, as the project will say it.

    Parameters
    ----------
    name, address
        Under ``[databases]`` of ``millstream.toml``.
    variable
        Environment variable of the password; empty where none was given.
    """

    name: str
    address: str
    variable: str


@dataclass(frozen=True)
class Given:
    """One table as it was given.

    Parameters
    ----------
    name
        Of the table.
    file
        What was given.
    source
        As its definition will name it.
    frame
        Its rows, through the door of the row language; of a large Delta table, or one of a database, a part.
    naive
        Whether it may have times without a zone.
    says
        How it is written, where that is not plain.
    uncertain
        Columns of days and months that nothing tells apart.
    told, database
        Of a table of a database: what that says about it, and where it is.
    """

    name: str
    file: Path
    source: Csv | Parquet | Delta | Postgres
    frame: pl.DataFrame
    naive: bool
    says: tuple[str, ...]
    uncertain: tuple[str, ...] = ()
    told: Told | None = None
    database: Database | None = None

    @property
    def own_name(self) -> str:
        """Name without its schema, as other tables of a database refer to it."""
        return self.file.name.rpartition(".")[2]

    @property
    def schema(self) -> Schema:
        """Column to type of the row language."""
        return door.schema(self.frame)


def take(
    files: Sequence[Path],
    *,
    folder: Path,
    timezone: str,
    ways: Mapping[str, str] | None = None,
    taken: Sequence[str] = (),
) -> list[Given]:
    """Read every file given.

    Parameters
    ----------
    files
        CSV, gzipped CSV, Parquet or the folder of a Delta table.
    folder
        Of the project; files inside it are named relative to it.
    timezone
        Zone of naive times.
    ways
        Column to the format of its times, where somebody knows it.
    taken
        Names that other tables have.

    Raises
    ------
    NotFound
        For a file that is not there.
    BadData
        For one that cannot be read, is empty, or is of no known kind.
    """
    found: list[Given] = []
    for each in files:
        name = names.of_table(each.name.split(".")[0], [*taken, *(one.name for one in found)])
        found.append(_take(each.expanduser(), name=name, folder=folder, timezone=timezone, ways=ways or {}))
    return found


def _take(file: Path, *, name: str, folder: Path, timezone: str, ways: Mapping[str, str]) -> Given:
    where = file.name
    if not file.exists():
        beside = [each.name for each in file.parent.iterdir()] if file.parent.is_dir() else []
        raise NotFound(f"there is no file {file}", do=near(file.name, beside))
    absolute = file.resolve()
    inside = absolute.is_relative_to(folder.resolve())
    path = str(absolute.relative_to(folder.resolve()) if inside else absolute)
    if absolute.is_dir():
        return _delta(absolute, path, name=name, timezone=timezone)
    uncertain: tuple[str, ...] = ()
    if absolute.suffix.lower() in PARQUET:
        source: Csv | Parquet
        source, says, uncertain = _parquet(absolute, path, ways=ways)
    elif absolute.suffix.lower() in (".csv", ".tsv", ".txt", ".gz"):
        sniffed = sniff(absolute, path=path, ways=ways)
        source, says, uncertain = sniffed.source, sniffed.says, sniffed.uncertain
    else:
        raise BadData(
            f"{where} is of no kind that can be read: {absolute.suffix or 'no ending'}",
            expected=".csv, .csv.gz, .parquet, or the folder of a Delta table",
            do=_INSTEAD.get(absolute.suffix.lower(), "if it is one of these, give it such a name"),
        )
    plain_path = msgspec.structs.replace(source, path=str(absolute))
    raw = read(files(plain_path.path, Path("/"), where=where), plain_path, expected=None, where=where)
    rename = names.renamed(raw.columns)
    source = msgspec.structs.replace(source, rename=rename)
    says = (*says, *_said_of_lost(raw))
    naive = any(isinstance(kind, pl.Datetime) and kind.time_zone is None for kind in raw.schema.values())
    frame = door.frame(raw.rename(rename), timezone=timezone, where=where)
    return Given(name, file, source, frame, naive=naive, says=says, uncertain=uncertain)


def _said_of_lost(raw: pl.DataFrame) -> list[str]:
    """Say which numbers have no value in the row language: none that is finite."""
    numbers = raw.select(pl.col(pl.Float64, pl.Float32))
    if not numbers.width:
        return []
    lost = numbers.select((~pl.all().is_finite()).sum()).row(0, named=True)
    return [
        f"{name!r}: {count:,} values are no finite numbers (NaN, infinite, beyond 1.8e308): they have no value"
        for name, count in lost.items()
        if count
    ]


def _parquet(file: Path, path: str, *, ways: Mapping[str, str]) -> tuple[Parquet, tuple[str, ...], tuple[str, ...]]:
    try:
        head = pl.read_parquet(file, n_rows=100_000, glob=False, hive_partitioning=False)
    except (pl.exceptions.ComputeError, OSError) as wrong:
        with file.open("rb") as opened:
            whole = opened.read(4) == b"PAR1"
        raise BadData(
            f"{file.name} is not Parquet: {wrong}",
            expected="a Parquet file that is whole",
            do="copy or export it again" if whole else "if it is CSV, give it a name that ends in .csv",
        ) from None
    without = tuple(name for name, kind in head.schema.items() if _no_value_of_rows(kind))
    texts = tuple(name for name, kind in head.schema.items() if kind == pl.Time or _beyond(file, name, kind))
    head = head.drop(*without, *texts)
    found = instants(head, ways=ways)
    says = [f"{name!r}: a {_word(kind)} is no value of one row; not taken in" for name, kind in _kinds(file, without)]
    says += [f"{name!r}: kept as text, as its values are no numbers of 64 bits, or times of a day" for name in texts]
    return Parquet(path, times=found.formats, texts=texts, without=without), (*says, *found.says), found.uncertain


def _kinds(file: Path, names: Sequence[str]) -> list[tuple[str, pl.DataType]]:
    schema = pl.read_parquet_schema(file)
    return [(name, schema[name]) for name in names]


def _word(kind: pl.DataType) -> str:
    """Name a type by its first word, lower case."""
    return str(kind).partition("(")[0].lower()


def _no_value_of_rows(kind: pl.DataType) -> bool:
    return kind.is_nested() or kind in (pl.Binary, pl.Object)


def _beyond(file: Path, name: str, kind: pl.DataType) -> bool:
    """Say whether whole numbers of a column do not fit in 64 bits with a sign."""
    if kind not in (pl.UInt64, pl.Int128, pl.UInt128):
        return False
    column = pl.read_parquet(file, columns=[name], glob=False, hive_partitioning=False)[name]
    return bool((column.is_not_null() & column.cast(pl.Int64, strict=False).is_null()).any())


def _delta(folder: Path, path: str, *, name: str, timezone: str) -> Given:
    if not (folder / "_delta_log").is_dir():
        inside = sorted(each.name for each in folder.iterdir())[:5]
        raise BadData(
            f"{folder} is a folder without _delta_log, so no Delta table; it holds {', '.join(inside) or 'nothing'}",
            expected="a CSV or Parquet file, or the folder of a Delta table",
            do="name one of its files",
        )
    from millstream.lake.attached.peek import peek

    frame = peek(folder, timezone=timezone, at_least=DELTA_SAMPLE)
    if not frame.height:
        raise BadData(f"{folder.name} is empty: the Delta table has no rows", expected="at least one row")
    return Given(name, folder, Delta(path), frame, naive=True, says=())
