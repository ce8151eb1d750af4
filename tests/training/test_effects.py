"""What a candidate would have done to people, against counts made by hand."""

import dataclasses

import msgspec
import numpy as np
import pytest

from millstream import Each, Model, Table, sources
from millstream.training.backtests import Backtest, BacktestReport
from millstream.training.effects import MONTH_DAYS, effect

TABLE = Table("flights", source=sources.Parquet("nowhere/*.parquet"), key="id", event_time="at")


class Nothing:
    """An estimator that is never fitted here."""

    def fit(self, features, label):
        return self

    def get_params(self, *, deep=True):
        return {}


MODEL = Model("late", rows=Each(TABLE), label="arr_delay > 15", features=[], estimator=Nothing(), goal="roc_auc")


def judged(label, candidate, baseline, champion=None, *, days=None, origin=None, task="binary", blocks="days"):
    """A backtest as far as its effect reads it."""
    label = np.asarray(label, dtype=float)
    report = BacktestReport(
        model="late",
        task=task,
        goal="roc_auc",
        metrics=("roc_auc",),
        folds=(),
        pooled={},
        rows=label.size,
        days=1,
        champion="late@1" if champion is not None else "",
        pins={},
        blocks=blocks,
    )
    return Backtest(
        report,
        (),
        label,
        np.asarray(candidate, dtype=float),
        np.asarray(baseline, dtype=float),
        np.zeros(label.size, np.intp) if days is None else np.asarray(days, np.intp),
        None if champion is None else np.asarray(champion, dtype=float),
        np.zeros(label.size, np.intp) if origin is None else np.asarray(origin, np.intp),
    )


def test_a_threshold_flags_what_reaches_it_and_the_champion_keeps_its_own():
    label = [1, 1, 0, 1] + [0] * 16
    candidate, champion = [0.9, 0.8, 0.5, 0.1] + [0.0] * 16, [0.9, 0.1, 0.3, 0.3] + [0.0] * 16
    found = effect(MODEL, judged(label, candidate, [0.15] * 20, champion), threshold=0.5, theirs=0.3)
    assert (found.share, found.threshold, found.champion_threshold) == (None, 0.5, 0.3)
    assert (found.candidate.flagged, found.candidate.right) == (3, 2)
    assert (found.champion.flagged, found.champion.right) == (3, 2)
    assert (found.baseline.flagged, found.baseline.right) == (0, 0)
    assert (found.change.rows, found.change.added, found.change.added_right, found.change.dropped_right) == (2, 1, 1, 1)
    alone = effect(MODEL, judged(label, candidate, [0.15] * 20, champion), threshold=0.5)
    assert alone.champion_threshold == 0.5 and alone.champion.flagged == 1


def test_the_tenth_rated_highest_is_flagged_by_everybody_alike():
    label = [1, 1, 0, 1] + [0] * 16  # 20 rows: two are flagged
    candidate = [0.9, 0.8, 0.7, 0.1] + [0.0] * 16  # rows 0 and 1, both true
    champion = [0.9, 0.1, 0.8, 0.1] + [0.0] * 16  # rows 0 and 2, one true
    found = effect(MODEL, judged(label, candidate, [0.15] * 20, champion))
    assert (found.kind, found.of, found.outcome, found.share) == ("flags", "flights", "arr_delay > 15", 0.1)
    assert (found.rows, found.came_true) == (20, 3)
    assert (found.candidate.flagged, found.candidate.right) == (2, 2)
    assert (found.champion.flagged, found.champion.right) == (2, 1)
    assert found.baseline.flagged == pytest.approx(2)
    assert found.baseline.right == pytest.approx(2 * 3 / 20)  # it rates all alike: any two of them
    assert msgspec.to_builtins(found.change) == {
        "rows": 2, "added": 1, "added_right": 1, "dropped": 1, "dropped_right": 0, "closer": None,
    }  # fmt: skip


def test_each_origin_flags_its_own_tenth():
    label, origin = [1, 0] * 10, [0] * 10 + [1] * 10
    sure = [0.9] + [0.1] * 9 + [0.3] + [0.2] * 9  # the second model is less sure of everything
    found = effect(MODEL, judged(label, sure, [0.5] * 20, origin=origin))
    assert (found.candidate.flagged, found.candidate.right) == (2, 2)


def test_a_threshold_flags_by_probability():
    label, candidate, champion = [1, 1, 0, 0], [0.6, 0.5, 0.4, 0.1], [0.7, 0.2, 0.6, 0.1]
    found = effect(MODEL, judged(label, candidate, [0.3] * 4, champion), threshold=0.5)
    assert (found.share, found.threshold) == (None, 0.5)
    assert (found.candidate.flagged, found.candidate.right) == (2, 2)
    assert (found.champion.flagged, found.champion.right) == (2, 1)
    assert (found.baseline.flagged, found.baseline.right) == (0, 0)
    assert (found.change.added, found.change.dropped) == (1, 1)


def test_rows_the_champion_has_learnt_from_count_for_nobody():
    champion = [np.nan] * 10 + [0.9] + [0.1] * 9
    found = effect(MODEL, judged([1] * 10 + [0] * 10, [0.9] * 20, [0.5] * 20, champion))
    assert (found.rows, found.came_true) == (10, 0)
    alone = effect(MODEL, judged([1] * 10 + [0] * 10, [0.9] * 20, [0.5] * 20, [np.nan] * 20))
    assert (alone.rows, alone.champion, alone.change) == (20, None, None)


def test_only_the_latest_month_counts():
    days = [20_000] * 10 + [20_000 + MONTH_DAYS - 1] * 10 + [20_000 + MONTH_DAYS] * 10
    found = effect(MODEL, judged([1] * 10 + [0] * 20, [0.5] * 30, [0.5] * 30, days=days))
    assert (found.rows, found.days, found.came_true) == (20, 2, 0)
    assert (found.since, found.until) == ("2024-11-02", "2024-11-03")


def test_numbers_are_told_by_how_far_they_are_off():
    label, candidate, champion = [10, 20, 30, 40], [11, 19, 30, 60], [14, 24, 34, 36]
    found = effect(MODEL, judged(label, candidate, [25] * 4, champion, task="regression"))
    assert found.kind == "numbers"
    assert (found.candidate.miss, found.champion.miss, found.baseline.miss) == (5.5, 4.0, 10.0)
    assert (found.change.rows, found.change.closer) == (2, 3)  # 5 and 24 apart, where 4 is usual


def test_answers_of_another_shape_are_not_told():
    other = dataclasses.replace(judged([0] * 4, [0.1] * 4, [0.1] * 4), candidate=np.zeros((4, 3)))
    assert effect(MODEL, other) is None
    assert effect(MODEL, judged([0] * 4, [0.1] * 4, [0.1] * 4, task="forecast")) is None


def test_rows_without_time_all_count_and_name_no_day():
    label = [1, 0] * 50  # the block of a row without time is its place, no day: the last 30 of these are not a month
    found = effect(MODEL, judged(label, label, [0.5] * 100, days=range(5000, 5100), blocks="rows"))
    assert (found.rows, found.came_true, found.days, found.since, found.until) == (100, 50, 0, "", "")
    assert (found.candidate.flagged, found.candidate.right) == pytest.approx((10, 10))
