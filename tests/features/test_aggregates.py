"""The aggregates that need order, and windows that end some time ago, against the oracle: offline and served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.features import FeaturePlan, intervals, point_in_time, trend
from millstream.types import to_micros

from . import oracle, worlds
from .test_online import serve_and_compare
from .test_point_in_time import FACT, judge

LATER = worlds.plan(values=worlds.LATER_VALUES)
EVERY = {**worlds.VALUES, **worlds.LATER_VALUES}
AGO = worlds.plan(values=EVERY, overs=(None, "20s"), ago="7s")
STATIC = worlds.plan(
    values={name: EVERY[name] for name in ("first", "distinct", "quantile")}, static=True, overs=(None,)
)

facts = st.lists(worlds.fact, max_size=14)
rows = st.lists(worlds.ask, min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(facts, rows)
def test_every_aggregate_is_what_the_oracle_says(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    judge(LATER, facts, rows)


@settings(max_examples=30, deadline=None)
@given(facts, rows)
def test_a_window_that_ended_is_that_of_events_so_much_later(
    facts: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    judge(AGO, facts, rows)


@settings(max_examples=15, deadline=None)
@given(facts, rows)
def test_of_a_static_table_too(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    judge(STATIC, facts, rows, static=True)


@settings(max_examples=15, deadline=None)
@given(facts, rows)
def test_times_too_far_apart_for_one_line_are_ranked(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "_ROOM", 1)
        judge(LATER, facts, rows)
        judge(AGO, facts, rows)


@pytest.mark.parametrize(("plan", "examples"), [(LATER, 15), (AGO, 10)], ids=["order", "ago"])
def test_served_equals_point_in_time(plan: FeaturePlan, examples: int, tmp_path: Path) -> None:
    serve_and_compare(plan, tmp_path, examples=examples)


@pytest.mark.nightly
@settings(max_examples=600, deadline=None)
@given(facts, rows)
def test_every_aggregate_of_many_worlds(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    judge(LATER, facts, rows)
    judge(AGO, facts, rows)


@pytest.mark.nightly
@pytest.mark.parametrize("plan", [LATER, AGO], ids=["order", "ago"])
def test_many_worlds_are_served_as_they_are_read(plan: FeaturePlan, tmp_path: Path) -> None:
    serve_and_compare(plan, tmp_path, examples=300)


def slope(at: list[float], x: list[float], over: str = "20s", second: float = 30) -> Any:
    """The trend of a few values of u at a second."""
    made = [FACT | {"id": place, "at": when, "k1": 0, "k2": 0, "x": value}
            for place, (when, value) in enumerate(zip(at, x, strict=True))]  # fmt: skip
    joined = point_in_time(LATER, worlds.asks([{"p": "u", "q": 1, "at": second}]), {"facts": worlds.table(made)})
    return joined[f"one.trend_x_{over}"].item()


def test_a_trend_is_the_slope_per_day_and_none_without_two_instants() -> None:
    assert slope([20, 30], [1.0, 2.0]) == pytest.approx(8640.0, rel=1e-15)
    assert slope([20, 20, 20], [1.0, 2.0, 3.0]) is None
    assert slope([20], [1.0]) is None


def test_a_trend_within_a_moment_decades_from_the_rest_is_exact() -> None:
    """Two hundred facts in as many microseconds: sums of squares cannot tell them apart, the facts themselves can."""
    far = [-3e9 + 1e7 * each + 1e-6 for each in range(300)]
    moments, values = [20 + each * 1e-6 for each in range(200)], [1e6 + each % 7 for each in range(200)]
    found = slope([*moments, *far], [*values, *([0.0] * 300)], second=21)
    points = [(to_micros(worlds.instant(at)), x) for at, x in zip(moments, values, strict=True)]
    assert found == pytest.approx(oracle.trend(points), rel=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trend, "_EXACT", float("inf"))
        assert slope([*moments, *far], [*values, *([0.0] * 300)], second=21) != pytest.approx(found, rel=1e-9)
    assert slope([20.000001] * 200 + far, [*values, *([0.0] * 300)], second=21) is None


def test_quantiles_stand_between_neighbours_and_lose_no_value() -> None:
    rng = np.random.default_rng(3)
    made = [FACT | {"id": i, "at": 20, "k1": 0, "k2": 0, "x": float(x)} for i, x in enumerate(rng.normal(size=101))]
    rows = worlds.asks([{"p": "u", "q": 1, "at": 21}])
    found = point_in_time(LATER, rows, {"facts": worlds.table(made)})["one.quantile_x_20s"].item()
    assert found == np.quantile([each["x"] for each in made], 0.25)


def test_a_negative_zero_is_no_other_value() -> None:
    made = [FACT | {"id": place, "x": x, "k1": 0, "k2": 0} for place, x in enumerate((0.0, -0.0, 1.0))]
    rows = worlds.asks([{"p": "u", "q": 1, "at": 6}])
    assert point_in_time(LATER, rows, {"facts": worlds.table(made)})["one.distinct_x_5s"].item() == 2


def test_a_clock_in_the_future_waits_and_a_null_key_is_nobody() -> None:
    """A fact of next year, known today, is in no window before it; one about nobody is in none at all."""
    made = [FACT | {"id": 1, "at": 5, "k1": 0, "k2": 0, "x": 1.0}, FACT | {"id": 2, "at": 4000, "k1": 0, "k2": 0},
            FACT | {"id": 3, "a": None, "at": 5, "k1": 0, "k2": 0, "x": 7.0}]  # fmt: skip
    rows = worlds.asks([{"p": "u", "q": 1, "at": 6}, {"p": None, "q": 1, "at": 6}, {"p": "u", "q": 1, "at": 4000}])
    joined = point_in_time(LATER, rows, {"facts": worlds.table(made)})
    assert joined["one.since_last_all_ever"].to_list() == [1 / 86_400, None, 0.0]
    assert joined["one.distinct_x_ever"].to_list() == [1, 0, 1]
    assert joined["one.quantile_x_20s"].to_list() == [1.0, None, 1.0]


def test_a_correction_takes_a_value_from_every_aggregate() -> None:
    """The fact that was largest, first and different is corrected a second later."""
    made = [FACT | {"id": place, "at": place, "k1": place, "k2": place, "x": x} for place, x in ((1, 9.0), (2, 1.0))]
    made.append(FACT | {"id": 1, "at": 1, "k1": 1, "k2": 8, "x": 1.0})
    rows = worlds.asks([{"p": "u", "q": 1, "at": at} for at in (7, 8)])
    joined = point_in_time(LATER, rows, {"facts": worlds.table(made)})
    found = {name: joined[f"one.{name}_x_20s"].to_list() for name in ("first", "distinct", "quantile")}
    assert found == {"first": [9.0, 1.0], "distinct": [2, 1], "quantile": [3.0, 1.0]}
    assert joined["one.trend_x_20s"].to_list() == [pytest.approx(-8 * 86_400), 0.0]
