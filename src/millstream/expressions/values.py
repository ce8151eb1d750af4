"""The door for one value: from a JSON scalar to a value of the row language, strictly."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

from millstream.errors import BadData
from millstream.types import DType, to_micros

_LARGEST = 2**63


def value(raw: Any, dtype: DType, *, where: str) -> Any:
    """Turn a JSON scalar into a value for a row function.

    Parameters
    ----------
    raw
        A decoded JSON scalar; None is NULL.
    dtype
        The declared type. Times are ISO 8601 with a zone and become microseconds since 1970.
    where
        Name of the field, for error messages.

    Raises
    ------
    BadData
        For text or a boolean where a number is declared, NaN, infinity, a number too large, a time without zone.
    """
    if raw is None:
        return None
    if dtype == "double" and type(raw) in (int, float):
        number = float(raw) if abs(raw) < 1e308 * 1.8 else math.inf
        if not math.isfinite(number):
            raise BadData(f"{where} is {raw!r}", expected="a finite number, or null")
        return number
    if dtype == "bigint" and type(raw) is int and -_LARGEST <= raw < _LARGEST:
        return raw
    if dtype == "varchar" and type(raw) is str:
        return raw
    if dtype == "boolean" and type(raw) is bool:
        return raw
    if dtype == "timestamptz" and type(raw) is str:
        return _instant(raw, where)
    if dtype == "timestamptz" and isinstance(raw, datetime) and raw.tzinfo is not None:
        return to_micros(raw)
    if dtype == "date" and type(raw) is str:
        try:
            return (date.fromisoformat(raw) - date(1970, 1, 1)).days
        except ValueError:
            raise BadData(f"{where} is {raw!r}", expected="a date such as 2013-02-01") from None
    shown = repr(raw)
    raise BadData(f"{where} is {shown[:80]}", expected=_EXPECTED.get(dtype, f"a {dtype}"))


_EXPECTED = {
    "double": "a number",
    "bigint": "a whole number",
    "varchar": "a text",
    "boolean": "true or false",
    "timestamptz": "a time with its zone, such as 2013-02-01T10:00:00Z",
}


def _instant(raw: str, where: str) -> int:
    try:
        instant = datetime.fromisoformat(raw)
    except ValueError:
        raise BadData(f"{where} is {raw[:80]!r}", expected=_EXPECTED["timestamptz"]) from None
    if instant.tzinfo is None:
        raise BadData(f"{where} is {raw!r}, which has no zone", expected=_EXPECTED["timestamptz"])
    return to_micros(instant)
