"""One column after the other: counts, spread, most frequent values, and what they make it good for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from millstream.profiling.records import Column, Count, Kind, Role

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
BARS, TOP = 20, 8
NEAR_CONSTANT = 0.995
_FAR = 10
NEAR_UNIQUE = 0.5
"""A text of which more than this share of values differ names rows rather than describing them."""
_ID_WORDS = {
    "id",
    "ids",
    "uuid",
    "guid",
    "key",
    "nr",
    "no",
    "num",
    "number",
    "code",
    "index",
    "idx",
    "ref",
    "rownum",
    "serial",
    "ticket",
    "name",
    "email",
    "phone",
}
_SURE_IDS = {"id", "uuid", "guid", "key", "index", "idx", "rownum", "serial", "ref", "nr"}


def kind_of(dtype: pl.DataType) -> Kind:
    """Name what the values of a column are."""
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "number"
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum) or dtype == pl.Null:
        return "text"
    if isinstance(dtype, pl.Datetime):
        return "time"
    return "date" if dtype == pl.Date else "other"


def words_of(name: str) -> list[str]:
    """Split a name into its words, lower case.

    >>> words_of("CustomerID"), words_of("order_no")
    (['customer', 'id'], ['order', 'no'])
    """
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [each.lower() for each in re.split(r"[^0-9A-Za-z]+", spaced) if each]


def named_like_id(name: str, *, surely: bool = False) -> bool:
    """Say whether a column is named like one that names things (``customer_id``, ``order no``)."""
    words = words_of(name)
    known = _SURE_IDS if surely else _ID_WORDS
    return bool(words) and (words[-1] in known or words[0] in _SURE_IDS)


def columns(frame: pl.DataFrame) -> tuple[Column, ...]:
    """Profile every column of a frame."""
    if not frame.width:
        return ()
    frame = frame.with_columns(
        pl.col(name).cast(pl.String) for name, kind in frame.schema.items() if kind_of(kind) == "text"
    ).with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name, kind in frame.schema.items() if kind.is_float()
    )
    countable = [name for name, kind in frame.schema.items() if kind_of(kind) != "other"]
    nulls = frame.null_count().row(0, named=True)
    distinct = frame.select(pl.col(countable).drop_nulls().n_unique()).row(0, named=True) if countable else {}
    return tuple(_column(frame[name], nulls[name], distinct.get(name, 0)) for name in frame.columns)


def _column(series: pl.Series, nulls: int, distinct: int) -> Column:
    kind = kind_of(series.dtype)
    present = series.drop_nulls()
    spread = _spread(present, kind)
    top = _top(present, kind, distinct)
    role, says = _role(series, present, kind, distinct=distinct, top=top)
    says += _far_away(spread)
    return Column(
        name=series.name,
        kind=kind,
        rows=series.len(),
        nulls=nulls,
        distinct=distinct,
        low=spread.get("low"),
        high=spread.get("high"),
        mean=spread.get("mean"),
        quantiles=spread.get("quantiles", {}),
        top=top,
        bars=spread.get("bars", ()),
        role=role,
        says=tuple(says),
    )


def _spread(present: pl.Series, kind: Kind) -> Mapping[str, Any]:
    if present.is_empty():
        return {}
    if kind == "boolean":
        return {"mean": float(present.mean() or 0.0)}  # type: ignore[arg-type]
    if kind in ("integer", "number"):
        values = present.cast(pl.Float64).to_numpy()
        found = np.quantile(values, SHARES)
        quantiles = {f"{share:g}": float(value) for share, value in zip(SHARES, found, strict=True)}
        return {
            "low": figure(float(values.min())),
            "high": figure(float(values.max())),
            "mean": float(values.mean()),
            "quantiles": quantiles,
            "bars": _whole_bars(values) if kind == "integer" else _bars(values, figure),
        }
    if kind in ("time", "date"):
        instants = present.cast(pl.Datetime("us")).to_physical()
        return {
            "low": str(present.min()),
            "high": str(present.max()),
            "bars": _bars(instants.cast(pl.Float64).to_numpy(), _day),
        }
    return {}


def _far_away(spread: Mapping[str, Any]) -> list[str]:
    """Say when the ends of a column's numbers lie far beyond nearly all of them."""
    if "quantiles" not in spread:
        return []
    low, high = spread["quantiles"]["0.05"], spread["quantiles"]["0.95"]
    far = _FAR * (high - low)
    said = []
    if far and float(spread["high"]) > high + far:
        said.append(f"its largest value, {spread['high']}, lies far beyond the others: 95% are at most {figure(high)}")
    if far and float(spread["low"]) < low - far:
        said.append(f"its smallest value, {spread['low']}, lies far beyond the others: 95% are at least {figure(low)}")
    return said


