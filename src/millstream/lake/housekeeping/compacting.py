"""Compaction: a table's small files written anew as a few large ones, in one commit that brings no row and loses none.

A version of many small files is slow to read, to list and to add to. What compaction writes says for every row which
version brought it, so quarantine, batches and the map from delivered contents to rows stay exactly what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.table import Table
from millstream.disk import sync
from millstream.errors import IntegrityError, MillstreamError, StorageFull, UserError
from millstream.lake.batches import Shelved
from millstream.lake.cache import FileCache
from millstream.lake.catalog import Catalog, columns_of, folders
from millstream.lake.delta import file_sha256
from millstream.lake.faults import reach
from millstream.lake.files import FileReader, empty, ordered
from millstream.lake.ingest.landing import statistics
from millstream.state import Transaction, housekeeping, taken, versions
from millstream.state.taken import Landed, Piece, Taking
from millstream.state.versions import DataFile, TableVersion

SMALL = 16 << 20
"""A file below this size is written anew with its neighbours."""
MANY = 64
"""Small files from which on a table is compacted unasked."""
_ROWS = 500_000
_BYTES = 128 << 20
ACT = "table.compact"
COMPACTION = "millstream:compact:{}"
"""Identity of a compaction's commit, by table."""


def small(catalog: Catalog, name: str) -> list[DataFile]:
    """Return the files of a table's newest version that compaction would write anew; none of an attached table's."""
    head = catalog.head(name)
    if head.kind not in ("own", "ingested", "made") or name in catalog.shared():
        return []
    table = catalog.table(name)
    return [each for group in _groups(table, catalog.files(table, head.version)) for each in group]


def prepare(catalog: Catalog, name: str, *, least: int) -> tuple[dict[str, Any], Shelved] | None:
    """Write the new files of a compaction beside the old; return what its intent notes and what is to be committed.

    Nothing names what was written until the commit: a kill leaves files that ``gc`` removes. The lake's lock is held.

    Returns
    -------
    None where fewer than ``least`` files are small.

    Raises
    ------
    UserError
        For a table whose files are not the lake's to write.
    StorageFull
        When the disk refuses; nothing was changed.
    """
    head = catalog.head(name)
    _refuse_foreign(catalog, head)
    table = catalog.table(name)
    groups = _groups(table, catalog.files(table, head.version))
    if sum(map(len, groups)) < max(2, least):
        return None
    reach("compact.begun")
    columns = head.columns or columns_of(catalog, head)
    raw = empty(columns, where=f"table {name!r}")
    runs = housekeeping.runs(catalog.state, name)
    made: list[Landed] = []
    noted: dict[str, Any] = {"files": {}, "from": {}}
    try:
        for place, group in enumerate(groups):
            frame = _read(catalog, head, columns, group)
            written = _write(catalog, head, place, frame.select(raw.columns))
            made.append(written)
            noted["files"][written.data] = [each for file in group for each in _runs(file, runs)]
            noted["from"][written.data] = [[each.path, each.rows] for each in group]
            reach("compact.written")
    except MillstreamError:
        for each in made:
            (catalog.folder(catalog.table(name)) / each.data).unlink(missing_ok=True)
        raise
    note: dict[str, Any] = {"kind": head.kind, "content": head.content, "compacted": noted}
    if head.making is not None:
        note |= {"inputs": head.inputs, "schema": head.schema, "definition": head.definition}
        note["making"] = msgspec.to_builtins(head.making)
    return note, Shelved(raw.schema, made, [each for group in groups for each in group], anew=True)


def written_as(catalog: Catalog, head: TableVersion) -> int:
    """Return the version that brought the rows a version has: its own number, or that of one before compactions."""
    found: TableVersion | None = head
    while found is not None and versions.intent(
        catalog.state, head.table, COMPACTION.format(head.table), found.version
    ):
        found = versions.before(catalog.state, head.table, found.version)
    return head.version if found is None else found.version


def as_written(added: Iterable[DataFile], noted: Mapping[str, Any]) -> list[DataFile]:
    """Say of the files of a compaction that their rows came earlier."""
    oldest = {path: min(since for since, _ in runs) for path, runs in noted["files"].items()}
    return [msgspec.structs.replace(each, brought=oldest[each.path]) for each in added]


def record_compacted(
    catalog: Catalog,
    tx: Transaction,
    made: TableVersion,
    noted: Mapping[str, Any],
    before: Sequence[DataFile],
    *,
    actor: str,
) -> None:
    """Keep where the rows of a compaction came from, and where those of each delivered content lie now."""
    name = made.table
    runs = {path: tuple((since, count) for since, count in each) for path, each in noted["files"].items()}
    housekeeping.keep_runs(tx, name, runs)
    _move_contents(catalog, tx, made, noted["from"])
    sizes = {each.path: each.size for each in before}
    old = [path for each in noted["from"].values() for path, _ in each]
    detail = {
        "files": len(old),
        "bytes": sum(sizes.get(each, 0) for each in old),
        "into": sorted(runs),
        "runs": housekeeping.runs_hash(tx, name, runs),
    }
    catalog.ledger.append(tx, actor=actor, act=ACT, subject=f"{name}@{made.version}", detail=detail)


