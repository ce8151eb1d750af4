"""Features made of features: the same from the lake and from the store, whatever they are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream import Each, FeatureView, Model, Table, sources
from millstream import features as f
from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.model import Estimator
from millstream.errors import DefinitionError, ExpressionError, LeakError
from millstream.features import FeaturePlan, compile_plan, point_in_time, spine
from millstream.features.online.lookup import Lookup
from millstream.features.online.store import LmdbOnline
from millstream.features.online.writer import Writer
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

SCHEMA = {
    "id": "bigint", "shop": "varchar", "town": "varchar", "amount": "double", "late": "boolean", "at": "timestamptz",
}  # fmt: skip
KNOWN = dict.fromkeys(SCHEMA, "placed") | {"late": "arrived"}
NOON = datetime(2013, 5, 1, 12, tzinfo=UTC)

orders = Table("orders", source=sources.Csv("orders.csv"), key="id", event_time="at")
form = FeatureView(
    "form", of=orders, entity="shop",
    features={"late_1d": f.mean("late", over="1d"), "late_7d": f.mean("late", over="7d"), "n": f.count(over="7d"),
              "any": f.any("late"), "where": f.last("town")},
)  # fmt: skip
town = form.on({"shop": "town"}, name="as_shop")
asked = FeatureView("asked", of=f.Request(amount="double"), features={"large": "amount > 100"})
mixed = FeatureView(
    "mixed", of=f.Request(form, asked, amount="double", town="varchar"),
    features={"rising": "form.late_1d / form.late_7d", "many_large": "asked.large and form.n > 1",
              "moved": "form.where <> town", "half": "form.n // 2", "worst": "form.any is not true"},
)  # fmt: skip
deep = FeatureView("deep", of=f.Request(mixed, town), features={"score": "mixed.rising + coalesce(as_shop.n, 0)"})


def model(*features: Any) -> Model:
    return Model("late", rows=Each(orders), label="late", features=list(features),
                 estimator=Estimator("sklearn.dummy:DummyClassifier", {}), goal="roc_auc")  # fmt: skip


def planned(*features: Any, views: tuple[FeatureView, ...] = (form, asked, mixed, deep)) -> FeaturePlan:
    said: Manifest = gather([orders, *views, model(*features)])
    return compile_plan(said, "late", {"orders": SCHEMA}, {"orders": KNOWN})  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def table() -> TableFrame:
    hours = [0, 1, 6, 30, 50, 51, 80]
    rows = pl.DataFrame({
        "id": list(range(7)), "shop": ["a", "a", "b", "a", "b", "a", None],
        "town": ["x", "y", "x", None, "b", "a", "x"], "amount": [50.0, 150.0, None, 80.0, 300.0, 120.0, 9.0],
        "late": [True, False, None, True, True, False, True], "at": [NOON + timedelta(hours=h) for h in hours],
        "placed": [NOON + timedelta(hours=h) for h in hours],
        "arrived": [NOON + timedelta(hours=h + 3) for h in hours],
    }).with_columns(pl.col("at", "placed", "arrived").cast(pl.Datetime("us", "UTC")))  # fmt: skip
    return TableFrame("orders", 1, rows, SCHEMA, ("id",), "at", KNOWN)  # type: ignore[arg-type]


def test_what_is_combined_is_computed_from_what_is_shown(table: TableFrame) -> None:
    plan = planned(form, asked, mixed)
    made = point_in_time(plan, spine(plan, table), {"orders": table})
    again = made.select(
        rising=pl.when(pl.col("form.late_7d") != 0).then(pl.col("form.late_1d") / pl.col("form.late_7d")),
        many_large=pl.col("asked.large") & (pl.col("form.n") > 1),
        moved=pl.col("form.where") != pl.col("town"),
        half=pl.col("form.n") // 2,
        worst=~pl.col("form.any").fill_null(False),
    )
    for name in again.columns:
        assert made[f"mixed.{name}"].to_list() == again[name].to_list(), name
    assert made["mixed.rising"].to_list() == [None] * 5 + [1.5, None]


def test_the_model_sees_only_what_it_lists(table: TableFrame) -> None:
    plan = planned(mixed)
    made = point_in_time(plan, spine(plan, table), {"orders": table})
    assert plan.names == tuple(f"mixed.{each}" for each in mixed.features)
    assert [each for each in made.columns if each.startswith(("form.", "asked."))] == []
    full = point_in_time(planned(form, asked, mixed), spine(plan, table), {"orders": table})
    assert made.select(plan.names).equals(full.select(plan.names))
    assert FeaturePlan.decode(plan.encode()) == plan


@pytest.mark.parametrize("features", [(mixed,), (form, mixed), (mixed, asked, form), (deep,), (deep, town, mixed)])
def test_the_store_says_what_the_lake_says(features: tuple[Any, ...], table: TableFrame, tmp_path: Path) -> None:
    plan = planned(*features)
    rows = spine(plan, table)
    made = point_in_time(plan, rows, {"orders": table})
    store = LmdbOnline(tmp_path / "store")
    Writer(store).refresh([plan], lambda name, since: table, pins={"orders": 1}, now=NOON)
    lookup = Lookup(plan, store)
    for row in made.to_dicts():
        said = lookup.lookup_one({name: row[name] for name in plan.request_columns}, to_micros(row["decided_at"]))
        assert [None if each != each else each for each in said] == [row[name] for name in plan.names]
    store.close()


def circle() -> FeatureView:
    inner = FeatureView("b", of=f.Request(amount="double"), features={"x": "amount"})
    outer = FeatureView("a", of=f.Request(inner), features={"x": "b.x"})
    return FeatureView("b", of=f.Request(outer), features={"x": "a.x"})


def test_a_circle_of_views_is_refused() -> None:
    last = circle()
    first = FeatureView("a", of=f.Request(last), features={"x": "b.x"})
    with pytest.raises(DefinitionError, match=r"in a circle: a -> b -> a"):
        planned(first, views=(first, last))


def test_an_unknown_feature_is_named_with_near_ones() -> None:
    wrong = FeatureView("wrong", of=f.Request(form), features={"x": "form.late_1 + 1"})
    with pytest.raises(ExpressionError, match=r"no feature 'form.late_1'") as told:
        planned(wrong, views=(form, wrong))
    assert "form.late_1d" in str(told.value)
    assert "^^^^" in str(told.value)


def test_a_view_that_nothing_defines_is_refused() -> None:
    with pytest.raises(DefinitionError, match="combines 'form', which no file names"):
        gather([orders, FeatureView("x", of=f.Request(form), features={"y": "form.n"}), asked])


def test_one_name_for_two_roles_is_refused() -> None:
    other = FeatureView("other", of=f.Request(form.on({"shop": "town"}, name="form")), features={"x": "form.n + 1"})
    with pytest.raises(DefinitionError, match="'form' names two different roles"):
        planned(form, other, views=(form, other))


def test_what_grows_without_bound_is_refused() -> None:
    views = [FeatureView("v0", of=f.Request(amount="double"), features={"x": "amount + 1"})]
    for n in range(1, 14):
        views.append(FeatureView(f"v{n}", of=f.Request(views[-1]), features={"x": f"v{n - 1}.x * v{n - 1}.x"}))
    with pytest.raises(DefinitionError, match="too long"):
        planned(views[-1], views=tuple(views))


def test_the_label_of_the_row_is_refused_in_a_combination_too() -> None:
    leaking = FeatureView("leaking", of=f.Request(form, late="boolean"), features={"x": "late and form.n > 1"})
    with pytest.raises(LeakError, match=r"feature leaking.x reads 'late' of the row it predicts"):
        planned(leaking, views=(form, leaking))
