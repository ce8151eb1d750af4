"""The aggregates over the facts in a window, one by one, with exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from millstream.features.plan import WindowPlan
from millstream.features.proof.facts import Fact

Pair = tuple[Fact, Any]
"""A fact and its value, which is not NULL."""

_DAY = 86_400_000_000


def _latest(pairs: Sequence[Pair]) -> Any:
    return max(pairs, key=lambda pair: _time(pair[0]))[1]


def _earliest(pairs: Sequence[Pair]) -> Any:
    return min(pairs, key=lambda pair: _time(pair[0]))[1]


def _time(fact: Fact) -> tuple[int, int, int]:
    assert fact.event is not None and fact.known is not None
    return fact.event, fact.known, fact.position


def _exact(pairs: Sequence[Pair]) -> list[Fraction]:
    return [Fraction(value) for _, value in pairs]


def _mean(pairs: Sequence[Pair]) -> float:
    values = _exact(pairs)
    return float(sum(values, Fraction()) / len(values))


def _std(pairs: Sequence[Pair]) -> float | None:
    values = _exact(pairs)
    if len(values) < 2:
        return None
    middle = sum(values, Fraction()) / len(values)
    return math.sqrt(sum(((each - middle) ** 2 for each in values), Fraction()) / (len(values) - 1))


EMPTY_IS_NULL: dict[str, Callable[[Sequence[Pair]], Any]] = {
    "mean": _mean,
    "std": _std,
    "min": lambda pairs: min(value for _, value in pairs),
    "max": lambda pairs: max(value for _, value in pairs),
    "last": _latest,
    "first": _earliest,
    "any": lambda pairs: any(value for _, value in pairs),
    "none": lambda pairs: not any(value for _, value in pairs),
}
"""Aggregates that are NULL over nothing."""

OTHERS = frozenset(("count", "sum", "target", "distinct", "quantile", "trend", "since_last", "since_first"))


def known(aggregate: str) -> bool:
    """Say whether an aggregate can be recomputed here."""
    return aggregate in EMPTY_IS_NULL or aggregate in OTHERS


def evaluate(window: WindowPlan, pairs: Sequence[Pair], *, at: int, seen: Callable[[], bool]) -> Any:
    """Evaluate one aggregate over the facts in a window; ``seen`` says whether the entity ever had one."""
    aggregate = window.aggregate
    if aggregate == "quantile" and pairs:
        return _quantile(pairs, window.q or 0.0)
    if aggregate in ("since_last", "since_first") and pairs:
        times = [_time(fact)[0] for fact, _ in pairs]
        return (at - (max(times) if aggregate == "since_last" else min(times))) / _DAY
    if aggregate == "trend":
        return _trend(pairs)
    if aggregate == "count":
        return len(pairs)
    if aggregate == "distinct":
        return len({value for _, value in pairs})
    if aggregate == "sum":
        return sum(_exact(pairs), Fraction()) if pairs or seen() else None
    return EMPTY_IS_NULL[aggregate](pairs) if pairs and aggregate in EMPTY_IS_NULL else None


def _quantile(pairs: Sequence[Pair], share: float) -> float:
    """Return the value at a share of the way from the first to the last, between two on a straight line."""
    values = sorted(value for _, value in pairs)
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return float(values[low] + (Fraction(values[high]) - Fraction(values[low])) * Fraction(place - low))


def _trend(pairs: Sequence[Pair]) -> float | None:
    """Return the slope per day of the line that is least squares from the values over event time."""
    days = [Fraction(_time(fact)[0], _DAY) for fact, _ in pairs]
    if len(set(days)) < 2:
        return None
    values = _exact(pairs)
    day, value = sum(days, Fraction()) / len(days), sum(values, Fraction()) / len(values)
    along = sum(((d - day) * (v - value) for d, v in zip(days, values, strict=True)), Fraction())
    return float(along / sum(((d - day) ** 2 for d in days), Fraction()))


def smoothed(pairs: Sequence[Pair], everybody: tuple[Fraction, int], *, smooth: float) -> float | None:
    """Return the mean of an entity's labels, drawn toward everybody's (sum and count) as by so many labels more."""
    total, count = everybody
    weight = Fraction(smooth)
    if not pairs or (weight and not count):
        return None
    toward = weight * total / count if weight else Fraction()
    return float((sum(_exact(pairs), Fraction()) + toward) / (len(pairs) + weight))


def day_begins(instant: int) -> int:
    """Return the last midnight, UTC."""
    return instant - instant % _DAY
