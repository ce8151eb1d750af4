"""The door for single values: JSON scalars become what closures compute with. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from millstream.errors import BadData
from millstream.expressions.kernel import BIGINT, INSTANTS, date_of_varchar
from millstream.types import DType, parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_FIRST_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_EXACT = 2**53
"""Up to here every whole number is a double."""
_EXPECTED = {
    "boolean": "true or false",
    "bigint": "a whole number of at most 64 bits, without quotes or fraction",
    "double": "a finite number, without quotes",
    "varchar": "text",
    "timestamptz": "an instant with an offset, such as 2013-02-01T10:00:00Z",
    "timestamp": "a local time without an offset, such as 2013-02-01T10:00:00",
    "date": "a day, such as 2013-02-01",
    "interval": "a length of time, such as 36h or 7d",
}


def value(raw: Any, dtype: DType, *, where: str) -> Any:
    """Turn a JSON scalar into a value of the row language, strictly.

    Parameters
    ----------
    raw
        None, bool, int, float or str as JSON gives them; instants, dates and intervals are text. From Python also an
        aware ``datetime``, a ``date`` and a ``timedelta``.
    dtype
        The type it must have. An int passes for a double, nothing else is converted.
    where
        What the value is, for the message: ``"request field distance"``.

    Returns
    -------
    Any
        None, bool, int, float or str; a timestamptz or interval as int microseconds, a date as int days since 1970.

    Raises
    ------
    BadData
        For every other value: NaN and infinities, ``"1"`` or ``true`` for a number, a time without an offset.

    Examples
    --------
    >>> value("1970-01-01T00:00:01Z", "timestamptz", where="at")
    1000000
    """
    if raw is None:
        return None
    found = _READ[dtype](raw)
    if found is None:
        told = repr(raw) if len(repr(raw)) <= 80 else repr(raw)[:77] + "..."
        raise BadData(f"{where}: {told} is not a {dtype}", expected=_EXPECTED[dtype])
    return found


def _boolean(raw: Any) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _bigint(raw: Any) -> int | None:
    if type(raw) is float and raw.is_integer() and abs(raw) <= _EXACT:  # JSON has one kind of number: 78.0 is 78
        return int(raw)
    if type(raw) is not int or not BIGINT[0] <= raw <= BIGINT[1]:
        return None
    return raw


def _double(raw: Any) -> float | None:
    if type(raw) is int:
        try:
            return float(raw)
        except OverflowError:
            return None
    if type(raw) is not float or raw - raw:
        return None
    return raw


def _varchar(raw: Any) -> str | None:
    if not isinstance(raw, str):
        return None
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError:
            return None
    return raw


def _timestamptz(raw: Any) -> int | None:
    found = _datetime(raw)
    if found is None or found.utcoffset() is None:
        return None
    at = (found - _EPOCH) // _MICROSECOND
    return at if INSTANTS[0] <= at <= INSTANTS[1] else None


def _timestamp(raw: Any) -> int | None:
    found = _datetime(raw)
    if found is None or found.tzinfo is not None:
        return None
    return (found - _NAIVE_EPOCH) // _MICROSECOND


def _datetime(raw: Any) -> datetime | None:
    if isinstance(raw, datetime):
        return raw
    if not isinstance(raw, str) or len(raw) < 16:
        return None
    try:
        return datetime.fromisoformat(raw)
    except ValueError:
        return None


def _date(raw: Any) -> int | None:
    if isinstance(raw, str):
        return date_of_varchar(raw)
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw.toordinal() - _FIRST_DAY
    return None


def _interval(raw: Any) -> int | None:
    if isinstance(raw, str):
        try:
            raw = parse_duration(raw)
        except (ValueError, OverflowError):
            return None
    return raw // _MICROSECOND if isinstance(raw, timedelta) else None


_READ: dict[DType, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "bigint": _bigint,
    "double": _double,
    "varchar": _varchar,
    "timestamptz": _timestamptz,
    "timestamp": _timestamp,
    "date": _date,
    "interval": _interval,
}
