"""Suites of Great Expectations give, translated, what the library says of the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.definitions import checks
from millstream.definitions.checks import Imported, Own
from millstream.errors import DefinitionError
from tests.checks.scenes import run_on
from tests.checks.suites_said import EXPECTATIONS, FRAMES, frame

SAID = Path(__file__).with_name("great_expectations_said.json")


def written(path: Path, expectations: list[dict[str, Any]]) -> str:
    path.write_text(json.dumps({"name": "orders", "expectations": expectations}))
    return path.name


def found(rows: pl.DataFrame, suite: list[Any]) -> list[list[Any]]:
    """What we find of each expectation: whether it holds, and how many rows fail (None for the whole batch)."""
    report = run_on(rows, *suite)
    whole = ("great_expectations.query", "great_expectations.nulls")
    return [[each.ok, None if each.check in whole else each.failed_rows] for each in report.results]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.chdir(tmp_path)
    return checks.suite.great_expectations(written(tmp_path / "orders.json", EXPECTATIONS))


def test_all_of_the_table_is_translated(suite: list[Any]) -> None:
    assert [type(each) for each in suite] == [Imported] * len(EXPECTATIONS)


@pytest.mark.parametrize("name", FRAMES)
def test_equal_to_what_the_library_said(suite: list[Any], name: str) -> None:
    said = json.loads(SAID.read_text())[name]
    assert dict(enumerate(found(frame(FRAMES[name]), suite))) == dict(enumerate(said))


RUN = """
import json, sys, warnings
warnings.simplefilter("ignore")
from millstream.checks.outside import pandas_of
from millstream.integrations.great_expectations import run
from tests.checks.suites_said import EXPECTATIONS, frame
specs = tuple(json.dumps(each) for each in EXPECTATIONS)
WHOLE = (
    "_to_exist", "table_row", "_min_to_be", "_max_to_be", "_mean_", "_median_", "_sum_", "_stdev_", "_unique_value_"
)
def rows(name, spec, verdict):
    return None if any(each in spec["type"] for each in WHOLE) else verdict.failed
out = {}
for name, given in json.load(sys.stdin).items():
    made = run(pandas_of(frame([tuple(each) for each in given])), specs)
    out[name] = [[each.ok, rows(name, spec, each)] for spec, each in zip(EXPECTATIONS, made)]
