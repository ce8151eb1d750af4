"""Sets, patterns, outliers, what another table says, and how late rows come."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from millstream.checks import run
from millstream.definitions import checks
from millstream.definitions.checks import Check
from millstream.errors import DefinitionError, ExpressionError
from millstream.profiling.suggest import pattern
from tests.checks.scenes import NOW, batch_of, others, run_on, table_of

ORDERS = pl.DataFrame(
    {"id": [1, 2, 3, 4], "total": [10.0, 20.0, None, 5.0], "dest": ["LAX", "SJU", "x1", None], "at": [NOW] * 4}
).with_columns(pl.col("at").dt.cast_time_unit("us") - timedelta(seconds=95))
LINES = batch_of(
    pl.DataFrame({"line": [1, 2, 3], "id": [1, 1, 2], "amount": [4.0, 6.0, 21.0]}), name="lines", key=("line",)
)


@pytest.mark.parametrize(
    ("check", "says", "failing"),
    [
        (checks.isin("dest", ["LAX", "SJU"]), "1 of 4 rows (25 %) not one of the set: 'x1' (1)", [3]),
        (checks.isin("id", [1, 2, 3]), "1 of 4 rows (25 %) not one of the set: 4 (1)", [4]),
        (checks.matches("dest", "[A-Z]{3}"), "1 of 4 rows (25 %) do not match [A-Z]{3}: 'x1' (1)", [3]),
        (checks.matches("dest", "[A-Z]|x1"), "2 of 4 rows (50 %) do not match [A-Z]|x1", [1, 2]),
        (checks.agrees("total", table="lines", on="id", value="sum(amount)"), "2 of 4 rows (50 %) differ", [2, 4]),
        (checks.agrees("id", table="lines", on="id", value="count(*)", within=1), "2 of 4 rows (50 %)", [3, 4]),
        (checks.agrees("total", table="lines", on="id", value="amount", within=6), "", []),
    ],
)
def test_rows_that_fail_are_counted_named_and_set_aside(check: Check, says: str, failing: list[int]) -> None:
    report = run_on(ORDERS, check, lines=LINES)
    assert says in report.results[0].says and report.results[0].ok == (not failing)
    assert report.quarantine["id"].to_list() == failing


def test_an_outlier_is_far_from_the_others_on_the_scale_they_have() -> None:
    draw = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "id": range(10_000),
            "income": np.r_[draw.lognormal(0, 1, 9999), 1e9],
            "height": np.r_[draw.normal(0, 1, 9999), 50],
            "flag": [1.0] * 9990 + [2.0] * 10,
        }
    )
    income, height, flag = run_on(
        frame, checks.outliers("income", severity="warn"), checks.outliers("height"), checks.outliers("flag")
    ).results
    assert [income.failed_rows, height.failed_rows, flag.ok] == [1, 1, True]
    assert "median and MAD of the logarithms" in income.says and "median and MAD of the values" in height.says
    assert run_on(frame, checks.outliers("income", at_most=0.001)).results[0].ok


def test_lag_is_measured_to_the_second_and_a_first_batch_is_of_any_age() -> None:
    def judge(within: str, *, first: bool = False) -> tuple[bool, str]:
        table, batch = table_of(checks.lag(within=within), event_time="at"), batch_of(ORDERS, event_time="at")
        since = None if first else NOW - timedelta(days=1)
        made = run(table, batch, known_keys=None, other=others(), now=NOW, timezone="UTC", since=since)
        return made.results[0].ok, made.results[0].says

    assert judge("95s") == (
        True,
        "things: rows came up to 1 min 35 s after they were known, 0 of 4 rows beyond 1 min 35 s",
    )
    assert judge("94s")[0] is False and "4 of 4 rows beyond 1 min 34 s" in judge("94s")[1]
    assert judge("1s", first=True)[0]


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (checks.matches("dest", "[A-Z"), "no regular expression.*\n.*unclosed character class"),
        (checks.matches("dest", "(?=a)b"), "no regular expression.*\n.*look-around"),
        (checks.matches("total", "a"), "needs texts, and total is double"),
        (checks.isin("total", ["a"]), "has the value 'a', and total is double"),
        (checks.isin("dest", []), "names no value"),
        (checks.isin("dst", ["a"]), "'dst'.*\n.*did you mean 'dest'"),
        (checks.outliers("dest"), "needs numbers"),
        (checks.outliers("total", spreads=0), "has spreads=0"),
        (checks.agrees("total", table="lines", on="idd", value="amount"), "has no column 'idd'.*\n.*did you mean 'id'"),
        (checks.lag(within="soon"), "has within='soon'"),
        (checks.expected("dest", every="2d"), "has every='2d'"),  # type: ignore[arg-type]
        (checks.expected("dest", seen=9), "has seen=9 and of=8"),
        (checks.expected("dst"), "'dst'.*\n.*did you mean 'dest'"),
        (checks.volume(at_least=3), "has at_least=3 and at_most=2"),
    ],
)
def test_a_badly_written_check_is_refused_by_name(check: Check, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        run_on(ORDERS, check, event_time="at", lines=LINES)


def test_an_expression_over_the_other_table_is_shown_with_its_caret() -> None:
    with pytest.raises(ExpressionError, match=r"(?s)amout.*did you mean 'amount'"):
        run_on(ORDERS, checks.agrees("total", table="lines", on="id", value="sum(amout)"), lines=LINES)


def test_a_pattern_that_would_hang_elsewhere_does_not() -> None:
    frame = pl.DataFrame({"id": [1], "text": ["a" * 50_000 + "!"]})
    assert run_on(frame, checks.matches("text", "(a+)+b")).results[0].failed_rows == 1


@pytest.mark.parametrize("check", [checks.isin("dest", ["a"]), checks.matches("dest", "a"), checks.outliers("total")])
def test_no_rows_and_all_null_hold(check: Check) -> None:
    empty = ORDERS.with_columns(pl.lit(None, pl.String).alias("dest"), pl.lit(None, pl.Float64).alias("total"))
    for frame in (empty, empty.head(0)):
        assert run_on(frame, check, lines=LINES).results[0].ok


@given(st.lists(st.from_regex(r"[A-Z]{2,3}-[0-9]{1,4}", fullmatch=True), min_size=2, max_size=20))
@examples(max_examples=50)
def test_a_proposed_pattern_matches_what_it_was_made_from(texts: list[str]) -> None:
    found = pattern(texts)
    assert found and all(re.fullmatch(found, each) for each in texts)


def test_columns_are_named_one_by_one_or_as_a_list() -> None:
    assert checks.expected(["store", "kind"]) == checks.expected("store", "kind")
    assert checks.unique(["a", "b"]) == checks.unique("a", "b") and checks.zeros(["units"]) == checks.zeros("units")
    assert checks.defaults(off="zeros") == checks.defaults(off=["zeros"])
    assert checks.isin("state", {"open", "done"}) == checks.isin("state", ["done", "open"])
    with pytest.raises(DefinitionError, match="takes one column"):
        checks.nulls(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="was given 3"):
        checks.frozen("a", [3])  # type: ignore[list-item]
