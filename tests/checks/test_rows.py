"""Checks of rows against going through them one by one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions import checks
from tests.checks.scenes import NOW, batch_of, run_on

WHEN = datetime(2013, 5, 1, tzinfo=UTC)
ROW = st.fixed_dictionaries(
    {
        "id": st.one_of(st.none(), st.integers(0, 12)),
        "air": st.one_of(st.none(), st.floats(-5, 5), st.sampled_from([0.0, 2.0])),
        "dest": st.one_of(st.none(), st.sampled_from(["LAX", "SJU", "BQN"])),
        "known": st.one_of(st.none(), st.integers(0, 2).map(lambda hours: WHEN + timedelta(hours=hours))),
    }
)
TYPES = {"id": pl.Int64(), "air": pl.Float64(), "dest": pl.String(), "known": pl.Datetime("us", "UTC")}
AIRPORTS = batch_of(pl.DataFrame({"faa": ["LAX", "JFK", None]}), name="airports", key=("faa",))
CHECKS = (
    checks.unique("id"),
    checks.between("air", 0, 2),
    checks.holds("air <> 2 and dest <> 'BQN'"),
    checks.references("dest", "airports.faa"),
    checks.nulls("dest", at_most=0.25),
)


def slowly(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[list[int]]:
    """Say which rows fail each check of rows, one row at a time."""
    same = Counter((row["id"], row["known"]) for row in rows)
    had = {(row["id"], row["known"]) for row in before}
    failing: list[list[int]] = [[], [], [], []]
    for at, row in enumerate(rows):
        twin = (row["id"], row["known"])
        if same[twin] > 1 or twin in had:
            failing[0].append(at)
        if row["air"] is not None and not 0 <= row["air"] <= 2:
            failing[1].append(at)
        if row["air"] == 2.0 or row["dest"] == "BQN":
            failing[2].append(at)
        if row["dest"] in ("SJU", "BQN"):
            failing[3].append(at)
    return failing


@settings(deadline=None, max_examples=80)
@given(st.lists(ROW, max_size=15), st.lists(ROW, max_size=8))
def test_every_check_finds_the_rows_a_person_would(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    frame, earlier = pl.DataFrame(rows, schema=TYPES), pl.DataFrame(before, schema=TYPES)
    report = run_on(
        frame, *CHECKS, known_keys=lambda: earlier.select("id", "known"), airports=AIRPORTS, known={"id": "known"}
    )
    *row_checks, nulls = report.results
    failing = slowly(rows, before) if rows else [[]] * 4
    for result, expected in zip(row_checks, failing, strict=True):
        assert result.failed_rows == len(expected) and result.ok == (not expected), result.says
        assert [each["id"] for each in result.rows] == [rows[at]["id"] for at in expected[:5]]
    missing = sum(row["dest"] is None for row in rows)
    assert nulls.failed_rows == missing and nulls.ok == (missing <= 0.25 * len(rows))
    aside = [rows[at]["id"] for expected in failing for at in expected]
    assert report.quarantine["id"].to_list() == aside
    assert report.quarantine.columns == ["id", "check", "reason"]


def test_a_correction_is_no_duplicate_and_a_repeated_row_is() -> None:
    frame = pl.DataFrame({"id": [1, 1, 2, 2], "known": [WHEN, WHEN + timedelta(hours=1), WHEN, WHEN]})
    frame = frame.with_columns(pl.col("known").dt.cast_time_unit("us"))
    result = run_on(frame, checks.unique("id"), known={"id": "known"}).results[0]
    assert result.failed_rows == 2 and result.rows == ({"id": 2}, {"id": 2})
    assert not run_on(frame.drop("known"), checks.unique("id")).results[0].ok


def test_equal_fingerprints_are_no_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    from millstream.checks import ask, tell

    for module in (ask, tell):
        monkeypatch.setattr(module, "fingerprint", lambda columns: pl.col(columns[0]).hash() % 1)
    frame = pl.DataFrame({"id": [1, 2, 3, 3]})
    report = run_on(frame, checks.unique("id"), known_keys=lambda: pl.DataFrame({"id": [1, 9]}))
    assert report.results[0].failed_rows == 3 and report.quarantine["id"].to_list() == [1, 3, 3]


def test_earlier_keys_without_their_known_at_cannot_be_compared() -> None:
    frame = pl.DataFrame({"id": [1], "known": [WHEN]}).with_columns(pl.col("known").dt.cast_time_unit("us"))
    report = run_on(frame, checks.unique("id"), known={"id": "known"}, known_keys=lambda: pl.DataFrame({"id": [1]}))
    assert report.results[0].ok


def test_a_batch_is_passed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    collect = pl.LazyFrame.collect

    def counted(self: pl.LazyFrame, **options: Any) -> Any:
        nonlocal passes
        passes += 1
        return collect(self, **options)

    frame = pl.DataFrame({"id": [1, 2], "air": [1.0, 2.0], "dest": ["LAX", "LAX"], "at": [NOW, NOW]})
    many = [checks.between("air", 0, limit) for limit in range(5, 25)]
    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    wanted = [checks.unique("id"), checks.holds("air > 0"), checks.nulls("dest"), checks.fresh(within="1d"), *many]
    report = run_on(frame.with_columns(pl.col("at").dt.cast_time_unit("us")), *wanted, event_time="at")
    assert report.ok and not report.failed and len(report.results) == 24
    assert passes == 1


def test_a_note_sets_no_row_aside_and_a_table_without_key_cannot() -> None:
    frame = pl.DataFrame({"id": [1, 2], "air": [-1.0, 1.0]})
    noted = run_on(frame, checks.between("air", 0, 2, severity="note"))
    assert not noted.results[0].ok and not noted.quarantine.height and noted.ok
    assert run_on(frame, checks.between("air", 0, 2)).quarantine["id"].to_list() == [1]
    without = run_on(frame, checks.between("air", 0, 2), key=())
    assert without.results[0].failed_rows == 1 and without.results[0].rows == ({"air": -1.0},)
    assert without.quarantine.columns == ["check", "reason"] and not without.quarantine.height


@pytest.mark.parametrize(("age", "ok"), [(timedelta(hours=36), True), (timedelta(hours=36, minutes=1), False)])
def test_fresh_looks_at_the_newest_event(age: timedelta, ok: bool) -> None:
    frame = pl.DataFrame({"id": [1, 2], "at": [NOW - timedelta(days=9), NOW - age]})
    frame = frame.with_columns(pl.col("at").dt.cast_time_unit("us"))
    assert run_on(frame, checks.fresh(within="36h"), event_time="at").results[0].ok is ok
