"""Point-in-time features against the oracle, and the laws they keep."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.features import FeaturePlan, intervals, point_in_time
from millstream.features.sums import ActiveSum
from millstream.types import to_micros

from . import worlds

PLAN = worlds.plan()
STATIC = worlds.plan(static=True, overs=(None,))
TTL = worlds.plan(ttl="7s", overs=(None, "20s"))


def same(found: Any, expected: Any, scale: float) -> bool:
    if found is None or expected is None:
        return found is expected
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9 * scale)
    return found == expected


def judge(plan: FeaturePlan, facts: list[dict[str, Any]], rows: list[dict[str, Any]], *, static: bool = False) -> None:
    """Compare every feature of every row with the oracle."""
    joined = point_in_time(plan, worlds.asks(rows), {"facts": worlds.table(facts, static=static)})
    assert joined["row"].to_list() == list(range(len(rows)))
    expert = worlds.Judge(facts, static=static)
    for view in plan.views:
        for name, window in view.features.items():
            found = joined[f"{view.name}.{name}"].to_list()
            for place, row in enumerate(rows):
                entity = {column: row[key] for column, key in zip(view.entity, view.keys, strict=True)}
                value = None if window.value is None else window.value.text
                at = to_micros(worlds.instant(row["at"]))
                expected = expert.expect(
                    window.aggregate, value, window.over_us, entity, at, ago=window.ago_us, q=window.q
                )
                assert same(found[place], expected, scale=1.0), (view.name, name, row, found[place], expected)


facts = st.lists(worlds.fact, max_size=14)
rows = st.lists(worlds.ask, min_size=1, max_size=4)


@settings(max_examples=120, deadline=None)
@given(facts, rows)
def test_every_aggregate_is_what_the_oracle_says(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    judge(PLAN, facts, rows)


@settings(max_examples=30, deadline=None)
@given(facts, rows)
def test_static_tables_are_always_known_and_the_last_row_of_a_key_counts(
    facts: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    judge(STATIC, facts, rows, static=True)


@settings(max_examples=30, deadline=None)
@given(facts, rows)
def test_ttl_is_the_window_of_features_that_have_none(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    judge(TTL, facts, rows)


@settings(max_examples=40, deadline=None)
@given(facts, facts, rows)
def test_what_becomes_known_later_changes_nothing(
    facts: list[dict[str, Any]], late: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    """Law 2: no read at T uses a fact known after T, corrections included."""
    latest = max(each["at"] for each in rows)
    unknown = [each | {"k1": latest + 1 + (each["k1"] or 0), "k2": latest + 1 + (each["k2"] or 0)} for each in late]
    spine = worlds.asks(rows)
    before = point_in_time(PLAN, spine, {"facts": worlds.table(facts)})
    after = point_in_time(PLAN, spine, {"facts": worlds.table(facts + unknown)})
    for name in PLAN.names:
        for old, new in zip(before[name].to_list(), after[name].to_list(), strict=True):
            assert same(new, old, scale=1.0), name


@settings(max_examples=30, deadline=None)
@given(facts, rows, st.randoms(use_true_random=False))
def test_every_row_survives_in_its_place(facts: list[dict[str, Any]], rows: list[dict[str, Any]], random: Any) -> None:
    """Law 3, and: a row's features do not depend on which other rows ask."""
    spine = worlds.asks(rows)
    table = {"facts": worlds.table(facts)}
    joined = point_in_time(PLAN, spine, table)
    assert joined.select(spine.columns).equals(spine)
    shuffled = spine.sample(fraction=1.0, shuffle=True, seed=random.randrange(1000))
    again = point_in_time(PLAN, shuffled, table).sort("row")
    assert again.equals(joined, null_equal=True)


def test_a_large_value_elsewhere_leaves_no_trace() -> None:
    """Prefix sums of squares gave a variance of 7436 for a true 1."""
    far = [{"x": 1e12 * (-1) ** i + 0.1 * i, "a": "v"} for i in range(50)]
    near = [{"x": 1e8 + i % 3, "a": "u"} for i in range(300)]
    facts = [
        {"id": i, "b": 1, "at": i % 40, "n": 0, "flag": True, "word": "", "k1": 0, "k2": i % 40} | each
        for i, each in enumerate(far + near)
    ]
    rows = [{"p": "u", "q": 1, "at": at} for at in (5, 21, 39)]
    joined = point_in_time(PLAN, worlds.asks(rows), {"facts": worlds.table(facts)})
    expert = worlds.Judge(facts)
    for row, std, mean in zip(rows, joined["one.std_x_5s"], joined["one.mean_x_5s"], strict=True):
        at = to_micros(worlds.instant(row["at"]))
        assert std == pytest.approx(expert.expect("std", "x", 5_000_000, {"a": "u"}, at), rel=1e-9)
        assert mean == pytest.approx(expert.expect("mean", "x", 5_000_000, {"a": "u"}, at), rel=1e-15)


