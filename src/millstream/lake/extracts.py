"""What a database is asked for at a refresh: all of its rows, or those from the cursor on; and what of it is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from millstream.definitions.sources import Postgres
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError
from millstream.lake.batches import Batches
from millstream.lake.beliefs import moved as beliefs_moved
from millstream.lake.catalog import Catalog
from millstream.lake.files import ordered
from millstream.lake.upsert import Delivery
from millstream.sources import refuse_change
from millstream.state.versions import DataFile, TableVersion
from millstream.types import content_hash, parse_duration

if TYPE_CHECKING:
    from millstream.sources.postgres import Copied, Reading


_HASH = "__millstream_row"


@dataclass(frozen=True)
class Extract:
    """Rows that are to become a version.

    Parameters
    ----------
    rows
        The rows.
    content
        By which the same is recognised next time.
    overwrite
        Whether they take the place of all that was there.
    delivery
        For a table with history: the same rows, of which only what they say anew is written.
    """

    rows: Batches
    content: str
    overwrite: bool
    delivery: Delivery | None = None


@contextmanager
def extracted(
    catalog: Catalog,
    table: Table,
    source: Postgres,
    *,
    head: TableVersion | None,
    expected: Mapping[str, str] | None,
) -> Iterator[Extract | None]:
    """Ask a database for what is new of a table; None where nothing is.

    Raises
    ------
    BadData
        For other columns than the table had, or no rows.
    NotFound, Unavailable, Refused, UserError
        As ``sources.postgres.reading``.
    """
    from millstream.sources.postgres import asked, reading

    where = f"table {table.name!r}"
    how = content_hash(asked(source))
    with reading(source, catalog.places.databases, where=where) as found:
        if expected is not None:
            refuse_change(expected, {name: str(kind) for name, kind in found.schema.items()}, where=where)
        had: pl.LazyFrame | None = None
        since = None
        if source.cursor:
            found.refuse_empty_cursor()
            if head is not None and expected is not None and head.content.startswith(f"{how}:"):
                had = _had(catalog, table, head)
                had, since = _recent(had, source, found)
        cursor = (source.rename.get(source.cursor, source.cursor),) if source.cursor else ()
        copied = found.copy(order=(*cursor, *table.key), since=since, folder=_folder(catalog))
    with closing(copied):
        if table.history:
            yield _delivered(copied, head, content=f"{how}:{copied.content}", whole=since is None, where=where)
            return
        yield _new(copied, had, head, content=f"{how}:{copied.content}", where=where)


def _delivered(copied: Copied, head: TableVersion | None, *, content: str, whole: bool, where: str) -> Extract | None:
    """Hand on what was copied of a table with history."""
    if whole and not copied.rows:
        raise BadData(f"{where} is empty: its source gives no rows", expected="at least one row")
    if head is not None and head.content == content:
        return None
    delivery = Delivery(copied.frames, copied.schema, whole=whole)
    return Extract(Batches(copied.schema, ()), content, overwrite=False, delivery=delivery)


def _new(
    copied: Copied, had: pl.LazyFrame | None, head: TableVersion | None, *, content: str, where: str
) -> Extract | None:
    """Say what of the rows that were copied is to become a version."""
    if had is None:
        if not copied.rows:
            raise BadData(f"{where} is empty: its source gives no rows", expected="at least one row")
        same = head is not None and head.content == content
        return None if same else Extract(Batches(copied.schema, copied.frames()), content, overwrite=True)
    known = had.collect()
    fresh = [_without(each, known) for each in copied.frames()]
    rows = pl.concat([pl.DataFrame(schema=copied.schema), *fresh])
    return Extract(Batches(copied.schema, [rows]), content, overwrite=False) if rows.height else None


def moved(catalog: Catalog, name: str, *, since: int, version: int) -> str:
    """Say how many keys of a database's table came, changed and went between two versions of it; empty for files.

    Keys and a hash of each row are held, not the rows.
    """
    table = catalog.table(name)
    if table.history:
        return beliefs_moved(catalog, table, had=catalog.files(table, since), has=catalog.files(table, version))
    if not isinstance(table.source, Postgres) or not table.key:
        return ""
    key = list(table.key)
    had, has = catalog.files(table, since), catalog.files(table, version)
    kept = {each.path for each in had} & {each.path for each in has}
    old = _keyed(catalog, table, had)
    new = _keyed(catalog, table, [each for each in has if each.path not in kept])
    came = new.join(old, on=key, how="anti", nulls_equal=True).select(key).unique().height
    both = new.join(old, on=key, how="semi", nulls_equal=True)
    changed = both.join(old, on=[*key, _HASH], how="anti", nulls_equal=True).select(key).unique().height
    said = f"{came:,} row{'s' * (came != 1)} new, {changed:,} changed"
    if kept:
        return said
    gone = old.join(new, on=key, how="anti", nulls_equal=True).select(key).unique().height
    return f"{said}, {gone:,} gone from the database (earlier versions keep them)"


def _keyed(catalog: Catalog, table: Table, files: Sequence[DataFile]) -> pl.DataFrame:
    rows = pl.scan_parquet([catalog.folder(table) / each.path for each in files], glob=False, hive_partitioning=False)
    return rows.select(*table.key, pl.struct(pl.all()).hash().alias(_HASH)).collect()


def _folder(catalog: Catalog) -> Path:
    catalog.places.lake.mkdir(parents=True, exist_ok=True)
    return catalog.places.lake


def _had(catalog: Catalog, table: Table, head: TableVersion) -> pl.LazyFrame:
    """Read what the lake has of a table, as it was written."""
    files = [catalog.folder(table) / each.path for each in ordered(catalog.files(table, head.version))]
    return pl.scan_parquet(files, glob=False, hive_partitioning=False)


def _recent(had: pl.LazyFrame, source: Postgres, found: Reading) -> tuple[pl.LazyFrame, Any]:
    """Find from where to look again, and the rows from there on that are here already."""
    name = source.rename.get(source.cursor, source.cursor)
    newest = had.select(pl.col(name).max()).collect().item()
    since = newest - _late(source, whole=found.schema[name] == pl.Int64)
    return had.filter(pl.col(name) >= since), since


def _late(source: Postgres, *, whole: bool) -> int | timedelta:
    if not source.late:
        return 0 if whole else timedelta(0)
    try:
        return int(source.late) if whole else parse_duration(source.late)
    except ValueError:
        raise DefinitionError(
            f"late={source.late!r} of cursor {source.cursor!r} is no {'whole number' if whole else 'length of time'}",
            expected="late='1000'" if whole else "late='10m'",
        ) from None


def _without(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Leave out the rows that are here already, equal in every column."""
    return rows.join(known.cast(rows.schema), on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
