"""Features as known at each decision: 300,000 rows, 3 views, 17 features (``join``; ``join-x10``: ten times the facts).

Ours honours what the limit ignores: facts become known up to an hour after they happen, and one in twenty is corrected
a week later; a sample of the answers is checked against a plain loop. The limit is the least an as-of join could do,
on event time alone: Polars' ``join_asof``. pandas' ``merge_asof`` does the same beside it.

The curve of ``join-x10`` asks ten times the rows of the same facts.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from benchmarks.harness import Peer, Work

World: TypeAlias = tuple[Any, Any, dict[str, Any]]

ROWS, FACTS = 300_000, 100_000
VIEWS = {"store": (6, 500), "item": (6, 5_000), "customer": (5, 20_000)}  # features, entities
HOUR, YEAR, START = 3_600_000_000, 31_536_000_000_000, 1_577_836_800_000_000  # microseconds
CORRECTED_AFTER = 7 * 24 * HOUR


def world(scale: int, rows: int = ROWS) -> World:
    """Make a plan, the rows that ask and the tables of facts."""
    import numpy as np
    import polars as pl

    from millstream.features import FeatureColumn, FeaturePlan
    from millstream.lake.frame import TableFrame

    rng = np.random.default_rng(7)
    instant = pl.Datetime("us", "UTC")
    asks = {"row": np.arange(rows), "decided_at": START + rng.integers(0, YEAR, rows)}
    tables, views = {}, []
    for name, (features, entities) in VIEWS.items():
        count = FACTS * scale
        columns = [f"{name}_{place}" for place in range(features)]
        asks[name] = np.array([f"{name}-{each}" for each in rng.integers(0, entities, rows)])
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


def setup(scale: int) -> World:
    """Make a world in which a sample of our answers is right."""
    plan, asks, tables = world(scale)
    check(ours((plan, asks, tables)), asks, tables)
    return plan, asks, tables


def ours(given: World) -> Any:
    """Join to what was known."""
    from millstream.features import point_in_time

    return point_in_time(*given)


def limit(given: World) -> object:
    """Join to what had happened: the bare join_asof."""
    _, asks, tables = given
    joined = asks.sort("decided_at")
    for name, table in tables.items():
        facts = table.frame.drop("id", "known").rename({"at": "decided_at"}).sort("decided_at")
        joined = joined.join_asof(facts, on="decided_at", by=name, check_sortedness=False)
    return joined


class _Pandas:
    """The same with pandas, in this process: strings and instants are its own before the clock starts."""

    def __init__(self, given: World) -> None:
        _, asks, tables = given
        self._asks = asks.to_pandas()
        self._facts = {name: each.frame.drop("id", "known").to_pandas() for name, each in tables.items()}
        self.peak_mb = 0.0
        self.cpu_s = 0.0

    def __call__(self) -> float:
        """Do it once; return the seconds."""
        import pandas as pd

        begun, spent = time.perf_counter(), time.process_time()
        joined = self._asks.sort_values("decided_at")
        for name, facts in self._facts.items():
            later = facts.rename(columns={"at": "decided_at"}).sort_values("decided_at")
            joined = pd.merge_asof(joined, later, on="decided_at", by=name)
        assert len(joined) == len(self._asks)
        self.cpu_s = time.process_time() - spent
        self.peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)
        return time.perf_counter() - begun


@contextmanager
def peers(given: World) -> Iterator[Mapping[str, Peer]]:
    """Prepare pandas."""
    yield {"pandas": _Pandas(given)}


def work(name: str, scale: int, *more: int) -> Work:
    """Describe a work, and the numbers of rows of its curve."""
    features = sum(count for count, _ in VIEWS.values())
    size = f"{ROWS:,} rows, {len(VIEWS)} views of {FACTS * scale:,} facts, {features} features"
    curve = tuple((rows, partial(world, scale, rows)) for rows in more)
    return Work(name, size, partial(setup, scale), ours, limit, peers=peers, curve=curve)


WORKS = {"join": work("join", 1), "join-x10": work("join-x10", 10, 10 * ROWS)}
