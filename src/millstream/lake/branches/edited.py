"""Edits of a branch, as they read: rows of files as stored, and what differs from the version they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from millstream.definitions.table import Table
from millstream.errors import Conflict, UserError
from millstream.lake.cache import FileCache
from millstream.lake.catalog import Catalog, columns_of, folders
from millstream.lake.files import FileReader, empty
from millstream.state import edits
from millstream.state.edits import Edit
from millstream.state.versions import DataFile, TableVersion


@dataclass(frozen=True)
class Differs:
    """What the edits of a table come to: rows as stored, by the table's key.

    Parameters
    ----------
    before, after
        Rows that changed, as they are in the base and in the branch, in the same order.
    new, gone
        Rows that only the branch has, and that it has no more.
    """

    before: pl.DataFrame
    after: pl.DataFrame
    new: pl.DataFrame
    gone: pl.DataFrame

    def rows(self) -> pl.DataFrame:
        """Return the rows as they are to be, in ``change`` whether each is ``changed``, ``new`` or ``gone``."""
        parts = (("changed", self.after), ("new", self.new), ("gone", self.gone))
        return pl.concat([each.select(pl.lit(word).alias("change"), pl.all()) for word, each in parts])

    @property
    def keys(self) -> int:
        """Count the rows that differ."""
        return self.after.height + self.new.height + self.gone.height


def raw(catalog: Catalog, version: TableVersion, files: Sequence[DataFile]) -> list[pl.DataFrame]:
    """Return the rows of files of a version as they are stored, with the columns and types the version is read with."""
    table = catalog.table(version.table)
    columns = columns_of(catalog, version)
    reader = FileReader(FileCache(0), folders(catalog, table), columns, where=f"table {table.name!r}")
    return [reader.raw(each).select(list(columns)) for each in files]


def nothing(catalog: Catalog, version: TableVersion) -> pl.DataFrame:
    """Return no rows of a version, as they are stored."""
    return empty(columns_of(catalog, version), where=f"table {version.table!r}")


def keyed(table: Table, columns: Mapping[str, object]) -> list[str]:
    """Return the key by which rows are told apart.

    Raises
    ------
    UserError
        For a table without one, or whose key is computed.
    """
    if not table.key:
        raise UserError(
            f"rows of table {table.name!r} cannot be changed: it has no key to tell them apart",
            do="Table(..., key='...')",
        )
    computed = [each for each in table.key if each not in columns]
    if computed:
        raise UserError(
            f"rows of table {table.name!r} cannot be changed: {', '.join(computed)} of its key is computed",
            expected="a key of columns that its files have",
        )
    return list(table.key)


def repeated(key: list[str], touched: pl.DataFrame, every: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the keys among those that are touched which more than one row has."""
    counted = pl.concat([each.select(key) for each in every] or [touched.select(key)])
    found = counted.join(touched.select(key).unique(), on=key, how="semi", nulls_equal=True)
    return found.group_by(key, maintain_order=True).len().filter(pl.col("len") > 1).select(key)


def refuse_repeated(table: Table, key: list[str], again: pl.DataFrame, *, do: str) -> None:
    """Refuse to touch keys that more than one row has: nobody could say which is meant.

    Raises
    ------
    Conflict
        Naming some.
    """
    if again.height:
        raise Conflict(
            f"{named(again, key)} of table {table.name!r} is in more than one row, so it cannot be said which is meant",
            expected="keys that occur once",
            do=do,
        )


def named(rows: pl.DataFrame, key: list[str], *, count: int = 3) -> str:
    """Name some rows by their key, in one line."""
    shown = [", ".join(f"{name} {each[name]}" for name in key) for each in rows.head(count).select(key).to_dicts()]
    more = rows.height - len(shown)
    return "; ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def differs(catalog: Catalog, edit: Edit) -> Differs:
    """Say how a branch's rows differ from those of production's version that it rests on.

    Notes
    -----
    Only files that one side has and the other has not are read.
    """
    table = catalog.table(edit.table)
    base, head = catalog.version(edit.table, edit.base), catalog.version(edit.table, edit.version)
    without = set(edit.removed)
    old = [each for each in catalog.files(table, edit.base) if each.path in without]
    none = nothing(catalog, head)
    before = pl.concat([none, *raw(catalog, base, old)], how="diagonal_relaxed").select(none.columns)
    after = pl.concat([none, *raw(catalog, head, edit.added)])
    return compared(before, after, keyed(table, none.schema))


def compared(before: pl.DataFrame, after: pl.DataFrame, key: list[str]) -> Differs:
    """Compare rows of the same columns, by a key that occurs once in each of those that differ."""
    columns = after.columns
    same = before.join(after, on=columns, how="semi", nulls_equal=True)  # carried over as they are
    old = before.join(same, on=columns, how="anti", nulls_equal=True)
    now = after.join(same, on=columns, how="anti", nulls_equal=True)
    changed = old.select(key).join(now.select(key), on=key, how="semi", nulls_equal=True).unique(maintain_order=True)

    def of(rows: pl.DataFrame) -> pl.DataFrame:
        return changed.join(rows, on=key, how="inner", nulls_equal=True, maintain_order="left").select(columns)

    return Differs(
        before=of(old),
        after=of(now),
        new=now.join(changed, on=key, how="anti", nulls_equal=True),
        gone=old.join(changed, on=key, how="anti", nulls_equal=True),
    )


def edited(catalog: Catalog) -> list[Edit]:
    """Return the last edit of each table that has one."""
    found = (edits.newest(catalog.state, each) for each in edits.tables(catalog.state))
    return [each for each in found if each is not None]
