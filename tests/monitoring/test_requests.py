"""Requests with fields that nobody knows: counted, and one alarm when they are more than their habit."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from millstream.monitoring import OutcomeBook
from millstream.monitoring.requests import request_findings

START = date(2024, 1, 1)


def book_of(*odd: int, rows: int = 200) -> OutcomeBook:
    book = OutcomeBook()
    for number, count in enumerate(odd):
        day = START + timedelta(days=number)
        at = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC)] * rows
        book.add_predictions(
            pl.DataFrame(
                {
                    "id": [f"{number}-{row}" for row in range(rows)],
                    "key": [f"{number}|{row}" for row in range(rows)],
                    "at": at,
                    "day": [day] * rows,
                    "value": [0.5] * rows,
                    "version": [1] * rows,
                    "degraded": [False] * rows,
                    "latency_us": [800] * rows,
                    "odd": [row < count for row in range(rows)],
                }
            )
        )
    return book


def verdicts(*odd: int) -> list[str]:
    book = book_of(*odd)
    found = [request_findings(START + timedelta(days=each), model="m", book=book) for each in range(len(odd))]
    return [each[0].verdict if each else "none" for each in found]


def test_nothing_is_said_where_no_request_ever_was_odd() -> None:
    assert verdicts(0, 0, 0) == ["none"] * 3


def test_more_than_the_habit_alarms_and_the_habit_does_not() -> None:
    assert verdicts(0, 0, 0, 0, 1, 60, 0) == ["none"] * 4 + ["ok", "alarm", "ok"]
    assert set(verdicts(20, 21, 19, 22, 20, 23, 18)[3:]) == {"ok"}
    (found,) = request_findings(START + timedelta(days=5), model="m", book=book_of(0, 0, 0, 0, 1, 60))
    assert found.says.startswith("60 of 200 requests had a field that the contract or training does not know")
    assert (found.value, found.threshold, found.kind) == (0.3, 0.02, "requests")


def test_a_handful_of_answers_is_not_judged() -> None:
    book = book_of(5, rows=10)
    assert request_findings(START, model="m", book=book)[0].verdict == "unknown"
