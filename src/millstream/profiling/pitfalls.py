"""What in a table could go wrong for a model, each with what to do about it.

Pure looks at the data: nothing is changed, and nothing here is certain. Each says what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from millstream.profiling.columns import figure, named_like_id, short
from millstream.profiling.records import Column, Pitfall, Timeline

MOST = 40
"""Pitfalls that are named; the likeliest first."""
_MOVED = 0.25
"""Change of a share of NULL, between the first and the last third of the time, that is told."""
_FAR = 4.0
_MOST_CATEGORIES = 200
_MANY = 0.005
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)


def pitfalls(
    frame: pl.DataFrame, columns: Sequence[Column], *, key: Sequence[str], time: str | None, timeline: Timeline | None
) -> tuple[Pitfall, ...]:
    """Name what could mislead a model.

    Parameters
    ----------
    frame
        Rows.
    columns
        What is known of them, column by column.
    key, time
        What names a row, and when it happened.
    timeline
        The table over time; None where it has none.
    """
    found = [*_nulls_over_time(timeline), *_twins(frame, columns)]
    for each in columns:
        if each.role in ("empty", "constant") or each.name in (*key, time):
            continue
        values = frame[each.name]
        found += [*_stand_ins(values, each), *_spellings(values, each), *_disguised(values, each)]
        if time is not None:
            found += [*_moved(frame, each, time), *_came_late(frame, each, time)]
        found += [*_no_feature(each)]
    return tuple(found[:MOST])


def _nulls_over_time(timeline: Timeline | None) -> Iterator[Pitfall]:
    if timeline is None or len(timeline.starts) < 6:
        return
    third = len(timeline.starts) // 3
    for name, shares in timeline.nulls.items():
        parts = [_mean(shares[:third], timeline.rows[:third]), _mean(shares[-third:], timeline.rows[-third:])]
        if None in parts or abs(parts[0] - parts[1]) < _MOVED:  # type: ignore[operator]
            continue
        says = f"{parts[0]:.0%} of its values are missing in the first third of the time, {parts[1]:.0%} in the last"
        yield Pitfall(
            "missing", name, says, "a model learns the gap, not the value: leave it, or train where it is filled"
        )


def _mean(shares: Sequence[float | None], rows: Sequence[int]) -> float | None:
    total = sum(rows)
    return sum((share or 0.0) * of for share, of in zip(shares, rows, strict=True)) / total if total else None


def _stand_ins(values: pl.Series, column: Column) -> Iterator[Pitfall]:
    """Find one number far from all others that many rows have: 0 or -999 instead of NULL."""
    if column.kind not in ("integer", "number") or column.distinct < 20:
        return
    there = values.drop_nulls().cast(pl.Float64)
    for one in (0.0, *_SENTINELS):
        rows = int((there == one).sum())
        if rows < max(5, _MANY * there.len()):
            continue
        others = there.filter(there != one).to_numpy()
        low, high = np.quantile(others, (0.01, 0.99))
        near = low - (high - low) / 10 <= one <= high + (high - low) / 10
        if near:
            continue
        says = f"{rows:,} values are {figure(one)}, the others lie from {figure(low)} to {figure(high)}"
        yield Pitfall("stand_in", column.name, says, f"a missing value? nullif({column.name}, {figure(one)})")


def _spellings(values: pl.Series, column: Column) -> Iterator[Pitfall]:
    """Find texts that differ only in case and spaces."""
    if column.kind != "text" or not 1 < column.distinct <= 5000:
        return
    texts = values.drop_nulls().cast(pl.String).unique().sort().to_frame("text")
    same = texts.with_columns(plain=plain(texts["text"]))
    twice = same.group_by("plain").agg("text").filter(pl.col("text").list.len() > 1).sort("plain")
    if not twice.height:
        return
    one = " and ".join(repr(short(each)) for each in twice["text"][0].to_list()[:3])
    says = f"{twice.height:,} of its values are written in several ways, as {one}"
    yield Pitfall("spelling", column.name, says, f"lower(trim({column.name})) makes them one")


def _disguised(values: pl.Series, column: Column) -> Iterator[Pitfall]:
    """Find numbers and times that are kept as text."""
    if column.kind != "text" or column.distinct < 10:
        return
    texts = values.drop_nulls().cast(pl.String).head(10_000)
    for kind, pattern, cast in (
        ("numbers", r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$", "double"),
        ("times", r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$", "timestamp"),
    ):
        share = float(texts.str.contains(pattern).mean() or 0.0)  # type: ignore[arg-type]
        if share < 0.9 or named_like_id(column.name):
            continue
        rest = texts.filter(~texts.str.contains(pattern)).unique().sort().head(3).to_list()
        but = f"; the others are {', '.join(map(repr, rest))}" if rest else ""
        says = f"{share:.1%} of its texts are {kind}{but}"
        yield Pitfall("text", column.name, says, f"try_cast({column.name} as {cast})")


def _moved(frame: pl.DataFrame, column: Column, time: str) -> Iterator[Pitfall]:
    """Find numbers that lie elsewhere in the last third of the rows than in the first."""
    if column.kind not in ("integer", "number") or column.distinct < 20 or column.role == "id":
        return
    early, late = _thirds(frame, column.name, time)
    if early.len() < 100 or late.len() < 100:
        return
    before, after = early.cast(pl.Float64).to_numpy(), late.cast(pl.Float64).to_numpy()
    middle, now = float(np.median(before)), float(np.median(after))
    spread = float(np.median(np.abs(before - middle))) * 1.4826
    if not spread or abs(now - middle) < _FAR * spread:
        return
    says = f"its median is {figure(middle)} in the first third of the rows and {figure(now)} in the last"
    yield Pitfall("moved", column.name, says, "another unit or source? a model of old rows will not know the new ones")


def _came_late(frame: pl.DataFrame, column: Column, time: str) -> Iterator[Pitfall]:
    """Find categories that only the last third of the rows has, or that it has no more, however they are written."""
    if column.kind not in ("text", "boolean") or not 1 < column.distinct <= _MOST_CATEGORIES:
        return
    early, late = (set(plain(each.unique())) for each in _thirds(frame, column.name, time))
    whole = plain(frame[column.name].drop_nulls()).value_counts(name="rows")
    counts = {value: rows for value, rows in whole.rows() if rows >= max(20, _MANY * frame.height)}
    for some, which, do in (
        (late - early, "only there", "a model of older rows cannot know it"),
        (early - late, "no longer there", "what a model learns of it is old"),
    ):
        named = sorted(some & counts.keys(), key=lambda each: -counts[each])
        if named:
            said = ", ".join(map(repr, named[:3])) + (" ..." if len(named) > 3 else "")
            yield Pitfall("category", column.name, f"{said}: {which} in the last third of the rows", do)


def plain(texts: pl.Series) -> pl.Series:
    """Write texts alike that differ only in case and spaces."""
    return texts.cast(pl.String).str.strip_chars().str.replace_all(r"\s+", " ").str.to_lowercase()


def _thirds(frame: pl.DataFrame, name: str, time: str) -> tuple[pl.Series, pl.Series]:
    ends = frame.select(pl.col(time).quantile(1 / 3).alias("a"), pl.col(time).quantile(2 / 3).alias("b")).row(0)
    return (
        frame.filter(pl.col(time) < ends[0])[name].drop_nulls(),
        frame.filter(pl.col(time) > ends[1])[name].drop_nulls(),
    )


def _twins(frame: pl.DataFrame, columns: Sequence[Column]) -> Iterator[Pitfall]:
    """Find columns that say the same."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for each in columns:
        if each.distinct > 1 and each.kind != "other":
            alike.setdefault((each.kind, each.nulls, each.distinct, each.low, each.high), []).append(each.name)
    for names in alike.values():
        first: dict[tuple[str, bytes], str] = {}  # by type and hashes of the rows: no pair is compared that differs
        for name in names if len(names) > 1 else ():
            values = frame[name]
            same = first.setdefault((str(values.dtype), values.hash().to_numpy().tobytes()), name)
            if same != name and values.equals(frame[same], check_names=False):
                yield Pitfall("twin", name, f"it equals {same} in every row", "take one of the two as a feature")


def _no_feature(column: Column) -> Iterator[Pitfall]:
    if column.role == "near_unique":
        says = f"{column.distinct:,} different texts, hardly one twice"
        yield Pitfall("wide", column.name, says, "no feature as it is: count or cut it down to what repeats")
