"""Metrics against their slow, obviously right definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import BadData, NotFound
from millstream.metrics import METRICS, accuracy, bias, brier, log_loss, mae, mape, metric, rmse, roc_auc

ONE_NUMBER = sorted(name for name, each in METRICS.items() if {"binary", "regression"} & {*each.tasks})
"""Metrics of answers that are one number; those of classes and quantiles have tests of their own."""
PROBABILITY = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))
CLASSIFIED = st.lists(st.tuples(st.booleans(), PROBABILITY), max_size=30)
MEASURED = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=30)


def columns(rows: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [row[0] for row in rows], [row[1] for row in rows]


def same(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None)
@given(CLASSIFIED)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, float]]) -> None:
    above = [score for truth, score in rows if truth]
    below = [score for truth, score in rows if not truth]
    wins = sum((high > low) + 0.5 * (high == low) for high in above for low in below)
    expected = wins / (len(above) * len(below)) if above and below else math.nan
    assert same(roc_auc(*columns(rows)), expected)


@settings(deadline=None)
@given(CLASSIFIED.filter(bool))
def test_losses_of_probabilities_are_their_textbook_sums(rows: list[tuple[bool, float]]) -> None:
    tiny = np.finfo(np.float64).eps
    surprise = [-math.log(min(max(p if y else 1 - p, tiny), 1 - tiny)) for y, p in rows]
    assert math.isclose(log_loss(*columns(rows)), sum(surprise) / len(rows), rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(brier(*columns(rows)), sum((p - y) ** 2 for y, p in rows) / len(rows), abs_tol=1e-12)
    assert accuracy(*columns(rows)) == pytest.approx(sum((p >= 0.5) == y for y, p in rows) / len(rows))


@settings(deadline=None)
@given(MEASURED.filter(bool))
def test_errors_of_numbers_are_their_textbook_sums(rows: list[tuple[float, float]]) -> None:
    assert same(rmse(*columns(rows)), math.sqrt(sum((p - y) ** 2 for y, p in rows) / len(rows)))
    assert same(mae(*columns(rows)), sum(abs(p - y) for y, p in rows) / len(rows))
    shares = [abs(p - y) / abs(y) for y, p in rows if y and math.isfinite(abs(p - y) / abs(y))]
    assert same(mape(*columns(rows)), sum(shares) / len(shares) if shares else math.nan)


def test_bias_is_relative_and_signed() -> None:
    assert bias([0, 1, 1, 0], [0.6, 0.6, 0.6, 0.6]) == pytest.approx(0.2)
    assert bias([0, 1, 1, 0], [0.4, 0.4, 0.4, 0.4]) == pytest.approx(-0.2)
    assert bias([-2.0], [-1.0]) == pytest.approx(0.5), "too high stays positive when the actual is negative"


@settings(max_examples=40, deadline=None)
@given(CLASSIFIED.filter(lambda rows: len({truth for truth, _ in rows}) == 2))
def test_scikit_learn_agrees(rows: list[tuple[bool, float]]) -> None:
    judge = pytest.importorskip("sklearn.metrics")
    label, score = columns(rows)
    assert same(roc_auc(label, score), judge.roc_auc_score(label, score))
    assert same(log_loss(label, score), judge.log_loss(label, score))
    assert same(brier(label, score), judge.brier_score_loss(label, score))


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_what_cannot_be_had_is_none_outside(name: str) -> None:
    assert METRICS[name].measure([], []) is None


def test_numbers_beyond_all_numbers_have_no_metric() -> None:
    assert metric("rmse").measure([1e200], [-1e200]) is None
    assert metric("mape").measure([1e-308], [2.0]) is None


def test_one_class_has_no_auc_and_no_actual_has_no_bias() -> None:
    assert metric("roc_auc").measure([1, 1], [0.1, 0.2]) is None
    assert metric("bias").measure([0, 0], [0.1, 0.2]) is None


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_the_terms_of_a_metric_give_the_metric(name: str) -> None:
    each = METRICS[name]
    draw = np.random.default_rng(3)
    label, score = draw.integers(0, 2, 200), draw.random(200)
    if each.parts is not None and each.whole is not None:
        sums = each.parts(label, score).sum(axis=0, keepdims=True)
        assert each.whole(sums)[0] == pytest.approx(each.function(label, score))
        return
    if each.terms is None:
        assert name == "roc_auc"
        return
    above, below = each.terms(label, score)
    value = above.sum() / below.sum()
    assert math.sqrt(value) if each.root else value == pytest.approx(each.function(label, score))


@pytest.mark.parametrize(
    ("label", "prediction", "says"),
    [
        ([0, 1], [0.5], "2 labels and 1 predictions"),
        ([0, math.nan], [0.5, 0.5], "1 of 2 labels are NULL, NaN or infinite"),
        ([0, 1], [0.5, math.inf], "1 of 2 predictions are NULL"),
        (["a", "b"], [0.5, 0.5], "labels are not numbers"),
        ([[0], [1]], [0.5, 0.5], "labels have 2 dimensions"),
        ([0, 2], [0.5, 0.5], "a label is 2"),
    ],
)
def test_bad_input_is_refused_in_words(label: list[object], prediction: list[object], says: str) -> None:
    with pytest.raises(BadData, match=says):
        roc_auc(label, prediction)


def test_an_unknown_metric_names_its_neighbours() -> None:
    with pytest.raises(NotFound, match="did you mean 'roc_auc'"):
        metric("roc_acu")


def test_loss_always_points_the_same_way() -> None:
    assert metric("roc_auc").loss(0.8) < metric("roc_auc").loss(0.7)
    assert metric("brier").loss(0.1) < metric("brier").loss(0.2)
    assert metric("bias").loss(-0.02) < metric("bias").loss(0.05)
    assert metric("roc_auc").relative_loss(0.675, 0.75) == pytest.approx(0.1)
    assert metric("log_loss").relative_loss(0.55, 0.5) == pytest.approx(0.1)
    assert metric("bias").relative_loss(0.1, 0.0) is None
