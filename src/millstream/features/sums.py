"""Sums over sliding sets of facts that lose nothing: differences of exact prefix sums.

A sum over the facts active at an instant is what has started minus what has ended. With plain floats a large value
anywhere in the column would leave rounding in every later window (a variance of 7436 was measured where 1 is true).
Here values are split into slices of few enough bits that every prefix sum of a slice is an exact float, so the
difference is exact too, and slices are added with their rounding error kept (Dekker 1971, Knuth's two-sum).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]

_MANTISSA = 53
_SLICES = 4
_SPLITTER = float(2**27 + 1)


class ActiveSum:
    """Sums of values over active facts, as unevaluated pairs (high, low) of floats.

    Parameters
    ----------
    values
        One finite value per fact, in the order in which facts start; 0 for facts that do not count.
    ending
        Positions of the facts in the order in which they end; None when that is the same order.
    """

    def __init__(self, values: Floats, ending: Indices | None) -> None:
        self._slices = []
        for each in exact_slices(values):
            started = _prefix(each)
            self._slices.append((started, started if ending is None else _prefix(each[ending])))

    def between(self, started: Indices, ended: Indices) -> tuple[Floats, Floats]:
        """Sum what is among the first ``started`` to start and not among the first ``ended`` to end."""
        high = low = np.zeros(len(started))
        for starts, ends in self._slices:
            high, error = two_sum(high, starts[started] - ends[ended])
            low = low + error
        return high, low


def exact_slices(values: Floats) -> list[Floats]:
    """Split values into slices that add up to them and whose sums, of any subset, are exact floats.

    Whole numbers of ordinary size, the common case, are one slice: the values themselves.

    >>> [part.tolist() for part in exact_slices(np.array([3.0, 4.0]))]
    [[3.0, 4.0]]
    """
    total = float(np.abs(values).sum())
    if total == 0.0 or (total < 2.0**_MANTISSA and bool((values == np.rint(values)).all())):
        return [values]
    bits = _MANTISSA - 1 - math.ceil(math.log2(len(values) + 1))
    exponent = math.frexp(float(np.abs(values).max()))[1]
    slices, rest = [], values
    for step in range(1, _SLICES + 1):
        unit_exponent = exponent - step * bits
        if unit_exponent < -1022 or not rest.any():
            break
        part = np.ldexp(np.rint(np.ldexp(rest, -unit_exponent)), unit_exponent)
        slices.append(part)
        rest = rest - part
    return slices or [values]


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Add, and return the rounding error too: a + b is exactly the pair."""
    total = a + b
    seen = total - a
    return total, (a - (total - seen)) + (b - seen)


def two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Multiply, and return the rounding error too: a * b is exactly the pair."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def sample_variance(count: Indices, total: tuple[Floats, Floats], squares: tuple[Floats, Floats]) -> Floats:
    """Variance (n - 1) from exact sums of centred values and of their squares; NaN below two values."""
    n = count.astype(np.float64)
    numerator = centred_product(count, squares, total, total)
    enough = count > 1
    variance = np.full(len(n), np.nan)
    variance[enough] = np.maximum(numerator[enough], 0.0) / (n[enough] * (n[enough] - 1.0))
    return variance


def centred_product(
    count: Indices, products: tuple[Floats, Floats], left: tuple[Floats, Floats], right: tuple[Floats, Floats]
) -> Floats:
    """Return n * sum of products - sum of left * sum of right, from exact sums.

    It cancels almost all digits when a window's level is far from the centre, so it is evaluated with twice the digits.
    """
    n = count.astype(np.float64)
    scaled, scaled_error = two_product(n, products[0])
    cross, cross_error = two_product(left[0], right[0])
    high, error = two_sum(scaled, -cross)
    low = scaled_error - cross_error + n * products[1] - left[0] * right[1] - left[1] * right[0]
    return high + (error + low)


def _prefix(values: Floats) -> Floats:
    sums = np.empty(len(values) + 1)
    sums[0] = 0.0
    np.cumsum(values, out=sums[1:])
    return sums


def _halves(a: Floats) -> tuple[Floats, Floats]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high
