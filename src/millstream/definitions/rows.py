"""What a model predicts for: one per row of a table, or one per entity and tick, each decided at an instant."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal, TypeAlias

import msgspec

from millstream.definitions.table import Table
from millstream.errors import DefinitionError

Unit: TypeAlias = Literal["mo", "w", "d", "h"]
At: TypeAlias = Literal["decided_at", "target_at"]
"""The instant a window is about: that of the decision, or under a horizon the one that is predicted."""

_LENGTH = re.compile(r"(\d+)(mo|w|d|h)")
_MOST_NEGATIVES = 100
_WHOLE: dict[str, int] = {"mo": 12, "h": 24}


class Rows(msgspec.Struct, frozen=True):
    """The rows of a model, as ``Each`` and ``Every`` say them.

    Parameters
    ----------
    of
        The table.
    decide_at, where
        Expressions over its columns.
    step
        Time between the ticks of ``Every``; None for ``Each``.
    horizon
        First and last distance from the tick to the instant that is predicted.
    negatives
        Rows of other items that are sampled beside each row; of a ``TopK`` task only.
    """

    of: str
    decide_at: str | None = None
    where: str | None = None
    step: str | None = None
    horizon: tuple[str, str] | None = None
    negatives: int = 0


def Each(  # noqa: N802 - an option object
    of: Table | str, *, decide_at: str | None = None, where: str | None = None, negatives: int = 0
) -> Rows:
    """Make one prediction per row of a table.

    Parameters
    ----------
    of
        The table. Its key joins predictions to outcomes.
    decide_at
        Expression of the instant at which the prediction is made; the row's event time when left out.
    where
        Expression; only rows for which it is true are predicted. It must be known at ``decide_at``.
    negatives
        Of a model with ``task=tasks.TopK(...)``: beside each row, so many rows of the same somebody and instant with
        items that were there and not chosen, whose label is false.

    Raises
    ------
    DefinitionError
        For a number of negatives that is none.
    """
    if isinstance(negatives, bool) or not isinstance(negatives, int) or not 0 <= negatives <= _MOST_NEGATIVES:
        raise DefinitionError(
            f"negatives of Each: {negatives!r}", expected=f"a whole number from 0 to {_MOST_NEGATIVES}"
        )
    return Rows(of=_name(of), decide_at=decide_at, where=where, negatives=negatives)


def Every(  # noqa: N802 - an option object
    step: str, *, of: Table | str, where: str | None = None, horizon: tuple[str, str] | None = None
) -> Rows:
    """Make one prediction per entity and tick of the calendar.

    Parameters
    ----------
    step
        Time between ticks: a number of months (``"1mo"``), weeks, days or hours of the table's time zone, else the
        project's. Ticks stand on the calendar: the first of a month, Monday, midnight, the full hour, whatever
        the clock does in between. A number of months must divide 12, one of hours 24.
    of
        The table whose key is the entity. An entity exists from when its row became known.
    where
        Expression over the table; only entities for which it is true, as believed at the tick, are predicted.
    horizon
        First and last distance from the tick, such as ``("1d", "28d")``: one row per tick of the calendar between
        them, its instant in ``target_at``.

    Raises
    ------
    DefinitionError
        For a step or horizon that is no such length, or a horizon that ends before it begins.

    Examples
    --------
    >>> Every("1mo", of="customers", where="active").step
    '1mo'
    """
    number, unit = read_length(step, where=f"step of Every: {step!r}")
    if not number or _WHOLE.get(unit, number) % number:
        raise DefinitionError(
            f"step of Every: {step!r} does not divide the calendar evenly",
            expected="months that divide 12 ('1mo', '3mo'), hours that divide 24 ('1h', '6h'), or days and weeks",
        )
    if horizon is not None:
        if isinstance(horizon, str) or len(horizon) != 2:
            raise DefinitionError(f"horizon of Every is {horizon!r}", expected="first and last: ('1d', '28d')")
        first, last = (read_length(each, where=f"horizon of Every: {each!r}") for each in horizon)
        if _typical(first) > _typical(last):
            raise DefinitionError(
                f"horizon of Every begins at {horizon[0]!r} and ends before it, at {horizon[1]!r}",
                expected="first and last distance from the tick, the shorter first",
                do=f"horizon=({horizon[1]!r}, {horizon[0]!r})",
            )
        horizon = (horizon[0], horizon[1])
    return Rows(of=_name(of), where=where, step=step, horizon=horizon)


def read_length(text: str, *, where: str) -> tuple[int, Unit]:
    """Read a length of the calendar: a number of months, weeks, days or hours.

    >>> read_length("3mo", where="step")
    (3, 'mo')
    """
    found = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise DefinitionError(
            f"{where} is not a length of the calendar",
            expected="a number of months, weeks, days or hours: '1mo', '1w', '1d', '6h'",
        )
    unit: Unit = found[2]  # type: ignore[assignment]
    return int(found[1]), unit


def at_most(length: str) -> timedelta:
    """Return the longest a length of the calendar can be, where clocks change.

    >>> at_most("1mo")
    datetime.timedelta(days=31, seconds=3600)
    """
    number, unit = read_length(length, where=f"length {length!r}")
    if unit == "h":
        return timedelta(hours=number)
    return number * timedelta(days={"mo": 31, "w": 7, "d": 1}[unit]) + timedelta(hours=1)


def _typical(length: tuple[int, Unit]) -> int:
    return length[0] * {"mo": 730, "w": 168, "d": 24, "h": 1}[length[1]]


def _name(of: Table | str) -> str:
    return of if isinstance(of, str) else of.name
