"""A table as it was believed at an instant: what was known by then, each column by its own known-at."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from millstream.lake.bitemporal.beliefs import settled
from millstream.lake.frame import HERE, TableFrame

_POSITION = "__position"


def believed(read: TableFrame, at: datetime) -> pl.DataFrame:
    """Return the rows known at an instant, one for each key, a column not known by then NULL.

    Parameters
    ----------
    read
        Rows of one version, with their known-at columns and key.
    at
        The instant. A fact is known from its known-at plus the table's lag.

    Returns
    -------
    pl.DataFrame
        The columns of ``read.schema``, rows in the table's order. A row is there once its key and event time were
        known. Of a key with corrections each column is of the latest row that was known.

    Notes
    -----
    A static table is always known. Cost: one pass; keys that repeat are sorted once per known-at column.
    """
    frame, columns = read.frame, list(read.schema)
    if not read.known:
        return settled(read).frame.select(columns)
    frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_POSITION))
    there = pl.all_horizontal(pl.col(each) <= at for each in read.known_for(())) if read.known_for(()) else pl.lit(True)
    rows = frame.filter(there.fill_null(False))
    if not read.key:
        return rows.select(_masked(name, read.known.get(name), at) for name in columns)
    repeated = rows.select(pl.struct(read.key).is_duplicated()).to_series()
    alone = rows.filter(~repeated)
    if read.gone is not None:
        alone = alone.filter(pl.col(read.gone) == HERE)
    alone = alone.select(_POSITION, *(_masked(name, read.known.get(name), at) for name in columns))
    if alone.height == rows.height:
        return alone.select(columns)
    revised = _revised(read, rows.filter(repeated), at).select(_POSITION, *columns)
    return pl.concat([alone, revised]).sort(_POSITION).select(columns)


def _revised(read: TableFrame, rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Return what was believed of keys that have several rows, each column of the latest row that was known."""
    columns, order = list(read.schema), [*read.known_for(()), _POSITION]
    chosen = rows.sort(order, nulls_last=False).unique(read.key, keep="last", maintain_order=True)
    if read.gone is not None:
        chosen = chosen.filter(pl.col(read.gone) == HERE)
    plain = [each for each in columns if each not in read.key and each not in read.known]
    answer = chosen.select(_POSITION, *read.key, *plain)
    for known in dict.fromkeys(read.known.values()):
        mine = [each for each in columns if read.known.get(each) == known and each not in read.key]
        told = rows.filter((pl.col(known) <= at).fill_null(False)).sort(known, *order)
        told = told.unique(read.key, keep="last", maintain_order=True)
        if read.gone is not None:  # what was deleted has no value until it is told anew
            told = told.with_columns(pl.when(pl.col(read.gone) == HERE).then(pl.col(mine)))
        told = told.select(*read.key, *mine)
        answer = answer.join(told, on=list(read.key), how="left", maintain_order="left", nulls_equal=True)
    return answer


def _masked(name: str, known: str | None, at: datetime) -> pl.Expr:
    if known is None:
        return pl.col(name)
    return pl.when((pl.col(known) <= at).fill_null(False)).then(pl.col(name)).alias(name)
