"""What messages about wrong expressions say: the place, what would have been right, what to write instead."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.expressions.table import BY_NAME
from millstream.types import DType

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "is not distinct from")


def caret(text: str, place: tuple[int, int] | None) -> str:
    """Show a text, and the place under it; of several lines only the one."""
    if place is None:
        return f"\n    {text.strip()}" if text.strip() else ""
    start = min(place[0], len(text))
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    line = text[first : last if last >= 0 else len(text)]
    width = max(min(place[1] - start, len(line) - (start - first)), 1)
    return f"\n    {line}\n    {' ' * (start - first)}{'^' * width}"


def signatures(name: str) -> str:
    """List the ways to call a function."""
    return " or ".join(dict.fromkeys(each.signature for each in BY_NAME[name][:6]))


def expected(name: str, types: Sequence[DType | None]) -> str:
    """Say which types a function takes."""
    if name in _COMPARISONS:
        return "two values of one type; bigint and double mix"
    if _needs_zone(name, types):
        return "a local time: which part it is depends on the zone"
    taken = [each for each in BY_NAME[name] if "timestamp" not in each.arguments]
    if not taken:
        return "a local time, such as t at time zone 'America/New_York'"
    return " or ".join(dict.fromkeys(f"({each.signature[len(name) + 1 :]}" for each in taken))


def instead(name: str, types: Sequence[DType | None], argument: str) -> str:
    """Say how to write what was probably meant; ``argument`` is the text of the argument it is about."""
    if _needs_zone(name, types):
        more = ", 'US'" if len(types) > 1 else ""
        return f"say in which zone: {name}({argument} at time zone 'America/New_York'{more})"
    kinds = set(types)
    for together, told in _TOGETHER:
        if together <= kinds:
            return told
    numbers = kinds & {"bigint", "double"}
    if "timestamptz" in kinds and numbers:
        return "say which unit: x * interval '1 minute'"
    if "boolean" in kinds and numbers:
        return "turn the boolean into a number: cast(x as bigint)"
    if kinds == {"boolean"} and name in _COMPARISONS:
        return "booleans have no order; compare them with ="
    if name in ("%", "//") and "double" in kinds:
        return "these are for whole numbers: cast(x as bigint), or floor(a / b)"
    if "timestamp" in kinds:
        return "keep to instants; a local time is for calendar parts and cast(... as date) only"
    return "cast one side, for instance cast(x as varchar)" if len(types) > 1 else ""


_TOGETHER: tuple[tuple[set[str], str], ...] = (
    ({"varchar", "timestamptz"}, "write an instant as timestamptz '2013-02-01T10:00:00Z'"),
    ({"varchar", "date"}, "write a day as date '2013-02-01'"),
    ({"timestamptz", "date"}, "compare days: cast(x at time zone 'Zone' as date)"),
    ({"date", "interval"}, "add or subtract whole days as a number: day + 1"),
)


def _needs_zone(name: str, types: Sequence[DType | None]) -> bool:
    """Say whether this is a calendar part of an instant."""
    local = (("timestamp",), ("timestamp", "varchar"))
    return list(types[:1]) == ["timestamptz"] and any(each.arguments in local for each in BY_NAME[name])
