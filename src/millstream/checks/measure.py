"""What is measured of a batch to notice what is unusual: one scan, whatever the table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from millstream.checks.memory import MOST_COLUMNS, MOST_VALUES, RECENT, Memory
from millstream.definitions.table import Table
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

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
    """

    numbers: Numbers
    texts: dict[str, dict[str, int] | None]
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]]
    newest: int | None
    days: list[Numbers] = field(default_factory=list)


def measure(table: Table, batch: TableFrame, memory: Memory | None, *, timezone: str) -> Measured:
    """Measure a batch; columns beyond ``MOST_COLUMNS`` are not looked at."""
    schema = dict(list(batch.schema.items())[:MOST_COLUMNS])
    figures = [name for name, kind in schema.items() if kind in ("bigint", "double") and name not in table.key]
    over = {name for name, seen in memory.texts.items() if seen is None} if memory is not None else set()
    texts = [name for name, kind in schema.items() if kind == "varchar" and name not in over]
    frame = batch.frame
    counted = _texts(frame, texts)
    newest = frame[batch.event_time].max() if batch.event_time and frame.height else None
    return Measured(
        numbers=numbers(frame, figures, list(schema)),
        days=_days(batch, figures, list(schema), timezone) if memory is None else [],
        texts={**dict.fromkeys(over), **counted},
        groups=_groups(frame, figures, counted),
        newest=to_micros(newest) if isinstance(newest, datetime) else None,
    )


def numbers(frame: pl.DataFrame, figures: Collection[str], columns: Sequence[str]) -> Numbers:
    """Count zeros of number columns and how columns vary, in one select."""
    if not frame.height:
        return Numbers(0, {}, {}, frozenset(), {}, {})
    asked = [pl.col(name).ne_missing(pl.col(name).first()).sum().alias(f"d.{name}") for name in columns]
    for name in figures:
        at = pl.col(name)
        asked += [at.count().alias(f"n.{name}"), (at == 0).sum().alias(f"z.{name}"), (at == 1).sum().alias(f"o.{name}")]
    found = frame.lazy().select(asked).collect().row(0, named=True)
    filled = {name: int(found[f"n.{name}"]) for name in figures}
    zeros = {name: int(found[f"z.{name}"]) for name in figures}
    flags = frozenset(name for name in figures if zeros[name] + int(found[f"o.{name}"]) == filled[name])
    differing = {name: int(found[f"d.{name}"]) for name in columns}
    only = {name: _text(frame[name][0]) for name, differ in differing.items() if not differ}
    return Numbers(frame.height, filled, zeros, flags, differing, only)


def _text(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _days(batch: TableFrame, figures: Collection[str], columns: Sequence[str], timezone: str) -> list[Numbers]:
    """Measure the last days of a first batch one by one, as if each had been a batch."""
    if batch.event_time is None or not batch.frame.height:
        return []
    day = batch.frame[batch.event_time].dt.convert_time_zone(timezone).dt.date()
    last = day.drop_nulls().unique().sort().tail(RECENT)
    if last.len() < 2:
        return []
    return [numbers(batch.frame.filter(day == each), figures, columns) for each in last]


def _texts(frame: pl.DataFrame, texts: Sequence[str]) -> dict[str, dict[str, int] | None]:
    if not texts or not frame.height:
        return dict.fromkeys(texts, None) if not frame.height else {}
    distinct = frame.select(pl.col(texts).n_unique()).row(0, named=True)
    few = [name for name in texts if distinct[name] <= MOST_VALUES + 1]
    counted: dict[str, dict[str, int] | None] = {name: None for name in texts if name not in few}
    found = pl.collect_all([frame.lazy().group_by(name).len().drop_nulls(name) for name in few])
    for name, each in zip(few, found, strict=True):
        counted[name] = dict(each.rows())
    return counted


def _groups(
    frame: pl.DataFrame, figures: Sequence[str], counted: dict[str, dict[str, int] | None]
) -> dict[str, dict[str, dict[str, tuple[int, int]]]]:
    by = [name for name, seen in counted.items() if seen and len(seen) * len(figures) <= _MOST_GROUPS]
    if not figures or not by:
        return {}
    asked = [
        expression
        for name in figures
        for expression in (pl.col(name).count().alias(f"n.{name}"), (pl.col(name) == 0).sum().alias(f"z.{name}"))
    ]
    found = pl.collect_all([frame.lazy().group_by(name).agg(asked).drop_nulls(name) for name in by])
    return {
        name: {
            row[name]: {each: (int(row[f"n.{each}"]), int(row[f"z.{each}"])) for each in figures}
            for row in frame_of.iter_rows(named=True)
        }
        for name, frame_of in zip(by, found, strict=True)
    }
