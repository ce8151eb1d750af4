"""Freshness is of the table, not of the batch: an old batch makes no table older, and silence makes it old."""

from datetime import timedelta

import polars as pl
import pytest

from millstream.checks import by_the_clock
from millstream.definitions.checks import complete, fresh, nulls
from tests.checks.scenes import NOW, run_on, table_of


def events(*ages_h: float | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": range(len(ages_h)), "at": [None if each is None else NOW - timedelta(hours=each) for each in ages_h]},
        schema={"id": pl.Int64, "at": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize(
    ("ages_h", "newest_h", "ok"),
    [
        ((1, 50), None, True),
        ((50, 37), None, False),
        ((50, 37), 2, True),  # corrections of old events after a fresh batch
        ((50, 37), 40, False),
        ((), 35, True),
        ((), 37, False),  # nothing came
        ((), None, True),  # nothing ever came: no batch to judge
        ((None,), None, False),
        ((36,), None, True),  # the limit itself holds
    ],
)
def test_the_newest_event_is_held_against_the_limit(ages_h, newest_h, ok):
    newest = None if newest_h is None else NOW - timedelta(hours=newest_h)
    (result,) = run_on(events(*ages_h), fresh(within="36h"), event_time="at", newest=newest).results
    assert result.ok is ok, result.says
    if not ok and None not in ages_h:
        assert "above the limit of" in result.says


def test_time_alone_breaks_freshness_at_once_and_completeness_when_a_day_is_due():
    table = table_of(fresh(within="1h"), complete(against="plan", key="id"), nulls("x"), event_time="at", lag="6h")
    for later, kinds in ((timedelta(minutes=1), {"Fresh"}), (timedelta(hours=6), {"Fresh", "Complete"})):
        wanted = by_the_clock(table, now=NOW + later, timezone="UTC", since=NOW)
        assert {type(each).__name__ for each in wanted} == kinds
