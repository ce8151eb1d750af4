"""The metrics a definition can name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from millstream.errors import NotFound, near
from millstream.metrics import binary, number
from millstream.metrics.arrays import Array, pair

Kind: TypeAlias = Literal["binary", "regression"]
Terms: TypeAlias = Callable[[npt.ArrayLike, npt.ArrayLike], tuple[Array, Array]]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name
        As definitions and pages write it.
    function
        ``function(label, prediction) -> float``; ``nan`` where it cannot be had.
    greater_is_better
        Which way is good. For a signed metric (``bias``) nearer to 0 is better and this is False.
    tasks
        Kinds of task it applies to.
    terms
        For metrics that are a ratio of sums over rows: each row's numerator and denominator, which is what lets
        resampling by block work on sums. None for metrics over pairs of rows.
    root
        Whether the metric is the square root of that ratio.
    signed
        Whether the metric has a good value of 0 and is bad on both sides.
    """

    name: str
    function: Callable[[npt.ArrayLike, npt.ArrayLike], float]
    greater_is_better: bool
    tasks: tuple[Kind, ...]
    terms: Terms | None = None
    root: bool = False
    signed: bool = False

    def measure(self, label: npt.ArrayLike, prediction: npt.ArrayLike) -> float | None:
        """Return the metric, or None where it cannot be had (no rows, one class only, a sum beyond all numbers)."""
        with np.errstate(over="ignore", invalid="ignore"):
            value = self.function(label, prediction)
        return value if math.isfinite(value) else None

    def loss(self, value: float) -> float:
        """Turn a value of the metric into a number of which less is better, for comparisons."""
        if self.signed:
            return abs(value)
        return -value if self.greater_is_better else value

    def relative_loss(self, value: float, reference: float) -> float | None:
        """Say how much worse a value is than a reference, relative to it (0.10 is 10 % worse, negative is better).

        A ``roc_auc`` is compared as it stands, 0.70 after 0.75 is 6.7 % worse. None where the reference is 0.
        """
        return (self.loss(value) - self.loss(reference)) / abs(reference) if reference else None


def _each(losses: Callable[[npt.ArrayLike, npt.ArrayLike], Array]) -> Terms:
    def terms(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
        values = losses(label, prediction)
        return values, np.ones(values.size)

    return terms


def _bias_terms(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    truth, guess = pair(label, prediction)
    return guess - truth, truth


_BOTH: tuple[Kind, ...] = ("binary", "regression")

METRICS: dict[str, Metric] = {
    each.name: each
    for each in (
        Metric("roc_auc", binary.roc_auc, True, ("binary",)),
        Metric("log_loss", binary.log_loss, False, ("binary",), _each(binary.log_losses)),
        Metric("brier", binary.brier, False, ("binary",), _each(binary.squares)),
        Metric("accuracy", binary.accuracy, True, ("binary",), _each(binary.hits)),
        Metric("rmse", number.rmse, False, ("regression",), _each(number.squared_errors), root=True),
        Metric("mae", number.mae, False, ("regression",), _each(number.absolute_errors)),
        Metric("mape", number.mape, False, ("regression",), number.percentage_errors),
        Metric("bias", number.bias, False, _BOTH, _bias_terms, signed=True),
    )
}
"""Every metric by name."""


def metric(name: str) -> Metric:
    """Return a metric by name.

    Raises
    ------
    NotFound
        When there is none; near matches are named.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise NotFound(f"there is no metric {name!r}", expected=near(name, METRICS)) from None
