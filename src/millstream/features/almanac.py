"""The calendar with nothing but the standard library, so that a scoring server keeps the same one as training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from millstream.definitions.rows import Unit, read_length
from millstream.types import from_micros, to_micros

_MONDAY = date(1970, 1, 5)


def ticks(step: str, *, timezone: str, since: datetime, until: datetime) -> list[int]:
    """List the ticks from an instant to another (not included), ascending, in microseconds since the epoch."""
    number, unit = read_length(step, where=f"step {step!r}")
    zone = ZoneInfo(timezone)
    first, last = since.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
    found = _hours(first, last, number, zone) if unit == "h" else _days(first, last, number, unit, zone)
    begin, end = to_micros(since), to_micros(until)
    return sorted({instant for each in found if begin <= (instant := to_micros(each)) < end})


def after(micros: int, length: str, *, timezone: str, times: int = 1) -> int:
    """Return the instant some lengths of the calendar after one; before it, where ``times`` is negative."""
    number, unit = read_length(length, where=f"length {length!r}")
    number *= times
    if unit == "h":
        return micros + number * 3_600_000_000
    zone = ZoneInfo(timezone)
    local = from_micros(micros).astimezone(zone)
    day = _months_after(local.date(), number) if unit == "mo" else _days_after(local.date(), number, unit)
    return to_micros(datetime.combine(day, local.time(), tzinfo=zone).astimezone(UTC))


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
