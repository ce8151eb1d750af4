"""Every aggregate at once: 15 features of one view over 3,000,000 facts (``windows``; ``windows-giant``, ``-many``).

Ours honours what others leave out: facts become known up to an hour after they happen, one in twenty is corrected a
week later, windows lose facts without new ones coming, and one of them ended a week ago; a sample of the answers is
checked against a plain loop. The limit is six of the features only, the least that could be done: Polars rolls at the
facts, on event time alone, and joins as of the decision (which misses what expires in between). pandas does the same.

``windows`` has 20,000 entities; ``windows-giant`` is about one, ``windows-many`` about a million. The curve is the same
work at other sizes, rows and facts: what it grows by says whether it is n log n.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from benchmarks.harness import Peer, Work

World: TypeAlias = tuple[Any, Any, dict[str, Any]]

FACTS, ROWS, ENTITIES = 3_000_000, 300_000, 20_000
HOUR, DAY, YEAR, START = 3_600_000_000, 86_400_000_000, 31_536_000_000_000, 1_577_836_800_000_000  # microseconds
WEEK = 7 * DAY
SCHEMA: dict[str, Any] = {
    "id": "bigint", "who": "bigint", "at": "timestamptz", "x": "double", "kind": "varchar", "flag": "boolean",
}  # fmt: skip
SAID = {
    "n": ("count", None, WEEK, 0), "n_28d": ("count", None, 4 * WEEK, 0), "before": ("count", None, WEEK, WEEK),
    "sum": ("sum", "x", WEEK, 0), "mean": ("mean", "x", WEEK, 0), "std": ("std", "x", WEEK, 0),
    "min": ("min", "x", WEEK, 0), "max": ("max", "x", WEEK, 0), "last": ("last", "x", WEEK, 0),
    "first": ("first", "x", WEEK, 0), "some": ("any", "flag", WEEK, 0), "kinds": ("distinct", "kind", WEEK, 0),
    "median": ("quantile", "x", WEEK, 0), "trend": ("trend", "x", WEEK, 0), "idle": ("since_last", None, WEEK, 0),
}  # fmt: skip


def world(rows: int, facts: int, entities: int, only: tuple[str, ...] = ()) -> World:
    """Make a plan, the rows that ask and the facts."""
    import numpy as np
    import polars as pl

    from millstream.expressions import parse
    from millstream.features import FeatureColumn, FeaturePlan, ViewPlan, WindowPlan
    from millstream.features.resolve import answer_type
    from millstream.lake.frame import TableFrame

    rng = np.random.default_rng(11)
    at = np.sort(START + rng.integers(0, YEAR, facts))
    made = pl.DataFrame(
        {"id": np.arange(facts), "who": rng.integers(0, entities, facts), "at": at, "x": rng.normal(100, 15, facts)}
        | {"kind": np.array([f"kind-{each}" for each in range(40)])[rng.integers(0, 40, facts)]}
        | {"flag": rng.random(facts) < 0.1, "known": at + rng.integers(0, HOUR, facts)}
    )
    corrected = made.sample(facts // 20, seed=1).with_columns(pl.col("known") + WEEK, pl.col("x") + 1)
    instant = pl.Datetime("us", "UTC")
    table = pl.concat([made, corrected]).with_columns(pl.col("at", "known").cast(instant))
    frame = TableFrame("facts", 1, table, SCHEMA, ("id",), "at", dict.fromkeys(SCHEMA, "known"))
    windows = {}
    for name in only or SAID:
        aggregate, value, over, ago = SAID[name]
        said = None if value is None else parse(value, SCHEMA, where=name)
        dtype = answer_type(aggregate, "bigint" if said is None else said.dtype)
        share = 0.5 if aggregate == "quantile" else None
        windows[name] = WindowPlan(aggregate, said, over, dtype, ago, share)  # type: ignore[arg-type]
    view = ViewPlan("v", "facts", ("who",), ("bigint",), ("who",), windows)
    columns = tuple(FeatureColumn(f"v.{name}", said.dtype) for name, said in windows.items())
    plan = FeaturePlan("bench", "asks", ("row",), columns, (view,), {}, {}, None, None, None, None)
    asks = {"row": np.arange(rows), "who": rng.integers(0, entities, rows)}
    asks["decided_at"] = START + WEEK + rng.integers(0, YEAR, rows)
    return plan, pl.DataFrame(asks).with_columns(pl.col("decided_at").cast(instant)), {"facts": frame}


def check(joined: Any, facts: Any) -> None:
    """Compare some of our answers with a plain loop; every row must be there, in its place."""
    import numpy as np
    import polars as pl

    assert (joined["row"].diff().drop_nulls() == 1).all()
    for row in joined.sample(12, seed=3).iter_rows(named=True):
        decided = row["decided_at"]
        known = facts.filter((pl.col("who") == row["who"]) & (pl.max_horizontal("at", "known") <= decided))
        latest = known.sort("known").group_by("id", maintain_order=True).last()
        week = latest.filter(pl.col("at").dt.timestamp("us") + WEEK > int(decided.timestamp() * 1e6)).sort("at")
        x = week["x"]
        assert row["v.n"] == len(week) and row["v.kinds"] == week["kind"].n_unique()
        expected = {"min": x.min(), "max": x.max(), "median": x.quantile(0.5, "linear"), "mean": x.mean()}
        expected |= {"std": x.std(), "last": x[-1] if len(x) else None, "first": x[0] if len(x) else None}
        if len(x) > 1:
            days = week["at"].dt.timestamp("us").to_numpy().astype(float) / DAY
            expected["trend"] = float(np.polyfit(days - days.mean(), x.to_numpy(), 1)[0])
        for name, wanted in expected.items():
            found = row[f"v.{name}"]
            assert (found is None) == (wanted is None) and (wanted is None or np.isclose(found, wanted)), (name, row)


def setup(rows: int, facts: int, entities: int, *, checked: bool = True) -> World:
    """Make a world in which a sample of our answers is right."""
    plan, asks, tables = world(rows, facts, entities)
    if checked:
        check(ours((plan, asks, tables)), tables["facts"].frame)
    return plan, asks, tables


def ours(given: World) -> Any:
    """Compute all features at the instants of the rows."""
    from millstream.features import point_in_time

    return point_in_time(*given)


def limit(given: World) -> object:
    """Roll six of them at the facts, by event time alone, and join as of the decision."""
    import polars as pl

    _, asks, tables = given
    facts, x = tables["facts"].frame.sort("who", "at"), pl.col("x")
    rolled = facts.rolling("at", period="7d", group_by="who").agg(
        pl.len().alias("n"), x.sum().alias("sum"), x.mean().alias("mean"), x.std().alias("std"),
        x.min().alias("min"), x.max().alias("max"),
    )  # fmt: skip
    rolled = rolled.sort("at").rename({"at": "decided_at"})
    return asks.sort("decided_at").join_asof(rolled, on="decided_at", by="who", check_sortedness=False)


class _Pandas:
    """The same six with pandas, in this process."""

    def __init__(self, given: World) -> None:
        _, asks, tables = given
        self._asks, self._facts = asks.to_pandas(), tables["facts"].frame.select("who", "at", "x").to_pandas()
        self.peak_mb = 0.0
        self.cpu_s = 0.0
        self.said = "knows nothing of late and corrected facts, and of what expires between facts"

    def __call__(self) -> float:
        """Do it once; return the seconds."""
        import pandas as pd

        begun, spent = time.perf_counter(), time.process_time()
        facts = self._facts.sort_values(["who", "at"]).set_index("at")
        rolled = facts.groupby("who")["x"].rolling("7D").agg(["count", "sum", "mean", "std", "min", "max"])
        rolled = rolled.reset_index().sort_values("at").rename(columns={"at": "decided_at"})
        asks = self._asks.sort_values("decided_at")
        assert len(pd.merge_asof(asks, rolled, on="decided_at", by="who")) == len(asks)
        self.cpu_s = time.process_time() - spent
        self.peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1)
        return time.perf_counter() - begun


@contextmanager
def peers(given: World) -> Iterator[Mapping[str, Peer]]:
    """Prepare pandas."""
    yield {"pandas-6": _Pandas(given)}


def work(name: str, entities: int, *, curve: bool = False) -> Work:
    """Describe a work."""
    size = f"{ROWS:,} rows, {FACTS:,} facts, {len(SAID)} features, {entities:,} entities"
    sizes = [(ROWS // 10, FACTS // 10), (ROWS, FACTS // 10), (FACTS, FACTS)] if curve else []
    points = tuple((rows, partial(setup, rows, facts, entities, checked=False)) for rows, facts in sizes)
    return Work(name, size, partial(setup, ROWS, FACTS, entities), ours, limit, peers=peers, curve=points, rounds=3)


WORKS = {
    "windows": work("windows", ENTITIES, curve=True),
    "windows-giant": work("windows-giant", 1),
    "windows-many": work("windows-many", 1_000_000),
}


def main() -> None:
    """Say what each feature costs alone: ``python -m benchmarks.windows [rows facts entities]``."""
    import sys

    rows, facts, entities = (int(each) for each in sys.argv[1:4]) if sys.argv[3:] else (ROWS, FACTS, ENTITIES)
    for name in SAID:
        given = world(rows, facts, entities, (name,))
        took = []
        for _ in range(1):
            begun = time.process_time()
            ours(given)
            took.append(time.process_time() - begun)
        print(f"{name:8} {statistics.median(took):6.2f} s of processor time")


if __name__ == "__main__":
    main()
