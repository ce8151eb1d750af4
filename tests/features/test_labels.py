"""What a label that looks ahead may say, and what is told to whoever says it wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.definitions import features as f
from millstream.definitions.manifest import gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each, Every
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView
from millstream.errors import DefinitionError, ExpressionError
from millstream.features import FeaturePlan, compile_plan

CUSTOMERS = Table("customers", source=Csv("c.csv"), key="customer")
ORDERS = Table("orders", source=Csv("o.csv"), key="id", event_time="at", lag="1d", timezone="Europe/Berlin")
READINGS = Table("readings", source=Csv("r.csv"), key=("machine", "read_at"), event_time="read_at")
FAILURES = Table("failures", source=Csv("f.csv"), key="id", event_time="at")
NUMBERED = Table("numbered", source=Csv("n.csv"), key="id", event_time="at")
STATIC = Table("static", source=Csv("s.csv"), key="customer")
SCHEMAS: dict[str, Any] = {
    "customers": {"customer": "varchar", "region": "varchar", "active": "boolean"},
    "orders": {"id": "bigint", "customer": "varchar", "region": "varchar", "at": "timestamptz", "amount": "double"},
    "readings": {"machine": "bigint", "read_at": "timestamptz", "heat": "double"},
    "failures": {"id": "bigint", "machine": "bigint", "at": "timestamptz", "grave": "boolean"},
    "numbered": {"id": "bigint", "at": "timestamptz", "site": "varchar", "machine": "bigint"},
    "static": {"customer": "varchar", "left": "boolean"},
}
TABLES = (CUSTOMERS, ORDERS, READINGS, FAILURES, NUMBERED, STATIC)


def compiled(rows: Any, label: Any, *views: FeatureView) -> FeaturePlan:
    seen = FeatureView("seen", of=ORDERS, entity="customer", features={"n": f.count()})
    hot = FeatureView("hot", of=READINGS, entity="machine", features={"heat": f.last("heat")})
    role = views or ((seen,) if rows.of in ("customers", "orders") else (hot,))
    model = Model("m", rows=rows, label=label, features=role, estimator=Estimator("x:Y", {}), goal="rmse")
    return compile_plan(gather([*TABLES, *role, model]), "m", SCHEMAS, {})


MONTHLY = Every("1mo", of=CUSTOMERS, where="active")


def test_the_entity_is_the_key_where_the_facts_have_its_columns() -> None:
    plan = compiled(MONTHLY, f.none(of=ORDERS, ahead="90d"))
    assert plan.ahead is not None and plan.ticks is not None
    assert (plan.ahead.entity, plan.ahead.keys, plan.label_dtype) == (("customer",), ("customer",), "boolean")
    assert (plan.row_key, plan.prediction_key) == (("customer",), ("customer", "decided_at"))
    assert plan.learnt_from == ("customers", "orders")
    assert plan.ticks.timezone == "UTC"  # the table names no zone, nor does the project
    assert FeaturePlan.decode(plan.encode()) == plan


def test_parts_of_a_rows_key_are_its_entity_and_its_times_are_not() -> None:
    plan = compiled(Each(READINGS), f.any("grave", of=FAILURES, ahead="48h"))
    assert plan.ahead is not None and plan.ahead.entity == ("machine",)
    assert plan.prediction_key == ("machine", "read_at")


def test_the_facts_of_a_label_may_be_those_of_its_features_and_its_rows() -> None:
    plan = compiled(Each(ORDERS), f.sum("amount", of=ORDERS, ahead="30d", on={"customer": "customer"}))
    assert plan.ahead is not None and plan.ahead.text == "sum amount of orders 30d ahead"
    assert plan.label_dtype == "double"


def test_a_region_may_be_asked_about_for_its_customers() -> None:
    plan = compiled(MONTHLY, f.count(of=ORDERS, ahead="1mo", on={"region": "region"}))
    assert plan.ahead is not None
    assert (plan.request_columns, plan.spine_columns) == (("customer",), ("customer", "region"))


@pytest.mark.parametrize(
    ("rows", "label", "error", "says"),
    [
        (MONTHLY, f.none(of=ORDERS), DefinitionError, "does not say how far it looks ahead"),
        (MONTHLY, f.sum("amount", of=ORDERS, over="9d"), DefinitionError, "label f.sum looks back"),
        (MONTHLY, f.none(of=ORDERS, over="9d", ahead="9d"), DefinitionError, "looks back"),
        (MONTHLY, f.none(ahead="9d"), DefinitionError, "does not say of which table"),
        (MONTHLY, f.none(of="ordres", ahead="9d"), DefinitionError, "did you mean 'orders'"),
        (MONTHLY, f.std("amount", of=ORDERS, ahead="9d"), DefinitionError, "label f.std is no label"),
        (MONTHLY, f.sum("amuont", of=ORDERS, ahead="9d"), ExpressionError, "amount"),
        (MONTHLY, f.any("amount", of=ORDERS, ahead="9d"), DefinitionError, "'amount' is double"),
        (MONTHLY, f.any(of=ORDERS, ahead="9d", where="amount"), DefinitionError, "'amount' is double"),
        (MONTHLY, f.Window("mean", ahead="9d", of="orders"), DefinitionError, "label f.mean has no value"),
        (MONTHLY, f.any(of=ORDERS, ahead="soon"), DefinitionError, "'soon' is not a length of time"),
        (MONTHLY, f.any(of=ORDERS, ahead="0d"), DefinitionError, "has an empty window"),
        (Each(READINGS), f.any(of=FAILURES, ahead="1mo"), DefinitionError, "months are for rows=Every"),
        (MONTHLY, f.any("left", of=STATIC, ahead="9d"), DefinitionError, "does not say when its facts happened"),
        (MONTHLY, f.any(of=FAILURES, ahead="9d"), DefinitionError, "no column 'customer'"),
        (MONTHLY, f.any(of=ORDERS, ahead="9d", on={"custmer": "customer"}), DefinitionError, "mean 'customer'"),
        (MONTHLY, f.any(of=ORDERS, ahead="9d", on={"customer": "custmer"}), DefinitionError, "mean 'customer'"),
        (MONTHLY, f.any(of=ORDERS, ahead="9d", on={"id": "customer"}), DefinitionError, "orders.id is bigint"),
        (MONTHLY, f.any(of=ORDERS, ahead="9d", on={}), DefinitionError, "on is empty"),
        (Each(NUMBERED), f.any(of=FAILURES, ahead="9d"), DefinitionError, "'id' .* may number rows of their own"),
        (MONTHLY, "active", DefinitionError, "is an expression over a row, and rows of Every are entities"),
        (MONTHLY, f.any(of=ORDERS, ahead="9d", at="target_at"), DefinitionError, "the rows have no horizon"),
    ],
)
def test_labels_that_cannot_be_are_refused_by_name(rows: Any, label: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        compiled(rows, label)


def test_a_view_has_no_table_of_its_own_windows() -> None:
    view = FeatureView("v", of=ORDERS, entity="customer", features={"x": f.count(of=ORDERS)})
    with pytest.raises(DefinitionError, match=r"feature v\.x names a table of its own, 'orders'"):
        compiled(MONTHLY, f.none(of=ORDERS, ahead="9d"), view)


def test_entities_without_key_or_with_a_word_of_training_sets_are_refused() -> None:
    nameless = Table("nameless", source=Csv("x.csv"))
    view = FeatureView("seen", of=ORDERS, entity="customer", features={"n": f.count()})
    for table, schema, says in (
        (nameless, {"customer": "varchar"}, "which has no key"),
        (CUSTOMERS, {"customer": "varchar", "target_at": "timestamptz"}, "has a column 'target_at'"),
    ):
        model = Model(
            "m", rows=Every("1d", of=table), label=None, features=[view], estimator=Estimator("x:Y", {}), goal="rmse"
        )
        schemas = SCHEMAS | {table.name: schema}
        with pytest.raises(DefinitionError, match=says):
            compile_plan(gather([ORDERS, table, view, model]), "m", schemas, {})
