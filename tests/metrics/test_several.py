"""Metrics of classes and quantiles against scikit-learn's, and their draws against measuring the rows drawn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as judge

from millstream.errors import BadData
from millstream.metrics import metric, several, uncertainty
from millstream.metrics.number import r2

OF_CLASSES = ("accuracy", "balanced_accuracy", "log_loss", "macro_f1", "roc_auc")
LEVELS = (0.1, 0.5, 0.9)


def made(seed: int, *, rows: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which every class has some, and probabilities with a skill."""
    random = np.random.default_rng(seed)
    label = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    table = random.random((rows, classes)) + np.eye(classes)[label] * random.random()
    return label, table / table.sum(axis=1, keepdims=True)


def theirs(name: str, label: np.ndarray, table: np.ndarray) -> float:
    said, known = table.argmax(axis=1), list(range(table.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float({
            "accuracy": lambda: judge.accuracy_score(label, said),
            "balanced_accuracy": lambda: judge.balanced_accuracy_score(label, said),
            "log_loss": lambda: judge.log_loss(label, table, labels=known),
            "macro_f1": lambda: judge.f1_score(label, said, average="macro"),
            "roc_auc": lambda: np.mean([judge.roc_auc_score(label == each, table[:, each]) for each in known]),
        }[name]())  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from(OF_CLASSES))
def test_metrics_of_classes_are_scikit_learns(seed: int, classes: int, name: str) -> None:
    label, table = made(seed, classes=classes)
    assert metric(name).measure(label, table) == pytest.approx(theirs(name, label, table), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_quantiles_and_the_spread_explained_are_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    label = random.normal(size=50)
    table = np.sort(random.normal(size=(50, 3)), axis=1)
    expected = np.mean([judge.mean_pinball_loss(label, table[:, at], alpha=level) for at, level in enumerate(LEVELS)])
    assert metric("pinball", levels=LEVELS).measure(label, table) == pytest.approx(expected)
    inside = np.mean((label >= table[:, 0]) & (label <= table[:, 2]))
    assert metric("coverage", levels=LEVELS).measure(label, table) == pytest.approx(inside - 0.8)
    assert r2(label, table[:, 1]) == pytest.approx(judge.r2_score(label, table[:, 1]))


@pytest.mark.parametrize("name", OF_CLASSES)
def test_draws_of_blocks_equal_measuring_their_rows(name: str) -> None:
    label, table = made(3)
    other = made(4)[1]
    blocks = np.arange(label.size) % 7
    found = uncertainty.difference(name, label, table, other, blocks=blocks, resamples=40)
    draws = np.random.default_rng(7).multinomial(7, np.full(7, 1 / 7), 40)
    slowly = []
    for draw in draws:
        at = np.concatenate([np.flatnonzero(blocks == block) for block in np.repeat(np.arange(7), draw)])
        ours, them = metric(name).measure(label[at], table[at]), metric(name).measure(label[at], other[at])
        slowly.append(ours - them)  # type: ignore[operator]
    assert found.resamples == 40
    assert found.low == pytest.approx(np.quantile(slowly, 0.025))
    assert found.high == pytest.approx(np.quantile(slowly, 0.975))


def test_draws_of_quantiles_know_their_levels() -> None:
    random = np.random.default_rng(0)
    label = random.normal(size=400)
    good = np.column_stack([np.full(400, each) for each in (-1.28, 0.0, 1.28)])
    blocks = np.arange(400) // 20
    pinball = metric("pinball", levels=LEVELS)
    assert uncertainty.difference(pinball, label, good, good + 1.0, blocks=blocks).probability_worse == 0.0
    covered = uncertainty.interval(metric("coverage", levels=LEVELS), label, good, blocks)
    assert covered.low is not None and covered.high is not None and covered.low < 0 < covered.high


def test_a_class_never_learnt_counts_as_held_for_impossible() -> None:
    table = np.array([[0.7, 0.3], [0.6, 0.4]])
    assert several.accuracy([0, -1], table) == 0.5
    assert several.log_loss([-1], table[:1]) == pytest.approx(36.04, abs=0.01)
    assert several.balanced_accuracy([0, -1], table) == 0.5
    assert several.macro_f1([0, -1], table) == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_no_rows_have_no_metric(name: str) -> None:
    assert metric(name).measure([], np.empty((0, 3))) is None


@pytest.mark.parametrize(
    ("label", "table", "says"),
    [
        ([0.5], [[0.5, 0.5]], "a label is 0.5"),
        ([0, 1], [[0.5, 0.5]], r"2 labels and predictions of shape \(1, 2\)"),
        ([0], [[0.5, float("nan")]], "1 of 2 predictions are NULL"),
    ],
)
def test_bad_input_is_refused_in_words(label: list[float], table: list[list[float]], says: str) -> None:
    with pytest.raises(BadData, match=says):
        several.accuracy(label, table)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 1000]))
def test_stability_is_spearmans_correlation(seed: int, grid: int) -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(seed)
    left, right = (random.integers(0, grid, 40) for _ in range(2))
    expected = spearmanr(left, right).statistic
    assert metric("stability").measure(left, right) == pytest.approx(expected, abs=1e-12)
    assert metric("stability").measure(np.ones(5), np.arange(5)) is None
    assert metric("share_flagged").measure([1, 0, 0, 0], [4.0, 1.0, 2.0, 3.0]) == 0.25
