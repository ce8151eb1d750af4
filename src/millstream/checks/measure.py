"""What is measured of a batch to notice what is unusual: one scan, whatever the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from millstream.checks.memory import MOST_COLUMNS, MOST_VALUES, RECENT, Memory
from millstream.definitions.noticed import Frozen, NewCategory, Zeros
from millstream.definitions.table import Table
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

_START = 20_000
"""First rows that may already show that a column has too many values, or is no flag."""
_LATELY = timedelta(days=2 * RECENT)
"""Where the last days of a table are looked for first."""
_MOST_GROUPS = 20_000
"""Pairs of a value and a number column that are counted for a text column; of wider tables none are."""


@dataclass(frozen=True)
class Numbers:
    """Counts of a few columns.

    Parameters
    ----------
    rows
        Rows counted.
    filled, zeros
        Number column to its rows with a value, and to those with exactly zero.
    flags
        Number columns with nothing but 0 and 1.
    differing
        Column to the rows that differ from its first row's value.
    only
        Column to its value as text, where all rows have the same.
    """

    rows: int
    filled: dict[str, int]
    zeros: dict[str, int]
    flags: frozenset[str]
    differing: dict[str, int]
    only: dict[str, str]


@dataclass(frozen=True)
class Measured:
    """What a batch is like.

    Parameters
    ----------
    numbers
        Of all its rows.
    days
        Of its last days one by one, for a first batch with an event time.
    texts
        Text column to value to rows; None for too many values.
    groups
        Text column to value to number column to (rows with a value, zeros).
    newest
        The newest event in microseconds.
    times
        Days of a first batch with an event time; else 1.
    lasting
        Text column to value to the days it came on, for a first batch.
    """

    numbers: Numbers
    texts: dict[str, dict[str, int] | None]
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]]
    newest: int | None
    days: list[Numbers] = field(default_factory=list)
    times: int = 1
    lasting: dict[str, dict[str, int]] = field(default_factory=dict)

    def lasted(self, column: str, value: str) -> int:
        """Return on how many days of a first batch a value came; 1 for another batch."""
        return self.lasting.get(column, {}).get(value, 1)


def measure(table: Table, batch: TableFrame, memory: Memory | None, *, timezone: str) -> Measured:
    """Measure a batch; of a table wider than ``MOST_COLUMNS`` only some columns (``looked_at``)."""
    schema = {name: batch.schema[name] for name in looked_at(table, batch)}
    figures = [name for name, kind in schema.items() if kind in ("bigint", "double") and name not in table.key]
    over = {name for name, seen in memory.texts.items() if seen is None} if memory is not None else set()
    texts = [name for name, kind in schema.items() if kind == "varchar" and name not in over]
    frame = batch.frame
    every = numbers(frame, figures, list(schema))
    counted, groups = _texts_and_groups(frame, figures, texts, every)
    newest = frame[batch.event_time].max() if batch.event_time and frame.height else None
    times, lasting = (1, {}) if memory is not None else _lasting(batch, counted, timezone)
    return Measured(
        numbers=every,
        days=_days(batch, figures, list(schema), timezone) if memory is None else [],
        texts={**dict.fromkeys(over), **counted},
        groups=groups,
        newest=to_micros(newest) if isinstance(newest, datetime) else None,
        times=times,
        lasting=lasting,
    )


def _lasting(
    batch: TableFrame, counted: Mapping[str, Mapping[str, int] | None], timezone: str
) -> tuple[int, dict[str, dict[str, int]]]:
    """Count the days of a first batch, and those on which each value of its text columns came."""
    if batch.event_time is None or not batch.frame.height:
        return 1, {}
    at = pl.col(batch.event_time)
    rows = batch.frame.with_columns(at.dt.convert_time_zone(timezone).dt.date().alias("_day"))
    few = [name for name, values in counted.items() if values]
    found = pl.collect_all([rows.lazy().drop_nulls(name).group_by(name).agg(pl.col("_day").n_unique()) for name in few])
    return max(1, rows["_day"].n_unique()), {name: dict(each.rows()) for name, each in zip(few, found, strict=True)}


def looked_at(table: Table, batch: TableFrame) -> list[str]:
    """Name the columns in which something may be noticed: those that a check of that kind names, then the first."""
    named = [
        each
        for check in table.checks
        if isinstance(check, NewCategory | Zeros | Frozen)
        for each in check.columns
        if each in batch.schema
    ]
    return list(dict.fromkeys([*named, *batch.schema]))[:MOST_COLUMNS]


def numbers(frame: pl.DataFrame, figures: Collection[str], columns: Sequence[str]) -> Numbers:
    """Count zeros of number columns and how columns vary, in one select."""
    if not frame.height:
        return Numbers(0, {}, {}, frozenset(), {}, {})
    maybe = _maybe_flags(frame, figures)
    return _numbers(frame.lazy().select(_asked(figures, columns, maybe)).collect().row(0, named=True), figures, maybe)


def _asked(figures: Collection[str], columns: Sequence[str], maybe: Collection[str]) -> list[pl.Expr]:
    asked = [pl.len().alias("rows")]
    for name in columns:
        first = pl.col(name).first()
        asked += [pl.col(name).ne_missing(first).sum().alias(f"d.{name}"), first.alias(f"f.{name}")]
    for name in figures:
        at = pl.col(name)
        asked += [at.count().alias(f"n.{name}"), (at == 0).sum().alias(f"z.{name}")]
        asked += [(at == 1).sum().alias(f"o.{name}")] if name in maybe else []
    return asked


def _numbers(found: Mapping[str, Any], figures: Collection[str], maybe: Collection[str]) -> Numbers:
    filled = {name: int(found[f"n.{name}"]) for name in figures}
    zeros = {name: int(found[f"z.{name}"]) for name in figures}
    flags = frozenset(name for name in maybe if zeros[name] + int(found[f"o.{name}"]) == filled[name])
    differing = {name[2:]: int(number) for name, number in found.items() if name.startswith("d.")}
    only = {name: _text(found[f"f.{name}"]) for name, differ in differing.items() if not differ}
    return Numbers(int(found["rows"]), filled, zeros, flags, differing, only)


def _maybe_flags(frame: pl.DataFrame, figures: Collection[str]) -> list[str]:
    """Name the number columns whose first rows have nothing but 0 and 1: the others are no flags."""
    if not figures:
        return []
    start = frame.head(_START).select(((pl.col(name) == 0) | (pl.col(name) == 1)).all() for name in figures)
    return [name for name, so in start.row(0, named=True).items() if so]


def _text(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _days(batch: TableFrame, figures: Collection[str], columns: Sequence[str], timezone: str) -> list[Numbers]:
    """Measure the last days of a first batch one by one, as if each had been a batch."""
    if batch.event_time is None or not batch.frame.height:
        return []
    at = pl.col(batch.event_time)
    day = at.dt.convert_time_zone(timezone).dt.date().alias("_day")
    for frame in (batch.frame.filter(at > at.max() - _LATELY), batch.frame):
        days = frame.select(day)["_day"]
        last = days.drop_nulls().unique().sort().tail(RECENT + 1)
        if last.len() > RECENT:  # the first day of a part of the rows may be cut
            break
    last = last.tail(RECENT)
    if last.len() < 2:
        return []
    rows, maybe = frame.with_columns(days).filter(days.is_in(last.implode())), _maybe_flags(frame, figures)
    found = (
        rows.lazy().group_by("_day", maintain_order=True).agg(_asked(figures, columns, maybe)).sort("_day").collect()
    )
    return [_numbers(each, figures, maybe) for each in found.iter_rows(named=True)]


def _texts_and_groups(
    frame: pl.DataFrame, figures: Sequence[str], texts: Sequence[str], zeros: Numbers
) -> tuple[dict[str, dict[str, int] | None], dict[str, dict[str, dict[str, tuple[int, int]]]]]:
    """Count the values of each text column, and the zeros of number columns beside each value: one grouping of each.

    A column whose first rows have too many values needs no grouping. Only number columns with a NULL are counted, and
    only those with a zero have their zeros counted.
    """
    if not texts or not frame.height:
        return dict.fromkeys(texts, None), {}
    start = frame.head(_START).select(pl.col(texts).n_unique()).row(0, named=True)
    counted: dict[str, dict[str, int] | None] = dict.fromkeys(texts)
    few = [name for name in texts if start[name] <= MOST_VALUES + 1]
    gaps = [name for name in figures if zeros.filled[name] < frame.height]
    some = [name for name in figures if zeros.zeros[name]]
    beside = [pl.col(name).count().alias(f"n.{name}") for name in gaps]
    beside += [(pl.col(name) == 0).sum().alias(f"z.{name}") for name in some]
    wide = [name for name in few if start[name] * len(figures) > _MOST_GROUPS]
    asked = [frame.lazy().group_by(name).agg(pl.len(), *([] if name in wide else beside)) for name in few]
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    for name, found in zip(few, pl.collect_all([each.drop_nulls() for each in asked]), strict=True):
        if found.height > MOST_VALUES + 1:
            continue
        rows = found.rows_by_key(name, named=True, unique=True)
        counted[name] = {value: row["len"] for value, row in rows.items()}
        if figures and rows and name not in wide and len(rows) * len(figures) <= _MOST_GROUPS:
            groups[name] = {
                value: {each: (row.get(f"n.{each}", row["len"]), row.get(f"z.{each}", 0)) for each in figures}
                for value, row in rows.items()
            }
    return counted, groups
