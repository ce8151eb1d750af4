"""Rows of a resource that dlt reads: it runs in a worker, its rows come as files, its state stays with the version."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from millstream.definitions.databases import Dlt
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, UserError
from millstream.lake.batches import Batches, peeked
from millstream.lake.catalog import Catalog
from millstream.lake.derived import steps
from millstream.lake.derived.stepping import Task
from millstream.lake.files import ordered
from millstream.lake.housekeeping.compacting import written_as
from millstream.lake.ingest.extract import Extract
from millstream.lake.ingest.past import Past
from millstream.sources import refuse_change
from millstream.sources.reading import Tell
from millstream.state import versions
from millstream.state.versions import TableVersion
from millstream.types import content_hash

WORKER = "millstream.integrations.dlt"
_NO_STATE = "{}"


class Request(msgspec.Struct, frozen=True):
    """What a worker is to read.

    Parameters
    ----------
    resource, name, arguments
        As of ``sources.Dlt``.
    state
        What dlt noted of it when the newest version was read; ``{}`` at first.
    folder
        Where files of rows go: ``0.parquet``, ``1.parquet`` ...
    given, answer
        Files to write: what came (``Given``), and what went wrong.
    where
        What it is, for messages.
    """

    resource: str
    name: str
    arguments: dict[str, Any]
    state: str
    folder: str
    given: str
    answer: str
    where: str


class Given(msgspec.Struct, frozen=True):
    """What a worker read.

    Parameters
    ----------
    content
        Hash of the rows.
    rows, parts
        How many rows, in how many files.
    disposition
        ``append``, ``replace`` or ``merge``.
    key
        Columns of the resource's primary key, or its merge key.
    deleted
        Column that marks a row as deleted; empty for none.
    state
        What dlt is to be given next time.
    """

    content: str
    rows: int
    parts: int
    disposition: str
    key: tuple[str, ...]
    deleted: str
    state: str


@contextmanager
def piped(
    catalog: Catalog,
    table: Table,
    source: Dlt,
    *,
    head: TableVersion | None,
    expected: Mapping[str, str] | None,
    tell: Tell,
) -> Iterator[Extract | None]:
    """Run a resource in a worker and take what it gives; None where nothing is new.

    Rows are appended, take the place of all, or of the rows with their keys, as the resource says. What dlt noted (the
    largest value of an incremental) becomes true with the version and not before, so a kill loses and doubles nothing.

    Raises
    ------
    UserError
        When the resource failed, took too long or is not there.
    BadData
        For other columns than the table had, or no rows at all.
    DefinitionError
        When its key is not the table's.
    """
    places, where = catalog.places, f"table {table.name!r}"
    how = content_hash(msgspec.structs.asdict(source) | {"timeout": ""})
    kept = head is not None and expected is not None and head.content.startswith(f"{how}:")
    bench = steps.bench(places.root, places.state)
    with bench.scratch(table.name) as place:
        state = _state(catalog, table, head) if kept and head is not None else _NO_STATE
        found = _carried_out(table, source, state, bench=bench, place=place, tell=tell)
        _refuse_key(table, found)
        content = f"{how}:{found.content}"
        if not found.rows:
            if head is None:
                raise BadData(f"{where} is empty: {source.resource} gives no rows", expected="at least one row")
            yield None
            return
        if kept and head is not None and head.content == content and found.disposition == "replace":
            yield None
            return
        parts = [place / "rows" / f"{each}.parquet" for each in range(found.parts)]
        schema = _schema(parts[0], expected, table.key)
        if expected is not None:
            refuse_change(expected, {name: str(kind) for name, kind in schema.items()}, where=where)
        past = Past(_files(catalog, table, head) if kept and head is not None else [], table.key, schema)
        whole = not kept or found.disposition == "replace"
        yield _taken(table, found, parts, past, content=content, whole=whole)


def _taken(table: Table, found: Given, parts: list[Path], past: Past, *, content: str, whole: bool) -> Extract | None:
    """Say what of the rows becomes a version."""
    merged = found.disposition == "merge"
    replaced = merged and "*" not in table.known_at  # with a known-at a changed row is a correction, else it replaces
    if not whole and merged:
        for frame in _frames(parts, past.schema):
            _lose(past, frame, found.deleted, changed=replaced)
    fresh = peeked(_fresh(parts, past, found, whole=whole, replaced=replaced))
    if whole or past.gone:
        rows = (each for part in (() if whole else past.left(), fresh or ()) for each in part)
        return Extract(Batches(past.schema, rows), content, overwrite=True, state=found.state)
    return None if fresh is None else Extract(Batches(past.schema, fresh), content, overwrite=False, state=found.state)


def _lose(past: Past, frame: pl.DataFrame, deleted: str, *, changed: bool) -> None:
    """Leave out the rows that are marked as deleted, or that come again and differ."""
    if deleted:
        past.lose(frame.filter(_marked(frame, deleted)).select(past.key))
    if changed:
        known = past.alike(frame.select(past.key)).cast(frame.schema)
        differ = frame.join(known, on=frame.columns, how="anti", nulls_equal=True)
        past.lose(differ.select(past.key))


def _fresh(parts: list[Path], past: Past, found: Given, *, whole: bool, replaced: bool) -> Iterator[pl.DataFrame]:
    """Read the rows that are to be added: of a key that comes twice the last, none that is here or marked."""
    merged = found.disposition == "merge"
    seen: pl.DataFrame | None = None
    for part in reversed(parts) if merged else parts:
        frame = next(_frames([part], past.schema))
        if merged and (replaced or whole):
            frame = frame.unique(subset=past.key, keep="last", maintain_order=True)
            if seen is not None:
                frame = frame.join(seen, on=past.key, how="anti", nulls_equal=True, maintain_order="left")
            seen = pl.concat([seen, frame.select(past.key)]) if seen is not None else frame.select(past.key)
        if found.deleted:
            frame = frame.remove(_marked(frame, found.deleted))
        if merged and not whole:
            known = past.alike(frame.select(past.key)).cast(frame.schema)
            frame = frame.join(known, on=frame.columns, how="anti", nulls_equal=True, maintain_order="left")
        yield frame


def _marked(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name).fill_null(value=False) if frame.schema[name] == pl.Boolean else pl.col(name).is_not_null()


def _frames(parts: list[Path], schema: Mapping[str, pl.DataType]) -> Iterator[pl.DataFrame]:
    """Read files of rows in the columns of the table; a column that did not come is NULL."""
    for part in parts:
        frame = pl.read_parquet(part, glob=False, hive_partitioning=False)
        missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
        yield frame.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in schema.items())


def _schema(part: Path, expected: Mapping[str, str] | None, key: tuple[str, ...]) -> dict[str, pl.DataType]:
    """Settle the columns: one that did not come stays as it was, whole numbers may stand where numbers were."""
    kinds: dict[str, pl.DataType] = {str(each): each for each in _KINDS}
    found = dict(pl.read_parquet_schema(part))
    schema = {}
    for name, kind in (expected or {}).items():
        if name not in found and name not in key and kind in kinds:
            schema[name] = kinds[kind]
        elif name in found:
            schema[name] = kinds[kind] if kind == "Float64" and found[name] == pl.Int64 else found[name]
    return {**schema, **{name: kind for name, kind in found.items() if name not in schema}}


_KINDS = (
    pl.Int64(),
    pl.Float64(),
    pl.String(),
    pl.Boolean(),
    pl.Date(),
    pl.Datetime("us"),
    pl.Datetime("us", "UTC"),
)


def _carried_out(table: Table, source: Dlt, state: str, *, bench: steps.Bench, place: Path, tell: Tell) -> Given:
    """Run the worker as a step is run: in a session of its own, watched, ended with all of its children."""
    folder = place / "rows"
    folder.mkdir()
    request = Request(
        resource=source.resource,
        name=source.name,
        arguments=source.arguments,
        state=state,
        folder=str(folder),
        given=str(place / "__given"),
        answer=str(place / "__answer"),
        where=f"table {table.name!r}",
    )
    (place / "__request").write_bytes(msgspec.json.encode(request))
    command = (sys.executable, "-m", WORKER, str(place / "__request"))
    task = Task(
        root=str(bench.root), function="", command=command, inputs={}, out=str(place / "__out"), answer=request.answer
    )
    worker = Table(table.name, of=(table.name,), step=source.resource, timeout=source.timeout)
    try:
        steps.carried_out(worker, task, at=bench, place=place, tell=lambda line: tell(line))
    except steps.StepFailed as failed:
        wrong = failed.error
        said = wrong.happened.replace("the step of table", "the resource of table").replace(
            " on the table ", " of its source "
        )
        expected = f"a dlt resource that gives its rows within {source.timeout}; nothing of it was taken in"
        raise UserError(said, expected=expected, do=wrong.do) from None
    return msgspec.json.decode(Path(request.given).read_bytes(), type=Given)


def _state(catalog: Catalog, table: Table, head: TableVersion) -> str:
    """Return what dlt noted when a version was read; it was kept in the transaction that made the version."""
    number = written_as(catalog, head)
    kept = versions.intent(catalog.state, table.name, f"millstream:ingest:{table.name}", number)
    if kept is None or kept.version is None:
        return _NO_STATE
    return str(msgspec.json.decode(kept.note).get("state") or _NO_STATE)


def _refuse_key(table: Table, found: Given) -> None:
    if found.disposition == "merge" and not table.key:
        raise DefinitionError(
            f"table {table.name!r} has no key, and its resource merges", expected=f"key={found.key or '...'!r}"
        )
    if found.key and table.key and set(found.key) != set(table.key):
        raise DefinitionError(
            f"the key of table {table.name!r} is {', '.join(table.key)}, its resource's is {', '.join(found.key)}",
            expected="the same in both",
        )


def _files(catalog: Catalog, table: Table, head: TableVersion) -> list[Path]:
    return [catalog.folder(table) / each.path for each in ordered(catalog.files(table, head.version))]
