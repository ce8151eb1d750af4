from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.monitoring import OutcomeBook
from tests.monitoring.worlds import predictions

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def labels(keys: list[str], values: list[object], known_at: list[datetime | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"key": keys, "label": values, "label_known_at": known_at},
        schema={"key": pl.String, "label": pl.Boolean, "label_known_at": pl.Datetime("us", "UTC")},
    )


def test_a_label_counts_from_the_instant_it_is_known() -> None:
    book = OutcomeBook(due_after=timedelta(days=1))
    frame = predictions(DAY, [0.2, 0.4, 0.6])
    assert book.add_predictions(frame) == 3
    known = [NOON, NOON + timedelta(hours=3), None]
    truth = labels(frame["key"].to_list(), [True, False, True], known)
    assert book.settle(truth, NOON) == 1
    assert book.settle(truth, NOON) == 0
    assert book.settle(truth, NOON + timedelta(days=9)) == 1
    assert book.totals() == (3, 2)


def test_a_null_label_is_no_label_and_a_correction_replaces_the_earlier() -> None:
    book = OutcomeBook(due_after=timedelta(hours=1))
    frame = predictions(DAY, [0.2, 0.4])
    book.add_predictions(frame)
    keys = frame["key"].to_list()
    book.settle(labels(keys, [True, None], [NOON, NOON]), NOON)
    assert book.totals() == (2, 1)
    book.settle(labels(keys, [False, None], [NOON, NOON]), NOON)
    settled = book.settled(DAY, timedelta(days=1), NOON + timedelta(days=1))
    assert settled.label.tolist() == [0.0]


def test_adding_twice_changes_nothing_and_one_key_may_be_asked_twice() -> None:
    book = OutcomeBook()
    frame = predictions(DAY, [0.2, 0.4])
    again = frame.with_columns(pl.lit("same").alias("key"), pl.col("id") + "x")
    assert (book.add_predictions(frame), book.add_predictions(frame), book.add_predictions(again)) == (2, 0, 2)
    assert book.settle(labels(["same"], [True], [NOON]), NOON) == 2


@given(st.permutations(range(40)), st.sampled_from([0, 2]))
def test_answers_that_came_back_in_another_order_are_judged_to_the_last_bit_alike(order: list[int], width: int) -> None:
    rng = np.random.default_rng(5)
    values, said = rng.normal(size=40), rng.normal(size=(40, 2)).tolist()
    frame = predictions(DAY, values).with_columns(pl.Series("numbers", said))
    truth = labels(frame["key"].to_list(), (values > 0).tolist(), [NOON] * 40)
    settled = []
    for arrived in (frame, frame[order]):
        book = OutcomeBook(due_after=timedelta(hours=1))
        book.add_predictions(arrived)
        book.settle(truth, NOON)
        settled.append(book.settled(DAY, timedelta(days=1), NOON + timedelta(days=1), width=width))
    for name in ("value", "label", "block", "asked", "about", "simple", "numbers"):
        np.testing.assert_array_equal(getattr(settled[0], name), getattr(settled[1], name))


def test_a_day_is_open_until_all_its_labels_are_due() -> None:
    book = OutcomeBook(due_after=timedelta(days=2))
    book.add_predictions(predictions(DAY, np.zeros(10)))
    assert book.outcomes(DAY, NOON + timedelta(days=1)).verdict == "open"
    assert book.outcomes(DAY, NOON + timedelta(days=3)).verdict == "incomplete"
    assert book.outcomes(DAY + timedelta(days=1), NOON).verdict == "empty"
    assert book.due_days(DAY, DAY, NOON) == []


def test_a_day_far_below_its_habit_is_left_out_until_the_rest_arrives() -> None:
    book = OutcomeBook(due_after=timedelta(days=1))
    now = NOON + timedelta(days=30)
    for back in range(10):
        day = DAY + timedelta(days=back)
        frame = predictions(day, np.full(100, 0.5))
        book.add_predictions(frame)
        keys = frame["key"].to_list()[: 49 if back == 5 else 90 if back == 6 else 97]
        book.settle(labels(keys, [True] * len(keys), [NOON] * len(keys)), now)
    storm = book.outcomes(DAY + timedelta(days=5), now)
    assert (storm.verdict, storm.arrived, storm.due, storm.habit) == ("incomplete", 49, 100, pytest.approx(0.97))
    settled = book.settled(DAY + timedelta(days=9), timedelta(days=10), now)
    assert settled.left_out == (DAY + timedelta(days=5),) and settled.days == 9
    late = predictions(DAY + timedelta(days=5), np.zeros(100))["key"].to_list()
    book.settle(labels(late, [True] * 100, [NOON] * 100), now)
    assert book.settled(DAY + timedelta(days=9), timedelta(days=10), now).left_out == ()


def test_a_release_is_judged_by_its_own_answers_only() -> None:
    book = OutcomeBook(due_after=timedelta(hours=1))
    for version, degraded in ((1, False), (2, False), (2, True)):
        frame = predictions(DAY, np.full(4, version / 10), version=version, degraded=degraded)
        book.add_predictions(frame.with_columns(pl.format("{}-{}", "id", pl.lit(str(degraded))).alias("id")))
        keys = frame["key"].to_list()
        book.settle(labels(keys, [True] * 4, [NOON] * 4), NOON)
    settled = book.settled(DAY, timedelta(days=1), NOON + timedelta(days=1), version=2)
    assert settled.value.tolist() == [0.2] * 4
    assert book.answers(DAY).degraded == 4


def test_forgetting_keeps_the_later_days() -> None:
    book = OutcomeBook(due_after=timedelta(hours=1))
    for back in range(3):
        book.add_predictions(predictions(DAY + timedelta(days=back), [0.5, 0.5]))
    book.forget(DAY + timedelta(days=1))
    assert book.totals() == (4, 0)
    first = predictions(DAY, [0.5])["key"].to_list()
    assert book.settle(labels(first, [True], [NOON]), NOON) == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_order_in_which_things_arrive_does_not_matter(data: st.DataObject) -> None:
    frame = predictions(DAY, np.linspace(0, 1, 6))
    hours = data.draw(st.lists(st.integers(0, 72), min_size=6, max_size=6))
    known = [NOON + timedelta(hours=each) for each in hours]
    truth = labels(frame["key"].to_list(), [True, False] * 3, list(known))
    end = NOON + timedelta(hours=data.draw(st.integers(0, 80)))
    steps = sorted(data.draw(st.lists(st.integers(0, 80), max_size=4)))
    book, once = OutcomeBook(), OutcomeBook()
    book.add_predictions(frame[:3])
    book.add_predictions(frame)
    for step in steps:
        book.settle(truth, min(end, NOON + timedelta(hours=step)))
    book.settle(truth.sample(6, shuffle=True, seed=1), end)
    once.add_predictions(frame)
    once.settle(truth, end)
    assert book.totals() == once.totals() == (6, sum(each <= end for each in known))
    assert book.outcomes(DAY, end) == once.outcomes(DAY, end)
