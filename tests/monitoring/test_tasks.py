"""Answers of classes, quantiles and numbers are judged by their own metrics once their truth arrived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from millstream.definitions.monitors import Classic
from millstream.metrics.profile import profile
from millstream.monitoring import DriftWindow, Finding, OutcomeBook, Reference, Watched, judge_day
from millstream.monitoring.performance import performance_findings
from tests.monitoring.worlds import START, predictions

CLASSES = ("rail", "road", "sea")
NAMES = np.array([*CLASSES, "air"])
DAYS, ROWS = 20, 60
LAST = START + timedelta(days=DAYS - 1)
NOW = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC) + timedelta(days=3)

Made = tuple[np.ndarray, np.ndarray | None, list[Any]]


def reference(**words: Any) -> Reference:
    said: dict[str, Any] = {"release": "m@1", "version": 1, "baseline": 0.4, "profile": profile({"x": np.arange(9.0)})}
    return Reference(**(said | words))


def judged(make: Callable[[np.random.Generator, date], Made], promised: Reference) -> dict[str, Finding]:
    """Live some days of answers whose values, numbers and labels a function makes; judge the last."""
    random = np.random.default_rng(5)
    book = OutcomeBook(due_after=timedelta(days=1))
    for place in range(DAYS):
        day = START + timedelta(days=place)
        value, numbers, labels = make(random, day)
        frame = predictions(day, value)
        if numbers is not None:
            frame = frame.with_columns(pl.Series("numbers", numbers.tolist()))
        book.add_predictions(frame)
        known = datetime(day.year, day.month, day.day, 18, tzinfo=UTC)
        book.settle(pl.DataFrame({"key": frame["key"], "label": labels, "label_known_at": [known] * ROWS}), NOW)
    found = performance_findings(LAST, model="m", monitors=Classic(), reference=promised, book=book, now=NOW)
    return {each.kind: each for each in found}


def classed(*, sure: float = 1.0, new: float = 0.0) -> Callable[[np.random.Generator, date], Made]:
    """Classes drawn from the probabilities said; ``sure`` sharpens what is said, ``new`` is a class nobody learnt."""

    def make(random: np.random.Generator, day: date) -> Made:
        true = random.dirichlet([0.6] * 3, ROWS) * 0.9 + 0.1 / 3
        label = np.array([random.choice(3, p=each / each.sum()) for each in true])
        label = np.where(random.random(ROWS) < new, 3, label)
        said = true**sure / (true**sure).sum(axis=1, keepdims=True)
        return said.max(axis=1), said, NAMES[label].tolist()

    return make


def promise(goal: str, value: float) -> Reference:
    return reference(goal=goal, goal_value=value, classes=CLASSES, simple=(0.33, 0.33, 0.34))


def test_honest_classes_raise_nothing() -> None:
    found = judged(classed(), promise("accuracy", 0.70))
    assert {each.verdict for each in found.values()} == {"ok"}
    assert "the classes said are held for" in found["bias"].says and "of them are right" in found["bias"].says
    assert "the simple rule has 0.3" in found["performance"].says


def test_classes_said_too_surely_are_biased() -> None:
    found = judged(classed(sure=4.0), promise("accuracy", 0.70))
    assert found["bias"].verdict == "alarm" and "too high" in found["bias"].says
    assert found["performance"].verdict == "ok"


def test_a_class_nobody_learnt_counts_as_wrong() -> None:
    found = judged(classed(new=0.4), promise("accuracy", 0.70))
    assert found["performance"].verdict == found["harm"].verdict == "alarm"
    assert judged(classed(new=0.4), promise("log_loss", 0.7))["harm"].value > 5


def test_a_release_of_other_classes_takes_no_answers_of_another_width() -> None:
    other = reference(goal="accuracy", goal_value=0.7, classes=("rail", "sea"), simple=(0.5, 0.5))
    assert {each.verdict for each in judged(classed(), other).values()} == {"unknown"}


@pytest.mark.parametrize(("off", "verdict"), [(0.0, "ok"), (3.0, "alarm")])
def test_numbers_and_quantiles_are_judged_by_their_own(off: float, verdict: str) -> None:
    def make(random: np.random.Generator, day: date) -> Made:
        middle = random.normal(20, 4, ROWS)
        label = middle + random.normal(0, 2, ROWS)
        table = np.column_stack([middle + off + each for each in (-2.563, 0.0, 2.563)])
        return table[:, 1], table, label.tolist()

    spread = reference(goal="pinball", goal_value=0.56, levels=(0.1, 0.5, 0.9), simple=(15.0, 20.0, 25.0))
    found = judged(make, spread)
    assert found["performance"].verdict == found["bias"].verdict == verdict

    def one_number(random: np.random.Generator, day: date) -> Made:
        value, _, labels = make(random, day)
        return value, None, labels

    number = judged(one_number, reference(goal="rmse", goal_value=2.0, baseline=20.0))
    assert number["performance"].verdict == number["bias"].verdict == verdict
    assert "answers average" in number["bias"].says


def test_a_model_without_label_waits_for_no_truth() -> None:
    book = OutcomeBook(due_after=timedelta(days=1))
    for place in range(DAYS):
        book.add_predictions(predictions(START + timedelta(days=place), np.ones(ROWS)))
    kinds = {}
    for labelled in (True, False):
        watched = Watched("m", Classic(), reference(goal="stability", goal_value=0.9, labelled=labelled))
        day = START + timedelta(days=9)
        made = judge_day(day, watched=watched, book=book, drift=DriftWindow(), batches={}, opened=[], now=NOW)
        kinds[labelled] = {each.kind for each in made.observations}
    assert kinds[True] - kinds[False] == {"outcomes", "performance", "harm", "bias"}
    assert {"latency", "degraded"} <= kinds[False]
