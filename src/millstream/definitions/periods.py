"""Pieces of a table: periods of event time, each with a name people write, or the values of a column."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

PERIODS = {"1h": "%Y-%m-%dT%H", "1d": "%Y-%m-%d", "1w": "%G-W%V", "1mo": "%Y-%m", "1q": "%Y-Q", "1y": "%Y"}
"""Length of a period to how its beginning is written."""


def begin_of(instant: datetime, period: str, zone: ZoneInfo | None = None) -> datetime:
    """Return when the period that holds an instant begins, in UTC. Hours are UTC's, everything else the zone's.

    >>> begin_of(datetime(2013, 5, 16, 7, tzinfo=UTC), "1q").isoformat()
    '2013-04-01T00:00:00+00:00'
    """
    local = instant.astimezone(UTC if zone is None or period == "1h" else zone)
    if period == "1h":
        return local.replace(minute=0, second=0, microsecond=0)
    day = datetime(local.year, local.month, local.day, tzinfo=local.tzinfo)
    if period == "1w":
        day -= timedelta(days=day.weekday())
    elif period == "1mo":
        day = day.replace(day=1)
    elif period == "1q":
        day = day.replace(month=day.month - (day.month - 1) % 3, day=1)
    elif period == "1y":
        day = day.replace(month=1, day=1)
    return day.astimezone(UTC)


def next_of(begin: datetime, period: str, zone: ZoneInfo | None = None) -> datetime:
    """Return when the period after the one that begins at an instant begins, in UTC.

    >>> next_of(datetime(2013, 12, 1, tzinfo=UTC), "1mo").isoformat()
    '2014-01-01T00:00:00+00:00'
    """
    length = {"1h": 1.5, "1d": 36, "1w": 24 * 10, "1mo": 24 * 40, "1q": 24 * 100, "1y": 24 * 400}[period]
    return begin_of(begin + timedelta(hours=length), period, zone)


def named(begin: datetime, period: str, zone: ZoneInfo | None = None) -> str:
    """Write the period that begins at an instant, as people do.

    >>> named(datetime(2013, 4, 1, tzinfo=UTC), "1q"), named(datetime(2013, 4, 1, tzinfo=UTC), "1w")
    ('2013-Q2', '2013-W14')
    """
    local = begin.astimezone(UTC if zone is None or period == "1h" else zone)
    text = f"{local:{PERIODS[period]}}"
    return f"{text}{(local.month + 2) // 3}" if period == "1q" else text