def _bars(values: np.ndarray[Any, np.dtype[np.float64]], write: Any) -> tuple[Count, ...]:
    low, high = float(values.min()), float(values.max())
    if low == high or not math.isfinite(high - low):
        return ()
    counts, edges = np.histogram(values, bins=BARS, range=(low, high))
    return tuple(
        Count(f"{write(float(left))} to {write(float(right))}", int(count))
        for count, left, right in zip(counts, edges, edges[1:], strict=False)
    )


def _whole_bars(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Count, ...]:
    """Count whole numbers in bars of whole width, so that no bar is empty for want of numbers."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return ()
    width = math.ceil((high - low + 1) / BARS)
    bars = math.ceil((high - low + 1) / width)
    counts, _ = np.histogram(values, bins=bars, range=(low - 0.5, low + bars * width - 0.5))
    starts = [low + place * width for place in range(bars)]
    names = [figure(start) if width == 1 else f"{figure(start)} to {figure(start + width - 1)}" for start in starts]
    return tuple(Count(name, int(count)) for name, count in zip(names, counts, strict=True))


def _top(present: pl.Series, kind: Kind, distinct: int) -> tuple[Count, ...]:
    if present.is_empty() or (kind in ("other", "time", "number") and distinct > 50):
        return ()
    if kind == "other" or (distinct == present.len() and distinct > TOP):
        return ()
    counted = present.alias("value").value_counts().sort(["count", "value"], descending=[True, False]).head(TOP)
    return tuple(Count(short(str(value)), int(rows)) for value, rows in counted.rows())


def _role(
    series: pl.Series, present: pl.Series, kind: Kind, *, distinct: int, top: tuple[Count, ...]
) -> tuple[Role, list[str]]:
    rows, there = series.len(), present.len()
    says: list[str] = []
    missing = (rows - there) / rows if rows else 1.0
    if not there:
        return "empty", ["it has no value in any row"]
    if missing >= 0.5:
        says.append(f"{missing:.0%} of the rows have no value")
    if distinct <= 1 and kind != "other":
        only = top[0].value if top else str(present[0])
        if rows == there:
            return "constant", [f"every row has the same value, {only!r}"]
        return "usable", [*says, f"the only value is {only!r}; it says something by being there or not"]
    if top and top[0].rows / there >= NEAR_CONSTANT:
        return "near_constant", [*says, f"{top[0].rows / there:.1%} of the values are {top[0].value!r}"]
    if kind == "text" and there >= 20 and distinct / there > NEAR_UNIQUE:
        whose = "names rows" if named_like_id(series.name) or distinct == there else "is hardly ever the same twice"
        role: Role = "id" if whose == "names rows" and distinct == there else "near_unique"
        return role, [*says, f"{distinct:,} different texts in {there:,} rows: it {whose}"]
    if kind == "integer" and there >= 20 and distinct / there > 0.95 and _counts_up(present, distinct):
        return "id", [*says, "whole numbers without gaps, each once: it numbers the rows"]
    if kind in ("integer", "text") and named_like_id(series.name, surely=True):
        return "id", [*says, "it is named like a column that names things"]
    return "usable", says


def _counts_up(present: pl.Series, distinct: int) -> bool:
    low, high = present.min(), present.max()
    assert isinstance(low, int) and isinstance(high, int)
    return high - low < 1.2 * distinct


def figure(value: float) -> str:
    """Write a number for people: whole ones whole, others with four figures."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}"


def _day(micros: float) -> str:
    return str(np.datetime64(int(micros), "us"))[:10]


def short(text: str) -> str:
    """Cut a text to what a line bears."""
    return text if len(text) <= 40 else text[:39] + "…"
