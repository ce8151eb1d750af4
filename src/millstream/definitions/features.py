"""What a feature is: a window over the facts of an entity, or an expression over the request.

``over`` is the window's length; without it the window is all that is known. Every window follows one rule: a fact
is in a window of length w at T when event_time <= T < event_time + w, it is known at T, and its value is the
latest believed at T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from millstream.types import DType

Aggregate: TypeAlias = Literal["count", "sum", "mean", "min", "max", "std", "last", "any", "none"]


class Window(msgspec.Struct, frozen=True):
    """One aggregate over the facts of an entity.

    Parameters
    ----------
    aggregate
        What is computed.
    value
        A row expression over the view's table; None counts rows.
    over
        Length of the window looking back, or None for all that is known.
    ahead
        Length of the window looking forward; only a label may have one.
    """

    aggregate: Aggregate
    value: str | None = None
    over: str | None = None
    ahead: str | None = None


@dataclass(frozen=True, init=False)
class Request:
    """Fields that come with the request: name to type of the row language.

    >>> Request(distance="double").fields
    {'distance': 'double'}
    """

    fields: dict[str, DType]

    def __init__(self, **fields: DType) -> None:
        object.__setattr__(self, "fields", fields)


def count(value: str | None = None, *, over: str | None = None) -> Window:
    """Count facts (or those whose value is not NULL); 0 for none."""
    return Window("count", value, over)


def sum(value: str, *, over: str | None = None) -> Window:
    """Sum values; 0 for an entity already seen, NULL for one never seen."""
    return Window("sum", value, over)


def mean(value: str, *, over: str | None = None) -> Window:
    """Average values; a boolean gives a share. NULL for none."""
    return Window("mean", value, over)


def min(value: str, *, over: str | None = None) -> Window:
    """Smallest value; NULL for none."""
    return Window("min", value, over)


def max(value: str, *, over: str | None = None) -> Window:
    """Largest value; NULL for none."""
    return Window("max", value, over)


def std(value: str, *, over: str | None = None) -> Window:
    """Sample standard deviation (n - 1); NULL for fewer than two values."""
    return Window("std", value, over)


def last(value: str, *, over: str | None = None) -> Window:
    """Value of the latest event (by event time, then known-at); NULL for none."""
    return Window("last", value, over)


def any(value: str, *, over: str | None = None) -> Window:
    """Whether the value was true for any fact; NULL for none."""
    return Window("any", value, over)


def none(value: str, *, over: str | None = None) -> Window:
    """Whether the value was true for no fact; NULL for none."""
    return Window("none", value, over)
