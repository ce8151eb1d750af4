"""What became of predictions that were made: the label of each one's own instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from millstream.expressions.door import value
from millstream.features.ahead import add_label
from millstream.features.facts import COLUMN
from millstream.features.plan import FeaturePlan
from millstream.features.seasonal import seasonal_naive
from millstream.features.ticks import as_believed
from millstream.lake.frame import TableFrame
from millstream.types import DType

_NAME = "__name"


def outcomes_of(
    plan: FeaturePlan, keys: Iterable[Mapping[str, Any]], read: Callable[[str], TableFrame], *, now: datetime
) -> pl.DataFrame:
    """Return what became of predictions about entities, each from its own instant on.

    Parameters
    ----------
    plan
        The model's plan; its rows are entities at ticks.
    keys
        What tells each prediction from every other, as it was logged (``FeaturePlan.prediction_key``).
    read
        Gives a table by name.
    now
        Nothing known later is used.

    Returns
    -------
    pl.DataFrame
        ``key`` (the parts of the key with ``|`` between), ``label`` and ``label_known_at``, in order; of a forecast
        also ``simple``, what the seasonal naive rule said then (NULL where it knew nothing).
    """
    assert plan.ahead is not None and plan.ticks is not None
    named = list(keys)
    types: dict[str, DType] = {**plan.request_types, "decided_at": "timestamptz"}
    asked = pl.DataFrame(
        [_column(name, [each[name] for each in named], types[name]) for name in plan.prediction_key]
    ).with_columns(pl.Series(_NAME, ["|".join(map(str, each.values())) for each in named], dtype=pl.String))
    missing = [each for each in plan.ahead.keys if each not in asked.columns]
    if missing:
        asked = as_believed(read(plan.rows_table), asked, missing)
    facts = read(plan.ahead.table)
    labelled = add_label(plan.ahead, asked, facts, known_by=now)
    told = labelled.select(pl.col(_NAME).alias("key"), "label", "label_known_at")
    if plan.seasonal is None:
        return told
    return told.with_columns(pl.Series("simple", seasonal_naive(plan, asked, facts)).fill_nan(None))


def _column(name: str, raw: list[Any], dtype: DType) -> pl.Series:
    taken = [value(each, dtype, where=f"{name!r} of a logged key") for each in raw]
    temporal = COLUMN[dtype].is_temporal()
    return pl.Series(name, taken, dtype=pl.Int64 if temporal else COLUMN[dtype]).cast(COLUMN[dtype])
