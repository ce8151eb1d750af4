"""The slope of values over event time: a least-squares line through the facts of a window, from exact sums."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from millstream.features.active import Active, Values
from millstream.features.facts import NOBODY
from millstream.features.intervals import Indices
from millstream.features.plan import DAY_US
from millstream.features.sums import Floats, centred_product, two_product

_NEARLY_FLAT, _EXACT = 2.0**-72, 2.0**100


def trend(active: Active, values: Values, count: Indices) -> Floats:
    """Return slopes per day; NaN unless two active facts with a value happened at different instants.

    Notes
    -----
    Times and values are centred, and their products summed without loss. Where all that is in a window happened
    within a moment that even that cannot resolve, the few such questions are answered from their facts one by one.
    """
    facts, present = active.facts, values.present
    counted = facts.entity != NOBODY if present is None else present & (facts.entity != NOBODY)
    if not counted.any():
        return np.full(len(count), np.nan)
    unit = facts.times.unit
    times = (np.where(counted, facts.event - facts.times.middle, 0) // unit).astype(np.float64)
    numbers = np.where(counted, values.numbers.astype(np.float64) - values.centre, 0.0)
    total, level = active.total(times), active.total(numbers)
    squares = _products(active, times, times)
    spread = centred_product(count, squares, total, total)
    along = centred_product(count, _products(active, times, numbers), total, level)
    exact = count * squares[0] < _EXACT  # all that was summed fits twice 53 bits, so that a spread of 0 is 0
    told = (count > 1) & (spread > 0) & (exact | (spread > _NEARLY_FLAT * count * squares[0]))
    slopes = np.full(len(count), np.nan)
    slopes[told] = along[told] / spread[told] * (DAY_US / unit)
    doubtful = np.flatnonzero((count > 1) & ~told & ~exact)
    if len(doubtful):
        slopes[doubtful] = _one_by_one(active, values, doubtful)
    return slopes


def _products(active: Active, left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Sum products over what is active, as unevaluated pairs."""
    product, error = two_product(left, right)
    high, low = active.total(product)
    if not error.any():
        return high, low
    more, less = active.total(error)
    return high, low + more + less


def _one_by_one(active: Active, values: Values, questions: Indices) -> Floats:
    """Compute slopes from the facts of each window, exactly."""
    intervals, facts, asked = active.intervals, active.facts, active.asked
    first = np.searchsorted(facts.entity[intervals.facts], asked.entity[questions])
    ends = intervals.until[intervals.facts]
    slopes = np.full(len(questions), np.nan)
    for place, question in enumerate(questions.tolist()):
        own = np.arange(first[place], active.started[question])
        held = intervals.facts[own[ends[own] > asked.instants[question]]]
        held = held if values.present is None else held[values.present[held]]
        times = [Fraction(int(each)) for each in facts.event[held]]
        numbers = [Fraction(each) for each in values.numbers[held].tolist()]
        slope = _slope(times, numbers)
        slopes[place] = np.nan if slope is None else float(slope * int(DAY_US))
    return slopes


def _slope(times: list[Fraction], numbers: list[Fraction]) -> Fraction | None:
    middle, level = sum(times, Fraction()) / len(times), sum(numbers, Fraction()) / len(numbers)
    spread = sum(((each - middle) ** 2 for each in times), Fraction())
    if not spread:
        return None
    along = sum(((t - middle) * (x - level) for t, x in zip(times, numbers, strict=True)), Fraction())
    return along / spread
