"""A stand-in for a shop's own systems: it writes three tables of generated customers, orders and support calls.

Generated, because no real table of this kind can be shipped. Each customer orders at a pace of their own until, at a
moment nobody announces, they stop; half of those who stop call support in the weeks before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

BEGIN, END = datetime(2023, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
CUSTOMERS = 2_000


def prepare(folder: Path) -> None:
    """Write the tables into ``files`` of a project."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for name, frame in generate(np.random.default_rng(11)).items():
        frame.write_parquet(files / f"{name}.parquet")


def generate(random: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Generate customers, orders and calls; the same generator gives the same tables."""
    span = (END - BEGIN) / timedelta(days=1)
    joined = random.uniform(-60, span - 90, CUSTOMERS)
    channel = random.choice(["search", "friend", "advert"], CUSTOMERS, p=[0.5, 0.2, 0.3])
    stays = np.where(channel == "friend", 700, np.where(channel == "search", 420, 240))
    stops = joined + random.exponential(stays)
    pace = random.gamma(3, 6, CUSTOMERS) + 4
    orders: list[tuple[int, float, float]] = []
    calls: list[tuple[int, float, float]] = []
    for who in range(CUSTOMERS):
        gaps = random.exponential(pace[who], int(span / pace[who] * 2) + 20)
        at = joined[who] + np.cumsum(gaps)
        at = at[at < min(stops[who], span)]
        orders += zip([who] * len(at), at, random.gamma(3, 14, len(at)), strict=True)
        begin, end = max(joined[who], 0.0), min(stops[who], span)
        said = random.uniform(begin, max(begin, end), random.poisson(0.5))
        if stops[who] < span and random.random() < 0.5:
            said = np.append(said, stops[who] - random.uniform(0, 30, random.integers(1, 4)))
        said = said[(said > joined[who]) & (said >= 0) & (said < span)]
        calls += zip([who] * len(said), said, random.gamma(2, 5, len(said)), strict=True)
    instants = [BEGIN + timedelta(days=float(each)) for each in joined]
    return {
        "customers": pl.DataFrame({"customer_id": range(CUSTOMERS), "joined_at": instants, "channel": channel}),
        "orders": _dated(orders, "order_id", "ordered_at", "amount"),
        "calls": _dated(calls, "call_id", "called_at", "minutes"),
    }


def _dated(rows: list[tuple[int, float, float]], key: str, at: str, value: str) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["customer_id", "day", value], orient="row").filter(pl.col("day") >= 0)
    instant = pl.lit(BEGIN) + pl.duration(microseconds=(pl.col("day") * 86_400_000_000).cast(pl.Int64))
    return (
        frame.sort("day", "customer_id")
        .with_row_index(key)
        .select(pl.col(key).cast(pl.Int64), "customer_id", instant.alias(at), pl.col(value).round(2))
    )