def _move_contents(
    catalog: Catalog, tx: Transaction, made: TableVersion, origins: Mapping[str, Sequence[tuple[str, int]]]
) -> None:
    """Say of each delivered content that had rows in the old files where they lie in the new."""
    before = versions.before(catalog.state, made.table, made.version)
    last = taken.taking(catalog.state, made.table, before.version) if before is not None else None
    if last is None:
        return
    where: dict[str, tuple[str, int]] = {}
    for data, group in origins.items():
        start = 0
        for path, rows in group:
            where[path] = (data, start)
            start += rows
    moved = []
    for each in taken.contents(tx, made.table).values():
        pieces = tuple(_moved(piece, where) for piece in each.pieces)
        if pieces != each.pieces:
            moved.append(msgspec.structs.replace(each, pieces=pieces))
    says = "its small files were written anew as large ones: no row came or went"
    taken.record(tx, made.table, made.version, Taking(reading=last.reading, moved=tuple(moved), says=(says,)))


def _moved(piece: Piece, where: Mapping[str, tuple[str, int]]) -> Piece:
    if piece.data not in where:
        return piece
    data, start = where[piece.data]
    return Piece(data, start + piece.start, piece.rows)


def _runs(file: DataFile, runs: Mapping[str, housekeeping.Runs]) -> list[tuple[int, int]]:
    found = runs.get(file.path)
    return list(found) if found is not None else [(file.rows_since, file.rows or 0)]


def _groups(table: Table, files: Sequence[DataFile]) -> list[list[DataFile]]:
    """Put neighbours that are small together, in the order in which they are read; one alone stays.

    Of a table with history the order in which rows were written counts, so only files after its last large one.
    """
    groups: list[list[DataFile]] = [[]]
    rows = size = 0
    for each in sorted(files, key=lambda one: (one.since, one.path)) if table.history else ordered(files):
        if each.size >= SMALL or each.rows is None or each.parts:
            groups = [[]] if table.history else groups
            continue
        if groups[-1] and (rows + each.rows > _ROWS or size + each.size > _BYTES):
            groups.append([])
            rows = size = 0
        groups[-1].append(each)
        rows, size = rows + each.rows, size + each.size
    return groups if table.history and len(groups) > 1 else [each for each in groups if len(each) > 1]


def _read(catalog: Catalog, head: TableVersion, columns: Mapping[str, str], group: Sequence[DataFile]) -> pl.DataFrame:
    """Read the files of one group as they were written, with the newest columns and types."""
    table = catalog.table(head.table)
    where = folders(catalog, table)
    reader = FileReader(FileCache(0), where, columns, where=f"table {table.name!r}")
    frame = pl.concat([reader.raw(each) for each in group])
    named = {name for each in group for name in pl.read_parquet_schema(where.place(each.path))}
    if frame.height != sum(each.rows or 0 for each in group) or named - set(columns):
        raise IntegrityError(
            f"the files of {head.table}@{head.version} do not have the rows and columns they had",
            do="millstream verify",
        )
    return frame


def _write(catalog: Catalog, head: TableVersion, place: int, frame: pl.DataFrame) -> Landed:
    """Write one new file, synced."""
    table = catalog.table(head.table)
    folder: Path = catalog.folder(table)
    mark = hashlib.sha256(f"{head.files_hash}{place}".encode()).hexdigest()[:12]
    file = folder / f"compact-{head.version + 1:05d}-{place:06d}-{mark}.parquet"
    try:
        frame.write_parquet(file, compression="zstd", compression_level=1, row_group_size=_ROWS)
        sync(file)
    except OSError as wrong:
        file.unlink(missing_ok=True)
        raise StorageFull(
            f"{file} could not be written: {wrong}; nothing was compacted", do="free some space and try again"
        ) from None
    return Landed(
        data=file.name,
        size=file.stat().st_size,
        rows=frame.height,
        sha256=file_sha256(file),
        stats=statistics(frame, None if table.event_time in table.columns else table.event_time),
        schema={name: str(kind) for name, kind in frame.schema.items()},
        contents=(),
        whole=True,
    )


def _refuse_foreign(catalog: Catalog, head: TableVersion) -> None:
    if head.kind in ("own", "ingested", "made") and head.table not in catalog.shared():
        return
    says = {"attached": "attached: its owner writes its files", "derived": "computed on read: it has no files"}
    raise UserError(
        f"table {head.table!r} is {says.get(head.kind, 'shared with production, which compacts it')}",
        expected="a table that is stored in the lake",
        do="ask its owner to optimize it" if head.kind == "attached" else "",
    )
