"""Changing rows of a shared table in an overlay: production's files stay, only those with changed rows are replaced.

Data files are written and synced first; then one transaction makes version, edit, pin of the base and ledger row true.
A crash before it leaves files that nothing names, which the next edit of the table removes.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from millstream.definitions.table import Table
from millstream.disk import sync
from millstream.errors import BadData, Conflict, NotFound, Refused, StorageFull, UserError, near
from millstream.expressions import parse
from millstream.expressions.polars import to_polars
from millstream.lake.branches.edited import keyed, named, nothing, raw, refuse_repeated, repeated
from millstream.lake.branches.pulling import pulled
from millstream.lake.catalog import Catalog, columns_of, folders
from millstream.lake.delta import Snapshot
from millstream.lake.faults import reach
from millstream.lake.shape import Shape
from millstream.lake.spare import EDITED
from millstream.state import edits, pins, versions
from millstream.state.edits import Edit
from millstream.state.versions import DataFile, TableVersion
from millstream.types import to_micros

_HELD = "a branch's edits rest on it"

Change = Callable[[pl.DataFrame], tuple[pl.Series, pl.DataFrame]]
"""Says of stored rows which are touched, and gives those that take their place."""


def editable(catalog: Catalog, name: str, *, actor: str) -> TableVersion:
    """Return the version of a table that an edit goes upon; production's newest when the branch has none yet.

    Raises
    ------
    Refused
        In production, and for tables that are computed or that production does not have.
    """
    table = catalog.manifest.tables.get(name)
    if table is None:
        raise NotFound(f"there is no table {name!r}", do=near(name, catalog.manifest.tables))
    if catalog.places.over is None:
        raise Refused(
            "production's tables are not edited: their rows come from their sources",
            expected="a branch, where rows may be changed for an experiment",
            do="millstream branch NAME, or millstream.open(environment='NAME') in a notebook",
        )
    if table.source is None:
        raise Refused(
            f"table {name!r} is computed, and would be computed again",
            expected=f"a change of what it is computed from: {', '.join(table.of)}",
            do=f"millstream branch NAME --table {table.of[0]} --set ... --where ...",
        )
    if table.history:
        raise Refused(
            f"table {name!r} keeps its history: a key holds several beliefs, each known from its own instant on",
            expected="a table without history=True",
            do=f"edit a table that is not kept so, or say it in SQL: Table('other_{name}', of='{name}', sql='...')",
        )
    if name not in catalog.shared():
        raise Refused(
            f"table {name!r} is not production's, so there is nothing to branch from: its source is this branch's own",
            do=f"millstream ingest {name}, in production",
        )
    if not catalog.places.state_db.exists():
        raise Conflict("this branch was thrown away meanwhile", do="open the project anew")
    if versions.head(catalog.state, name) is None:
        pulled(catalog, [name], actor=actor)
    return catalog.head(name)


def edit_where(
    catalog: Catalog, name: str, *, where: str, set_: Mapping[str, str], remove: bool, actor: str, note: str = ""
) -> Edit | None:
    """Change columns of the rows for which a condition holds, or take these rows away; None when that changes nothing.

    Parameters
    ----------
    name
        A table of production with a key.
    where
        Expression of the row language over the table's columns; empty for every row.
    set_
        Column to expression, over the rows as they were before.
    remove
        Take the rows away.

    Raises
    ------
    UserError
        For a column of the key, a computed column, or an expression of another type than its column.
    """
    with catalog.locked():
        head = editable(catalog, name, actor=actor)
        table, none = catalog.table(name), nothing(catalog, head)
        shape = catalog.shape(table, columns_of(catalog, head))
        change = _removing(shape, where) if remove else _setting(shape, where, set_, none)
        said = ", ".join(f"{each} = {text}" for each, text in set_.items())
        says = ("remove" if remove else f"set {said}") + (f" where {where}" if where else " in every row")
        return _apply(catalog, head, change, says=_noted(says, note), actor=actor)


def edit_rows(catalog: Catalog, name: str, rows: pl.DataFrame, *, actor: str, note: str = "") -> Edit | None:
    """Put rows in by their key: those with a key that is there take its columns over, others come anew.

    Parameters
    ----------
    rows
        The key and the columns to change; a row with a new key needs every column.

    Raises
    ------
    BadData
        For keys that are NULL or repeat, and values that are not of their column's type.
    """
    with catalog.locked():
        head = editable(catalog, name, actor=actor)
        table, none = catalog.table(name), nothing(catalog, head)
        key = keyed(table, none.schema)
        given = as_stored(rows, none, table)
        if any(each not in given.columns for each in key):
            raise UserError(f"the rows lack the key of table {name!r}", expected=", ".join(key))
        if given.select(pl.any_horizontal(pl.col(key).is_null()).any()).item():
            raise BadData(f"a row has no key of table {name!r}", expected=f"{', '.join(key)} in every row")
        again = given.group_by(key, maintain_order=True).len().filter(pl.col("len") > 1)
        if again.height:
            raise BadData(f"the rows have {named(again, key)} more than once", expected="each key once")
        says = _noted(f"put {given.height:,} row{'s' * (given.height != 1)} in by {', '.join(key)}", note)
        return _apply(catalog, head, _putting(given, key), says=says, actor=actor, rows=given)


def as_stored(rows: pl.DataFrame, none: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Give rows the types in which a table's files hold them."""
    unknown = [each for each in rows.columns if each not in none.columns]
    if unknown:
        computed = unknown[0] in table.columns
        raise UserError(
            f"table {table.name!r} has no column {unknown[0]!r}" + (" of its own: it is computed" if computed else ""),
            expected=near(unknown[0], none.columns) if not computed else "what it is computed from",
        )
    return rows.select(_stored(rows[each], none.schema[each], table) for each in rows.columns)


