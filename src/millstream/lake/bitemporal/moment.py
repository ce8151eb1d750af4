"""A table, or a query, at another instant than now, by either clock.

*As known* leaves out of the newest version what became known later, corrections too: what a model could have been
told. *As seen* takes the version that was the newest here then: what a query would have answered that day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import polars as pl

from millstream.errors import NotFound, UserError, near
from millstream.lake.bitemporal.asof import believed
from millstream.lake.bitemporal.beliefs import settled
from millstream.lake.frame import TableFrame
from millstream.lake.sql import query
from millstream.state.versions import TableVersion
from millstream.types import Pins, parse_instant

if TYPE_CHECKING:
    from millstream.lake.lake import Lake


def instant(said: str | datetime, *, now: datetime) -> datetime:
    """Read an instant of the past as people write it.

    Parameters
    ----------
    said
        An aware datetime, or a text: a day, a month or a time, in UTC unless it names a zone
        (``2013-11-03T09:00-05:00`` or ``2013-11-03 09:00 America/New_York``).
    now
        The project's instant, after which nothing is known.

    Raises
    ------
    UserError
        For what is no instant, is in the future, or is a local time that was there twice or never.
    """
    at = said if isinstance(said, datetime) else _read(str(said).strip())
    if at.tzinfo is None:
        raise UserError(f"{at.isoformat()} has no time zone", expected="an aware datetime, or a text (UTC)")
    if at > now:
        raise UserError(
            f"{at.isoformat()} is in the future: it is {now.isoformat(timespec='seconds')} here",
            expected="an instant that has been: nobody knows yet what will be known then",
            do="leave it out to read what is known now",
        )
    return at.astimezone(UTC)


def _read(text: str) -> datetime:
    words = text.split()
    zone = words[-1] if len(words) > 1 and words[-1][0].isalpha() else ""
    told = text.removesuffix(zone).strip()
    try:
        at = parse_instant(told if len(told) != len("2013-03") else f"{told}-01")
    except ValueError as wrong:
        raise UserError(
            str(wrong), expected="2013-11-03, 2013-11-03T09:00-05:00, or '2013-11-03 09:00 Europe/Berlin'"
        ) from None
    if not zone:
        return at
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise UserError(f"{zone!r} is no time zone", do=near(zone, available_timezones())) from None
    wall = datetime.fromisoformat(told if len(told) != len("2013-03") else f"{told}-01")
    if wall.tzinfo is not None:
        raise UserError(f"{text!r} names two time zones", expected="one of them")
    early, late = (wall.replace(tzinfo=place, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        there = early.astimezone(UTC).astimezone(place).replace(tzinfo=None) == wall
        how = "was there twice, when the clocks went back" if there else "was never: the clocks went forward over it"
        raise UserError(
            f"{told} in {zone} {how}",
            expected="a time that says which, by its distance from UTC",
            do=f"{wall.isoformat()}{early.isoformat()[-6:]} or {wall.isoformat()}{late.isoformat()[-6:]}",
        )
    return early


def seen_at(lake: Lake, table: str, at: datetime) -> TableVersion:
    """Return the version of a table that was the newest at an instant, by the project's clock.

    Raises
    ------
    NotFound
        When the table had no version then.
    """
    there = lake.history(table)
    if not there:
        return lake.head(table)
    found = [each for each in there if parse_instant(each.registered_at) <= at]
    if not found:
        first = there[0]
        raise NotFound(
            f"table {table!r} had no version at {at.isoformat()}",
            expected=f"an instant from {first.registered_at} on, when version {first.version} was seen",
            do="as_of= instead, for what was known then by what is here now",
        )
    return found[-1]


def known_at(read: TableFrame, at: datetime) -> TableFrame:
    """Return the rows that were known at an instant, as a table of their own.

    Raises
    ------
    NotFound
        When not one row of the table was known then.
    """
    rows = believed(read, at)
    if not rows.height and read.frame.height and read.known:
        first = min(
            (each for each in (read.frame[name].min() for name in read.known_for(())) if each is not None), default=None
        )
        if isinstance(first, datetime) and first > at:
            raise NotFound(
                f"nothing of table {read.table!r} was known at {at.isoformat()}",
                expected=f"an instant from {first.isoformat()} on, when its first row was known",
            )
    return replace(read, frame=rows, known={}, gone=None)


def ask(
    lake: Lake,
    sql: str,
    *,
    now: datetime,
    as_of: str | datetime | None = None,
    as_seen: str | datetime | None = None,
    at: Mapping[str, int] | None = None,
    read: Callable[[str, int | None, datetime | None], TableFrame] | None = None,
) -> tuple[pl.DataFrame, Pins, dict[str, str]]:
    """Run one SELECT over the tables as they were.

    Parameters
    ----------
    as_of
        As known at this instant: later facts and corrections left out.
    as_seen
        At the versions that were the newest then.
    at
        Table to version, for tables that are to be read at one.
    read
        Reads a table at a version (None for the newest) as known at an instant (None for now); for somebody who may
        not see all of it.

    Returns
    -------
    The result, the versions that were read, and the instants that were meant.

    Raises
    ------
    UserError, NotFound
        For an instant or version that is not there, and as ``Lake.query``.
    """
    known = set(lake.heads())
    pins = dict(at or {})
    for name in pins:
        if name not in known:
            raise NotFound(f"there is no table {name!r}", do=near(name, known))
    meant = {
        word: instant(said, now=now) for word, said in (("as_of", as_of), ("as_seen", as_seen)) if said is not None
    }

    def whole(name: str, number: int | None, known_by: datetime | None) -> TableFrame:
        found = lake.read(name, version=number)
        return settled(found) if known_by is None else known_at(found, known_by)

    def reading(name: str) -> TableFrame:
        number = pins.get(name)
        if number is None and "as_seen" in meant:
            number = seen_at(lake, name, meant["as_seen"]).version
        return (read or whole)(name, number, meant.get("as_of"))

    frame, read_at = query(sql, known=known, read=reading)
    return frame, read_at, {word: each.isoformat() for word, each in meant.items()}
