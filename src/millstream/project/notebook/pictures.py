"""A feature in pictures: how its values moved over time, and how often the label is what, by its value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from millstream.errors import NotFound, near
from millstream.project.notebook import show, strokes

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = (("1h", timedelta(hours=1)), ("6h", timedelta(hours=6)), ("1d", timedelta(days=1)), ("1w", timedelta(weeks=1)),
          ("1mo", timedelta(days=30)), ("1q", timedelta(days=91)), ("1y", timedelta(days=365)))  # fmt: skip
_MOST_STEPS, _BINS, _KINDS, _CLASSES = 48, 10, 8, 3
_MISSING, _OTHER = "missing", "other"
_95, _DAY_US = 1.96, 86_400_000_000


@dataclass(frozen=True)
class Picture:
    """One feature over time and by label.

    Parameters
    ----------
    feature
        Its name.
    over_time
        A row a step of decision time: ``since``, ``rows``, ``missing`` (share), of a number ``p10``, ``median``,
        ``p90``, of a text or truth value the share of each of its commonest values. An instant is told in days before
        the decision.
    by_label
        A row a range of values, as many rows in each as can be, or a row a value; missing values stand last:
        ``value``, ``rows``, and the label's mean with its 95 % range (``label``, ``low``, ``high``), or of a label
        with several classes the share of each of the commonest. Empty without labels.
    """

    feature: str
    over_time: pl.DataFrame
    by_label: pl.DataFrame

    def __repr__(self) -> str:
        parts = [f"{self.feature} over time", show.as_text(self.over_time)]
        return "\n".join([*parts, "by label", show.as_text(self.by_label)] if self.by_label.height else parts)

    def _repr_html_(self) -> str:
        sides = [("over time", _drawn_over_time(self)), ("by label", _drawn_by_label(self))]
        boxes = "".join(
            f"<figure style='margin:0 1.5em .5em 0'><figcaption style='opacity:.7'>{title}</figcaption>{chart}</figure>"
            for title, chart in sides
        )
        return show.block(self.feature, f"<div style='display:flex;flex-wrap:wrap'>{boxes}</div>")


def drawn(frame: pl.DataFrame, feature: str, names: Sequence[str]) -> Picture:
    """Make the picture of a feature of a training set.

    Parameters
    ----------
    frame
        Rows with ``decided_at``, ``label`` and the feature.
    feature, names
        Which feature, of which there are.

    Raises
    ------
    NotFound
        For a column that is no feature; near matches are named.
    """
    if feature not in names:
        raise NotFound(f"the set has no feature {feature!r}", do=near(feature, names))
    value = pl.col(feature)
    if frame.schema[feature].is_temporal():  # how long ago says more than when
        value = (pl.col("decided_at") - value.cast(pl.Datetime("us", "UTC"))).dt.total_microseconds() / _DAY_US
    seen = frame.select(pl.col("decided_at"), value.alias("value"), pl.col("label"))
    return Picture(feature, _over_time(seen), _by_label(seen.filter(pl.col("label").is_not_null())))


def _counted(dtype: pl.DataType) -> bool:
    """Whether values are told one by one."""
    return not dtype.is_numeric()


def _over_time(seen: pl.DataFrame) -> pl.DataFrame:
    first, last = seen["decided_at"].min(), seen["decided_at"].max()
    span = last - first if isinstance(first, datetime) and isinstance(last, datetime) else timedelta(0)
    step = next((name for name, each in _STEPS if span / each <= _MOST_STEPS), _STEPS[-1][0])
    value = pl.col("value")
    said = [pl.len().alias("rows"), value.null_count().truediv(pl.len()).alias("missing")]
    if _counted(seen.schema["value"]):
        common = seen["value"].drop_nulls().value_counts(sort=True)["value"].head(len(strokes.INKS))
        if seen.schema["value"] == pl.Boolean:
            common = pl.Series([True])
        said += [(value == each).mean().alias(f"is {show.plain(each)}") for each in common]
    else:
        number = value.cast(pl.Float64)
        said += [number.quantile(q, "linear").alias(name) for name, q in (("p10", 0.1), ("median", 0.5), ("p90", 0.9))]
    made = seen.drop_nulls("decided_at").group_by(pl.col("decided_at").dt.truncate(step).alias("since")).agg(said)
    made = made.sort("since")
    if made.height < 2:
        return made
    whole = pl.datetime_range(made["since"][0], made["since"][-1], step, time_zone="UTC", time_unit="us", eager=True)
    steps = whole.alias("since").to_frame().with_columns(pl.col("since").dt.truncate(step))
    return (
        steps.unique(maintain_order=True).join(made, on="since", how="left").with_columns(pl.col("rows").fill_null(0))
    )


def _by_label(seen: pl.DataFrame) -> pl.DataFrame:
    if not seen.height:
        return pl.DataFrame()
    dtype, label = seen.schema["value"], pl.col("label")
    binned = _kinds(seen) if _counted(dtype) else _ranges(seen)
    if _counted(seen.schema["label"]) and seen.schema["label"] != pl.Boolean:
        common = seen["label"].value_counts(sort=True)["label"].head(_CLASSES)
        said = [(label == each).mean().alias(f"is {show.plain(each)}") for each in common]
    else:
        number = label.cast(pl.Float64)
        wide, mean = _95 * number.std(ddof=0) / pl.len().sqrt(), number.mean()
        said = [mean.alias("label"), (mean - wide).alias("low"), (mean + wide).alias("high")]
        if seen.schema["label"] == pl.Boolean:  # by Wilson: a share of few rows is not sure, though all are alike
            said = [mean.alias("label"), *_wilson(mean, pl.len())]
    made = binned.group_by("__order", "__value").agg(pl.len().alias("rows"), *said).sort("__order", nulls_last=True)
    return made.drop("__order").rename({"__value": "value"})


def _wilson(share: pl.Expr, rows: pl.Expr) -> list[pl.Expr]:
    """Return the 95 % range of a share."""
    square = _95 * _95 / rows
    middle = (share + square / 2) / (1 + square)
    wide = _95 * (share * (1 - share) / rows + square / (4 * rows)).sqrt() / (1 + square)
    return [(middle - wide).alias("low"), (middle + wide).alias("high")]


def _kinds(seen: pl.DataFrame) -> pl.DataFrame:
    """Part rows by value: the commonest, the others together, the missing."""
    words = seen["value"].cast(pl.String)
    common = words.drop_nulls().value_counts(sort=True)["value"].head(_KINDS)
    order = {each: place for place, each in enumerate([*common, _OTHER])}
    named = (
        pl.when(words.is_null()).then(None).when(words.is_in(common.implode())).then(words).otherwise(pl.lit(_OTHER))
    )
    return seen.with_columns(named.alias("__named")).with_columns(
        pl.col("__named").replace_strict(order, default=None, return_dtype=pl.Int64).alias("__order"),
        pl.col("__named").fill_null(_MISSING).alias("__value"),
    )


def _ranges(seen: pl.DataFrame) -> pl.DataFrame:
    """Part rows by ranges of about as many rows each; a value that many rows have is a range of its own."""
    value = seen["value"].cast(pl.Float64)
    there = value.drop_nulls()
    cuts = (
        sorted({float(there.quantile(each / _BINS, "lower") or 0.0) for each in range(1, _BINS)}) if len(there) else []
    )
    place = pl.Series("__order", np.searchsorted(cuts, value.fill_null(0).to_numpy(), side="left"), dtype=pl.Int64)
    order = pl.when(pl.Series(value.is_not_null())).then(place).alias("__order")
    parted = seen.with_columns(order, value.alias("__number"))
    least, most = pl.col("__number").min().over("__order"), pl.col("__number").max().over("__order")
    ends = parted.select("__order", least.alias("least"), most.alias("most"))
    words = {
        place: _range(low, high)
        for place, low, high in ends.unique().iter_rows()
        if place is not None and low is not None
    }
    named = pl.col("__order").replace_strict(words, default=_MISSING, return_dtype=pl.String)
    return parted.with_columns(named.alias("__value"))


def _range(low: float, high: float) -> str:
    return _short(low) if low == high else f"{_short(low)}…{_short(high)}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e5 or not math.isfinite(value) else f"{value:.2g}"


def _drawn_over_time(picture: Picture) -> str:
    table = picture.over_time
    if not table.height:
        return "no row has an instant"
    hours = table.height > 1 and table["since"][1] - table["since"][0] < timedelta(days=1)
    names = [f"{each:%m-%d %Hh}" if hours else f"{each:%Y-%m-%d}" for each in table["since"]]
    shares = [each for each in table.columns if each.startswith("is ")]
    x, missing = strokes.across(table.height), table["missing"].to_list()
    if shares:
        y, ticks = strokes.upright([0.0, 1.0])
        parts = [strokes.line(x, y, table[each].to_list(), ink=ink) for ink, each in enumerate(shares)]
        told = [(each.removeprefix("is "), ink) for ink, each in enumerate(shares)]
    else:
        low, middle, high = (table[each].to_list() for each in ("p10", "median", "p90"))
        y, ticks = strokes.upright([*low, *high])
        parts = [strokes.band(x, y, low, high), strokes.line(x, y, middle)]
        told = [("median; band: four fifths of the rows", 0)]
    lost = [each or 0.0 for each in missing]
    foot = strokes.bars(x, lost, tall=0.3 * max(lost)) if max(lost) else ""
    most = f"; missing at most {max(lost):.1%} of a step (bars)" if max(lost) else "; never missing"
    says = f"{picture.feature} over {table.height} steps of time{most}"
    chart = strokes.framed(x, y, ticks, names, foot, *parts, says=says)
    return f"{chart}{strokes.legend(*told)}<div style='opacity:.7;font-size:12px'>{most.removeprefix('; ')}</div>"


def _drawn_by_label(picture: Picture) -> str:
    table = picture.by_label
    if not table.height:
        return "no row has a label"
    x, shares = strokes.across(table.height), table.columns[2:]
    names = [f"≤{each.rpartition('…')[2]}" if "…" in each else each for each in table["value"]]
    if "low" in shares:
        middle, low, high = (table[each].to_list() for each in ("label", "low", "high"))
        y, ticks = strokes.upright([*low, *high], zero=min(low) >= 0)
        parts = [strokes.whiskers(x, y, low, high), *_joined(picture, x, y, middle, 0)]
        told = [("mean of the label, with its 95 % range", 0)]
    else:
        y, ticks = strokes.upright([0.0, *(each for name in shares for each in table[name])])
        parts = [each for ink, name in enumerate(shares) for each in _joined(picture, x, y, table[name].to_list(), ink)]
        told = [(f"label {name}", ink) for ink, name in enumerate(shares)]
    says = f"label by {picture.feature}, {table.height} ranges of values"
    chart = strokes.framed(x, y, ticks, names, strokes.bars(x, table["rows"].to_list()), *parts, says=says)
    return f"{chart}{strokes.legend(*told)}<div style='opacity:.7;font-size:12px'>rows of each value (bars)</div>"


def _joined(picture: Picture, x: strokes.Scale, y: strokes.Scale, values: list[float | None], ink: int) -> list[str]:
    """Draw the label of each value; only ranges that follow upon each other are joined by a line."""
    there = picture.by_label.height - (picture.by_label["value"][-1] == _MISSING)
    ranges = there if "median" in picture.over_time.columns else 0
    joined = strokes.line(x, y, values[:ranges], ink=ink, dots=True) if ranges else ""
    return [joined, *(strokes.dot(x(place), y(value), ink=ink) for place, value in enumerate(values)
                      if place >= ranges and value is not None)]  # fmt: skip
