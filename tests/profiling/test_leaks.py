"""Which columns are said to tell the label, and which are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from millstream.profiling import suspects

ROWS = 2000
DRAW = np.random.default_rng(5)
X = DRAW.normal(size=ROWS)
TRUE = X + DRAW.normal(size=ROWS) > 0.3
AT = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=each) for each in range(ROWS)]


def told(label, **columns):
    return {each.column: each.reason for each in suspects(pl.DataFrame({"y": label, **columns}), "y")}


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (np.where(TRUE, "P", "Q"), "relabelled"),
        (1 - TRUE.astype(int), "relabelled"),
        (TRUE * 10 + X / 10, "rule"),
        (["paid" if each else None for each in TRUE], "relabelled"),
        (X, None),
        (DRAW.integers(0, 500, ROWS), None),
        (DRAW.permutation(ROWS), None),
    ],
)
def test_a_column_that_tells_a_truth_value(column, reason):
    assert told(TRUE, z=column).get("z") == reason


def test_a_value_that_is_there_only_when_it_is_true():
    closed = pl.Series([float(each) if true else None for each, true in zip(X, TRUE, strict=True)])
    assert told(TRUE, amount_back=closed) == {"amount_back": "rule"}


def test_a_number_told_by_another():
    price = np.exp(X)
    assert told(price, gross=price * 1.19 + 2, other=X + DRAW.normal(size=ROWS)) == {"gross": "rule"}
    assert told(price, curve=X) == {"curve": "rule"}


def test_classes_told_by_a_code_but_not_by_chance():
    kind = np.array(["red", "green", "blue"])[DRAW.integers(0, 3, ROWS)]
    code = np.array([{"red": 4, "green": 9, "blue": 2}[each] for each in kind])
    assert told(kind, code=code, noise=DRAW.integers(0, 900, ROWS)) == {"code": "relabelled"}


def test_a_rare_label_is_not_told_by_a_constant():
    rare = np.arange(ROWS) < 20
    assert told(DRAW.permutation(rare), steady=np.r_[np.ones(ROWS - 3), np.zeros(3)]) == {}


@pytest.mark.parametrize("name", ["y_after", "y_reason", "y2", "closed_at", "final_amount", "Outcome"])
def test_names_that_say_afterwards(name):
    assert told(TRUE, **{name: DRAW.permutation(ROWS)}) == {name: "name"}


@pytest.mark.parametrize("name", ["yield", "friend", "blend", "year", "finality"])
def test_names_that_only_look_so(name):
    assert told(TRUE, **{name: DRAW.permutation(ROWS)}) == {}


def test_times_after_the_event():
    later = [each + timedelta(hours=5 if place % 3 == 0 else -5) for place, each in enumerate(AT)]
    before = [each - timedelta(days=30) for each in AT]
    frame = pl.DataFrame({"y": TRUE, "at": AT, "seen": later, "joined": before, "day": [each.date() for each in AT]})
    (found,) = suspects(frame, "y", event_time="at")
    assert (found.column, found.reason) == ("seen", "later")
    assert "in 33% of the rows it lies after 'at'" in found.says


def test_unlabelled_rows_and_few_rows_are_borne():
    frame = pl.DataFrame({"y": [True, None, False], "z": [1, 2, 3]})
    assert suspects(frame, "y") == ()
    assert (
        suspects(pl.DataFrame({"y": [None] * 50, "z": range(50)}, schema={"y": pl.Boolean, "z": pl.Int64}), "y") == ()
    )
