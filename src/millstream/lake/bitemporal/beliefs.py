"""How a table with history lies in its files: what was believed of each key, one row for each change.

Beside the source's columns each row has when it was seen, when it changed, whether it says that the key is gone, and
for each column since when it is so (NULL: as long as the definition says). ``shape`` turns these into known-at columns,
so every reader sees corrections and nothing else new; ``upsert`` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from millstream.definitions.table import Table
from millstream.lake.catalog import Catalog
from millstream.lake.frame import GONE, HERE, LEFT, MARKS, PREFIX, SEEN, TableFrame
from millstream.state.versions import DataFile, TableVersion

_POSITION = "__position"


def plain(columns: Mapping[str, str]) -> dict[str, str]:
    """Leave out the columns that the lake added."""
    return {name: kind for name, kind in columns.items() if not name.startswith(PREFIX)}


def stored(catalog: Catalog, table: Table, head: TableVersion | None) -> pl.LazyFrame | None:
    """Return the rows of a version as they lie in its files; None where there is none with what history needs."""
    if head is None:
        return None
    paths = [catalog.folder(table) / each.path for each in catalog.files(table, head.version)]
    rows = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
    return rows if SEEN in rows.collect_schema() else None


def settled(read: TableFrame) -> TableFrame:
    """Return the rows as they are believed last: one for each key, none for keys that are gone.

    Rows of a table without history are returned as they are.
    """
    if read.gone is None:
        return read
    frame = latest(read.frame, read.key, by=tuple(dict.fromkeys(read.known.values())))
    frame = frame.filter(pl.col(read.gone) == HERE).drop(each for each in MARKS if each in frame.columns)
    return TableFrame(
        table=read.table,
        version=read.version,
        frame=frame,
        schema=read.schema,
        key=read.key,
        event_time=read.event_time,
        known=read.known,
    )


def latest(frame: pl.DataFrame, key: tuple[str, ...], *, by: tuple[str, ...]) -> pl.DataFrame:
    """Return the last row of each key by the latest of some instants, then by position; rows stay in order."""
    if frame.select(pl.struct(key).n_unique()).item() == frame.height:
        return frame
    ranked = frame.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias(_POSITION),
        pl.max_horizontal(by).alias("__latest") if by else pl.lit(0).alias("__latest"),
    )
    chosen = ranked.sort("__latest", _POSITION, nulls_last=False).unique(key, keep="last", maintain_order=True)
    return chosen.sort(_POSITION).drop(_POSITION, "__latest")


def moved(catalog: Catalog, table: Table, *, had: Iterable[DataFile], has: Iterable[DataFile]) -> str:
    """Say how many keys came, changed and went between two versions of a table with history."""
    before = list(had)
    there = {each.path for each in before}
    key = list(table.key)

    def read(files: Iterable[DataFile]) -> pl.DataFrame:
        paths = [catalog.folder(table) / each.path for each in files]
        return pl.scan_parquet(paths, glob=False, hive_partitioning=False).select(*key, GONE).collect()

    old, new = read(before), read([each for each in has if each.path not in there])
    last = new.unique(key, keep="last", maintain_order=True)
    gone = last.filter(pl.col(GONE) == LEFT).height
    stay = last.filter(pl.col(GONE) == HERE)
    came = stay.join(old, on=key, how="anti").height if before else stay.height
    if not before:
        return ""
    said = f"{came:,} row{'s' * (came != 1)} new, {stay.height - came:,} changed"
    return f"{said}, {gone:,} gone from the source" if gone else said
