"""The one door for values of a database's driver: numbers, truth values, times, dates; all else is text."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from millstream.errors import BadData

LOOSE = pl.Decimal()
"""A number, or a text where there is one among its values."""
NAIVE, AWARE = pl.Datetime("us"), pl.Datetime("us", "UTC")


def sampled(said: pl.DataType | None, values: Sequence[Any]) -> pl.DataType | None:
    """Settle a column's type by what the database says and by some of its values; None for bytes."""
    if said == pl.Binary or any(isinstance(each, bytes | bytearray | memoryview) for each in values):
        return None
    if said == LOOSE:
        return pl.String() if any(isinstance(each, str) for each in values) else pl.Float64()
    if said is not None:
        if said == NAIVE and values and all(_offset(each) for each in values):
            return AWARE
        return said
    kinds = {type(each) for each in values}
    if kinds == {bool}:
        return pl.Boolean()
    if kinds == {int}:
        return pl.Int64()
    if kinds and kinds <= {int, float, Decimal}:
        return pl.Float64()
    if kinds == {datetime}:
        return AWARE if all(_offset(each) for each in values) else NAIVE
    return pl.Date() if kinds == {date} else pl.String()


def column(name: str, values: list[Any], kind: pl.DataType, *, where: str) -> pl.Series:
    """Make a column of values; none of them is guessed.

    Raises
    ------
    BadData
        Naming the first value that is not of the column's type.
    """
    made = _reader(kind)
    plain = _PLAIN.get(kind)
    if plain is not None and {type(each) for each in values} <= {plain, type(None)}:
        with contextlib.suppress(OverflowError, TypeError, pl.exceptions.PolarsError):
            return pl.Series(name, values, dtype=kind)
    try:
        return pl.Series(name, [None if each is None else made(each) for each in values], dtype=kind)
    except (ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
        wrong = next((each for each in values if each is not None and not _fits(each, made, kind)), None)
        raise BadData(
            f"column {name!r} of {where} is {kind}, and holds {wrong!r}",
            expected=f"values of {kind} in every row",
            do="cast it in a query: sources.Sql(query='select cast(... as ...) ...'), or leave the column out",
        ) from None


def _fits(value: Any, made: Callable[[Any], Any], kind: pl.DataType) -> bool:
    try:
        pl.Series([made(value)], dtype=kind)
    except (ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
        return False
    return True


def _offset(value: Any) -> bool:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return False
    return isinstance(found, datetime) and found.tzinfo is not None


def _whole(value: Any) -> int:
    if isinstance(value, str) or value != int(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise ValueError
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _truth(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError
    return bool(value)


def _time(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value  # type: ignore[no-any-return]


def _naive(value: Any) -> datetime:
    found = _time(value)
    if found.tzinfo is not None:
        raise ValueError
    return found


def _aware(value: Any) -> datetime:
    found = _time(value)
    if found.tzinfo is None:
        raise ValueError
    return found.astimezone(UTC)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise ValueError
    return date.fromisoformat(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        raise ValueError
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _reader(kind: pl.DataType) -> Callable[[Any], Any]:
    return _READERS.get(kind, _text)


_PLAIN: dict[Any, type] = {pl.Int64(): int, pl.Float64(): float, pl.String(): str, pl.Boolean(): bool}
"""Types whose values need no look at each of them."""
_READERS: dict[Any, Callable[[Any], Any]] = {
    pl.Int64(): _whole,
    pl.Float64(): _number,
    pl.Boolean(): _truth,
    pl.Date(): _date,
    NAIVE: _naive,
    AWARE: _aware,
}
