"""Block resampling against drawing rows one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import BadData, NotFound
from millstream.metrics import METRICS, uncertainty

ONE_NUMBER = sorted(name for name, each in METRICS.items() if {"binary", "regression"} & {*each.tasks})
"""Metrics of answers that are one number; those of classes and quantiles have tests of their own."""

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]


@st.composite
def judged(draw: st.DrawFn) -> Rows:
    rows = draw(st.integers(2, 40))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    grid = draw(st.sampled_from([4, 1000]))
    a, b = (random.integers(0, grid, rows) / grid for _ in range(2))
    return random.integers(0, 2, rows), a, b, random.integers(0, draw(st.integers(1, 8)), rows)


def slowly(name: str, rows: Rows, resamples: int) -> list[float]:
    """Draw the same blocks, repeat their rows, and measure."""
    label, a, b, blocks = rows
    known = np.unique(blocks)
    draws = np.random.default_rng(7).multinomial(known.size, np.full(known.size, 1 / known.size), resamples)
    answers = []
    for draw in draws:
        at = np.concatenate([np.repeat(np.flatnonzero(blocks == block), 1) for block in np.repeat(known, draw)])
        ours, theirs = METRICS[name].measure(label[at], a[at]), METRICS[name].measure(label[at], b[at])
        if ours is not None and theirs is not None:
            answers.append(ours - theirs)
    return answers


@settings(max_examples=40, deadline=None)
@given(judged(), st.sampled_from(ONE_NUMBER))
def test_draws_of_blocks_equal_measuring_their_rows(rows: Rows, name: str) -> None:
    label, a, b, blocks = rows
    found = uncertainty.difference(name, label, a, b, blocks=blocks, resamples=60)
    expected = slowly(name, rows, 60) if np.unique(blocks).size > 1 else []
    assert found.resamples == len(expected)
    if expected:
        assert found.low == pytest.approx(np.quantile(expected, 0.025), abs=1e-9)
        assert found.high == pytest.approx(np.quantile(expected, 0.975), abs=1e-9)
    else:
        assert (found.low, found.high, found.probability_worse) == (None, None, None)


def days_of_shared_noise(seed: int) -> Rows:
    """Two equally good models whose errors a day shares."""
    random = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(40), 25)
    label = random.integers(0, 2, blocks.size)
    a, b = (label * 0.3 + random.normal(0, 0.5, 40)[blocks] + random.normal(0, 0.3, blocks.size) for _ in range(2))
    return label, a, b, blocks


def test_the_interval_of_equal_models_covers_zero_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        label, a, b, blocks = days_of_shared_noise(seed)
        found = uncertainty.difference("rmse", label, a, b, blocks=blocks, resamples=300)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0 <= found.high
    assert 85 <= covered <= 99


def test_rows_as_blocks_are_too_sure_when_days_share_their_noise() -> None:
    label, a, b, blocks = days_of_shared_noise(0)
    by_day = uncertainty.difference("rmse", label, a, b, blocks=blocks)
    by_row = uncertainty.difference("rmse", label, a, b, blocks=np.arange(label.size))
    assert by_day.high - by_day.low > 1.5 * (by_row.high - by_row.low)  # type: ignore[operator]
    assert by_row.blocks == uncertainty.MOST_BLOCKS


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_a_better_model_is_hardly_ever_worse(name: str) -> None:
    random = np.random.default_rng(1)
    label = random.integers(0, 2, 2000)
    good = np.clip(label * 0.8 + 0.1 + random.normal(0, 0.03, 2000), 0.01, 0.99)
    bad = np.clip(random.random(2000) * 1.2, 0.01, 0.99)
    blocks = np.arange(2000) // 100
    assert uncertainty.difference(name, label, good, bad, blocks=blocks).probability_worse == 0.0
    assert uncertainty.difference(name, label, bad, good, blocks=blocks).probability_worse == 1.0
    assert uncertainty.difference(name, label, good, good, blocks=blocks).probability_worse == 0.5


def test_equal_seeds_give_equal_answers_and_dates_can_be_blocks() -> None:
    label, a, _, numbers = days_of_shared_noise(3)
    dates = np.datetime64("2013-02-01") + numbers
    first = uncertainty.interval("mae", label, a, dates)
    assert first == uncertainty.interval("mae", label, a, dates.astype(str))
    assert first.low is not None and first.estimate is not None and first.high is not None
    assert first.low < first.estimate < first.high
    assert first != uncertainty.interval("mae", label, a, dates, seed=8)


def test_bad_input_is_refused() -> None:
    with pytest.raises(BadData, match=r"blocks of shape \(1,\)"):
        uncertainty.interval("mae", [1, 0], [1, 0], [1])
    with pytest.raises(BadData, match="2 labels and 1 predictions"):
        uncertainty.interval("bias", [1, 0], [1], [1, 2])
    with pytest.raises(NotFound, match="did you mean 'mae'"):
        uncertainty.interval("maee", [1, 0], [1, 0], [1, 1])
