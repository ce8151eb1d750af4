"""Holidays of the world, written down as data. The only file that imports the ``holidays`` library.

A calendar is looked up when definitions load and travels inside of the expression, day by day: what a release answers
does not change with the library, and the scoring server needs none.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Any

from millstream.errors import near
from millstream.expressions.almanac import pack

YEARS = (1970, 2050)
"""Years that calendars are asked for; some know fewer."""
_EPOCH = date(1970, 1, 1).toordinal()
_LANGUAGE = "en_US"


class NoCalendarError(ValueError):
    """There is no such calendar; ``expected`` names near ones."""

    def __init__(self, problem: str, expected: str = "", do: str = "") -> None:
        super().__init__(problem)
        self.expected, self.do = expected, do


@cache
def calendar(code: str, function: str) -> str:
    """Write down what a function needs of a calendar (see ``almanac.Almanac``).

    Parameters
    ----------
    code
        A country as ISO 3166 has it (``US``), a part of one (``US-NY``, ``DE-BY``), or a market (``XNYS``, ``ECB``).
    function
        Name of the function of the row language.

    Raises
    ------
    NoCalendarError
        When the library is missing, or knows no such calendar.

    Notes
    -----
    The first call imports the library (about 0.3 s); a calendar then takes 5 to 100 ms, once.
    """
    found = _found(code)
    first, last = max(YEARS[0], found.start_year), min(YEARS[1], found.end_year)
    days = range(date(first, 1, 1).toordinal(), date(last, 12, 31).toordinal() + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of years that a calendar only estimates
        named = {each.toordinal(): str(name) for each, name in found.items() if each.toordinal() in days}
        if function == "is_working_day":
            rest = {each + 1 for each in found.weekend}
            marked = [
                each for each in days if found.is_working_day(date.fromordinal(each)) == ((each - 1) % 7 + 1 in rest)
            ]
            return _packed(code, days, marked, rest=sorted(rest))
    if function == "holiday_name":
        return _packed(code, days, sorted(named), names=[named[each] for each in sorted(named)])
    return _packed(code, days, sorted(named))


def _packed(
    code: str, days: range, marked: Iterable[int], *, rest: Iterable[int] = (), names: Iterable[str] = ()
) -> str:
    span = (days[0] - _EPOCH, days[-1] - _EPOCH)
    return pack(code, span, [each - _EPOCH for each in marked], rest=rest, names=names)


def _found(code: str) -> Any:
    try:
        import holidays
    except ImportError:
        raise NoCalendarError(
            "holidays need the library 'holidays', which is not installed", do="pip install 'millstream[holidays]'"
        ) from None
    countries, markets = holidays.list_supported_countries(), holidays.list_supported_financial()
    country, _, part = code.partition("-")
    if code in markets:
        make, known, options = holidays.financial_holidays, code, {}
    elif country in countries and (not part or part in countries[country]):
        make, known, options = holidays.country_holidays, country, {"subdiv": part} if part else {}
    else:
        parts = [f"{country}-{each}" for each in countries.get(country, ())]
        raise NoCalendarError(
            f"there is no holiday calendar {code!r}",
            near(code, parts or [*countries, *markets]),
            "name a country (US), a part of one (US-NY) or a market (XNYS)",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare = make(known, **options)
        language = _LANGUAGE if _LANGUAGE in bare.supported_languages else None
        first, last = max(YEARS[0], bare.start_year), min(YEARS[1], bare.end_year)
        return make(known, years=range(first, last + 1), language=language, **options)
