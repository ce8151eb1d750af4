"""Ticks of a calendar: the instants at which a zone's clocks show a month, a week, a day or an hour begin."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt

from millstream.features import almanac

Instants = npt.NDArray[np.int64]


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
    return np.array(almanac.ticks(step, timezone=timezone, since=since, until=until), dtype=np.int64)


def after(instants: Instants, length: str, *, timezone: str, times: int = 1) -> Instants:
    """Return the instants that lie a length of the calendar after some; ``times`` lengths, before where negative.

    Months, weeks and days keep the time the clocks show (of a day that a month does not have, its last); hours are
    hours.
    """
    moved = [almanac.after(each, length, timezone=timezone, times=times) for each in instants.tolist()]
    return np.array(moved, dtype=np.int64)
