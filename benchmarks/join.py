"""Features as known at each decision: 300,000 rows, 3 views, 17 features (``join``; ``join-x10``: ten times the facts).

Ours honours what the limit ignores: facts become known up to an hour after they happen, and one in twenty is corrected
a week later; a sample of the answers is checked against a plain loop. The limit is the least an as-of join could do,
on event time alone: Polars' ``join_asof``. pandas' ``merge_asof`` does the same beside it, and
Feast's ``get_historical_features``, over the same rows in Parquet files: on DuckDB, and a tenth of them on Dask
(``join-tenth``): Feast's own default took more than 10 GB for all, and was stopped before it answered. It is told to
leave out what was created later (``filter_by_created_timestamp``); ``duckdb-default`` is not.

The curve of ``join-x10`` asks ten times the rows of the same facts.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from benchmarks.harness import Peer, Work
from benchmarks.other import Other, started

World: TypeAlias = tuple[Any, Any, dict[str, Any]]

ROWS, FACTS = 300_000, 100_000
VIEWS = {"store": (6, 500), "item": (6, 5_000), "customer": (5, 20_000)}  # features, entities
HOUR, YEAR, START = 3_600_000_000, 31_536_000_000_000, 1_577_836_800_000_000  # microseconds
CORRECTED_AFTER = 7 * 24 * HOUR


def world(scale: float, rows: int = ROWS) -> World:
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
        count = int(FACTS * scale)
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


def setup(scale: float, rows: int) -> World:
    """Make a world in which a sample of our answers is right."""
    plan, asks, tables = world(scale, rows)
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

    def __init__(self, given: World, *, right: Any) -> None:
        _, asks, tables = given
        self._asks, self._right = asks.to_pandas(), right
        self._facts = {name: each.frame.drop("id", "known").to_pandas() for name, each in tables.items()}
        self.peak_mb = 0.0
        self.cpu_s = 0.0
        self.said = ""

    def __call__(self) -> float:
        """Do it once; return the seconds."""
        import pandas as pd
        import polars as pl

        begun, spent = time.perf_counter(), time.process_time()
        joined = self._asks.sort_values("decided_at")
        for name, facts in self._facts.items():
            later = facts.rename(columns={"at": "decided_at"}).sort_values("decided_at")
            joined = pd.merge_asof(joined, later, on="decided_at", by=name)
        took, self.cpu_s = time.perf_counter() - begun, time.process_time() - spent
        assert len(joined) == len(self._asks)
        self.peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)
        if not self.said:
            self.said = wrong(pl.from_pandas(joined[["row", *self._right.columns[1:]]]), self._right)
        return took


def wrong(found: Any, right: Any) -> str:
    """Say how many rows of somebody's answer are missing, and how many are not what was known then."""
    import polars as pl

    both = right.join(found.with_columns(pl.col("row").cast(pl.Int64)), on="row", suffix="_theirs")
    same = pl.all_horizontal(pl.col(each).eq_missing(pl.col(f"{each}_theirs")) for each in right.columns[1:])
    odd = both.height - both.filter(same).height
    missing = right.height - both.height
    dropped = f"drops {missing:,} rows of {right.height:,}; " if missing else ""
    return f"{dropped}{odd:,} of {both.height:,} rows are not what was known then"


def by_event(asks: Any, tables: dict[str, Any]) -> Any:
    """Answer as Feast means to: the last event, of its corrections the last ever made."""
    joined = asks.sort("decided_at")
    for name, table in tables.items():
        facts = table.frame.sort("at", "known").drop("id", "known").rename({"at": "decided_at"})
        joined = joined.join_asof(facts, on="decided_at", by=name, check_sortedness=False)
    return joined.sort("row").drop("decided_at", *tables)


def _feast(folder: str, offline: str, given: World, right: Any) -> Other:
    import polars as pl

    _, asks, tables = given
    meant = by_event(asks, tables)

    def check(found: Any) -> str:
        theirs = pl.read_parquet(found["file"]).fill_nan(None)
        said = wrong(theirs, right)
        if offline == "duckdb-default" and not wrong(theirs, meant).startswith("0 of"):
            raise SystemExit(f"Feast answers neither ours nor what it means to: {wrong(theirs, meant)}")
        return said

    return Other(f"Feast on {offline}", "feast_store", "join", folder, offline, check=check)


@contextmanager
def peers(given: World, *, offline: tuple[str, ...]) -> Iterator[Mapping[str, Peer]]:
    """Prepare pandas, and start Feast over the same rows in files."""
    plan, asks, tables = given
    right = ours(given).select("row", *plan.names)
    right = right.rename({each: each.partition(".")[2] for each in plan.names})
    with TemporaryDirectory() as folder:
        asks.rename({"decided_at": "event_timestamp"}).write_parquet(f"{folder}/asks.parquet")
        for name, table in tables.items():
            table.frame.write_parquet(f"{folder}/{name}.parquet")
        said = {name: {"entity": name, "features": [f"{name}_{n}" for n in range(VIEWS[name][0])]} for name in tables}
        Path(folder, "given.json").write_text(json.dumps({"tables": said}))
        feast = {f"feast-{each}": partial(_feast, folder, each, given, right) for each in offline}
        with started(feast) as running:
            yield {"pandas": _Pandas(given, right=right), **running}


def work(name: str, scale: float, rows: int = ROWS, *more: int, feast: tuple[str, ...] = ("duckdb",)) -> Work:
    """Describe a work, the numbers of rows of its curve, and what Feast computes with."""
    features = sum(count for count, _ in VIEWS.values())
    size = f"{rows:,} rows, {len(VIEWS)} views of {FACTS * scale:,.0f} facts, {features} features"
    curve = tuple((each, partial(world, scale, each)) for each in more)
    others = partial(peers, offline=feast)
    return Work(name, size, partial(setup, scale, rows), ours, limit, peers=others, curve=curve)


WORKS = {
    "join": work("join", 1),
    "join-tenth": work("join-tenth", 0.1, ROWS // 10, feast=("duckdb", "duckdb-default", "dask")),
    "join-x10": work("join-x10", 10, ROWS, 10 * ROWS),
}
