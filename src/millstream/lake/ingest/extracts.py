"""What a database is asked for at a refresh: all of its rows, or those from the cursor on; and what of it is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import polars as pl

from millstream.definitions.databases import ASKED, Dlt, Relational
from millstream.definitions.table import Table
from millstream.errors import BadData
from millstream.lake.batches import Batches, peeked
from millstream.lake.bitemporal.beliefs import moved as beliefs_moved
from millstream.lake.bitemporal.beliefs import plain
from millstream.lake.catalog import Catalog
from millstream.lake.derived import steps
from millstream.lake.files import ordered
from millstream.lake.ingest.cursor import Cursor
from millstream.lake.ingest.extract import Extract
from millstream.lake.ingest.past import Past
from millstream.lake.ingest.piped import piped
from millstream.lake.ingest.upsert import Delivery
from millstream.sources import refuse_change
from millstream.sources.drift import word
from millstream.sources.reading import Copied, Reading, Tell, asked, reading
from millstream.state.versions import DataFile, TableVersion
from millstream.types import content_hash

_HASH = "__millstream_row"


def drawn(
    catalog: Catalog, table: Table, *, head: TableVersion | None, expected: Mapping[str, str] | None, tell: Tell
) -> AbstractContextManager[Extract | None]:
    """Ask whoever a table comes from for what is new of it; None where nothing is."""
    if isinstance(table.source, Dlt):
        return piped(catalog, table, table.source, head=head, expected=expected, tell=tell)
    assert isinstance(table.source, Relational)
    return extracted(catalog, table, table.source, head=head, expected=expected, tell=tell)


@contextmanager
def extracted(
    catalog: Catalog,
    table: Table,
    source: Relational,
    *,
    head: TableVersion | None,
    expected: Mapping[str, str] | None,
    tell: Tell = lambda line: None,
) -> Iterator[Extract | None]:
    """Ask a database for what is new of a table; None where nothing is.

    Rows are copied to the disk before they are parsed, compared and written, so memory holds some of them at a time.

    Parameters
    ----------
    table, source
        The definition.
    head, expected
        Its newest version, and the columns it is to have.
    tell
        Called with how far it is, and with what is odd about the cursor.

    Raises
    ------
    BadData
        For other columns than the table had, no rows, or a cursor that went back.
    NotFound, Unavailable, Refused, UserError
        As ``sources.reading.reading``.
    """
    places, where = catalog.places, f"table {table.name!r}"
    places.lake.mkdir(parents=True, exist_ok=True)
    how = content_hash(asked(source))
    bench = steps.bench(places.root, places.state)
    with ExitStack() as held:
        scratch = held.enter_context(bench.scratch(table.name))
        with reading(source, places.databases, root=places.root, where=where) as found:
            if expected is not None:
                refuse_change(
                    expected, {name: str(kind) for name, kind in found.schema.items()}, where=where, table=table
                )
            past, cursor, since = None, None, None
            if source.cursor:
                found.refuse_empty_cursor()
                if (
                    head is not None
                    and expected is not None
                    and _alike(head, found)
                    and head.content.startswith(f"{how}:")
                ):
                    past = Past(_files(catalog, table, head), table.key, found.schema)
                    cursor = Cursor(table, source, found, past, scratch=scratch, looked=bench.folder, tell=tell)
                    since = cursor.since()
            name = (source.rename.get(source.cursor, source.cursor),) if source.cursor else ()
            copied = found.copy(order=(*name, *table.key), since=since, folder=places.lake, tell=tell)
        held.callback(copied.close)
        content = f"{how}:{copied.content}"
        if table.history:
            yield _delivered(copied, past, source, head, content=content, where=where)
        elif past is None:
            yield _whole(copied, source, head, content=content, where=where)
        else:
            yield _new(copied, past, source, content=content)
        if cursor is not None:
            cursor.settled()


def _alike(head: TableVersion, found: Reading) -> bool:
    """Say whether rows can be added to a version: it has the columns that are read now."""
    return not head.columns or plain(head.columns) == {name: word(str(kind)) for name, kind in found.schema.items()}


def _delivered(
    copied: Copied, past: Past | None, source: Relational, head: TableVersion | None, *, content: str, where: str
) -> Extract | None:
    """Hand on what was copied of a table with history, and which keys were marked or found as gone."""
    if past is None and not copied.rows:
        raise BadData(f"{where} is empty: its source gives no rows", expected="at least one row")
    if past is not None and source.deleted:
        _lose_marked(copied, past, source)
    gone = past.gone_keys if past is not None and past.gone else None
    if head is not None and head.content == content and gone is None:
        return None
    delivery = Delivery(lambda: _alive(copied, source), copied.schema, whole=past is None, gone=gone)
    return Extract(Batches(copied.schema, ()), content, overwrite=False, delivery=delivery)


def _whole(
    copied: Copied, source: Relational, head: TableVersion | None, *, content: str, where: str
) -> Extract | None:
    """Take all that was copied, where it is not what is here already."""
    if not copied.rows:
        raise BadData(f"{where} is empty: its source gives no rows", expected="at least one row")
    if head is not None and head.content == content:
        return None
    return Extract(Batches(copied.schema, _alive(copied, source)), content, overwrite=True)


def _new(copied: Copied, past: Past, source: Relational, *, content: str) -> Extract | None:
    """Take what of the rows that were copied is new, and leave out what was marked or found as gone."""
    if source.deleted:
        _lose_marked(copied, past, source)
    name = source.rename.get(source.cursor, source.cursor)
    fresh = peeked(_unknown(past, frame, name) for frame in _alive(copied, source))
    if past.gone:
        rows = (each for part in (past.left(), fresh or ()) for each in part)
        return Extract(Batches(copied.schema, rows), content, overwrite=True)
    return None if fresh is None else Extract(Batches(copied.schema, fresh), content, overwrite=False)


def _lose_marked(copied: Copied, past: Past, source: Relational) -> None:
    """Leave out from what is here the rows that come marked as deleted."""
    name = source.rename.get(source.deleted, source.deleted)
    for frame in copied.frames():
        past.lose(frame.filter(_marked(frame.schema, name)).select(past.key))


def _unknown(past: Past, frame: pl.DataFrame, cursor: str) -> pl.DataFrame:
    """Leave out the rows that are here already, equal in every column.

    A frame is sorted by the cursor, so only what lies within its range is looked at.
    """
    if not frame.height:
        return frame
    known = past.between(cursor, frame[cursor].min(), frame[cursor].max()).cast(frame.schema)
    return frame.join(known, on=frame.columns, how="anti", nulls_equal=True, maintain_order="left")


def _alive(copied: Copied, source: Relational) -> Iterator[pl.DataFrame]:
    """Read the rows that are not marked as deleted."""
    name = source.rename.get(source.deleted, source.deleted)
    for frame in copied.frames():
        yield frame.remove(_marked(frame.schema, name)) if name else frame


def _marked(schema: pl.Schema, name: str) -> pl.Expr:
    kind = schema[name]
    if kind == pl.Boolean:
        return pl.col(name).fill_null(value=False)
    return (pl.col(name) != 0).fill_null(value=False) if kind.is_numeric() else pl.col(name).is_not_null()


def moved(catalog: Catalog, name: str, *, since: int, version: int) -> str:
    """Say how many keys of a database's table came, changed and went between two versions of it; empty for files.

    Keys and a hash of each row are held, not the rows.
    """
    table = catalog.table(name)
    if table.history:
        return beliefs_moved(catalog, table, had=catalog.files(table, since), has=catalog.files(table, version))
    if not isinstance(table.source, ASKED) or not table.key:
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
    if not kept:
        gone = old.join(new, on=key, how="anti", nulls_equal=True).select(key).unique().height
        said = f"{said}, {gone:,} gone from the database (earlier versions keep them)"
    return said


def _keyed(catalog: Catalog, table: Table, files: Sequence[DataFile]) -> pl.DataFrame:
    rows = pl.scan_parquet([catalog.folder(table) / each.path for each in files], glob=False, hive_partitioning=False)
    return rows.select(*table.key, pl.struct(pl.all()).hash().alias(_HASH)).collect()


def _files(catalog: Catalog, table: Table, head: TableVersion) -> list[Path]:
    return [catalog.folder(table) / each.path for each in ordered(catalog.files(table, head.version))]
