"""Files that together show what is so now, for a table with history: read whole, of which only what is new is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from millstream.definitions.table import Table
from millstream.lake.catalog import Catalog
from millstream.lake.ingest.receiving import FilesTable, Known, identify, locally
from millstream.lake.ingest.upsert import Delivery
from millstream.sources.arrival import Delivery as File
from millstream.sources.arrival import frames, no_rows, schema
from millstream.sources.drift import refuse_change
from millstream.state.versions import TableVersion
from millstream.types import content_hash


def snapshot(
    catalog: Catalog, table: Table, *, head: TableVersion | None, expected: Mapping[str, str] | None
) -> tuple[Delivery, str] | None:
    """Read all files of a table; None where they are what they were.

    Returns
    -------
    The rows, and the hash of what they were read from.

    Raises
    ------
    NotFound
        When there is no file.
    BadData
        For files that are not as their source says, that differ, or without rows.
    """
    files = FilesTable.of(catalog, table)
    found = identify(files, {})
    said = content(files, found)
    if head is not None and head.content == said:
        return None
    parts: list[pl.DataFrame] = []
    for each in found:
        with locally(files.store, each.entry) as file:
            came = File(file, files.parts(each.entry.path), each.entry.at.isoformat())
            parts.extend(frames(came, files.source, expected=expected, where=files.where))
        refuse_change(schema(parts[0]), schema(parts[-1]), where=f"{files.where}, file {each.entry.name}")
    made = pl.concat(parts) if parts else pl.DataFrame()
    if not made.height:
        raise no_rows([each.entry.name for each in found], files.where)
    if files.source.row_number:
        made = made.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(files.source.row_number), pl.all())
    if expected is not None:
        refuse_change(expected, schema(made), where=files.where, table=table)
    return Delivery(lambda: (made,), dict(made.schema), whole=True), said


def content(files: FilesTable, found: Sequence[Known] | None = None) -> str:
    """Hash what is in the files of a table, by which the same is recognised."""
    return content_hash([files.reading, [each.what for each in (identify(files, {}) if found is None else found)]])
