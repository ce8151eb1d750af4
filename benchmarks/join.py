"""Features as known at each decision: 300,000 rows, 3 views, 17 features (``join``; ``join-x10``: ten times the facts).

Ours honours what the limit ignores: facts become known up to an hour after they happen, and one in twenty is corrected
a week later. The limit is the least an as-of join could do, on event time alone: the faster of pandas' ``merge_asof``
and Polars' ``join_asof``. All run in turn, medians of five; a sample of our answers is checked against a plain loop.
Alone: ``python -m benchmarks.join``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS, FACTS, ROUNDS = 300_000, 100_000, 5
VIEWS = {"store": (6, 500), "item": (6, 5_000), "customer": (5, 20_000)}  # features, entities
HOUR, YEAR, START = 3_600_000_000, 31_536_000_000_000, 1_577_836_800_000_000  # microseconds
CORRECTED_AFTER = 7 * 24 * HOUR


def world(scale: int) -> tuple[Any, Any, dict[str, Any]]:
    """Make a plan, the rows that ask and the tables of facts."""
    import numpy as np
    import polars as pl

    from millstream.features import FeatureColumn, FeaturePlan
    from millstream.lake.frame import TableFrame

    rng = np.random.default_rng(7)
    instant = pl.Datetime("us", "UTC")
    asks = {"row": np.arange(ROWS), "decided_at": START + rng.integers(0, YEAR, ROWS)}
    tables, views = {}, []
    for name, (features, entities) in VIEWS.items():
        count = FACTS * scale
        columns = [f"{name}_{place}" for place in range(features)]
        asks[name] = np.array([f"{name}-{each}" for each in rng.integers(0, entities, ROWS)])
        at = np.sort(START + rng.integers(0, YEAR, count))
        facts = pl.DataFrame(
            {"id": np.arange(count), name: [f"{name}-{each}" for each in rng.integers(0, entities, count)], "at": at}
            | {"known": at + rng.integers(0, HOUR, count)}
            | {column: rng.normal(size=count) for column in columns}
        )
        corrections = facts.sample(count // 20, seed=1).with_columns(
            pl.col("known") + CORRECTED_AFTER, pl.col(columns) + 1
        )
        facts = pl.concat([facts, corrections]).with_columns(pl.col("at", "known").cast(instant))
        schema = {"id": "bigint", name: "varchar", "at": "timestamptz", **dict.fromkeys(columns, "double")}
        tables[name] = TableFrame(name, 1, facts, schema, ("id",), "at", dict.fromkeys(schema, "known"))
        views.append(view(name, columns, schema))
    names = [FeatureColumn(f"{each.name}.{feature}", "double") for each in views for feature in each.features]
    plan = FeaturePlan("bench", "asks", ("row",), tuple(names), tuple(views), {}, {}, None, None, None, None)
    return plan, pl.DataFrame(asks).with_columns(pl.col("decided_at").cast(instant)), tables


def view(name: str, columns: list[str], schema: dict[str, str]) -> Any:
    """Describe a view of the latest value of each column."""
    from millstream.expressions import parse
    from millstream.features import ViewPlan, WindowPlan

    windows = {each: WindowPlan("last", parse(each, schema, where=each), None, "double") for each in columns}
    return ViewPlan(f"{name}_now", name, (name,), ("varchar",), (name,), windows)


def with_polars(asks: Any, tables: dict[str, Any]) -> Any:
    """Join by event time alone: the bare join_asof."""
    joined = asks.sort("decided_at")
    for name, table in tables.items():
        facts = table.frame.drop("id", "known").rename({"at": "decided_at"}).sort("decided_at")
        joined = joined.join_asof(facts, on="decided_at", by=name, check_sortedness=False)
    return joined


def with_pandas(asks: Any, tables: dict[str, Any]) -> Any:
    """Join by event time alone: the bare merge_asof, on frames made before."""
    import pandas as pd

    joined = asks.sort_values("decided_at")
    for name, table in tables.items():
        joined = pd.merge_asof(joined, table.sort_values("at"), left_on="decided_at", right_on="at", by=name)
        joined = joined.drop(columns="at")
    return joined


def to_pandas(frame: Any) -> Any:
    """Make a pandas frame out of numpy columns; instants as whole microseconds."""
    import pandas as pd

    plain = {each.name: each.to_physical() if each.dtype.is_temporal() else each for each in frame.iter_columns()}
    return pd.DataFrame({name: each.to_numpy() for name, each in plain.items()})


def check(joined: Any, asks: Any, tables: dict[str, Any]) -> None:
    """Compare some of our answers with a plain loop; every row must be there, in its place."""
    import polars as pl

    assert joined["row"].equals(asks["row"])
    for row in joined.sample(20, seed=3).iter_rows(named=True):
        for name, table in tables.items():
            known = table.frame.filter(
                (pl.col(name) == row[name]) & (pl.max_horizontal("at", "known") <= row["decided_at"])
            )
            latest = known.sort("at", "known").tail(1)
            expected = latest[f"{name}_0"].item() if len(latest) else None
            assert row[f"{name}_now.{name}_0"] == expected, (row, expected)


def join(scale: int) -> dict[str, object]:
    """Measure ours and both limits in turn."""
    from millstream.features import point_in_time

    plan, asks, tables = world(scale)
    check(point_in_time(plan, asks, tables), asks, tables)
    asks_there = to_pandas(asks)
    there = {name: to_pandas(each.frame.drop("id", "known")) for name, each in tables.items()}
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: point_in_time(plan, asks, tables),
        "polars": lambda: with_polars(asks, tables),
        "pandas": lambda: with_pandas(asks_there, there),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    median = {name: round(statistics.median(each), 3) for name, each in seconds.items()}
    features = sum(count for count, _ in VIEWS.values())
    return {
        "work": "join" if scale == 1 else f"join-x{scale}",
        "size": f"{ROWS:,} rows, {len(VIEWS)} views of {FACTS * scale:,} facts, {features} features",
        "unit": "s",
        "better": "lower",
        "ours": median["ours"],
        "limit": min(median["polars"], median["pandas"]),
        "peers": {},
        "peak_mb": peak_mb(scale),
    }


def peak_mb(scale: int) -> float:
    """Return the most memory a process of its own needs, inputs included."""
    command = [sys.executable, "-m", "benchmarks.join", "peak", str(scale)]
    root = Path(__file__).parents[1]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)


def print_peak(scale: int) -> None:
    """Join once and print the most memory this process had, in MB."""
    from millstream.features import point_in_time

    point_in_time(*world(scale))
    lines = Path("/proc/self/status").read_text().splitlines()
    print(round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000, 1))


WORKS = {"join": lambda: join(1), "join-x10": lambda: join(10)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["peak"]:
        print_peak(int(sys.argv[2]))
    else:
        only = os.environ.get("ONLY")
        print(json.dumps([work() for name, work in WORKS.items() if only in (None, "", name)], indent=1))
