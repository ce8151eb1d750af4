"""Calendars of days that stand out, as they travel inside of expressions. Standard library only."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cache

BAR = "|"
TAB = "\t"


def pack(
    code: str, span: tuple[int, int], days: Sequence[int], *, rest: Iterable[int] = (), names: Iterable[str] = ()
) -> str:
    r"""Write a calendar as one text: code, first and last day, weekend, the days, which name each has, the names.

    Days count from 1970; the days of a weekend are Monday 1 to Sunday 7.

    >>> pack("US", (0, 364), [0, 358], names=["New Year's Day", "Christmas Day"])
    "US|0|364||0,358|1,2|New Year's Day\tChristmas Day"
    """
    told = [each.replace(BAR, "/").replace(TAB, " ") for each in names]
    unique = {each: str(place) for place, each in enumerate(dict.fromkeys(told), start=1)}
    fields = [
        code,
        str(span[0]),
        str(span[1]),
        ",".join(map(str, rest)),
        ",".join(map(str, days)),
        ",".join(unique[each] for each in told),
        TAB.join(unique),
    ]
    return BAR.join(fields)


class Almanac:
    """A calendar, ready to be asked about days since 1970; of days beyond it nothing is known (None)."""

    def __init__(self, packed: str) -> None:
        self.code, first, last, rest, days, places, names = packed.split(BAR)
        self.first, self.last = int(first), int(last)
        self.rest = frozenset(map(int, rest.split(","))) if rest else frozenset()
        self.days = [int(each) for each in days.split(",")] if days else []
        self.marked = frozenset(self.days)
        told = names.split(TAB)
        self.names = (
            {day: told[int(place) - 1] for day, place in zip(self.days, places.split(","), strict=True)}
            if places
            else {}
        )

    def is_holiday(self, day: int) -> bool | None:
        """Say whether a day is a holiday."""
        return day in self.marked if self.first <= day <= self.last else None

    def is_working_day(self, day: int) -> bool | None:
        """Say whether people work; the marked days are the exceptions to the weekend and the week."""
        if not self.first <= day <= self.last:
            return None
        return ((day + 3) % 7 + 1 in self.rest) == (day in self.marked)

    def holiday_name(self, day: int) -> str | None:
        """Name a holiday; None for every other day."""
        return self.names.get(day)

    def until_holiday(self, day: int) -> int | None:
        """Count the days to the next holiday; 0 on one."""
        place = bisect_left(self.days, day)
        return self.days[place] - day if self.first <= day and place < len(self.days) else None

    def since_holiday(self, day: int) -> int | None:
        """Count the days since the last holiday; 0 on one."""
        place = bisect_right(self.days, day)
        return day - self.days[place - 1] if place and day <= self.last else None


@cache
def almanac(packed: str) -> Almanac:
    """Read a calendar, once."""
    return Almanac(packed)
