"""Every compiler gives what the judge gives, for any expression over any row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import duckdb
import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from millstream.errors import BadData
from millstream.expressions import Expression, parse
from millstream.expressions.closure import to_closure
from millstream.expressions.duckdb import to_sql
from millstream.expressions.node import Call, Case, Column, Literal, Node, children, walk
from millstream.expressions.polars import compute
from millstream.expressions.table import BY_NAME, FUNCTIONS
from tests.expressions.trees import LIBM, ROWS, SCHEMA, calls, expression, frame, micros, nodes, plain

KINDS = sorted(set(SCHEMA.values()))
FAILED = "failed"
TREES = st.sampled_from(KINDS).flatmap(nodes).map(expression)
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)


class Arrow:
    """Hands a frame to DuckDB as an Arrow stream."""

    def __init__(self, made: pl.DataFrame) -> None:
        self.made = made

    def __arrow_c_stream__(self, requested: object = None) -> object:
        return self.made.__arrow_c_stream__(requested)


@pytest.fixture(scope="module")
def judge() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'; SET threads=1; PRAGMA disable_optimizer")
    yield connection
    connection.close()


def by_polars(each: Expression, rows: list[dict[str, Any]]) -> Any:
    try:
        return [plain(value) for value in compute(frame(rows), {"x": each}, where="test")["x"].to_list()]
    except BadData:
        return FAILED


def by_closure(each: Expression, rows: list[dict[str, Any]]) -> Any:
    compiled = to_closure({"x": each})
    try:
        return [compiled(row)["x"] for row in rows]
    except BadData:
        return FAILED


def by_judge(judge: duckdb.DuckDBPyConnection, each: Expression, rows: list[dict[str, Any]]) -> Any:
    given = frame(rows).with_columns(pl.col("n1", "n2").cast(pl.Int64)).with_row_index("place")
    judge.register("given", Arrow(given))
    try:
        made = pl.DataFrame(judge.sql(f"SELECT {to_sql(each)} AS x FROM given ORDER BY place"))
        return [plain(value) for value in made["x"].to_list()]
    except (duckdb.OutOfRangeException, duckdb.ConversionException, duckdb.InvalidInputException):
        return FAILED
    finally:
        judge.unregister("given")


def same(left: Any, right: Any) -> bool:
    if left == FAILED or right == FAILED:
        return bool(left == right)
    return len(left) == len(right) and all(
        type(a) is type(b) and (a == b or (isinstance(a, float) and math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-300)))
        for a, b in zip(left, right, strict=True)
    )


def bits(left: Any, right: Any) -> bool:
    """Say whether two answers are the same to the last bit; 0.0 and -0.0 are one number."""
    return bool(left == right) and (left == FAILED or all(type(a) is type(b) for a, b in zip(left, right, strict=True)))


def agree(judge: duckdb.DuckDBPyConnection, each: Expression, rows: list[dict[str, Any]]) -> None:
    closure, polars, judged = by_closure(each, rows), by_polars(each, rows), by_judge(judge, each, rows)
    if not (closure == FAILED and idle(each)):
        assert bits(polars, closure), ("polars, closure", to_sql(each), polars, closure)
    if not (FAILED in (closure, judged) and lazy(each)):
        assert same(judged, closure), ("judge, closure", to_sql(each), judged, closure)


def fails(node: Node) -> bool:
    return any(isinstance(part, Call) and FUNCTIONS[part.function].raises for part in walk(node))


def idle(each: Expression) -> bool:
    """Say whether an error may not matter: Polars drops what decides between equal results, or meets a literal NULL."""
    parts = list(walk(each.node))
    return any(isinstance(part, Literal) and part.value is None for part in parts) or any(
        isinstance(part, Case) and any(map(fails, part.conditions)) for part in parts
    )


def lazy(each: Expression) -> bool:
    """Say whether an error may lie below the root: DuckDB leaves out what meets only NULLs, and folds constants."""
    return any(map(fails, children(each.node))) or any(
        isinstance(part, Literal) and part.value is None for part in children(each.node)
    )


@settings(max_examples=250, deadline=None, suppress_health_check=SLOW)
@given(each=TREES, rows=ROWS)
def test_any_expression(judge: duckdb.DuckDBPyConnection, each: Expression, rows: list[dict[str, Any]]) -> None:
    agree(judge, each, rows)


@pytest.mark.parametrize("name", BY_NAME)
def test_each_function(judge: duckdb.DuckDBPyConnection, name: str) -> None:
    @settings(max_examples=10, deadline=None, suppress_health_check=SLOW)
    @given(each=st.sampled_from(BY_NAME[name]).flatmap(lambda each: calls(each, 0)).map(expression), rows=ROWS)
    def check(each: Expression, rows: list[dict[str, Any]]) -> None:
        agree(judge, each, rows)

    check()


@pytest.mark.nightly
@pytest.mark.parametrize("name", BY_NAME)
def test_each_function_in_depth(judge: duckdb.DuckDBPyConnection, name: str) -> None:
    @settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
    @given(each=st.sampled_from(BY_NAME[name]).flatmap(lambda each: calls(each, 1)).map(expression), rows=ROWS)
    def check(each: Expression, rows: list[dict[str, Any]]) -> None:
        agree(judge, each, rows)

    check()


@pytest.mark.nightly
def test_any_deep_expression(judge: duckdb.DuckDBPyConnection) -> None:
    @settings(max_examples=800, deadline=None, suppress_health_check=SLOW)
    @given(each=st.sampled_from(KINDS).flatmap(lambda kind: nodes(kind, 5)).map(expression), rows=ROWS)
    def check(each: Expression, rows: list[dict[str, Any]]) -> None:
        agree(judge, each, rows)

    check()


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(each=TREES, rows=ROWS)
def test_many_rows_give_what_one_row_gives(each: Expression, rows: list[dict[str, Any]]) -> None:
    many, alone = by_polars(each, rows), [by_polars(each, [row]) for row in rows]
    assert bits(many, FAILED if FAILED in alone else [value for (value,) in alone])


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(trees=st.lists(TREES, min_size=2, max_size=5), rows=ROWS)
def test_a_mapping_gives_what_each_expression_gives(trees: list[Expression], rows: list[dict[str, Any]]) -> None:
    named = {f"x{place}": each for place, each in enumerate(trees)}
    together = to_closure(named)
    for row in rows:
        alone = [by_closure(each, [row]) for each in trees]
        if FAILED in alone:
            with pytest.raises(BadData):
                together(row)
        else:
            assert bits(list(together(row).values()), [value for (value,) in alone])


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(each=TREES)
def test_an_expression_survives_json(each: Expression) -> None:
    back = msgspec.json.decode(msgspec.json.encode(each), type=Expression)
    assert back == each
    assert to_sql(back) == to_sql(each)


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs", "Cn"))), other=st.text(max_size=3))
@example(text="ΑΣ İSTANBUL straße ǅ", other="Σ")
def test_texts_of_any_script(text: str, other: str) -> None:
    asked = ["lower(s1)", "upper(s1)", "length(s1)", "trim(s1)", "s1 || s2", "contains(s1, s2)", "substring(s1, 2, 3)",
             "s1 < s2", "greatest(s1, s2)", "s1 like '_%'", "starts_with(s1, s2)"]  # fmt: skip
    rows = [dict.fromkeys(SCHEMA) | {"s1": text, "s2": other}]
    for each in asked:
        parsed = parse(each, SCHEMA, where="test")
        assert by_polars(parsed, rows) == by_closure(parsed, rows), each


def test_functions_of_libraries_are_left_to_their_own_test() -> None:
    assert {each.name for each in FUNCTIONS.values()} >= LIBM


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
def test_calendar_parts_around_every_turn_of_the_clock(zone: str) -> None:
    parts = ["year", "quarter", "month", "week", "day", "dayofyear", "dayofweek", "isodow", "hour", "minute", "second"]
    named = {each: parse(f"{each}(t1 at time zone '{zone}')", SCHEMA, where="test") for each in parts}
    parts = ["day_fraction", "week_fraction", "year_fraction"]
    named |= {each: parse(f"{each}(t1 at time zone '{zone}')", SCHEMA, where="test") for each in parts}
    named["free"] = parse(f"is_holiday(t1 at time zone '{zone}', 'AU')", SCHEMA, where="test")
    named["date"] = parse(f"cast(t1 at time zone '{zone}' as date)", SCHEMA, where="test")
    rows = [dict.fromkeys(SCHEMA) | {"t1": at * 1_799_000_000} for at in range(-2_000_000, 2_250_000, 997)]
    made = compute(frame(rows), named, where="test")
    compiled = to_closure(named)
    for name in named:
        assert [plain(value) for value in made[name].to_list()] == [compiled(row)[name] for row in rows], name


@pytest.mark.parametrize(
    ("zone", "turn"),
    [
        ("Australia/Lord_Howe", datetime(2013, 4, 6, 15, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2013, 10, 5, 15, tzinfo=UTC)),
        ("America/New_York", datetime(1883, 11, 18, 16, 30, tzinfo=UTC)),
    ],
)
def test_clocks_that_turn_within_an_hour(zone: str, turn: datetime) -> None:
    each = parse(f"minute(t1 at time zone '{zone}') + 60 * hour(t1 at time zone '{zone}')", SCHEMA, where="test")
    rows = [dict.fromkeys(SCHEMA) | {"t1": micros(turn) + 60_000_000 * minute} for minute in range(0, 90)]
    assert by_polars(each, rows) == by_closure(each, rows)


@pytest.mark.parametrize("a", [True, False, None])
@pytest.mark.parametrize("b", [True, False, None])
def test_three_valued_logic(judge: duckdb.DuckDBPyConnection, a: bool | None, b: bool | None) -> None:
    rows = [dict.fromkeys(SCHEMA) | {"b1": a, "b2": b}]
    both = {a, b}
    conjunction = False if False in both else None if None in both else True
    disjunction = True if True in both else None if None in both else False
    table = {
        "b1 and b2": conjunction,
        "b1 or b2": disjunction,
        "not b1": None if a is None else not a,
        "b1 = b2": None if None in both else a == b,
        "b1 is null": a is None,
        "b1 is not null": a is not None,
        "b1 is distinct from b2": a is not b,
        "b1 is not distinct from b2": a is b,
        "b1 is true": a is True,
        "b1 is not true": a is not True,
        "coalesce(b1, b2)": b if a is None else a,
        "nullif(b1, b2)": None if a is not None and a == b else a,
        "case when b1 then 1 when b2 then 2 else 3 end": 1 if a else 2 if b else 3,
        "case b1 when b2 then 'same' end": "same" if a is not None and a == b else None,
        "if(b1, 1, 0)": 1 if a else 0,
    }
    for text, wanted in table.items():
        each = parse(text, SCHEMA, where="test")
        asked = [wanted]
        assert by_closure(each, rows) == by_polars(each, rows) == by_judge(judge, each, rows) == asked, text
        native = judge.sql(f"SELECT {text} FROM (SELECT ?::BOOLEAN AS b1, ?::BOOLEAN AS b2)", params=[a, b]).fetchall()
        assert native[0][0] == wanted, text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("i1 in (1, 2)", True), ("i1 in (2, 3)", False), ("i1 in (2, null)", None), ("i1 in (1, null)", True),
        ("i2 in (1, 2)", None), ("i1 not in (2, 3)", True), ("i1 not in (2, null)", None), ("i1 in (d1, 7)", False),
        ("d1 in (1, 2.5)", True), ("i1 in (1.0, 2.5)", True), ("i1 between 0 and 1", True),
        ("i1 between 2 and null", False), ("i1 between 0 and null", None), ("not i1 between 2 and 3", True),
        ("s1 in ('a', 'b')", True), ("t1 in (timestamptz '1970-01-01 00:00:00Z')", True), ("b1 in (true)", True),
        ("least(i1, i2, 0)", 0), ("greatest(i2, null)", None), ("concat(s1, s2, 'x')", "ax"), ("s1 || s2", None),
        ("d1 / 0", None), ("i1 / 2", 0.5), ("-7 // 2", -3), ("-7 % 2", -1), ("7 % -2", 1), ("i1 // 0", None),
        ("i1 % 0", None), ("round(2.5)", 3.0), ("round(-2.5)", -3.0), ("round(2.675, 2)", 2.68),
        ("round(1.004999999999, 2)", 1.0),
        ("epoch(cast('1970-01-01 00:00-0130' as timestamptz))", 5400.0),
        ("case when i1 > 1 then i1 * 2 + 1 else 0 end + (i1 * 2 + 1)", 3), ("sqrt(-1)", None),
        ("ln(0)", None), ("exp(1000)", None), ("1e308 * 10", None), ("power(0, -1)", None), ("power(-8, 0.5)", None),
        ("cast(2.5 as bigint)", 2), ("cast(3.5 as bigint)", 4), ("try_cast('x' as bigint)", None),
        ("try_cast(1e300 as bigint)", None), ("epoch(t1 - t1)", 0.0),
        ("i1 * interval '90 minutes' > interval '1 hour'", True),
        ("epoch(2.5 * interval '1 minute')", 150.0), ("date '2013-03-01' - date '2013-02-01'", 28),
        ("clip(i1, 2, 5)", 2), ("clip(d1, 0, 1)", 1.0), ("clip(i2, 0, 1)", None), ("clip(i1, i2, 1)", None),
        ("bucket(d1, 1, 2.5, 9)", 2), ("bucket(i1, 2, 3)", 0), ("bucket(i2, 2)", None),
        ("hash_bucket(s1, 1000)", int(sha256(b"a").hexdigest()[:15], 16) % 1000), ("hash_bucket(s2, 9)", None),
        ("hash_bucket(i1, 7)", int(sha256(b"1").hexdigest()[:15], 16) % 7), ("asin(2)", None), ("cos(0)", 1.0),
        ("degrees(pi())", 180.0), ("atan2(0, -1)", math.pi), ("power(d1, 2)", 6.25), ("log10(1000)", 3.0),
        ("left('Zürich', 2)", "Zü"), ("right('Zürich', 4)", "rich"), ("right(s1, 99)", "a"), ("left(s1, 0)", ""),
        ("replace('a.b.', '.', '$0')", "a$0b$0"), ("split_part('x--y', '-', 2)", ""), ("split_part(s1, '-', 2)", ""),
        ("day_fraction(timestamptz '2013-03-10 12:00:00Z' at time zone 'America/New_York')", 8 / 24),
        ("week_fraction(timestamptz '1969-12-29 00:00:00Z' at time zone 'UTC')", 0.0),
        ("year_fraction(date '2012-12-31')", 365 / 366), ("year_fraction(date '2013-01-01')", 0.0),
        ("is_holiday(date '2013-07-04', 'US')", True), ("is_holiday(date '2013-07-04', 'DE')", False),
        ("is_holiday(timestamptz '2013-07-05 02:00:00Z' at time zone 'America/New_York', 'US')", True),
        ("is_holiday(date '1960-07-04', 'US')", None), ("is_holiday(date '2013-07-04', 'XNYS')", True),
        ("holiday_name(date '2013-12-25', 'US')", "Christmas Day"), ("holiday_name(date '2013-12-24', 'US')", None),
        ("is_working_day(date '2023-01-28', 'CN')", True), ("is_working_day(date '2013-03-01', 'SA')", False),
        ("days_until_holiday(date '2013-07-01', 'US')", 3), ("days_since_holiday(date '2013-07-06', 'US')", 2),
        ("ifnull(i2, 5)", 5), ("-i1", -1), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)),
        ("case when i1 > 0 then 1 else 0.5 end", 1.0), ("extract(year from date '2013-03-01')", 2013),
        ("case when i1 = 1 then 0 else cast(s1 as bigint) end", 0),
    ],
)  # fmt: skip
def test_rules(judge: duckdb.DuckDBPyConnection, text: str, wanted: Any) -> None:
    rows = [dict.fromkeys(SCHEMA) | {"i1": 1, "d1": 2.5, "s1": "a", "t1": 0, "b1": True}]
    each = parse(text, SCHEMA, where="test")
    assert by_closure(each, rows) == [wanted]
    assert by_polars(each, rows) == [wanted]
    assert by_judge(judge, each, rows) == [wanted]
    assert type(by_closure(each, rows)[0]) is type(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807 + i1", "-9223372036854775808 - i1", "9223372036854775807 * (i1 + 1)",
        "abs(i1 - 9223372036854775807 - 2)", "(-i1 - 9223372036854775807) // (i1 - 2)", "cast(s1 as bigint)",
        "cast(s1 as double)", "cast(s1 as boolean)", "cast(s1 as date)", "cast(s1 as timestamptz)",
        "cast(d1 * 1e300 as bigint)", "t1 - i1 * interval '1000000 days'", "date '9999-12-31' + i1",
        "i1 * 9223372036854775807 * interval '2 microseconds'", "1e300 * d1 * interval '1 second'",
        "b1 or cast(s1 as bigint) = 1", "case when i1 = 1 then cast(s1 as bigint) else 0 end",
    ],
)  # fmt: skip
def test_errors(judge: duckdb.DuckDBPyConnection, text: str) -> None:
    rows = [dict.fromkeys(SCHEMA) | {"i1": 1, "d1": 2.5, "s1": "a", "t1": 0, "b1": True}]
    each = parse(text, SCHEMA, where="test")
    assert by_closure(each, rows) == by_polars(each, rows) == by_judge(judge, each, rows) == FAILED
    with pytest.raises(BadData) as told:
        compute(frame(rows), {"x": each}, where="table t")
    assert str(told.value).startswith("table t: ")
    assert by_closure(each, [dict.fromkeys(SCHEMA)]) in ([None], [0])


@pytest.mark.parametrize("operator", ["=", "<>", "<", "<=", ">", ">=", "is distinct from"])
def test_a_constant_compared_with_nothing_but_nulls(operator: str) -> None:
    rows = [dict.fromkeys(SCHEMA) | {"s1": "x"}] * 3
    each = parse(f"abs(-1) {operator} try_cast(s1 as bigint)", SCHEMA, where="test")
    assert by_polars(each, rows) == by_closure(each, rows) == [True if "distinct" in operator else None] * 3


def test_a_column_is_not_confused_with_code() -> None:
    odd = 'it\'s "odd"]\n'
    each = Expression("x", Column(odd, "bigint"), "bigint", (odd,))
    told = Expression("x", Literal("'{0}\\\n", "varchar"), "varchar", ())
    assert to_closure({odd: each, "b": told})({odd: 3}) == {odd: 3, "b": "'{0}\\\n"}