print("\\n" + json.dumps(out))
"""


def by_the_library(frames: dict[str, Any]) -> dict[str, list[list[Any]]]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=root, input=json.dumps(frames), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.nightly
def test_the_library_still_says_what_was_written_down() -> None:
    assert by_the_library(FRAMES) == json.loads(SAID.read_text())


@pytest.mark.nightly
def test_equal_to_the_library_on_random_rows(suite: list[Any]) -> None:
    import random

    chance = random.Random(7)

    def row() -> tuple[Any, ...]:
        numbers = [None, 0.0, 1.0, 2.5, 3.0, -1.5, 9.0]
        texts = [None, "", "a", "ab", "b", "b\n", "A9", "ß"]
        one, other = chance.choice(numbers), chance.choice(numbers)
        return (chance.randrange(9), chance.choice([None, 1, 2, 7]), one, other, chance.choice(texts))

    frames = {str(each): [row() for _ in range(chance.randrange(9))] for each in range(60)}
    theirs = by_the_library(frames)
    for name, rows in frames.items():
        assert found(frame(rows), suite) == theirs[name], (rows, name)


def test_what_is_not_translated_is_run_by_the_library_which_agrees_on_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: list[Any]
) -> None:
    increasing = {"column": "id", "strictly": True}
    of = [{"type": "expect_column_values_to_be_increasing", "kwargs": increasing, "severity": "critical"},
          {"type": "expect_column_values_to_be_dreamt_of", "kwargs": {"column": "n"}}]  # fmt: skip
    alone = checks.suite.great_expectations(written(tmp_path / "s.json", of))
    live = [
        Own("great_expectations", f"{place}", f"the library: {place}", json.dumps(each), "to compare", "", "note")
        for place, each in enumerate(EXPECTATIONS[::4])
    ]
    report = run_on(frame(FRAMES["mixed"]), *suite[::4], *live, *alone)
    ours, theirs = report.results[: len(live)], report.results[len(live) : -2]
    assert [each.ok for each in ours] == [each.ok for each in theirs]
    assert [each.failed_rows for each in ours[:7]] == [each.failed_rows for each in theirs[:7]]
    first, second = report.results[-2:]
    assert (first.ok, first.severity, first.failed_rows, first.rows) == (False, "stop", 1, ({"id": 4},))
    assert "(run by great_expectations s.json: expect_column_values_to_be_increasing of id)" in first.says
    assert (second.ok, second.severity) == (False, "warn")
    assert "was not run" in second.says and "dreamt" in second.says and "or without=" in second.says
    reasons = report.quarantine.filter(pl.col("check") == f"great_expectations.own {first.subject}")
    assert reasons["id"].to_list() == [4]


def test_severity_and_the_words_of_0_18(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "n"}, "meta": {}}
    (tmp_path / "old.json").write_text(json.dumps({"expectation_suite_name": "o", "expectations": [old]}))
    assert [each.severity for each in checks.suite.great_expectations("old.json")] == ["warn"]
    new = [{"type": old["expectation_type"], "kwargs": {"column": "n"}, "severity": each}
           for each in ("critical", "warning", "info")]  # fmt: skip
    name = written(tmp_path / "new.json", new)
    assert [each.severity for each in checks.suite.great_expectations(name)] == ["stop", "warn", "note"]
    assert {each.severity for each in checks.suite.great_expectations(name, severity="note")} == {"note"}


@pytest.mark.parametrize(
    ("kind", "kwargs", "why"),
    [
        ("expect_column_values_to_be_increasing", {"column": "n"}, "no check of ours"),
        ("expect_column_values_to_be_between", {"column": "t", "min_value": "2020-01-01"}, "is no number"),
        ("expect_column_values_to_match_regex", {"column": "s", "regex": "(?=a)b"}, "Rust's regex"),
        ("expect_column_values_to_match_regex", {"column": "s", "regex": "^a|b$"}, "Rust's regex"),
        ("expect_column_values_to_not_be_null", {"column": "s", "row_condition": "n.isin([1])"}, "row_condition"),
        ("expect_column_values_to_be_unique", {"column": "s", "odd": 1}, "it has odd"),
    ],
)
def test_what_may_mean_something_else_goes_to_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, kwargs: dict[str, Any], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (made,) = checks.suite.great_expectations(written(tmp_path / "s.json", [{"type": kind, "kwargs": kwargs}]))
    assert isinstance(made, Own) and why in made.why
    assert json.loads(made.spec) == {"type": kind, "kwargs": kwargs}


def test_where_the_library_is_not_installed_that_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "great_expectations.py").write_text("raise ModuleNotFoundError(name='great_expectations')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(checks.__file__).parents[2]}")
    of = [{"type": "expect_column_values_to_be_increasing", "kwargs": {"column": "id"}, "severity": "critical"}]
    report = run_on(pl.DataFrame({"id": [1]}), *checks.suite.great_expectations(written(tmp_path / "s.json", of)))
    (said,) = report.results
    assert (said.ok, said.severity) == (False, "warn")
    assert "was not run: great_expectations is not installed here; pip install 'millstream[suites]'" in said.says


def test_a_test_of_a_column_that_is_gone_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of = [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": each}} for each in ("nn", "n")]
    report = run_on(pl.DataFrame({"id": [1], "n": [None]}, schema={"id": pl.Int64, "n": pl.Int64}),
                    *checks.suite.great_expectations(written(tmp_path / "s.json", of)))  # fmt: skip
    gone, there = report.results
    assert not gone.ok and "cannot be asked" in gone.says and "nn" in gone.says
    assert (there.ok, there.failed_rows) == (False, 1)


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "orders.json", EXPECTATIONS)
    (tmp_path / "torn.json").write_text("{")
    (tmp_path / "other.json").write_text("[]")
    written(tmp_path / "empty.json", [])
    for name, said in (
        ("order.json", "did you mean"),
        ("torn.json", "is no JSON"),
        ("other.json", "no 'expectations'"),
        ("empty.json", "has no tests"),
    ):
        with pytest.raises(DefinitionError, match=said):
            checks.suite.great_expectations(name)
    with pytest.raises(DefinitionError, match="no test 'expect_column_values_to_be_nul'"):
        checks.suite.great_expectations("orders.json", without=["expect_column_values_to_be_nul"])
    left = checks.suite.great_expectations("orders.json", without=["expect_column_values_to_be_null"])
    assert len(left) == len(EXPECTATIONS) - 1
