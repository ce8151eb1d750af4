"""A plan: every name found, every type known, no leak that reading definitions can see."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millstream.definitions import features as f
from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView
from millstream.errors import DefinitionError, ExpressionError, LeakError, NotFound
from millstream.features import FeaturePlan, compile_plan

ORDERS = Table("orders", source=Csv("orders.csv"), key="id", event_time="at")
SHOPS = Table("shops", source=Csv("shops.csv"), key="shop")
SCHEMAS: dict[str, Any] = {
    "orders": {"id": "varchar", "at": "timestamptz", "shop": "bigint", "near": "bigint", "amount": "double"}
    | {"late": "boolean", "returned": "boolean", "name": "varchar", "packed": "bigint"},
    "shops": {"shop": "bigint", "size": "double", "opened": "timestamptz"},
}
KNOWN = {
    "orders": dict.fromkeys(("id", "at", "shop", "near", "amount", "name", "packed"), "k_order")
    | {"late": "k_arrival", "returned": "k_return"},
    "shops": {},
}
FORM = FeatureView("form", of=ORDERS, entity="shop", features={"late_1d": f.mean("late", over="1d")})
SHOP = FeatureView("shop", of=SHOPS, entity="shop", features={"size": f.last("size")})
ASKED = FeatureView("asked", of=f.Request(amount="double"), features={"large": "amount > 100"})


def manifest(*views: Any, label: str | f.Window = "late", rows: Each | None = None, names: Any = None) -> Manifest:
    model = Model(
        "m",
        rows=rows or Each(ORDERS),
        label=label,
        features=names or views,
        estimator=Estimator("x:Y", {}),
        goal="roc_auc",
    )
    return gather([ORDERS, SHOPS, *views, model])


def compiled(*views: Any, known: Any = KNOWN, **options: Any) -> FeaturePlan:
    return compile_plan(manifest(*views, **options), "m", SCHEMAS, known)


def view(entity: str = "shop", of: Table = ORDERS, **features: f.Window) -> FeatureView:
    return FeatureView("v", of=of, entity=entity, features=features)


def test_a_plan_names_types_and_orders_what_a_model_sees() -> None:
    plan = compiled(
        ASKED, SHOP, FORM, names=[ASKED, SHOP.on({"shop": "near"}, name="near"), FORM, SHOP.on({}, name="own")]
    )
    assert [(each.name, each.dtype) for each in plan.columns] == [
        ("asked.large", "boolean"),
        ("near.size", "double"),
        ("form.late_1d", "double"),
        ("own.size", "double"),
    ]
    assert plan.request_columns == ("id", "near", "shop", "amount")
    assert plan.tables == ("shops", "orders")
    assert [each.horizon_us for each in plan.views] == [None, 86_400_000_000, None]
    assert FeaturePlan.decode(plan.encode()) == plan


class _Trees:
    """Stands in for LightGBM, whose import takes seconds."""

    def __init__(self, **params: Any) -> None:
        self.params = params

    def get_params(self, *, deep: bool) -> dict[str, Any]:
        return self.params

    def fit(self) -> None: ...


def test_the_flights_example_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", SimpleNamespace(LGBMClassifier=_Trees))
    found = runpy.run_path(str(Path(__file__).parents[2] / "examples/flights/flights.py"))
    made = gather(found.values())
    flights = {"flight_id": "varchar", "scheduled_departure": "timestamptz", "arrived_at": "timestamptz"}
    flights |= dict.fromkeys(("carrier", "origin", "dest", "tailnum"), "varchar")
    flights |= dict.fromkeys(("distance", "dep_delay", "arr_delay"), "double")
    weather = {"origin": "varchar", "observed_at": "timestamptz"}
    weather |= dict.fromkeys(("wind_speed", "visib", "pressure", "precip"), "double")
    airports = {"faa": "varchar", "alt": "bigint", "lat": "double", "lon": "double"}
    schemas: Any = {"flights": flights, "weather": weather, "airports": airports}
    known = dict.fromkeys(flights, "k1") | {"dep_delay": "k2"} | dict.fromkeys(("tailnum", "arr_delay"), "k3")
    plan = compile_plan(made, "late", schemas, {"flights": known})
    assert plan.entity_columns == ("carrier", "origin", "dest")
    assert plan.names[-1] == "at_request.long_haul"
    assert plan.views[4].keys == ("dest",)


@pytest.mark.parametrize(
    ("made", "error", "says"),
    [
        (lambda: compiled(view(x=f.mean("amuont"))), ExpressionError, "amount"),
        (lambda: compiled(view(x=f.count(where="amount"))), DefinitionError, r"v\.x: where: 'amount' is double"),
        (lambda: compiled(view(x=f.count(where="amuont > 5"))), ExpressionError, r"\n    amuont > 5\n    \^{6}\n"),
        (lambda: compiled(view(x=f.count(where="late) or (late"))), ExpressionError, r"v\.x: where: this is not"),
        (lambda: compiled(view("shpo", x=f.count())), DefinitionError, "did you mean 'shop'"),
        (lambda: compiled(SHOP, names=[SHOP.on({"shop": "neer"}, name="n")]), DefinitionError, "did you mean 'near'"),
        (lambda: compiled(SHOP, names=[SHOP.on({"shpo": "near"}, name="n")]), DefinitionError, "did you mean 'shop'"),
        (
            lambda: compiled(SHOP, names=[SHOP.on({"shop": "name"}, name="n")]),
            DefinitionError,
            "name is varchar",
        ),
        (lambda: compiled(view(x=f.mean("name"))), DefinitionError, "'name' is varchar"),
        (lambda: compiled(view(x=f.any("amount"))), DefinitionError, "'amount' is double"),
        (lambda: compiled(view(x=f.Window("mean"))), DefinitionError, "has no value"),
        (lambda: compiled(view(x=f.count(over="0s"))), DefinitionError, "empty window"),
        (lambda: compiled(view(x=f.count(ago="0s"))), DefinitionError, "ends 0s ago"),
        (lambda: compiled(view(x=f.count(ago="7x"))), DefinitionError, "feature v.x: '7x' is not a length of time"),
        (lambda: compiled(view(x=f.count(over=7))), DefinitionError, "feature v.x: 7 is not a length of time"),
        (lambda: compiled(view(x=f.quantile("amount", 1.5))), DefinitionError, "is the quantile 1.5"),
        (lambda: compiled(view(x=f.quantile("amount", "half"))), DefinitionError, "is the quantile 'half'"),
        (lambda: compiled(view(x=f.Window("quantile", "amount"))), DefinitionError, "is the quantile None"),
        (lambda: compiled(view(x=f.Window("mean", "amount", q=0.5))), DefinitionError, "q for f.quantile alone"),
        (lambda: compiled(view(x=f.quantile("name", 0.5))), DefinitionError, "'name' is varchar"),
        (lambda: compiled(view(x=f.trend("name"))), DefinitionError, "'name' is varchar"),
        (lambda: compiled(view(x=f.Window("trend"))), DefinitionError, "has no value"),
        (lambda: compiled(view(x=f.first("at"))), DefinitionError, "'at' is timestamptz"),
        (lambda: compiled(view(of=SHOPS, x=f.since_last())), DefinitionError, "is a since last, but its table has no"),
        (
            lambda: compiled(view(of=SHOPS, x=f.trend("size"))),
            DefinitionError,
            "is a trend, but its table has no event",
        ),
        (lambda: compiled(view(of=SHOPS, x=f.last("size", ago="7d"))), DefinitionError, "looks 7d back, but its table"),
        (lambda: compiled(FORM, label=f.any("late", of=ORDERS, ahead="1d", ago="1d")), DefinitionError, "looks back"),
        (lambda: compiled(FORM, label=f.trend("amount", over="1d")), DefinitionError, "label f.trend looks back"),
        (
            lambda: compiled(FORM, label=f.Window("distinct", "name", of="orders", ahead="1d")),
            DefinitionError,
            "is no label",
        ),
        (lambda: f.medain("amount"), AttributeError, "there is no f.medain: did you mean 'mean'"),
        (lambda: compiled(view(x=f.sum("amount", ahead="1d"))), DefinitionError, "looks ahead"),
        (lambda: compiled(view(of=SHOPS, x=f.last("size", over="1d"))), DefinitionError, "no event time"),
        (lambda: compiled(view(of=SHOPS, x=f.last("opened"))), DefinitionError, "'opened' is timestamptz"),
        (lambda: compiled(FORM, label=f.sum("amount", over="1d")), DefinitionError, "label f.sum looks back"),
        (lambda: compiled(FORM, label="at"), DefinitionError, "'at' is timestamptz"),
        (lambda: compiled(FORM, rows=Each(ORDERS, where="amount")), DefinitionError, "'amount' is double"),
        (lambda: compiled(FORM, rows=Each(ORDERS, decide_at="amount")), DefinitionError, "timestamptz"),
        (
            lambda: compiled(FeatureView("r", of=f.Request(amonut="double"), features={"x": "amonut"})),
            DefinitionError,
            "did you mean 'amount'",
        ),
        (
            lambda: compiled(FeatureView("r", of=f.Request(amount="varchar"), features={"x": "amount"})),
            DefinitionError,
            "orders.amount is double",
        ),
        (lambda: compile_plan(manifest(FORM), "n", SCHEMAS, KNOWN), NotFound, "no model 'n'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(made: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        made()


def request(**fields: Any) -> FeatureView:
    (name,) = fields
    return FeatureView("r", of=f.Request(**fields), features={"x": name})


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: compiled(request(late="boolean")), "feature r.x reads 'late' of the row it predicts.*made of it"),
        (lambda: compiled(request(late="boolean"), known={}), "feature r.x reads 'late'"),
        (lambda: compiled(FORM, rows=Each(ORDERS, where="late")), "where of model m reads 'late'"),
        (
            lambda: compiled(view("name", x=f.count()), label="case when name = 'x' then true else late end"),
            r"feature view v \(entity key\) reads 'name'",
        ),
        (
            lambda: compiled(request(amount="double"), known={"orders": KNOWN["orders"] | {"amount": "k_arrival"}}),
            "feature r.x reads 'amount' .* known only together with the label 'late'",
        ),
    ],
)
def test_the_rows_own_label_is_no_feature(made: Any, says: str) -> None:
    with pytest.raises(LeakError, match=says):
        made()


def test_other_rows_labels_are_features() -> None:
    assert compiled(FORM).names == ("form.late_1d",)


def test_a_bigint_column_may_be_asked_as_a_double() -> None:
    plan = compiled(request(packed="double"))
    assert plan.request == {"packed": "double"}
