"""Profiles, their counts, and how far things have moved."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import BadData, NotFound
from millstream.metrics.divergence import kl, null_share, psi, wasserstein
from millstream.metrics.profile import FEW, Counts, Profile, profile

VALUES = st.lists(st.one_of(st.just(math.nan), st.integers(-3, 3).map(float), st.floats(-1e9, 1e9)), max_size=80).map(
    lambda each: np.array(each, dtype=np.float64)
)
TEXTS = st.lists(st.one_of(st.none(), st.text("abc", max_size=3)), max_size=80).map(lambda each: np.array(each, object))


def bin_of(value: float, edges: tuple[float, ...], categories: tuple[Any, ...]) -> int:
    if categories:
        return categories.index(value) if value in categories else len(categories)
    return sum(value > edge for edge in edges)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_counts_put_every_value_in_its_bin(before: npt.NDArray[Any], now: npt.NDArray[Any]) -> None:
    stored = profile({"x": before}, bins=5)
    column, counted = stored.columns["x"], stored.counts({"x": now}).columns["x"]
    expected = [0] * len(column.counts)
    for value in now[~np.isnan(now)]:
        expected[bin_of(value, column.edges, column.categories)] += 1
    assert counted.bins == tuple(expected)
    assert counted.nulls == np.isnan(now).sum()
    assert column.counts == stored.counts({"x": before}).columns["x"].bins


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_texts_are_counted_by_value(before: npt.NDArray[Any], now: npt.NDArray[Any]) -> None:
    stored = profile({"x": before})
    column, counted = stored.columns["x"], stored.counts({"x": now}).columns["x"]
    assert len(column.categories) <= FEW
    known = [each for each in now if each is not None]
    assert counted.bins[:-1] == tuple(known.count(each) for each in column.categories)
    assert sum(counted.bins) == len(known) and counted.nulls == now.size - len(known)


@settings(deadline=None)
@given(VALUES, VALUES, VALUES)
def test_days_add_up_to_their_window(before: npt.NDArray[Any], first: npt.NDArray[Any], then: npt.NDArray[Any]) -> None:
    stored = profile({"x": before})
    whole, parts = stored.counts({"x": np.concatenate((first, then))}), [stored.counts({"x": d}) for d in (first, then)]
    added = sum(parts, start=Counts(0, {}))
    assert added.rows == whole.rows
    assert added.columns["x"].bins == whole.columns["x"].bins and added.columns["x"].nulls == whole.columns["x"].nulls
    assert added.columns["x"].total == pytest.approx(whole.columns["x"].total, abs=1e-3)


@settings(deadline=None)
@given(VALUES)
def test_a_profile_survives_json(before: npt.NDArray[Any]) -> None:
    stored = profile({"x": before, "t": np.array(["a"] * before.size, object)})
    assert msgspec.json.decode(msgspec.json.encode(stored), type=Profile) == stored
    counts = stored.counts({"x": before})
    assert msgspec.json.decode(msgspec.json.encode(counts), type=Counts) == counts


def test_a_profile_describes_its_column() -> None:
    random = np.random.default_rng(0)
    values = random.normal(10, 2, 10_000)
    values[:500] = math.nan
    column = profile({"x": values}).columns["x"]
    assert column.count == 10_000 and column.null_share == 0.05
    assert len(column.edges) == 19 and max(column.shares) - min(column.shares) < 0.001
    assert column.mean == pytest.approx(np.nanmean(values)) and column.std == pytest.approx(np.nanstd(values))
    assert (column.min, column.max) == (np.nanmin(values), np.nanmax(values))
    assert np.mean(column.sketch) == pytest.approx(column.mean)


def test_a_heavy_value_has_one_bin_and_booleans_are_categories() -> None:
    rain = np.concatenate((np.zeros(900), np.arange(1.0, 101.0)))
    column = profile({"rain": rain}).columns["rain"]
    assert column.edges[0] == 0.0 and column.counts[0] == 900
    assert profile({"b": np.array([True, False, True])}).columns["b"].counts == (1, 2, 0)


def test_all_nulls_in_the_reference_are_no_error() -> None:
    stored = profile({"x": np.full(5, math.nan), "t": np.full(5, None)})
    drift = stored.drift(stored.counts({"x": np.ones(3), "t": np.array(["a", None, "b"], object)}))
    assert drift["x"].kl is None and drift["x"].null_share_before == 1.0 and drift["x"].null_share == 0.0
    assert drift["t"].kl is None and drift["t"].null_share == pytest.approx(1 / 3)
    nothing = stored.drift(stored.counts({"x": np.empty(0)}))["x"]
    assert nothing.rows == 0 and nothing.null_share is None


def test_sampling_alone_is_not_drift() -> None:
    random = np.random.default_rng(5)
    stored = profile({"x": random.normal(size=100_000)})
    found = [stored.drift(stored.counts({"x": random.normal(size=900)}))["x"] for _ in range(200)]
    raw_expectation = 19 / 1800
    assert np.mean([each.kl for each in found]) < raw_expectation / 3
    assert max(each.kl or 0 for each in found) < 0.03 and max(each.psi or 0 for each in found) < 0.06


def test_real_drift_is_measured_right_at_nine_hundred_rows() -> None:
    random = np.random.default_rng(6)
    stored = profile({"x": random.normal(size=100_000)})
    shifted = np.mean([stored.drift(stored.counts({"x": random.normal(0.8, 1, 900)}))["x"].kl for _ in range(50)])
    assert shifted == pytest.approx(0.8**2 / 2, rel=0.1), "two unit normals d apart diverge by d squared half"


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=20))
def test_divergences_are_never_negative_and_psi_is_symmetric(bins: list[tuple[int, int]]) -> None:
    before, now = [each[0] for each in bins], [each[1] for each in bins]
    if sum(before) and sum(now):
        assert kl(before, now) >= 0 and psi(before, now) == pytest.approx(psi(now, before))
        assert kl(before, before) == 0
    else:
        assert math.isnan(kl(before, now)) and math.isnan(psi(before, now))


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=15), st.lists(st.floats(-100, 100), min_size=1, max_size=15))
def test_wasserstein_is_the_cost_of_matching_equal_weights(left: list[float], right: list[float]) -> None:
    many, times = np.sort(np.repeat(left, len(right))), np.sort(np.repeat(right, len(left)))
    assert wasserstein(left, right) == pytest.approx(float(np.abs(many - times).mean()), abs=1e-9)


def test_a_sketch_stands_for_its_values_whatever_the_tail() -> None:
    random = np.random.default_rng(2)
    values = np.append(random.normal(size=50_001), 1e4)
    column = profile({"x": values}).columns["x"]
    moved = random.normal(0.5, 1, 20_000)
    assert wasserstein(column.sketch, moved) == pytest.approx(wasserstein(values, moved), rel=0.05)


def test_null_share_counts_none_among_texts() -> None:
    assert null_share(np.array(["a", None, "b", None], object)) == 0.5
    assert null_share(np.array([1.0, math.nan, 2.0, 3.0])) == 0.25
    assert math.isnan(null_share([]))


def test_bad_input_is_refused_in_words() -> None:
    stored = profile({"wind": np.arange(100.0)})
    with pytest.raises(NotFound, match="did you mean 'wind'"):
        stored.counts({"winds": np.arange(3.0)})
    with pytest.raises(BadData, match="'wind' does not hold numbers"):
        stored.counts({"wind": np.array(["a"])})
    with pytest.raises(BadData, match="'x' holds infinite values"):
        profile({"x": np.array([1.0, math.inf])})
    with pytest.raises(BadData, match="columns differ in length: x 1, y 2"):
        profile({"x": np.ones(1), "y": np.ones(2)})
    with pytest.raises(BadData, match="3 bins and the observed has 2"):
        kl([1, 2, 3], [1, 2])
