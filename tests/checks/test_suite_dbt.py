"""Tests of dbt give, translated, what dbt says of the same rows; dbt's own answers are in ``dbt_said.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.definitions import checks
from millstream.definitions.checks import Imported, Own
from millstream.errors import DefinitionError
from tests.checks.scenes import batch_of, run_on
from tests.checks.suites_said import FRAMES, frame
from tests.checks.suites_said_dbt import CUSTOMERS, SCHEMA, SINGULAR

SAID = Path(__file__).with_name("dbt_said.json")
ROWS = pl.DataFrame({"id": [1, 2, 3], "n": [1, None, 7]})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.yml").write_text(SCHEMA)
    (tmp_path / "tests").mkdir()
    for name, text in SINGULAR.items():
        (tmp_path / "tests" / f"{name}.sql").write_text(text)
    return tmp_path


def suite(**more: Any) -> list[Any]:
    return checks.suite.dbt("schema.yml", model="orders", tables={"orders": "things"}, tests="tests/*.sql", **more)


def about_n(folder: Path, *tests: str) -> list[Any]:
    """Read tests of column n of a model, as YAML."""
    lines = "".join(f"          - {each}\n" for each in tests)
    text = f"models:\n  - name: orders\n    columns:\n      - name: n\n        data_tests:\n{lines}"
    (folder / "some.yml").write_text(text)
    return checks.suite.dbt("some.yml", model="orders")


@pytest.mark.parametrize("name", FRAMES)
def test_equal_to_what_dbt_said(name: str) -> None:
    made = suite()
    assert {type(each) for each in made} == {Imported}
    names = [each.origin.rpartition(": ")[2].removesuffix(".sql") for each in made]
    assert len(names) == 27 and "of_others" not in names
    rows = frame(FRAMES[name])
    customers = batch_of(pl.DataFrame({"id": CUSTOMERS}, schema={"id": pl.Int64}), name="customers")
    report = run_on(rows, *made, customers=customers, things=batch_of(rows))
    failed = {test for test, each in zip(names, report.results, strict=True) if not each.ok}
    assert failed == set(json.loads(SAID.read_text())[name])


def test_severity_names_and_what_is_left_out() -> None:
    by_name = {each.origin.rpartition(": ")[2]: each.severity for each in suite()}
    assert (by_name["id_unique"], by_name["x_to_y_of_7"], by_name["no_large.sql"]) == ("stop", "warn", "warn")
    assert {each.severity for each in suite(severity="note")} == {"note"}
    left = {each.origin.rpartition(": ")[2] for each in suite(without=["unique", "x_any", "enough"])}
    assert set(by_name) - left == {"id_unique", "n_unique", "n_unique_where", "x_any", "enough.sql"}
    with pytest.raises(DefinitionError, match="no test 'x_ani'"):
        suite(without=["x_ani"])


def test_a_result_says_what_failed_and_where_it_comes_from(folder: Path) -> None:
    made = about_n(folder, "not_null", "{accepted_values: {values: [1, 2], config: {severity: warn}}}")
    report = run_on(ROWS, *made)
    there, known = report.results
    assert (there.check, there.severity, there.failed_rows, there.rows) == ("dbt.holds", "stop", 1, ({"id": 2},))
    assert (known.check, known.severity, known.rows) == ("dbt.isin", "warn", ({"id": 3},))
    assert known.says.endswith("(dbt some.yml: accepted_values of n)")
    assert known.detail["origin"] == "dbt some.yml: accepted_values of n"
    assert sorted(report.quarantine["id"]) == [2, 3]


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("is_fine", "a macro of its own"),
        ("my_package.is_fine", "a macro of its own"),
        ("{dbt_utils.at_least_one: {group_by_columns: [s]}}", "it has group_by_columns"),
        ("{not_null: {config: {error_if: '>10'}}}", "it has error_if: >10"),
        ("{accepted_values: {values: [a], quote: false}}", "its values are SQL"),
        ("{dbt_utils.accepted_range: {min_value: current_date}}", "is no number"),
        ("{relationships: {to: \"source('a', 'b') ~ macro()\", field: id}}", "its Jinja needs dbt"),
        ("{dbt_expectations.expect_column_values_to_be_in_set: {value_set: [1]}}", "depends on the version"),
        ("{dbt_expectations.expect_column_values_to_be_normal: {}}", "no check of ours"),
    ],
)
def test_what_cannot_be_translated_is_told_and_is_no_pass(folder: Path, test: str, why: str) -> None:
    made = about_n(folder, test, "not_null")
    assert isinstance(made[0], Own) and not made[0].spec and why in made[0].why
    told, there = run_on(ROWS, *made).results
    assert (told.ok, told.severity, told.check) == (False, "warn", "dbt.own")
    assert "was not run" in told.says and why in told.says and "or without=[" in told.says
    assert there.failed_rows == 1


@pytest.mark.parametrize(
    ("test", "rows", "ok"),
    [
        ("expect_column_values_to_be_between: {min_value: 0, max_value: 7, strictly: true}", [1, None, 7], False),
        ("expect_column_values_to_be_between: {min_value: 0, max_value: 7}", [1, None, 7], True),
        ("expect_column_sum_to_be_between: {min_value: 1}", [None, None, None], True),
        ("expect_column_sum_to_be_between: {min_value: 9}", [1, None, 7], False),
        ("expect_column_min_to_be_between: {min_value: 1}", [1, None, 7], True),
        ("expect_column_values_to_be_unique: {row_condition: 'id < 3'}", [1, 1, 7], False),
        ("expect_column_values_to_be_unique: {row_condition: 'id > 1'}", [1, 1, 7], True),
        ("expect_column_pair_values_A_to_be_greater_than_B: {column_A: n, column_B: id}", [2, None, 7], True),
        ("expect_column_pair_values_A_to_be_greater_than_B: {column_A: n, column_B: id}", [1, None, 7], False),
    ],
)
def test_dbt_expectations_are_sql_where_null_passes(folder: Path, test: str, rows: list[Any], ok: bool) -> None:
    about = "columns: [{name: n, data_tests: [{dbt_expectations.%s}]}]"
    about = "data_tests: [{dbt_expectations.%s}]" if "pair" in test else about
    (folder / "e.yml").write_text("models:\n  - name: orders\n    " + about % test + "\n")
    (made,) = checks.suite.dbt("e.yml", model="orders")
    (found,) = run_on(pl.DataFrame({"id": [1, 2, 3], "n": rows}, schema={"id": pl.Int64, "n": pl.Int64}), made).results
    assert found.ok is ok, found.says


def test_singular_tests_that_need_dbt_are_told_and_those_of_other_models_are_not(folder: Path) -> None:
    (folder / "tests" / "macro.sql").write_text("select {{ cents('x') }} from {{ ref('orders') }}")
    (folder / "tests" / "other.sql").write_text("select {{ cents('x') }} from {{ ref('customers') }}")
    (told,) = [each for each in suite() if isinstance(each, Own)]
    assert told.test == "macro" and "'cents' is undefined" in told.why


def test_a_table_that_is_not_there_is_said(folder: Path) -> None:
    (folder / "tests" / "gone.sql").write_text(
        "select * from {{ ref('orders') }} join {{ source('raw', 'odrers') }} using (id)"
    )
    rows = frame(FRAMES["one"])
    report = run_on(rows, *suite(), customers=batch_of(ROWS.select("id"), name="customers"), things=batch_of(rows))
    (gone,) = [each for each in report.results if "gone" in each.subject]
    assert not gone.ok and "cannot be asked" in gone.says and "'odrers'" in gone.says


def test_what_is_wrong_with_a_file_is_said(folder: Path) -> None:
    (folder / "none.yml").write_text("models: [{name: orders}]")
    (folder / "odd.yml").write_text("models: [{name: orders, columns: [n]}]")
    (folder / "list.yml").write_text("[1]")
    for name, model, words in (
        ("schem.yml", "orders", "did you mean 'schema.yml'"),
        ("schema.yml", "order", "did you mean 'orders'"),
        ("none.yml", "orders", "has no tests"),
        ("odd.yml", "orders", "a column that is 'n'"),
        ("list.yml", "orders", "is list"),
    ):
        with pytest.raises(DefinitionError) as wrong:
            checks.suite.dbt(name, model=model)
        assert words in str(wrong.value)
    with pytest.raises(DefinitionError, match="no file lies under"):
        checks.suite.dbt("schema.yml", model="orders", tests="test/*.sql")


def test_sources_are_models_too(folder: Path) -> None:
    text = "sources: [{name: raw, tables: [{name: orders, columns: [{name: n, tests: [not_null]}]}]}]"
    (folder / "raw.yml").write_text(text)
    (made,) = checks.suite.dbt("raw.yml", model="raw.orders")
    assert made.origin == "dbt raw.yml: not_null of n"
