"""The slow, obviously right answer: loops over facts, straight from the words of the design.

A fact is in a window of length w at T iff event_time <= T < event_time + w, it is known at T, and its value is the
latest believed at T. A window that ends some time ago is that of events so much later.

It stands beside ``millstream.features.proof``, which is shipped and judged by tests itself (``test_proof``): an oracle
that moved with the product could agree with a mistake of the product, and this one imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

DAY = 86_400_000_000
"""In the unit of instants, microseconds."""


@dataclass(frozen=True)
class Row:
    """One row of a table as the oracle sees it: instants are integers, None is NULL."""

    key: Any
    entity: tuple[Any, ...]
    event: int | None
    known: dict[str, int | None]
    values: dict[str, Any]
    position: int


def believed(rows: list[Row], at: int, known_of: Callable[[Row], int | None], tie: Callable[[Row], int]) -> list[Row]:
    """Of each key, the row that was believed at an instant: the latest known by then."""
    usable = [row for row in rows if (known := known_of(row)) is not None and known <= at]
    latest: dict[Any, Row] = {}
    alone = []
    for row in sorted(usable, key=lambda row: (known_of(row), tie(row), row.position)):
        if row.key is None or None in (row.key if isinstance(row.key, tuple) else ()):
            alone.append(row)
        else:
            latest[row.key] = row
    return alone + list(latest.values())


def in_window(row: Row, at: int, over: int | None) -> bool:
    return row.event is not None and row.event <= at and (over is None or at < row.event + over)


def evaluate(
    aggregate: str,
    rows: list[Row],
    entity: tuple[Any, ...],
    at: int,
    *,
    value: Callable[[Row], Any] | None,
    over: int | None,
    known_of: Callable[[Row], int | None],
    tie: Callable[[Row], int],
    ago: int = 0,
    q: float | None = None,
) -> Any:
    """Evaluate one aggregate for one entity at one instant."""
    rows = [row if row.event is None else replace(row, event=row.event + ago) for row in rows]
    if None in entity:
        mine, seen = [], False
    else:
        belief = believed(rows, at, known_of, tie)
        mine = [row for row in belief if row.entity == entity and in_window(row, at, over)]
        seen = ever_seen(rows, entity, at, known_of, tie)
    if aggregate == "count" and value is None:
        return len(mine)
    facts = [(row, value(row)) for row in mine if value(row) is not None] if value else [(row, 1) for row in mine]
    values = [each for _, each in facts]
    if aggregate == "distinct":
        return len(set(values))
    if aggregate == "count":
        return len(values)
    if aggregate == "sum":
        return float(sum(map(Fraction, values))) if seen else None
    if not values:
        return None
    if aggregate == "mean":
        return float(sum(map(Fraction, values)) / len(values))
    if aggregate == "min":
        return min(values)
    if aggregate == "max":
        return max(values)
    if aggregate == "any":
        return any(values)
    if aggregate == "none":
        return not any(values)
    in_order = sorted(facts, key=lambda pair: (pair[0].event, known_of(pair[0]), pair[0].position))
    if aggregate in ("last", "first"):
        return in_order[-1 if aggregate == "last" else 0][1]
    if aggregate in ("since_last", "since_first"):
        then = in_order[-1 if aggregate == "since_last" else 0][0].event
        return (at - (then - ago)) / DAY
    if aggregate == "quantile":
        return quantile(values, q)
    if aggregate == "trend":
        return trend([(row.event, each) for row, each in facts])
    assert aggregate == "std"
    if len(values) < 2:
        return None
    exact = [Fraction(each) for each in values]
    mean = sum(exact) / len(exact)
    return float(sum((each - mean) ** 2 for each in exact) / (len(exact) - 1)) ** 0.5


def quantile(values: list[Any], q: float) -> float:
    """The value at q of the way from the first to the last, in order; between two of them on a straight line."""
    in_order = sorted(values)
    place = q * (len(in_order) - 1)
    low = int(place)
    high = min(low + 1, len(in_order) - 1)
    return float(in_order[low] + (Fraction(in_order[high]) - Fraction(in_order[low])) * Fraction(place - low))


def trend(points: list[tuple[int, Any]]) -> float | None:
    """The slope per day of the line that is least squares from the points."""
    if len({at for at, _ in points}) < 2:
        return None
    days = [Fraction(at, DAY) for at, _ in points]
    values = [Fraction(each) for _, each in points]
    day, value = sum(days) / len(days), sum(values) / len(values)
    along = sum((d - day) * (v - value) for d, v in zip(days, values, strict=True))
    return float(along / sum((d - day) ** 2 for d in days))


def ever_seen(
    rows: list[Row], entity: tuple[Any, ...], at: int, known_of: Callable[[Row], int | None], tie: Callable[[Row], int]
) -> bool:
    """Whether, at some instant up to ``at``, a fact of the entity had happened and was believed."""
    instants = {max(row.event, known) for row in rows if row.event is not None and (known := known_of(row)) is not None}
    return any(
        row.entity == entity and row.event is not None and row.event <= instant
        for instant in instants
        if instant <= at
        for row in believed(rows, instant, known_of, tie)
    )
