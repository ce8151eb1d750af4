"""Literal arguments: their range, and calendars, which are looked up and written down when an expression is read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from millstream.errors import near
from millstream.expressions.feasts import NAMES
from millstream.expressions.holidays import NoCalendarError, calendar
from millstream.expressions.node import Literal, Node

MOST_EDGES = 1_000
MOST_BUCKETS = 2**31


class WrongConstantError(ValueError):
    """A literal that a function cannot take; says what would be right."""

    def __init__(self, problem: str, expected: str = "", do: str = "") -> None:
        super().__init__(problem)
        self.expected, self.do = expected, do


def settle(name: str, args: tuple[Node, ...]) -> tuple[Node, ...]:
    """Check the literal arguments of a function, and put what they stand for in their place.

    Raises
    ------
    WrongConstantError
        For one that the function cannot take.
    """
    values = [each.value if isinstance(each, Literal) else None for each in args]
    _check(name, values)
    if name not in NAMES:
        return args
    try:
        known = calendar(str(values[1]), name)
    except NoCalendarError as wrong:
        raise WrongConstantError(str(wrong), wrong.expected, wrong.do) from None
    return (args[0], msgspec.structs.replace(args[1], value=known))


def _check(name: str, values: Sequence[object]) -> None:
    if name == "round" and len(values) == 2 and values[1] not in range(16):
        raise WrongConstantError(f"round cannot keep {values[1]} digits", "0 to 15")
    if name == "substring" and (
        values[1] not in range(1, 2**31) or (len(values) == 3 and values[2] not in range(2**31))
    ):
        raise WrongConstantError(
            "substring starts at 1 and takes a length of 0 or more", "literals such as substring(x, 2, 3)"
        )
    if name in ("left", "right") and values[1] not in range(2**31):
        raise WrongConstantError(f"{name} cannot take {values[1]} characters", "0 or more")
    if name == "replace" and not values[1]:
        raise WrongConstantError("an empty text cannot be replaced", "the text to replace, such as replace(x, '-', '')")
    if name == "split_part" and (not values[1] or values[2] not in range(1, 2**31)):
        raise WrongConstantError(
            "split_part takes a mark and a part, counted from 1", "literals such as split_part(x, '-', 2)"
        )
    if name == "hash_bucket" and values[1] not in range(1, MOST_BUCKETS + 1):
        raise WrongConstantError(f"there cannot be {values[1]} buckets", f"1 to {MOST_BUCKETS}")
    if name == "bucket":
        _check_edges(values[1:])
    if name == "at time zone":
        try:
            ZoneInfo(str(values[1]))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            known = near(str(values[1]), available_timezones())
            raise WrongConstantError(f"there is no time zone {values[1]!r}", known) from None


def _check_edges(edges: Sequence[object]) -> None:
    if len(edges) > MOST_EDGES:
        raise WrongConstantError(f"bucket has {len(edges)} edges", f"at most {MOST_EDGES}")
    numbers = [each for each in edges if isinstance(each, int | float)]
    for low, high in pairwise(numbers):
        if low >= high:
            raise WrongConstantError(f"the edges of bucket do not ascend: {low}, then {high}", "each above the last")
