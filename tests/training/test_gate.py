import numpy as np
import pytest

from millstream.metrics.registry import METRICS, metric
from millstream.training.backtests import Backtest, BacktestReport, comparable
from millstream.training.gate import judge


def outcome_of(candidate, *, label, days, champion=None, goal="log_loss", baseline=None):
    simple = np.full(label.size, label.mean()) if baseline is None else baseline

    def value(predicted, rows=slice(None)):
        return {goal: metric(goal).measure(label[rows], predicted[rows])}

    pooled = {"candidate": value(candidate), "baseline": value(simple)}
    if champion is not None:
        fresh = ~np.isnan(champion)
        if fresh.any():
            pooled |= {"champion": value(champion, fresh), "candidate_beside_champion": value(candidate, fresh)}
    report = BacktestReport(
        model="late", task="binary", goal=goal, metrics=(goal,), folds=(), pooled=pooled, rows=label.size,
        days=len(np.unique(days)), champion="late@2" if champion is not None else "", pins={},
    )  # fmt: skip
    return Backtest(report, (), label, candidate, simple, days, champion, np.zeros(label.size, dtype=int))


@pytest.fixture
def world():
    random = np.random.default_rng(1)
    chance = random.uniform(0.05, 0.95, 3000)
    label = (random.random(3000) < chance).astype(float)
    return chance, label, np.repeat(np.arange(20), 150), random


@pytest.mark.parametrize("goal", ["roc_auc", "log_loss", "brier"])
def test_skill_passes_and_is_said_in_words(world, goal):
    chance, label, days, _ = world
    verdict = judge(outcome_of(chance, label=label, days=days, goal=goal))
    assert verdict.passed
    assert verdict.says.startswith("The candidate may go live. It beats the simple guess for sure")
    (only,) = verdict.comparisons
    assert only.against == "baseline" and 0 < only.low < only.gain < only.high and only.probability_worse < 0.01


@pytest.mark.parametrize("goal", ["roc_auc", "log_loss"])
def test_noise_does_not_pass(world, goal):
    _, label, days, random = world
    verdict = judge(outcome_of(random.uniform(0.4, 0.6, label.size), label=label, days=days, goal=goal))
    assert not verdict.passed
    assert "should not go live" in verdict.says


def test_worse_than_the_champion_does_not_pass(world):
    chance, label, days, random = world
    weak = np.clip(chance + random.normal(scale=0.15, size=chance.size), 0.01, 0.99)
    verdict = judge(outcome_of(weak, label=label, days=days, champion=chance))
    assert [each.passed for each in verdict.comparisons] == [True, False]
    assert not verdict.passed
    assert "surely worse than late@2" in verdict.says


def test_as_good_as_the_champion_passes(world):
    chance, label, days, _ = world
    verdict = judge(outcome_of(chance, label=label, days=days, champion=chance.copy()))
    assert verdict.passed
    assert "about as good as late@2" in verdict.says
    assert verdict.comparisons[1].gain == 0


def test_a_champion_that_has_learnt_from_every_row_is_not_compared(world):
    chance, label, days, _ = world
    verdict = judge(outcome_of(chance, label=label, days=days, champion=np.full(label.size, np.nan)))
    assert verdict.passed
    assert "cannot be compared fairly" in verdict.says


def test_a_champion_is_compared_on_the_rows_it_has_not_learnt_from(world):
    chance, label, days, _ = world
    champion = np.where(days < 10, np.nan, chance)
    compared = judge(outcome_of(chance, label=label, days=days, champion=champion)).comparisons[1]
    assert (compared.rows, compared.days) == (1500, 10)


def test_a_goal_that_cannot_be_computed_does_not_pass():
    label = np.ones(40)
    verdict = judge(outcome_of(np.linspace(0.1, 0.9, 40), label=label, days=np.repeat([1, 2], 20), goal="roc_auc"))
    assert not verdict.passed
    assert verdict.goal_value is None
    assert "cannot be computed" in verdict.says


def test_one_day_is_not_enough(world):
    chance, label, _, _ = world
    verdict = judge(outcome_of(chance, label=label, days=np.zeros(label.size, dtype=int)))
    assert not verdict.passed
    assert "one day" in verdict.says


def test_few_days_are_said(world):
    chance, label, _, _ = world
    assert "Judged on 4 days only" in judge(outcome_of(chance, label=label, days=np.arange(label.size) // 750)).says


def test_equal_seeds_give_equal_verdicts(world):
    chance, label, days, _ = world
    made = outcome_of(chance, label=label, days=days)
    assert judge(made, seed=3) == judge(made, seed=3)


def test_a_constant_that_moves_from_fold_to_fold_does_not_rank():
    label = np.array([0.0, 1, 0, 1, 1, 1, 0, 1])
    constant = np.repeat([0.2, 0.9], 4)
    origin = np.repeat([0, 1], 4)
    order = METRICS["roc_auc"]
    assert order.measure(label, constant) > 0.5
    assert order.measure(label, comparable(order, constant, origin)) == 0.5
    np.testing.assert_array_equal(comparable(METRICS["brier"], constant, origin), constant)