def test_a_window_far_from_the_usual_level_keeps_its_spread() -> None:
    usual = [{"x": float(i % 7), "at": 0} for i in range(60)]
    raised = [{"x": 3e9 + 0.1 * (i % 3), "at": 30} for i in range(40)]
    facts = [
        {"id": i, "a": "u", "b": 1, "n": 0, "flag": True, "word": "", "k1": 0, "k2": 0} | each
        for i, each in enumerate(usual + raised)
    ]
    joined = point_in_time(PLAN, worlds.asks([{"p": "u", "q": 1, "at": 31}]), {"facts": worlds.table(facts)})
    expected = worlds.Judge(facts).expect("std", "x", 5_000_000, {"a": "u"}, to_micros(worlds.instant(31)))
    assert joined["one.std_x_5s"][0] == pytest.approx(expected, rel=1e-9)


def test_sums_are_exact_whatever_else_is_in_the_column() -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-8, 12, 500), [1e15 + 0.5, 2.0**-40]])
    ending = rng.permutation(len(values))
    started, ended = rng.integers(0, len(values) + 1, 50), rng.integers(0, len(values) + 1, 50)
    high, low = ActiveSum(values, ending).between(started, ended)
    for place, (begun, gone) in enumerate(zip(started, ended, strict=True)):
        exact = sum(map(Fraction, values[:begun])) - sum(map(Fraction, values[ending[:gone]]))
        assert abs(Fraction(high[place]) + Fraction(low[place]) - exact) <= abs(exact) * Fraction(1, 2**90)


FACT = {"id": 1, "a": "u", "b": 1, "at": 5, "x": 1.0, "n": 1, "flag": True, "word": "red", "k1": 0, "k2": 5}


def last_x(*facts: dict[str, Any], at: int = 30) -> Any:
    joined = point_in_time(PLAN, worlds.asks([{"p": "u", "q": 1, "at": at}]), {"facts": worlds.table(list(facts))})
    return joined["one.last_x_ever"].item()


def test_last_is_by_event_then_by_known_at_then_by_row() -> None:
    older = FACT | {"id": 2, "at": 4, "k2": 20, "x": 2.0}
    assert last_x(FACT, older) == last_x(older, FACT) == 1.0
    later_known = FACT | {"id": 3, "k2": 9, "x": 3.0}
    assert last_x(FACT, later_known) == last_x(later_known, FACT) == 3.0
    assert last_x(later_known, FACT, at=8) == 1.0
    same = FACT | {"id": 4, "x": 4.0}
    assert (last_x(FACT, same), last_x(same, FACT)) == (4.0, 1.0)


def test_last_follows_corrections_to_null_to_an_earlier_event_and_to_another_entity() -> None:
    before = FACT | {"id": 9, "at": 2, "k2": 2, "x": 9.0}
    for changed in ({"x": None}, {"at": 1, "x": 7.0}, {"a": "v"}):
        assert last_x(before, FACT, FACT | changed | {"k2": 10}) == 9.0
    assert last_x(before, FACT, FACT | {"x": 8.0, "k2": 10}) == 8.0
    assert last_x(before, FACT, FACT | {"x": 8.0, "k2": 10}, at=9) == 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(worlds.fact, max_size=14), st.lists(worlds.ask, min_size=1, max_size=4))
def test_times_too_far_apart_for_one_line_are_ranked(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "_ROOM", 1)
        judge(PLAN, facts, rows)


def test_a_row_without_an_instant_is_kept_and_knows_nothing() -> None:
    spine = worlds.asks([{"p": "u", "q": 1, "at": None}])
    facts = [{"id": 1, "a": "u", "b": 1, "at": 0, "x": 1.0, "n": 1, "flag": True, "word": "red", "k1": 0, "k2": 0}]
    joined = point_in_time(PLAN, spine, {"facts": worlds.table(facts)})
    assert joined["one.count_all_ever"].to_list() == [0]
    assert joined["one.last_word_ever"].to_list() == [None]


def test_no_facts_and_no_rows() -> None:
    table = {"facts": worlds.table([])}
    assert len(point_in_time(PLAN, worlds.asks([]), table)) == 0
    joined = point_in_time(PLAN, worlds.asks([{"p": "u", "q": 1, "at": 3}]), table)
    assert joined.select(pl.col("one.count_x_5s")).item() == 0
    assert joined.select(pl.col("one.sum_x_5s")).item() is None
    assert joined.schema["two.last_word_ever"] == pl.String