def _noted(says: str, note: str) -> str:
    return f"{says}; {note}" if note else says


def _stored(values: pl.Series, kind: pl.DataType, table: Table) -> pl.Series:
    """Give one column the type in which files hold it; nothing is rounded or lost silently."""
    try:
        if isinstance(kind, pl.Datetime) and isinstance(values.dtype, pl.Datetime):
            made = values.dt.cast_time_unit("us")
            zone = values.dtype.time_zone
            if kind.time_zone is None:
                return made.dt.convert_time_zone(table.timezone or "UTC").dt.replace_time_zone(None) if zone else made
            return (made if zone else made.dt.replace_time_zone(table.timezone or "UTC")).dt.convert_time_zone("UTC")
        made = values.cast(kind)
    except pl.exceptions.PolarsError as wrong:
        raise BadData(f"{values.name!r} of table {table.name!r}: {str(wrong).splitlines()[0]}") from None
    if values.dtype.is_float() and kind.is_integer() and (made.cast(values.dtype) != values).any():
        raise BadData(
            f"{values.name!r} of table {table.name!r} holds whole numbers, and some of these are not",
            expected="whole numbers",
            do="round them: cast(round(...) as bigint)",
        )
    return made


def _holds(shape: Shape, where: str) -> Callable[[pl.DataFrame], pl.Series]:
    """Compile a condition; NULL does not hold."""
    if not where:
        return lambda rows: pl.Series([True]).new_from_index(0, rows.height)
    said = parse(where, shape.schema, where=f"--where of table {shape.table.name!r}")
    if said.dtype != "boolean":
        raise UserError(f"--where {where!r} is a {said.dtype}", expected="a condition, such as price > 10")
    return lambda rows: rows.select(to_polars(said).fill_null(False).alias("holds"))["holds"]


def _removing(shape: Shape, where: str) -> Change:
    holds = _holds(shape, where)
    return lambda rows: (holds(shape.apply(rows)), rows.clear())


