"""Hold vectors against vectors: the same bits, the same within rounding, or different."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from millstream.features.plan import FeaturePlan

Floats: TypeAlias = npt.NDArray[np.float64]
Truths: TypeAlias = npt.NDArray[np.bool_]

EXACT = frozenset({"count", "distinct", "min", "max", "first", "last", "quantile", "any", "none"})
"""Aggregates that add nothing up."""

TOLERANCE = 1e-9
"""Engines may add in another order: floating sums agree within this part of the largest value of their feature."""


class Compared(NamedTuple):
    """What holding two stacks against each other found, value by value, each of the shape (vectors, features)."""

    same: Truths
    close: Truths


def compare(served: Floats, again: Floats, summed: Truths | None = None) -> Compared:
    """Compare values; NULL (NaN) is equal to NULL only.

    Parameters
    ----------
    served, again
        Vectors as they were served and as they were computed again, the same shape.
    summed
        Which features add floating numbers: their tolerance is part of the feature's largest value, that of others
        part of each value.

    >>> found = compare(np.array([[1.0, np.nan, 0.1 + 0.2]]), np.array([[1.0, np.nan, 0.3]]))
    >>> found.same.tolist(), found.close.tolist()
    ([[True, True, False]], [[True, True, True]])
    """
    same = (served == again) | (np.isnan(served) & np.isnan(again))
    if same.all():
        return Compared(same, same)
    scale = np.maximum(1.0, np.where(np.isfinite(again), np.abs(again), 0.0))
    if summed is not None:
        scale = np.where(summed, scale.max(axis=0, initial=1.0), scale)
    with np.errstate(invalid="ignore"):
        close = same | (np.abs(served - again) <= TOLERANCE * scale)
    return Compared(same, close)


def summed(plan: FeaturePlan, features: Sequence[str]) -> Truths:
    """Say which features are sums of floating numbers, or made of such, in the model's order."""
    exact = {
        f"{view.name}.{name}": each.aggregate in EXACT for view in plan.views for name, each in view.features.items()
    }
    made = {name: all(exact.get(each, True) for each in said.columns) for name, said in plan.combined.items()}
    return np.array([not (exact | made).get(each, True) for each in features], dtype=np.bool_)
