"""Outcomes that somebody reported: once, corrected, before their prediction, and beside what a table says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.monitors import Classic
from millstream.metrics import roc_auc
from millstream.monitoring import OutcomeBook
from millstream.monitoring.performance import performance_findings
from millstream.types import to_micros
from tests.monitoring.test_outcomes import DAY, NOON, labels
from tests.monitoring.test_tasks import DAYS, LAST, NOW, ROWS, START, reference
from tests.monitoring.worlds import predictions

NOON_US = to_micros(NOON)
LATER = NOON + timedelta(days=2)


def named(frame: pl.DataFrame) -> pl.DataFrame:
    """Give answers ids that are not their rows' keys."""
    return frame.with_columns(pl.format("p-{}", "id").alias("id"))


def asked(*values: float) -> tuple[OutcomeBook, list[str], list[str]]:
    book = OutcomeBook(due_after=timedelta(hours=1))
    frame = named(predictions(DAY, list(values)))
    book.add_predictions(frame)
    return book, frame["id"].to_list(), frame["key"].to_list()


def truths(book: OutcomeBook) -> list[float]:
    return book.settled(DAY, timedelta(days=1), LATER).label.tolist()


def test_the_same_report_twice_counts_once_and_another_label_corrects() -> None:
    book, ids, keys = asked(0.2, 0.4)
    book.report(keys[0], True, at_us=NOON_US)
    book.report(ids[1], False, at_us=NOON_US)
    assert (book.settle_reported(LATER), book.settle_reported(LATER)) == (2, 0)
    book.report(keys[0], True, at_us=NOON_US + 1)
    assert book.settle_reported(LATER) == 0 and book.totals() == (2, 2)
    book.report(ids[0], False, at_us=NOON_US + 2)
    assert book.settle_reported(LATER) == 1 and truths(book) == [0.0, 0.0]
    assert book.totals() == (2, 2) and book.reported == (2, 0, 0)


def test_a_correction_counts_from_the_instant_it_was_reported() -> None:
    book, _, keys = asked(0.2)
    book.report(keys[0], True, at_us=NOON_US)
    book.report(keys[0], False, at_us=NOON_US + 3_600_000_000)
    book.settle_reported(NOON)
    assert truths(book) == [1.0]
    book.settle_reported(NOON + timedelta(hours=1))
    assert truths(book) == [0.0]


def test_a_report_waits_for_its_prediction() -> None:
    book = OutcomeBook(due_after=timedelta(hours=1))
    frame = named(predictions(DAY, [0.2, 0.4]))
    book.report(frame["id"][0], True, at_us=NOON_US)
    book.report(frame["key"][1], False, at_us=NOON_US)
    book.report("nobody", True, at_us=NOON_US)
    assert book.settle_reported(LATER) == 0 and book.reported.waiting == 3
    book.add_predictions(frame)
    assert book.settle_reported(LATER) == 2 and book.reported == (2, 0, 1)
    book.forget(DAY + timedelta(days=1))
    assert book.reported == (0, 0, 0)


def test_a_row_asked_again_gets_what_was_reported_of_it_but_no_older_word_of_an_answer() -> None:
    book, ids, keys = asked(0.2)
    book.report(keys[0], True, at_us=NOON_US)
    book.report(ids[0], False, at_us=NOON_US + 1)
    book.settle_reported(LATER)
    again = predictions(DAY, [0.2]).with_columns(pl.lit("again").alias("id"))
    book.add_predictions(again)
    assert book.settle_reported(LATER) == 1
    assert truths(book) == [0.0, 1.0]


@pytest.mark.parametrize("table_first", [True, False])
def test_what_a_table_says_stands_above_and_contradictions_are_counted(table_first: bool) -> None:
    book, _, keys = asked(0.2, 0.4)
    of_table = labels(keys, [True, False], [NOON, NOON])

    def report() -> None:
        book.report(keys[0], False, at_us=NOON_US + 5)
        book.report(keys[1], False, at_us=NOON_US + 5)
        book.settle_reported(LATER)

    if table_first:
        book.settle(of_table, LATER)
        report()
    else:
        report()
        assert book.settle(of_table, LATER) == 1
    assert truths(book) == [1.0, 0.0] and book.reported == (2, 1, 0) and book.totals() == (2, 2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.integers(0, 50)), max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_however_reports_and_looks_alternate_the_last_known_counts(
    reports: list[tuple[int, bool, bool, int]], looks: list[int]
) -> None:
    reports = sorted(reports, key=lambda each: each[3])
    book, ids, keys = asked(0.1, 0.2, 0.3, 0.4)
    for place, (row, by_id, label, at) in enumerate(reports):
        if place in looks:
            book.settle_reported(LATER)
        book.report(ids[row] if by_id else keys[row], label, at_us=NOON_US + at)
    book.settle_reported(LATER)
    last = {row: (label, at) for row, _, label, at in reports}
    tied = {row for row, _, label, at in reports if (label, at) != last[row] and at == last[row][1]}
    found = {row: book._days[DAY].label[row] for row in last}
    assert all(found[row] == label for row, (label, _) in last.items() if row not in tied)
    assert book.totals() == (4, len(last))


@pytest.mark.parametrize("honest", [True, False])
def test_reports_alone_judge_performance_and_harm(honest: bool) -> None:
    random = np.random.default_rng(3)
    book = OutcomeBook(due_after=timedelta(days=1))
    values, outcomes = [], []
    for place in range(DAYS):
        day = START + timedelta(days=place)
        value = random.random(ROWS)
        label = random.random(ROWS) < (value if honest else 1 - value)
        frame = predictions(day, value)
        book.add_predictions(frame)
        for id_, each in zip(frame["id"].to_list(), label.tolist(), strict=True):
            book.report(id_, each, at_us=to_micros(datetime(day.year, day.month, day.day, 18, tzinfo=UTC)))
        values.append(value)
        outcomes.append(label)
    book.settle_reported(NOW)
    promised = reference(goal="roc_auc", goal_value=0.8)
    found = performance_findings(LAST, model="m", monitors=Classic(), reference=promised, book=book, now=NOW)
    said = {each.kind: each for each in found}
    counted = roc_auc(np.concatenate(outcomes).astype(float), np.concatenate(values))
    assert said["performance"].value == pytest.approx(counted)
    assert said["harm"].verdict == ("ok" if honest else "alarm")


def test_classes_are_reported_by_their_names() -> None:
    book = OutcomeBook(due_after=timedelta(hours=1))
    frame = predictions(DAY, [0.9, 0.8, 0.7]).with_columns(pl.Series("numbers", [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]))
    book.add_predictions(frame)
    for key, name in zip(frame["key"].to_list(), ["red", "white", "blue"], strict=True):
        book.report(key, name, at_us=NOON_US)
    book.settle_reported(LATER)
    settled = book.settled(DAY, timedelta(days=1), LATER, classes=("red", "white"), width=2)
    assert dict(zip(settled.value.tolist(), settled.label.tolist(), strict=True)) == {0.9: 0.0, 0.8: 1.0, 0.7: -1.0}


def test_a_day_of_which_nothing_is_reported_is_still_open_or_incomplete() -> None:
    book, ids, _ = asked(*([0.5] * 20))
    assert book.outcomes(DAY, LATER).verdict == "incomplete"
    for each in ids:
        book.report(each, True, at_us=NOON_US)
    book.settle_reported(LATER)
    assert book.outcomes(DAY, LATER).verdict == "complete"
