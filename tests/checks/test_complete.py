"""Completeness: the arithmetic of habits, and the year of flights as it was and as it might have been."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import ModuleType

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.checks.completeness import last_due
from millstream.checks.habit import FEWEST, Habit, learn
from millstream.checks.report import CheckResult
from millstream.checks.spread import spread
from millstream.definitions import checks
from tests.checks.scenes import Year, batch_of, run_on

COMPLETE = checks.complete(against="schedule", key="flight_id")
BLIZZARD = (date(2013, 2, 8), date(2013, 2, 9))


def test_a_habit_needs_days_and_forgets_old_ones() -> None:
    assert learn([0.5] * (FEWEST - 1)) == Habit(share=1.0, spread=0.0, days=FEWEST - 1)
    assert learn([0.2] * 50 + [0.9] * 28).share == 0.9
    assert learn([0.98] * 20 + [0.1, 0.2]).share == 0.98, "a blizzard is not a habit"


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.5, 1), st.integers(1, 5000))
def test_a_limit_never_demands_more_than_the_habit(shares: list[float], at_least: float, expected: int) -> None:
    habit = learn(shares)
    assert 0 <= habit.limit(at_least=at_least, expected=expected) <= at_least * habit.share


def test_few_rows_are_judged_with_patience() -> None:
    habit = Habit(share=0.97, spread=0.0, days=28)
    assert habit.limit(at_least=0.9, expected=900) == pytest.approx(0.873)
    assert habit.limit(at_least=0.9, expected=10) < 0.75


@pytest.mark.parametrize("day", [date(2013, 3, 9), date(2013, 3, 10), date(2013, 11, 3), date(2013, 7, 4)])
def test_each_day_is_due_once_across_clock_changes(day: date, airline: ModuleType) -> None:
    judged = [
        last_due(airline.midnight(day + timedelta(days=after)), timezone="America/New_York", lag=timedelta(days=1))
        for after in range(4)
    ]
    assert judged == [day + timedelta(days=after - 2) for after in range(4)]


def results(year: Year, first: date, last: date) -> dict[date, CheckResult]:
    """Run the check once a day; key is the day whose batch was just published."""
    found, day = {}, first
    while day <= last:
        found[day] = year.check(day, COMPLETE, since=day - timedelta(days=1)).results[0]
        day += timedelta(days=1)
    return found


def test_the_blizzard_is_seen_as_missing_rows_that_pile_up(untouched: Year) -> None:
    found = results(untouched, date(2013, 2, 7), date(2013, 2, 11))
    failed = {each.detail["days"][0]["day"]: each for each in found.values() if not each.ok}
    assert [date.fromisoformat(day) for day in failed] == list(BLIZZARD)
    for each in failed.values():
        assert each.detail["spread"]["clustered"] and "pile up at scheduled_departure" in each.says
    assert (
        "Fri 8 Feb 2013 has 458 of 930 rows expected by schedule (49.2 %; usual is 98.7 %" in failed["2013-02-08"].says
    )


def test_an_untouched_year_alarms_on_storms_only(untouched: Year) -> None:
    first = untouched.check(date(2013, 12, 31), COMPLETE).results[0]
    days = first.detail["days"]
    assert [days[0]["day"], days[-1]["day"], len(days)] == ["2013-01-01", "2013-12-30", 364]
    short = [each for each in days if not each["ok"]]
    assert len(short) == 15, "4 % of the days, each of them with over 10 % of its flights cancelled"
    assert max(each["share"] for each in short) < 0.9 and {"2013-02-08", "2013-02-09"} <= {e["day"] for e in short}


def test_fifteen_percent_lost_is_noticed_on_the_first_day_whatever_the_weekend(
    untouched: Year, airline: ModuleType
) -> None:
    published, lost = pl.col("published"), pl.col("flight_id").hash(seed=7) % 100 < 15
    missed, clustered = [], []
    for saturday in pl.date_range(date(2013, 2, 2), date(2013, 12, 28), "2w", eager=True):
        year = Year.__new__(Year)
        year.airline, year.schedule = airline, untouched.schedule
        year.movements = untouched.movements.filter(~((published == saturday) & lost))
        after = saturday + timedelta(days=1)
        found = year.check(after, COMPLETE, since=saturday).results[0]
        if found.ok:
            missed.append(saturday)
        elif found.detail["spread"]["clustered"]:
            clustered.append(saturday)
    assert missed == []
    assert len(clustered) <= 1, "rows lost at random are not called a storm"


def test_the_incident_of_the_example_is_noticed_within_a_day(airline: ModuleType) -> None:
    incidents = airline.planted()
    year = Year(airline, airline.read_year(incidents))
    first, last = min(incidents.lossy_weekends), max(incidents.lossy_weekends)
    found = results(year, first, last + timedelta(days=1))
    noticed = {date.fromisoformat(each.detail["days"][0]["day"]): day for day, each in found.items() if not each.ok}
    assert set(noticed) == set(incidents.lossy_weekends)
    assert all(seen - lost == timedelta(days=1) for lost, seen in noticed.items())
    assert all("spread evenly" in each.says for each in found.values() if not each.ok)


def day_frame(rows: int, day: int, start: int = 0) -> pl.DataFrame:
    at = [datetime(2013, 5, day, 12, tzinfo=UTC)] * rows
    ids = list(range(1000 * day + start, 1000 * day + start + rows))
    return pl.DataFrame({"id": ids, "at": at}).with_columns(pl.col("at").dt.cast_time_unit("us"))


def judged(own: pl.DataFrame, batch: pl.DataFrame, *, day: int) -> CheckResult:
    expected = pl.concat([day_frame(100, each) for each in range(1, 31)])
    plan, rows = (batch_of(each, event_time="at") for each in (expected, own))
    check = checks.complete(against="plan", key="id")
    now = datetime(2013, 5, day, tzinfo=UTC)
    return run_on(batch, check, now=now, event_time="at", plan=plan, things=rows).results[0]


def test_a_day_without_any_row_comes_to_light_even_with_an_empty_batch() -> None:
    own = pl.concat([day_frame(100, each) for each in range(1, 20)])
    result = judged(own, own.head(0), day=21)
    assert not result.ok and result.share == 0.0 and result.failed_rows == 100
    assert [each["day"] for each in result.detail["days"]] == ["2013-05-20"]


def test_days_skipped_before_a_batch_are_judged_with_it_and_stragglers_reopen_nothing() -> None:
    old = [day_frame(100, each) for each in range(1, 18)] + [day_frame(50, 10)]
    batch = pl.concat([day_frame(100, 20), day_frame(5, 10, start=50)])
    result = judged(pl.concat([*old, batch]), batch, day=21)
    assert [each["day"] for each in result.detail["days"]] == ["2013-05-18", "2013-05-19", "2013-05-20"]
    assert "3 days are incomplete" not in result.says and "2 days are incomplete" in result.says


def test_what_the_other_table_did_not_know_yet_is_not_expected() -> None:
    expected = day_frame(10, 20).with_columns(known=pl.col("at") + pl.duration(days=pl.col("id") % 2 * 9))
    plan = batch_of(expected, event_time="at", known={"id": "known"})
    check = checks.complete(against="plan", key="id")
    rows = expected.filter(pl.col("id") % 2 == 0).select("id", "at")
    now = datetime(2013, 5, 21, tzinfo=UTC)
    found = run_on(rows, check, now=now, event_time="at", plan=plan, things=batch_of(rows, event_time="at"))
    assert found.results[0].ok and found.results[0].detail["days"][0]["expected"] == 5


def test_nothing_due_is_no_failure() -> None:
    result = judged(day_frame(1, 1), day_frame(1, 1), day=1)
    assert result.ok and result.says == "things: no further day of plan is due" and result.share is None


def test_spread_has_no_opinion_on_too_few_rows() -> None:
    frame = pl.DataFrame({"origin": ["EWR", "JFK"], "gone": [True, False]})
    found = spread(frame, missing=pl.col("gone"), columns=["origin"], timezone="UTC")
    assert not found.clustered and found.times_chance is None
