"""The seasonal naive rule against loops: seasons by the calendar, late facts, corrections, entities nobody has seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from millstream.definitions import features as f
from millstream.definitions import tasks
from millstream.definitions.manifest import gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Every
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import DefinitionError
from millstream.features import FeaturePlan, compile_plan
from millstream.features.almanac import after, ticks
from millstream.features.online.lookup import Lookup
from millstream.features.online.store import LmdbOnline
from millstream.features.online.writer import Writer
from millstream.features.seasonal import seasonal_naive
from millstream.lake.frame import TableFrame
from millstream.types import from_micros, to_micros

BERLIN = ZoneInfo("Europe/Berlin")
START, DAYS, LAG = date(2013, 3, 4), 45, timedelta(hours=6)  # the clocks change on 31 March
SHOPS = {"shop": "varchar"}
SALES = {"id": "bigint", "shop": "varchar", "at": "timestamptz", "units": "double"}
INSTANT = pl.Datetime("us", "UTC")


def plan_of(aggregate: str = "sum", *, task: tasks.Task | None = None, dtype: str = "units") -> FeaturePlan:
    shops = Table("shops", source=Csv("shops.csv"), key="shop", timezone="Europe/Berlin")
    sales = Table("sales", source=Csv("sales.csv"), key="id", event_time="at", lag="6h")
    label = getattr(f, aggregate)(dtype, of="sales", ahead="1d", at="target_at")
    model = Model(
        "demand", rows=Every("1d", of=shops, horizon=("1d", "10d")), label=label, features=[], task=task,
        estimator=Estimator("sklearn.dummy:DummyRegressor", {}), goal="rmse",
    )  # fmt: skip
    return compile_plan(gather([shops, sales, model]), "demand", {"shops": SHOPS, "sales": SALES}, {})


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=BERLIN).astimezone(UTC)


def world(seed: int) -> list[dict[str, Any]]:
    """Sales of three shops; some late, some corrected, some of a value nobody knows."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for id in range(140):
        at = midnight(START) + timedelta(hours=float(rng.uniform(0, DAYS * 24)))
        shop = ("a", "b", "c")[int(rng.integers(3))]
        late = timedelta(days=float(rng.exponential(3))) if rng.random() < 0.2 else timedelta()
        units = None if rng.random() < 0.1 else float(rng.integers(1, 9))
        rows.append({"id": id, "shop": shop, "at": at, "units": units, "here": at + LAG + late})
        if rng.random() < 0.2:
            moved = at + timedelta(days=int(rng.integers(-1, 2)))
            here = rows[-1]["here"] + timedelta(days=float(rng.exponential(6)))
            rows.append(rows[-1] | {"units": float(rng.integers(10, 20)), "at": moved, "here": here})
    return rows


def table(rows: list[dict[str, Any]]) -> TableFrame:
    schema = {"id": pl.Int64, "shop": pl.String, "at": INSTANT, "units": pl.Float64, "here": INSTANT}
    frame = pl.DataFrame([tuple(each.values()) for each in rows], schema=schema, orient="row")
    return TableFrame("sales", 1, frame, SALES, ("id",), "at", dict.fromkeys(SALES, "here"))


def believed(rows: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    held: dict[int, dict[str, Any]] = {}
    for each in sorted((row for row in rows if row["here"] <= at), key=lambda row: row["here"]):
        held[each["id"]] = each
    return list(held.values())


def expected(rows: list[dict[str, Any]], shop: str, decided: datetime, target: datetime, aggregate: str) -> float:
    """Look back a week, and another, until one had closed and holds something."""
    day = target.astimezone(BERLIN).date()
    first = min((each["at"] for each in rows if each["shop"] == shop), default=None)
    met = min((max(each["at"], each["here"]) for each in rows if each["shop"] == shop), default=None)
    for weeks in range(1, 6):
        begins = midnight(day - timedelta(weeks=weeks))
        ends = midnight(day - timedelta(weeks=weeks) + timedelta(days=1))
        if ends + LAG > decided or first is None or met > decided or ends <= first:
            continue
        told = [
            each["units"] for each in believed(rows, decided)
            if each["shop"] == shop and begins <= each["at"] < ends and each["units"] is not None
        ]  # fmt: skip
        if aggregate == "sum":
            return float(sum(told))
        if told:
            return sum(told) / len(told)
    return float("nan")


def asked() -> list[tuple[str, datetime, datetime]]:
    days = [START + timedelta(days=each) for each in range(1, DAYS)]
    return [
        (shop, midnight(day), midnight(day + timedelta(days=ahead)))
        for day in days for shop in ("a", "b", "c", "nobody") for ahead in (1, 4, 7, 10)
    ]  # fmt: skip


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_rule_is_what_loops_find_as_known_at_each_decision(aggregate: str, seed: int) -> None:
    rows, plan = world(seed), plan_of(aggregate)
    asks = asked()
    frame = pl.DataFrame(asks, schema={"shop": pl.String, "decided_at": INSTANT, "target_at": INSTANT}, orient="row")
    found = seasonal_naive(plan, frame, table(rows))
    wanted = [expected(rows, *each, aggregate) for each in asks]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert 100 < np.isfinite(found).sum() < len(asks)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbOnline]:
    made = LmdbOnline(tmp_path / "online", map_bytes=64 << 20)
    yield made
    made.close()