def _setting(shape: Shape, where: str, set_: Mapping[str, str], none: pl.DataFrame) -> Change:
    table, holds = shape.table, _holds(shape, where)
    if not set_:
        raise UserError("nothing is said to change", expected="--set 'COLUMN = EXPRESSION', --rows FILE or --remove")
    made = {}
    for name, text in set_.items():
        if name in table.key:
            raise UserError(f"{name!r} is of the key of table {table.name!r}: it names the row", do="--rows FILE")
        if name not in none.columns:
            expected = "what it is computed from" if name in table.columns else near(name, none.columns)
            says = " is computed" if name in table.columns else " is no column of its files"
            raise UserError(f"{name!r} of table {table.name!r}{says}", expected=expected)
        said = parse(text, shape.schema, where=f"--set {name} of table {table.name!r}")
        wanted = shape.schema[name]
        if said.dtype not in (wanted, "null") and not (wanted, said.dtype) == ("double", "bigint"):
            raise UserError(
                f"{name} = {text} is a {said.dtype}",
                expected=f"a {wanted}, as {name!r} is",
                do=f"cast({text} as {wanted})",
            )
        made[name] = to_polars(said).alias(name)

    def change(rows: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
        shaped = shape.apply(rows)
        try:
            values = shaped.with_columns(made.values()).select(list(made))
        except pl.exceptions.InvalidOperationError as wrong:
            raise BadData(f"--set of table {table.name!r} fails: {str(wrong).splitlines()[0]}") from None
        differs = shaped.select(pl.any_horizontal(pl.col(each).ne_missing(values[each]) for each in made).alias("it"))
        mask = holds(shaped) & differs["it"]
        fresh = [_stored(values[each].filter(mask), none.schema[each], table) for each in made]
        return mask, rows.filter(mask).with_columns(fresh)

    return change


def _putting(given: pl.DataFrame, key: list[str]) -> Change:
    said = [each for each in given.columns if each not in key]

    def change(rows: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
        there = given.with_columns(pl.lit(True).alias("__there"))
        found = rows.join(there, on=key, how="left", suffix="__given", maintain_order="left")
        other = [pl.col(each).ne_missing(pl.col(f"{each}__given")) for each in said]
        touched = pl.any_horizontal(other) if other else pl.lit(False)
        mask = found.select((pl.col("__there").fill_null(False) & touched).alias("it"))["it"]
        taken = found.filter(mask).with_columns(pl.col(f"{each}__given").alias(each) for each in said)
        return mask, taken.select(rows.columns)

    return change


@dataclass(frozen=True)
class Rewriting:
    """What takes the place of a version's files: for each that is replaced the rows that stay, and fresh rows."""

    rest: dict[str, pl.DataFrame]
    fresh: pl.DataFrame
    changed: int = 0
    new: int = 0
    gone: int = 0


def _apply(
    catalog: Catalog,
    upon: TableVersion,
    change: Change,
    *,
    says: str,
    actor: str,
    rows: pl.DataFrame | None = None,
) -> Edit | None:
    """Replace the files of a version that hold touched rows, and register what that makes; the lake's lock is held."""
    table, none = catalog.table(upon.table), nothing(catalog, upon)
    key, files = keyed(table, none.schema), catalog.files(table, upon.version)
    every = raw(catalog, upon, files)
    rest, placed, touched = {}, [none], [none]
    for file, each in zip(files, every, strict=True):
        mask, made = change(each)
        if mask.any():
            rest[file.path] = each.filter(~mask)
            touched.append(each.filter(mask))
            placed.append(made)
    old, instead, new = pl.concat(touched), pl.concat(placed), none
    again = repeated(key, old if rows is None else rows, every)
    refuse_repeated(table, key, again, do="narrow --where to other rows" if rows is None else "leave these out")
    if rows is not None:
        new = _new(table, rows, key, every, none)
    if not old.height and not new.height:
        return None
    rewriting = Rewriting(
        rest, pl.concat([instead, new]), changed=instead.height, new=new.height, gone=old.height - instead.height
    )
    return register(catalog, upon, rewriting, says=says, actor=actor)


def _new(
    table: Table, rows: pl.DataFrame, key: list[str], every: list[pl.DataFrame], none: pl.DataFrame
) -> pl.DataFrame:
    """Return the rows whose key no row has yet."""
    had = pl.concat([none.select(key), *(each.select(key) for each in every)])
    new = rows.join(had, on=key, how="anti")
    lacking = [each for each in none.columns if each not in rows.columns]
    if new.height and lacking:
        raise UserError(
            f"{named(new, key)} is not in table {table.name!r}, and a new row needs every column",
            expected=f"also {', '.join(lacking)}",
        )
    return new.select(none.columns) if new.height else none


def register(catalog: Catalog, upon: TableVersion, rewriting: Rewriting, *, says: str, actor: str) -> Edit:
    """Write the files of an edit, then make it true with its version, the pin of its base and its ledger row."""
    table, state = catalog.table(upon.table), catalog.state
    before = edits.newest(state, upon.table)
    number = max(versions.BRANCHED, 0 if before is None else before.version) + 1
    known = edits.get(state, upon.table, upon.version)
    base = catalog.version(upon.table, upon.version if known is None else known.base)
    where = _folder(catalog, table)
    _clear(catalog, table.name, where)
    reach("edit.begun")
    held = {each.path: each for each in catalog.files(table, upon.version)}
    added = [_rest(where, held[path], rows, number) for path, rows in rewriting.rest.items() if rows.height]
    if rewriting.fresh.height:
        added.append(_fresh(catalog, where, table, upon, rewriting.fresh, number))
    _sync(where)
    reach("edit.written")
    files = [*(each for path, each in held.items() if path not in rewriting.rest), *added]
    under = {each.path: each for each in catalog.files(table, base.version)}
    now = {each.path for each in files}
    edit = Edit(
        table=table.name,
        version=number,
        base=base.version,
        at=catalog.clock.now().isoformat(),
        actor=actor,
        says=says,
        removed=tuple(path for path in under if path not in now),
        added=tuple(each for each in files if each.path not in under),
        changed=rewriting.changed,
        new=rewriting.new,
        gone=rewriting.gone,
        written=sum(each.size for each in added),
        shared=sum(each.size for path, each in under.items() if path in now),
    )
    snapshot = Snapshot(number, {each.path: each for each in files}, columns_of(catalog, upon), ())
    made = catalog.describe(table, snapshot, content="", copied=edit.written)
    made = msgspec.structs.replace(made, delta_version=base.delta_version)
    words = ("base", "says", "changed", "new", "gone", "written", "shared")
    detail = {"edit": {word: getattr(edit, word) for word in words} | {"hash": edits.edit_hash(edit)}}
    with state.transact() as tx:
        edits.put(tx, edit)
        catalog.register(tx, made, added=(), removed=(), actor=actor, listed=False, more=detail)
        pins.put(tx, pins.Pin(table.name, base.version, edit.at, actor, _HELD))
        reach("edit.registering")
    reach("edit.registered")
    return edit


def _folder(catalog: Catalog, table: Table) -> Path:
    where = folders(catalog, table).edited
    assert where is not None
    where.mkdir(parents=True, exist_ok=True)
    return where


def _clear(catalog: Catalog, name: str, where: Path) -> None:
    """Remove the files that a crash left, which no edit names."""
    known = {file.path for edit in edits.history(catalog.state, name) for file in edit.added}
    for each in where.iterdir():
        if f"{EDITED}{each.name}" not in known:
            each.unlink()


def _rest(where: Path, old: DataFile, rows: pl.DataFrame, number: int) -> DataFile:
    """Write the rows that stay of a file, as what they are: rows that were there since it came."""
    made = _written(where, rows.drop(each for each in old.parts if each in rows.columns))
    return msgspec.structs.replace(
        made,
        parts=old.parts,
        timed_by=old.timed_by,
        low=old.low,
        high=old.high,
        since=number,
        brought=old.rows_since,
    )


def _fresh(
    catalog: Catalog, where: Path, table: Table, upon: TableVersion, rows: pl.DataFrame, number: int
) -> DataFile:
    """Write rows that are new or take the place of others."""
    shaped = catalog.shape(table, columns_of(catalog, upon)).apply(rows)  # also refuses what could not be read back
    made = msgspec.structs.replace(_written(where, rows), since=number)
    timed = table.event_time
    if timed is None or timed in table.columns:
        return made
    low, high = shaped[timed].min(), shaped[timed].max()
    if not isinstance(low, datetime) or not isinstance(high, datetime):
        return made
    return msgspec.structs.replace(made, timed_by=timed, low=to_micros(low), high=to_micros(high))


def _written(where: Path, rows: pl.DataFrame) -> DataFile:
    """Write rows to a file of their own, whole and synced."""
    path = where / f"{uuid.uuid4().hex}.parquet"
    try:
        rows.write_parquet(path)
        with path.open("rb") as written:
            os.fsync(written.fileno())
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        return DataFile(f"{EDITED}{path.name}", path.stat().st_size, rows=rows.height, sha256=digest)
    except OSError as wrong:
        path.unlink(missing_ok=True)
        raise StorageFull(f"{path} could not be written: {wrong}", do="free some space and try again") from None


def _sync(where: Path) -> None:
    for each in (where, where.parent, where.parent.parent):
        sync(each)
