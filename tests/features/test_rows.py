"""The spine: who, decided when, as believed then, and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from millstream.definitions import features as f
from millstream.definitions.rows import Each
from millstream.definitions.table import Table
from millstream.errors import BadData, LeakError
from millstream.features import FeaturePlan, point_in_time, spine
from millstream.features.rows import from_request
from millstream.lake.frame import TableFrame

from .test_compile import ASKED, KNOWN, ORDERS, SCHEMAS, SHOP, compiled

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = 24.0


def hour(number: float | None) -> datetime | None:
    return None if number is None else START + timedelta(hours=number)


def orders(*rows: dict[str, Any], known: dict[str, str] | None = None, event_time: str | None = "at") -> TableFrame:
    base = {"at": 10, "shop": 1, "near": 2, "amount": 5.0, "late": True, "returned": False, "name": "n", "packed": 1}
    base |= {"k_order": 0, "k_arrival": 20, "k_return": 30}
    instants = ("at", "k_order", "k_arrival", "k_return")
    made = [base | row for row in rows]
    made = [row | {name: hour(row[name]) for name in instants} for row in made]
    types = {"id": pl.String, "shop": pl.Int64, "near": pl.Int64, "amount": pl.Float64, "late": pl.Boolean}
    types |= {"returned": pl.Boolean, "name": pl.String, "packed": pl.Int64}
    types |= dict.fromkeys(instants, pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(made, schema=types)
    return TableFrame(
        "orders", 1, frame, SCHEMAS["orders"], ("id",), event_time, KNOWN["orders"] if known is None else known
    )


def plan(**options: Any) -> FeaturePlan:
    rows = options.pop("rows", Each(ORDERS, decide_at="at - interval '2 hours'"))
    return compiled(ASKED, SHOP, rows=rows, **options)


def test_a_row_has_its_decision_its_inputs_and_its_label_with_the_instant_it_became_known() -> None:
    (row,) = spine(plan(), orders({"id": "a"})).to_dicts()
    assert row == {
        "id": "a",
        "shop": 1,
        "amount": 5.0,
        "decided_at": hour(8),
        "label": True,
        "label_known_at": hour(20),
    }


def test_a_label_of_several_columns_is_known_when_the_latest_is() -> None:
    (row,) = spine(plan(label="late and not returned"), orders({"id": "a"})).to_dicts()
    assert (row["label"], row["label_known_at"]) == (True, hour(30))


def test_null_and_never_known_labels_are_kept_as_unlabelled() -> None:
    found = spine(plan(), orders({"id": "a", "late": None}, {"id": "b", "k_arrival": None}, {"id": "c"}))
    assert found["label"].to_list() == [None, None, True]
    assert found["label_known_at"].to_list() == [hour(20), None, hour(20)]


def test_corrections_change_the_label_but_not_what_was_believed_at_the_decision() -> None:
    found = spine(
        plan(),
        orders(
            {"id": "b", "amount": 1.0},
            {"id": "a", "amount": 5.0, "k_order": 1},
            {"id": "a", "amount": 7.0, "k_order": 8, "late": False, "k_arrival": 40},
            {"id": "a", "amount": 6.0, "k_order": 7, "k_arrival": 25},
            {"id": "a", "amount": 9.0, "k_order": 9, "k_arrival": None, "late": None},
        ),
    )
    assert found["id"].to_list() == ["b", "a"]
    assert found["amount"].to_list() == [1.0, 7.0]
    assert found["label"].to_list() == [True, False]
    assert found["label_known_at"].to_list() == [hour(20), hour(40)]


def test_where_and_span_choose_rows_in_table_order() -> None:
    table = orders(*({"id": str(place), "at": 40 - place, "amount": float(place)} for place in range(10)))
    some = plan(rows=Each(ORDERS, where="amount <> 3"))
    assert spine(some, table)["id"].to_list() == [str(place) for place in range(10) if place != 3]
    found = spine(some, table, between=(hour(33), hour(38)))
    assert found["id"].to_list() == ["4", "5", "6", "7"]  # decided at 36, 35, 34, 33: half-open


def test_an_input_not_known_at_the_decision_is_refused_with_reader_column_count_and_example() -> None:
    table = orders({"id": "a"}, {"id": "b", "k_order": 9}, {"id": "c", "k_order": None})
    with pytest.raises(LeakError) as refused:
        spine(plan(), table)
    said = str(refused.value)
    assert "feature view shop (entity key) reads 'shop'" in said
    assert "in 2 of 3 rows" in said
    assert "id='b', known at 2013-01-01T09:00:00+00:00, decided at 2013-01-01T08:00:00+00:00" in said


def test_a_request_field_known_too_late_is_refused_by_its_feature() -> None:
    known = KNOWN["orders"] | {"amount": "k_return"}
    with pytest.raises(LeakError, match=r"feature asked.large reads 'amount'"):
        spine(compiled(ASKED, SHOP, known={"orders": known}), orders({"id": "a"}, known=known))


def test_rows_without_decision_or_key_are_refused() -> None:
    with pytest.raises(BadData, match=r"1 of 2 rows .* no decision instant; the first is id='b'"):
        spine(plan(), orders({"id": "a"}, {"id": "b", "at": None}))
    with pytest.raises(BadData, match=r"1 rows to predict have no key \(id is NULL\)"):
        spine(plan(), orders({"id": "a"}, {"id": None}))


def test_rows_of_a_static_table_are_decided_at_the_versions_instant() -> None:
    from millstream.definitions.manifest import gather
    from millstream.definitions.model import Estimator, Model
    from millstream.definitions.sources import Csv
    from millstream.features import compile_plan

    table = Table("orders", source=Csv("orders.csv"), key="id")
    model = Model("m", rows=Each(table), label="late", features=[ASKED], estimator=Estimator("x:Y", {}), goal="roc_auc")
    made = compile_plan(gather([table, ASKED, model]), "m", SCHEMAS, {})
    (row,) = spine(made, orders({"id": "a"}, known={}, event_time=None), static_at=hour(5)).to_dicts()
    assert (row["decided_at"], row["label"], row["label_known_at"]) == (hour(5), True, hour(5))


def test_a_request_is_a_row_whose_features_can_be_computed_again() -> None:
    made = plan()
    asked = from_request(made, {"id": "a", "shop": 1, "amount": 200}, at=START)
    sizes = pl.DataFrame({"shop": [1], "size": [3.5], "opened": [START]})
    shops = TableFrame("shops", 1, sizes, SCHEMAS["shops"], ("shop",), None)
    joined = point_in_time(made, asked, {"shops": shops})
    assert joined.select("asked.large", "shop.size").row(0) == (True, 3.5)
    with pytest.raises(BadData, match="column 'amount' of the request"):
        from_request(made, {"id": "a", "shop": 1, "amount": "200"}, at=START)


def test_a_request_with_no_value_is_one_of_an_entity_never_seen() -> None:
    asked = from_request(plan(), {"id": "a"}, at=START)
    shops = TableFrame(
        "shops", 1, pl.DataFrame({"shop": [1], "size": [3.5], "opened": [START]}), SCHEMAS["shops"], ("shop",), None
    )
    joined = point_in_time(plan(), asked, {"shops": shops})
    assert joined.select("asked.large", "shop.size").row(0) == (None, None)


def test_features_of_rows_look_at_other_rows() -> None:
    from millstream.definitions.view import FeatureView

    form = FeatureView("form", of=ORDERS, entity="shop", features={"late": f.mean("late", over="1d"), "n": f.count()})
    made = compiled(form)
    table = orders(
        {"id": "a", "at": 1, "k_arrival": 2}, {"id": "b", "at": 5, "k_arrival": 9, "late": False}, {"id": "c"}
    )
    joined = point_in_time(made, spine(made, table), {"orders": table})
    assert joined["form.late"].to_list() == [None, 1.0, 0.5]
    assert joined["form.n"].to_list() == [1, 2, 3]
