"""One entity with all facts, or each with one: every aggregate is right, and costs no more than n log n."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from millstream.features import point_in_time
from millstream.lake.frame import TableFrame

from . import worlds

PLAN = worlds.plan(values={**worlds.VALUES, **worlds.LATER_VALUES}, overs=("20s", None))


def crowd(facts: int, entities: int) -> TableFrame:
    """Facts over eleven days, known up to a minute later, one in ten corrected, months out of order in their rows."""
    rng = np.random.default_rng(facts + entities)
    at = rng.integers(0, 10**6, facts)
    frame = pl.DataFrame(
        {"id": np.arange(facts), "a": [f"e{each}" for each in rng.integers(0, entities, facts)]}
        | {"b": np.ones(facts, dtype=np.int64), "at": at, "x": rng.normal(0, 1e6, facts)}
        | {"n": rng.integers(-3, 4, facts), "flag": rng.random(facts) < 0.2}
        | {
            "word": np.array(["red", "blue"])[rng.integers(0, 2, facts)],
            "k1": at,
            "k2": at + rng.integers(0, 60, facts),
        }
    )
    corrected = frame.sample(facts // 10, seed=1).with_columns(pl.col("k2") + 100, pl.col("x") + 1.0, pl.col("n") + 1)
    start = pl.lit(worlds.START).cast(worlds.INSTANT)
    rows = pl.concat([frame, corrected]).sample(fraction=1.0, shuffle=True, seed=2)
    rows = rows.with_columns((start + pl.duration(seconds=pl.col(each))).alias(each) for each in ("at", "k1", "k2"))
    empty = worlds.table([])
    return TableFrame("facts", 1, rows.cast(empty.frame.schema), empty.schema, ("id",), "at", empty.known)  # type: ignore[arg-type]


def asked(rows: int, entities: int) -> pl.DataFrame:
    rng = np.random.default_rng(rows)
    made = [{"p": f"e{each}", "q": 1, "at": int(at)} for each, at in
            zip(rng.integers(0, entities, rows), rng.integers(10**5, 10**6, rows), strict=True)]  # fmt: skip
    return worlds.asks(made)


@pytest.mark.parametrize("entities", [1, 20_000], ids=["giant", "many"])
def test_a_crowd_of_facts_is_what_plain_filters_say(entities: int) -> None:
    table, rows = crowd(20_000, entities), asked(8, entities)
    joined = point_in_time(PLAN, rows, {"facts": table})
    for row in joined.iter_rows(named=True):
        known = table.frame.filter((pl.col("a") == row["p"]) & (pl.max_horizontal("at", "k2") <= row["decided_at"]))
        latest = known.sort("k2").group_by("id", maintain_order=True).last().sort("at", "k2")
        for over, held in (("20s", pl.col("at") > row["decided_at"] - timedelta(seconds=20)), ("ever", pl.lit(True))):
            inside = latest.filter(held)
            x = inside["x"]
            wanted: dict[str, Any] = {"count_x": len(x), "distinct_x": x.n_unique(), "quantile_x": quantile(x),
                                      "min_x": x.min(), "mean_x": x.mean(), "std_x": x.std()}  # fmt: skip
            if len({*inside["at"]}) > 1:
                days = inside["at"].dt.timestamp("us").to_numpy() / 86_400e6
                wanted["trend_x"] = np.polyfit(days - days.mean(), x.to_numpy(), 1)[0]
            for name, value in wanted.items():
                found = row[f"one.{name}_{over}"]
                assert found == (None if value is None else pytest.approx(value, rel=1e-6)), (name, over)


def quantile(x: pl.Series) -> Any:
    return x.quantile(0.25, "linear")


def test_facts_too_old_for_the_first_question_cost_little() -> None:
    values = {"count": ("x",), "sum": ("x",), "std": ("x",), "quantile": ("x",), "trend": ("x",), "max": ("n",)}
    plan, table = worlds.plan(values=values, overs=("1h", "2h", "3h")), crowd(40_000, 500)
    rows, half = asked(400, 500), worlds.START + timedelta(seconds=950_000)
    late, apart = rows.filter(pl.col("decided_at") > half), pl.col("decided_at")

    def cost(asks: pl.DataFrame) -> float:
        begun = time.process_time()
        point_in_time(plan, asks, {"facts": table})
        return time.process_time() - begun

    early = late.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(worlds.START).otherwise(apart).alias("decided_at")
    )
    assert min(cost(late) for _ in range(2)) < 0.6 * min(cost(early) for _ in range(2))


@pytest.mark.nightly
@pytest.mark.parametrize("entities", [1, 500, 10**6], ids=["giant", "some", "many"])
def test_eight_times_the_facts_and_rows_cost_little_more_than_eight_times(entities: int) -> None:
    def cost(size: int) -> float:
        table, rows = crowd(size, entities), asked(size, entities)
        point_in_time(PLAN, rows.head(10), {"facts": table})
        begun = time.process_time()
        point_in_time(PLAN, rows, {"facts": table})
        return time.process_time() - begun

    assert cost(320_000) < 2.0 * 8 * cost(40_000)