def test_what_is_served_is_what_the_rule_says_of_each_decision_and_target(store: LmdbOnline) -> None:
    plan, rows = plan_of(), table(world(3))
    now = midnight(date(2013, 4, 2)) + timedelta(hours=9)
    Writer(store).refresh([plan], lambda name, since: rows, pins={"sales": 1}, now=now, ahead=timedelta(days=4))
    known = TableFrame("sales", 1, rows.frame.filter(pl.col("here") <= now), SALES, ("id",), "at", rows.known)
    lookup = Lookup(plan, store)
    asks = [(shop, now, midnight(now.date() + timedelta(days=ahead))) for shop in "abcx" for ahead in range(1, 11)]
    frame = pl.DataFrame(asks, schema={"shop": pl.String, "decided_at": INSTANT, "target_at": INSTANT}, orient="row")
    served = lookup.simple_many(
        [{"shop": shop, "target_at": to_micros(target)} for shop, _, target in asks], [to_micros(now)] * len(asks)
    )
    np.testing.assert_array_equal(served, seasonal_naive(plan, frame, known))
    assert np.isfinite(served).sum() == 30
    beyond = {"shop": "a", "target_at": to_micros(now + timedelta(days=40))}
    assert np.isnan(lookup.simple_many([beyond], [to_micros(now)]))


def test_a_forecast_without_a_horizon_looks_a_season_back_from_its_decision(store: LmdbOnline) -> None:
    shops = Table("shops", source=Csv("shops.csv"), key="shop", timezone="Europe/Berlin")
    sales = Table("sales", source=Csv("sales.csv"), key="id", event_time="at", lag="6h")
    label = f.sum("units", of="sales", ahead="1d")
    model = Model(
        "demand", rows=Every("1d", of=shops), label=label, features=[], task=tasks.Forecast(),
        estimator=Estimator("sklearn.dummy:DummyRegressor", {}), goal="rmse",
    )  # fmt: skip
    plan = compile_plan(gather([shops, sales, model]), "demand", {"shops": SHOPS, "sales": SALES}, {})
    rows, now = table(world(3)), midnight(date(2013, 4, 2))
    frame = pl.DataFrame({"shop": ["a", "b", "c", "x"]}).with_columns(pl.lit(now).cast(INSTANT).alias("decided_at"))
    wanted = [expected(world(3), shop, now, now, "sum") for shop in frame["shop"]]
    np.testing.assert_array_equal(seasonal_naive(plan, frame, rows), wanted)
    Writer(store).refresh([plan], lambda name, since: rows, pins={"sales": 1}, now=now, ahead=timedelta(days=4))
    at = to_micros(now + timedelta(hours=5))  # as it was said at midnight
    found = Lookup(plan, store).simple_many([{"shop": each} for each in frame["shop"]], [at] * 4)
    np.testing.assert_array_equal(found, wanted)


def test_who_is_a_forecast_and_by_which_season() -> None:
    seasonal = plan_of().seasonal
    assert seasonal is not None and seasonal.season == "1w"
    assert plan_of(task=tasks.Quantiles()).seasonal is not None
    assert plan_of(task=tasks.Regression()).seasonal is None
    longer = plan_of(task=tasks.Forecast(season="28d")).seasonal
    assert longer is not None and longer.season == "28d"
    assert longer.view.id != seasonal.view.id
    assert plan_of("any", dtype="units > 3").seasonal is None
    with pytest.raises(DefinitionError, match="its label is no number ahead"):
        plan_of("any", dtype="units > 3", task=tasks.Forecast())
    with pytest.raises(DefinitionError, match="not a length of the calendar"):
        tasks.Forecast(season="a week")


def test_a_season_back_keeps_what_the_clocks_show() -> None:
    found = from_micros(after(to_micros(midnight(date(2013, 4, 3))), "1w", timezone="Europe/Berlin", times=-1))
    assert found == midnight(date(2013, 3, 27))
    back = from_micros(after(to_micros(midnight(date(2013, 3, 31))), "1mo", timezone="Europe/Berlin", times=-1))
    assert back == midnight(date(2013, 2, 28))
    assert len(ticks("1d", timezone="Europe/Berlin", since=midnight(START), until=midnight(date(2013, 4, 4)))) == 31
