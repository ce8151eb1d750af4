"""Ticks of a calendar: the instants at which a zone's clocks show a month, a week, a day or an hour begin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from millstream.definitions.rows import Unit, read_length
from millstream.types import to_micros

Instants = npt.NDArray[np.int64]

_MONDAY = date(1970, 1, 5)


def ticks(step: str, *, timezone: str, since: datetime, until: datetime) -> Instants:
    """List the ticks from an instant to another (not included), ascending, in microseconds since the epoch.

    Parameters
    ----------
    step
        A number of months, weeks, days or hours. Months are counted from January, weeks from Monday 1970-01-05, days
        from 1970-01-01, hours from midnight.
    timezone
        Whose clocks. A day that begins in a gap begins after it; of an hour that happens twice both are ticks.
    since, until
        The span.

    Examples
    --------
    >>> from millstream.types import from_micros, parse_instant
    >>> since, until = parse_instant("2013-03-01"), parse_instant("2013-05-01")
    >>> found = ticks("1mo", timezone="Europe/Berlin", since=since, until=until)
    >>> [from_micros(each).isoformat() for each in found.tolist()]
    ['2013-03-31T22:00:00+00:00', '2013-04-30T22:00:00+00:00']
    """
    number, unit = read_length(step, where=f"step {step!r}")
    zone = ZoneInfo(timezone)
    first, last = since.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
    found = _hours(first, last, number, zone) if unit == "h" else _days(first, last, number, unit, zone)
    instants = np.unique(np.fromiter((to_micros(each) for each in found), dtype=np.int64))
    return instants[(instants >= to_micros(since)) & (instants < to_micros(until))]


def after(instants: Instants, length: str, *, timezone: str) -> Instants:
    """Return the instants that lie a length of the calendar after some.

    Months, weeks and days keep the time the clocks show (of a day that a month does not have, its last); hours are
    hours.
    """
    number, unit = read_length(length, where=f"length {length!r}")
    if unit == "h":
        return instants + number * 3_600_000_000
    zone = ZoneInfo(timezone)
    moved = []
    for each in instants.tolist():
        local = _local(each, zone)
        day = _months_after(local.date(), number) if unit == "mo" else _days_after(local.date(), number, unit)
        moved.append(to_micros(datetime.combine(day, local.time(), tzinfo=zone).astimezone(UTC)))
    return np.array(moved, dtype=np.int64)


def _local(micros: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).astimezone(zone)


def _days_after(day: date, number: int, unit: Unit) -> date:
    return day + timedelta(days=number * (7 if unit == "w" else 1))


def _months_after(day: date, number: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=day.day - 1), following - timedelta(days=1))


def _days(first: date, last: date, number: int, unit: Unit, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the beginnings of the days that begin a step."""
    day = first
    while day <= last:
        if unit == "mo":
            begins = day.day == 1 and (day.month - 1) % number == 0
        elif unit == "w":
            begins = (day - _MONDAY).days % (7 * number) == 0
        else:
            begins = (day - date(1970, 1, 1)).days % number == 0
        if begins:
            yield datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
        day += timedelta(days=1)


def _hours(first: date, last: date, number: int, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield every instant at which the clocks show a full hour that the step divides."""
    day = first
    while day <= last:
        for hour in range(0, 24, number):
            shown = datetime.combine(day, time(hour), tzinfo=zone)
            for fold in (0, 1):
                instant = shown.replace(fold=fold).astimezone(UTC)
                if instant.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None):
                    yield instant
        day += timedelta(days=1)
