"""Suites of three tools on one table of a project: one report, one quarantine, read again when they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import DefinitionError
from millstream.project import Project

TABLES = """
from millstream import Table, checks, sources
customers = Table("customers", source=sources.Csv("customers.csv"), key="id", timezone="UTC")
orders = Table("orders", source=sources.Csv("orders.csv"), key="id", timezone="UTC", checks=[
    checks.between("amount", 0, 1000),
    *checks.suite.great_expectations("gx/orders.json"),
    *checks.suite.pandera("schemas:orders"),
    *checks.suite.dbt("dbt/schema.yml", model="stg_orders", tests="dbt/tests/*.sql",
                      tables={"stg_orders": "orders", "raw.customers": "customers"}),
])
"""
SCHEMAS = """
import pandera.polars as pa
import polars as pl
even = pa.Check(lambda given: given.lazyframe.select(pl.col(given.key) % 2 == 0), name="even")
orders = pa.DataFrameSchema({"amount": pa.Column(float, pa.Check.ge(1), nullable=True), "pieces": pa.Column(int, even)})
"""
DBT = """
models:
  - name: stg_orders
    columns:
      - name: customer
        data_tests: [not_null, {relationships: {to: "source('raw', 'customers')", field: id, config: {severity: warn}}}]
      - name: state
        data_tests: [{accepted_values: {values: [open, done], config: {severity: warn}}}, only_dbt_knows]
"""


def expect(root: Path, *values: str) -> None:
    kept = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "state", "value_set": list(values)}}
    (root / "gx" / "orders.json").write_text(json.dumps({"name": "orders", "expectations": [kept]}))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "shop"
    for folder in ("gx", "dbt/tests"):
        (root / folder).mkdir(parents=True)
    (root / "millstream.toml").write_text('name = "shop"\n')
    (root / "tables.py").write_text(TABLES)
    (root / "schemas.py").write_text(SCHEMAS)
    (root / "dbt" / "schema.yml").write_text(DBT)
    (root / "dbt" / "tests" / "dear.sql").write_text(
        "{{ config(severity='warn') }} select id from {{ ref('stg_orders') }} where amount > 100 * pieces"
    )
    expect(root, "open", "done")
    (root / "customers.csv").write_text("id\n1\n2\n")
    (root / "orders.csv").write_text(
        "id,customer,state,amount,pieces\n1,1,open,5.0,2\n2,9,done,0.5,2\n3,2,lost,7.5,3\n4,2,open,900.0,4\n"
    )
    yield root


def check(root: Path) -> dict[str, Any]:
    with Project(root, lock=True) as project:
        reports = project.run("check", {})["reports"]
    return next(each for each in reports if each["table"] == "orders")


def test_suites_of_three_tools_stand_in_one_report(root: Path) -> None:
    report = check(root)
    found = {
        each["detail"]["origin"].partition(": ")[2] or each["check"]: each
        for each in report["results"]
        if each["detail"].get("origin")
    }
    failed = {name: [row["id"] for row in each["rows"]] for name, each in found.items() if not each["ok"]}
    assert failed == {
        "expect_column_values_to_be_in_set of state": [3],
        "greater_than_or_equal_to of amount": [2],
        "even of pieces": [3],
        "relationships of customer": [2],
        "accepted_values of state": [3],
        "dear.sql": [4],
        "only_dbt_knows of state": [],
    }
    assert found["even of pieces"]["check"] == "pandera.own" and "(run by pandera" in found["even of pieces"]["says"]
    assert found["accepted_values of state"]["check"] == "dbt.isin"
    told = found["only_dbt_knows of state"]
    assert told["severity"] == "warn" and "was not run" in told["says"] and "without=['only_dbt_knows']" in told["says"]
    with Project(root, lock=True) as project:
        aside = project.run("quarantine", {"table": "orders"})
    text = json.dumps(aside)
    assert "great_expectations.isin orders.state" in text and "pandera.own orders: even of pieces" in text


def test_a_suite_that_changed_is_read_again_and_one_that_is_gone_is_said(root: Path) -> None:
    def about(report: dict[str, Any]) -> bool:
        (each,) = [each for each in report["results"] if each["check"] == "great_expectations.isin"]
        return bool(each["ok"])

    lines = [line for line in TABLES.splitlines() if not any(word in line for word in ("pandera", "dbt", "tables="))]
    (root / "tables.py").write_text("\n".join(lines))
    assert not about(check(root))
    expect(root, "open", "done", "lost")
    assert about(check(root))
    (root / "gx" / "orders.json").unlink()
    with pytest.raises(DefinitionError, match=r"gx/orders.json.*cannot be read"):
        check(root)
