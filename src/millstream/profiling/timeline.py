"""A table over time: how many rows each period has, and what share of each column is missing then."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from millstream.profiling.records import Column, Timeline

MOST = 60
"""Periods at most: the finest of hours, days, weeks, months, quarters and years that is no more."""
MOST_COLUMNS = 40
"""Columns whose share of NULL is followed: those that have the most of them."""
_STEPS = {"1h": 3600, "1d": 86_400, "1w": 7 * 86_400, "1mo": 30 * 86_400, "1q": 91 * 86_400, "1y": 365 * 86_400}


def over_time(frame: pl.DataFrame, time: str, columns: Sequence[Column]) -> Timeline | None:
    """Count rows and NULL by period; None where all rows happened in one.

    Parameters
    ----------
    frame
        Rows.
    time
        The column that says when each happened; rows without it are left out.
    columns
        What is known of the columns.
    """
    at = pl.col(time).cast(pl.Datetime("us"))
    first, last = frame.select(at.min().alias("first"), at.max().alias("last")).row(0)
    if first is None or first == last:
        return None
    seconds = (last - first).total_seconds()
    every = next((each for each, step in _STEPS.items() if seconds / step < MOST), "1y")
    gappy = sorted((each for each in columns if 0 < each.nulls < each.rows), key=lambda each: -each.nulls)
    names = [each.name for each in gappy if each.name != time][:MOST_COLUMNS]
    found = (
        frame.lazy()
        .filter(pl.col(time).is_not_null())
        .group_by(at.dt.truncate(every).alias("_at"))
        .agg(pl.len().alias("_rows"), *(pl.col(name).null_count().alias(f"n.{name}") for name in names))
        .collect()
    )
    spans = found.select(pl.datetime_range(pl.col("_at").min(), pl.col("_at").max(), every))
    every_one = spans.with_columns(pl.col("_at").cast(pl.Datetime("us"))).join(found, on="_at", how="left").sort("_at")
    rows = every_one["_rows"].fill_null(0)
    return Timeline(
        column=time,
        every=every,
        starts=tuple(_written(each, every) for each in every_one["_at"]),
        rows=tuple(rows),
        nulls={
            name: tuple(
                count / of if of else None for count, of in zip(every_one[f"n.{name}"].fill_null(0), rows, strict=True)
            )
            for name in names
        },
    )


def _written(at: object, every: str) -> str:
    return str(at)[:16] if every == "1h" else str(at)[:10]
