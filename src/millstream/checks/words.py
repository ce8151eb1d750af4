"""Numbers as people read them in a check's sentence."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any


def percent(share: float) -> str:
    """Write a share as a percentage.

    >>> percent(0.0234), percent(0.00004), percent(1.0)
    ('2.3 %', '< 0.1 %', '100 %')
    """
    if 0 < share < 0.0005:
        return "< 0.1 %"
    text = f"{100 * share:.1f}"
    if text == "100.0" and share < 1:
        return "> 99.9 %"
    return f"{text.removesuffix('.0')} %"


def count(number: int, noun: str, *, plural: str | None = None) -> str:
    """Write a number with its noun.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def span(length: timedelta) -> str:
    """Write a length of time in its two largest units.

    >>> span(timedelta(hours=49)), span(timedelta(minutes=5)), span(timedelta(seconds=-3600))
    ('2 d 1 h', '5 min', '1 h')
    """
    seconds = round(abs(length.total_seconds()))
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    said = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(said[:2]) or "0 s"


def day(when: date) -> str:
    """Write a day with its weekday.

    >>> day(date(2013, 10, 12))
    'Sat 12 Oct 2013'
    """
    return f"{when:%a} {when.day} {when:%b %Y}"


def value(what: Any) -> str:
    """Write a value of a row: numbers short, texts quoted, instants in ISO form.

    >>> value(3.0), value("SJU"), value(None)
    ('3', "'SJU'", 'NULL')
    """
    if what is None:
        return "NULL"
    if isinstance(what, str):
        return repr(what)
    if isinstance(what, bool):
        return str(what).lower()
    if isinstance(what, float):
        return f"{what:.12g}"
    return what.isoformat() if isinstance(what, date) else str(what)
