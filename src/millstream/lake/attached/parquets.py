"""Attached Parquet files: which there are, what is in them, and that those of earlier versions are as they were."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from millstream.definitions.sources import Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, IntegrityError
from millstream.lake.catalog import Catalog
from millstream.lake.delta import Snapshot, file_sha256
from millstream.sources.drift import refuse_change, wider
from millstream.sources.stores import files as files_of
from millstream.state import stamps, versions
from millstream.state.stamps import Stamped
from millstream.state.versions import DataFile, TableVersion
from millstream.types import to_micros

_SETTLED_S = 2.0
"""A file changed less than this ago may change again within one tick of its clock: hash it anew."""
_WORDS: Mapping[type[pl.DataType], str] = {
    pl.Int8: "byte",
    pl.UInt8: "short",
    pl.Int16: "short",
    pl.UInt16: "integer",
    pl.Int32: "integer",
    pl.UInt32: "long",
    pl.Int64: "long",
    pl.UInt64: "long",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.String: "string",
    pl.Categorical: "string",
    pl.Enum: "string",
    pl.Null: "string",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.List: "array",
    pl.Array: "array",
    pl.Struct: "struct",
    pl.Binary: "binary",
    pl.Time: "time",
}


def snapshot(catalog: Catalog, table: Table, source: Parquet, head: TableVersion | None) -> Snapshot | None:
    """Look at the files of a source; None when they are those of the newest version.

    Raises
    ------
    NotFound
        When there is no file.
    IntegrityError
        Naming a file of an earlier version that is not as it was.
    BadData
        For a file that is not whole, or files that came together and differ.
    SchemaChanged
        For columns that are not those agreed.

    Notes
    -----
    A file's bytes are read once, to hash them; then one look at each file, until its size or time of change differs.
    """
    where = f"table {table.name!r}"
    root = catalog.places.root
    there = {_named(each, root): each for each in files_of(source.path, root, where=where)}
    ever = {each.path: each for each, _ in versions.all_files(catalog.state, table.name)}
    hashes = _hashes(catalog, table, there)
    for path, sha256 in hashes.items():
        if path in ever and ever[path].sha256 != sha256:
            raise IntegrityError(
                f"{there[path]} changed: it has other bytes than when {table.name}@{ever[path].since} was registered",
                expected="attached files that are written once and never changed",
                do="have the file restored and its new rows written to a file of a new name; for files that change, "
                "leave out attach=True under a new table name",
            )
    number = -1 if head is None else head.version
    before = {} if head is None else {each.path: each for each in catalog.files(table, number)}
    if head is not None and set(before) == set(there):
        return None
    expected = versions.expected_schema(catalog.state, table.name)
    columns = dict(expected or {})
    fresh = {path: there[path] for path in there if path not in before}
    if fresh:
        columns = _columns(fresh, source, expected, table=table, where=where)
    files = {path: each for path, each in before.items() if path in there}
    files |= {path: _described(path, file, table, hashes[path], where=where) for path, file in fresh.items()}
    return Snapshot(number + 1, files, columns, ())


def _named(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def _hashes(catalog: Catalog, table: Table, there: Mapping[str, Path]) -> dict[str, str]:
    """Hash files that are not as they were when they were last hashed."""
    kept = stamps.kept(catalog.state, table.name)
    found, news = {}, dict[str, Stamped]()
    for path, file in there.items():
        stat = file.stat()
        stamp = f"{stat.st_mtime_ns}:{stat.st_size}:{stat.st_ino}"
        if path in kept and kept[path][0] == stamp:
            found[path] = kept[path][1]
            continue
        found[path] = file_sha256(file)
        if time.time() - stat.st_mtime > _SETTLED_S:
            news[path] = (stamp, found[path])
    if news:
        with catalog.state.transact() as tx:
            stamps.keep(tx, table.name, news)
    return found


def _columns(
    fresh: Mapping[str, Path], source: Parquet, expected: Mapping[str, str] | None, *, table: Table, where: str
) -> dict[str, str]:
    """Return the columns of files that came together, and refuse those that are not as agreed."""
    agreed: dict[str, str] = {}
    for file in fresh.values():
        found = {name: kind for name, kind in _schema(file, where=where).items() if name not in source.without}
        if expected is not None:  # a narrower number is held by the wider one that is agreed
            found = {name: _widest(kind, expected.get(name, kind)) for name, kind in found.items()}
        if not agreed:
            agreed = found
            continue
        widest = {name: _widest(kind, agreed.get(name, kind)) for name, kind in found.items()}
        try:
            refuse_change(agreed, widest, where=f"{where}, file {file.name}")
        except BadData as wrong:
            do = f"have {file.name} written like the files that came with it"
            raise BadData(wrong.happened, expected=wrong.expected, do=do) from None
        agreed = {name: widest[name] for name in agreed}
    if expected is not None:
        refuse_change(expected, agreed, where=where, table=table)
    return agreed


def _widest(kind: str, other: str) -> str:
    return other if wider(kind, other) else kind


def _schema(file: Path, *, where: str) -> dict[str, str]:
    try:
        read = pl.read_parquet_schema(file)
    except (pl.exceptions.PolarsError, OSError) as wrong:
        raise BadData(
            f"{file} of {where} is not a whole Parquet file: {str(wrong).splitlines()[0]}",
            expected="files that appear whole: written aside, then renamed",
            do="refresh again when its writer has finished, or have the file written again",
        ) from None
    return {name: _word(kind) for name, kind in read.items()}


def _word(kind: pl.DataType) -> str:
    if isinstance(kind, pl.Datetime):
        return "timestamp" if kind.time_zone else "timestamp_ntz"
    if isinstance(kind, pl.Decimal):
        return f"decimal({kind.precision},{kind.scale})"
    return _WORDS.get(type(kind), str(kind).lower())


def _described(path: str, file: Path, table: Table, sha256: str, *, where: str) -> DataFile:
    timed = table.event_time if table.event_time not in table.columns else None
    try:
        read = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        times = timed is not None and isinstance(read.collect_schema().get(timed), pl.Datetime)
        edges = [pl.col(timed).min().alias("low"), pl.col(timed).max().alias("high")] if times and timed else []
        told = read.select(pl.len().alias("rows"), *edges).collect().row(0, named=True)
    except (pl.exceptions.PolarsError, OSError) as wrong:
        raise BadData(
            f"{file} of {where} cannot be read: {str(wrong).splitlines()[0]}", do="look at the file"
        ) from None
    zone = ZoneInfo(table.timezone) if table.timezone else UTC
    return DataFile(
        path=path,
        size=file.stat().st_size,
        rows=told["rows"],
        timed_by=timed if times else None,
        low=_micros(told.get("low"), zone),
        high=_micros(told.get("high"), zone),
        sha256=sha256,
    )


def _micros(at: datetime | None, zone: tzinfo) -> int | None:
    if at is None:
        return None
    return to_micros(at if at.tzinfo else at.replace(tzinfo=zone))
