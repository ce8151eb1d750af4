"""Ticks stand on the calendar of their zone, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from millstream.definitions.rows import Every
from millstream.errors import DefinitionError
from millstream.features.calendar import after, ticks
from millstream.types import from_micros, to_micros

from . import shapes


@pytest.mark.parametrize("step", ["1h", "6h", "1d", "2d", "1w", "2w", "1mo", "3mo"])
@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("Europe/Berlin", datetime(2013, 3, 31, tzinfo=UTC)),
        ("America/New_York", datetime(2013, 11, 3, tzinfo=UTC)),
        ("America/Sao_Paulo", datetime(2018, 11, 4, tzinfo=UTC)),  # midnight does not exist
        ("America/Havana", datetime(2013, 11, 3, tzinfo=UTC)),  # midnight happens twice
        ("Australia/Lord_Howe", datetime(2013, 4, 7, tzinfo=UTC)),  # half an hour
        ("Asia/Kolkata", datetime(2013, 1, 1, tzinfo=UTC)),
    ],
)
def test_ticks_are_those_a_watcher_of_the_clock_counts(step: str, zone: str, around: datetime) -> None:
    since, until = around - timedelta(days=9, minutes=17), around + timedelta(days=40 if "mo" in step else 9)
    since = since.replace(minute=45)
    found = [from_micros(each) for each in ticks(step, timezone=zone, since=since, until=until).tolist()]
    assert found == shapes.walked(ZoneInfo(zone), since, until, step)


def test_the_span_is_half_open() -> None:
    midnight = datetime(2013, 5, 1, 22, tzinfo=UTC)
    day = timedelta(days=1)
    found = ticks("1d", timezone="Europe/Berlin", since=midnight, until=midnight + day)
    assert [from_micros(each) for each in found.tolist()] == [midnight]


@pytest.mark.parametrize(
    ("length", "begin", "end"),
    [
        ("1d", "2013-03-30T23:00", "2013-03-31T22:00"),  # a day of 23 hours
        ("24h", "2013-03-30T23:00", "2013-03-31T23:00"),
        ("1w", "2013-10-24T22:00", "2013-10-31T23:00"),
        ("1mo", "2013-01-30T23:00", "2013-02-27T23:00"),  # from the 31st to the last of February
        ("12mo", "2012-02-28T23:00", "2013-02-27T23:00"),
    ],
)
def test_a_length_of_the_calendar_keeps_the_time_the_clocks_show(length: str, begin: str, end: str) -> None:
    import numpy as np

    instants = np.array([to_micros(datetime.fromisoformat(begin).replace(tzinfo=UTC))])
    (found,) = after(instants, length, timezone="Europe/Berlin").tolist()
    assert from_micros(found) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("step", "horizon", "says"),
    [
        ("1 month", None, "'1 month' is not a length of the calendar"),
        ("7m", None, "not a length of the calendar"),
        ("5mo", None, "does not divide the calendar evenly"),
        ("7h", None, "does not divide"),
        ("0d", None, "does not divide"),
        ("1d", ("28d", "1d"), r"begins at '28d' and ends before it, at '1d'"),
        ("1d", ("1d", "28"), "horizon of Every: '28' is not a length"),
        ("1d", "1d", "horizon of Every is '1d'"),
    ],
)
def test_steps_and_horizons_that_make_no_sense_are_refused(step: str, horizon: tuple[str, str], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        Every(step, of="members", horizon=horizon)
