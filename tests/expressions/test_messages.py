"""What is said about expressions that cannot be used; the texts are golden."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from millstream.errors import ExpressionError
from millstream.expressions import parse
from millstream.expressions.holidays import calendar

SCHEMA = {
    "arr_delay": "double", "air_time": "bigint", "carrier": "varchar", "scheduled_departure": "timestamptz",
    "day": "date", "cancelled": "boolean",
}  # fmt: skip
WRONG = [
    "arr_dely > 15", "Carrier = 'UA'", "flights.arr_delay > 15", "arr_delay > 'late'", "cancelled + 1", "not arr_delay",
    "cancelled > false", "case when air_time then 1 end", "case when cancelled then 1 else 'x' end", "air_time % 2.5",
    "carrier || air_time", "scheduled_departure + 5", "scheduled_departure > '2013-02-01'", "day > '2013-02-01'",
    "day + interval '1 day'", "hour(scheduled_departure)", "extract(month from scheduled_departure)",
    "hour(scheduled_departure at time zone 'America/New_Yorc')", "cast(scheduled_departure as date)",
    "cast(arr_delay as varchar)", "cast(air_time as int)", "interval '1 month'", "interval '1 fortnight'",
    "air_time * interval (5) minute", "timestamp '2013-02-01'", "timestamptz '2013-02-01 10:00:00'",
    "date '2013-02-30'", "hoor(day)", "no_such_thing(1)", "now()", "random() > 0.5", "count(*)",
    "avg(arr_delay) over (partition by carrier)", "date_diff('minute', scheduled_departure, scheduled_departure)",
    "carrier in (select carrier from airlines)", "carrier like air_time", "carrier like carrier",
    "round(arr_delay, 99)",
    "substring(carrier, 0)", "99999999999999999999", "null", "", "arr_delay >",
    "arr_delay > 15 as late", "arr_delay; air_time", "'open", "carrier = 'UA'\nand arr_dely > 15", "day = null = 5",
    "is_holiday(day, 'UX')", "is_holiday(day, 'DE-B')", "is_holiday(day, carrier)",
    "is_holiday(scheduled_departure, 'US')",
    "holiday(day, 'US')", "bucket(air_time, 3, 2)", "bucket(air_time)", "hash_bucket(carrier, 0)",
    "hash_bucket(day, 8)",
    "hash(carrier)", "clip(carrier, 1, 2)", "clip(arr_delay, 1)", "left(carrier, -1)", "replace(carrier, '', 'x')",
    "split_part(carrier, '-', 0)", "day_fraction(scheduled_departure)", "day_fraction(day)", "sine(arr_delay)",
    "width_bucket(arr_delay, 0, 10, 5)",
]  # fmt: skip
GOLDEN = Path(__file__).with_name("messages.txt")


def told(text: str) -> str:
    with pytest.raises(ExpressionError) as refused:
        parse(text, SCHEMA, where="label of model late")  # type: ignore[arg-type]
    return str(refused.value)


def test_messages_are_as_agreed() -> None:
    # To change them on purpose: write what this makes to messages.txt, and read it.
    assert "\n\n".join(told(text) for text in WRONG) + "\n" == GOLDEN.read_text()


def test_the_caret_stands_under_the_place() -> None:
    lines = told("carrier = 'UA'\n  and arr_dely > 15").splitlines()
    assert lines[1:3] == ["      and arr_dely > 15", "          ^^^^^^^^"]


def test_without_the_library_a_holiday_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    calendar.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    assert "pip install 'millstream[holidays]'" in told("is_holiday(day, 'US')")
    assert "^^^" in told("is_holiday(day, 'US')")


def test_deep_and_long_texts_are_refused_in_words() -> None:
    assert "nested too deeply" in told("(" * 4000 + "1" + ")" * 4000)
    assert "characters" in told("1 + " * 10_000 + "1")


@pytest.mark.parametrize("column", ["air_time", "arr_delay"])
@pytest.mark.parametrize("operator", ["+", "-", "*", "/"])
def test_deep_expressions_are_computed_in_the_time_of_their_length(column: str, operator: str) -> None:
    import polars as pl

    from millstream.expressions.closure import to_closure
    from millstream.expressions.polars import compute, to_polars

    many = parse(f" {operator} ".join([column] * 60), SCHEMA, where="x")  # type: ignore[arg-type]
    rows = pl.DataFrame({"air_time": [1, 1], "arr_delay": [1.25, None]})  # 2 ** 60 parts, were each written out
    wanted = [to_closure({"x": many})(row)["x"] for row in rows.to_dicts()]
    assert compute(rows, {"x": many}, where="x")["x"].to_list() == wanted
    assert compute(rows.head(1), {"x": many}, where="x")["x"].to_list() == wanted[:1]
    assert compute(rows.clear(), {"x": many}, where="x")["x"].to_list() == []
    for frame, answers in ((rows, wanted), (rows.head(1), wanted[:1]), (rows.clear(), [])):
        assert frame.select(to_polars(many).alias("x"))["x"].to_list() == answers
        assert frame.lazy().filter(to_polars(many).is_not_null()).collect().height == len(answers) - answers.count(None)


def test_a_deep_expression_that_fails_fails_as_a_short_one() -> None:
    import polars as pl

    from millstream.expressions.polars import to_polars

    text = " + ".join(["air_time"] * 30)
    for asked in ("air_time + air_time", text):
        said = parse(asked, SCHEMA, where="x")  # type: ignore[arg-type]
        with pytest.raises(pl.exceptions.InvalidOperationError):
            pl.DataFrame({"air_time": [2**62, 2**62]}).select(to_polars(said))


def test_deep_branches_are_guarded_and_computed() -> None:
    import polars as pl

    from millstream.expressions.closure import to_closure
    from millstream.expressions.polars import compute

    deep = "cast(carrier as bigint)"
    for each in range(25):
        deep = f"case when air_time = {each} then {each} else {deep} + 1 end"
    said = parse(deep, SCHEMA, where="x")  # type: ignore[arg-type]
    rows = pl.DataFrame({"air_time": [0, 24, 7, 99], "carrier": ["no", None, "number", "12"]})
    wanted = [to_closure({"x": said})(row)["x"] for row in rows.to_dicts()]
    assert compute(rows, {"x": said}, where="x")["x"].to_list() == wanted and wanted[3] == 37


def test_deep_expressions_that_are_read_are_also_computed() -> None:
    from millstream.expressions.closure import to_closure

    branches = " ".join(f"when air_time = {each} then {each * 2}" for each in range(80))
    chosen = parse(f"case {branches} end", SCHEMA, where="x")  # type: ignore[arg-type]
    assert to_closure({"x": chosen})({"air_time": 79}) == {"x": 158}
