"""The metrics a definition can name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from millstream.errors import NotFound, near
from millstream.metrics import binary, clusters, number, quantile, ranking, several, unlabelled
from millstream.metrics.arrays import Array, pair

Kind: TypeAlias = Literal["binary", "regression", "multiclass", "quantiles", "anomaly", "clusters", "topk"]
Terms: TypeAlias = Callable[[npt.ArrayLike, npt.ArrayLike], tuple[Array, Array]]
Function: TypeAlias = Callable[[npt.ArrayLike, npt.ArrayLike], float]


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
    parts, whole
        For metrics of classes that are no ratio of sums: what each row adds, shape (n, m), and the metric of sums of
        it, shape (draws, m) to (draws,).
    """

    name: str
    function: Function
    greater_is_better: bool
    tasks: tuple[Kind, ...]
    terms: Terms | None = None
    root: bool = False
    signed: bool = False
    parts: Callable[[npt.ArrayLike, npt.ArrayLike], Array] | None = None
    whole: Callable[[Array], Array] | None = None

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


def _either(one: Function, many: Function) -> Function:
    """Take the function of several classes where predictions have a column a class."""

    def function(label: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
        return (many if np.ndim(prediction) == 2 else one)(label, prediction)

    return function


def _either_each(
    one: Callable[[npt.ArrayLike, npt.ArrayLike], Array], many: Callable[[npt.ArrayLike, npt.ArrayLike], Array]
) -> Terms:
    def losses(label: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
        return (many if np.ndim(prediction) == 2 else one)(label, prediction)

    return _each(losses)


_SHARES: tuple[Kind, ...] = ("binary", "multiclass")
_MEANS: tuple[Kind, ...] = ("binary", "regression")
_MULTI: tuple[Kind, ...] = ("multiclass",)

METRICS: dict[str, Metric] = {
    each.name: each
    for each in (
        Metric("roc_auc", _either(binary.roc_auc, several.roc_auc), True, _SHARES),
        Metric(
            "log_loss", _either(binary.log_loss, several.log_loss), False, _SHARES,
            _either_each(binary.log_losses, several.log_losses),
        ),
        Metric("brier", binary.brier, False, ("binary",), _each(binary.squares)),
        Metric(
            "accuracy", _either(binary.accuracy, several.accuracy), True, _SHARES,
            _either_each(binary.hits, several.hits),
        ),
        Metric(
            "balanced_accuracy", several.balanced_accuracy, True, _MULTI, parts=several.class_counts,
            whole=several.mean_recall,
        ),
        Metric("macro_f1", several.macro_f1, True, _MULTI, parts=several.class_counts, whole=several.mean_f1),
        Metric("rmse", number.rmse, False, ("regression",), _each(number.squared_errors), root=True),
        Metric("mae", number.mae, False, ("regression",), _each(number.absolute_errors)),
        Metric("mape", number.mape, False, ("regression",), number.percentage_errors),
        Metric("wape", number.wape, False, ("regression",), number.share_errors),
        Metric(
            "mase", partial(number.mase, scale=1.0), False, ("regression",),
            _each(partial(number.scaled_errors, scale=1.0)),
        ),
        Metric("r2", number.r2, True, ("regression",), parts=number.squares_and_sums, whole=number.explained),
        Metric("bias", number.bias, False, _MEANS, _bias_terms, signed=True),
        Metric("stability", unlabelled.stability, True, ("anomaly",)),
        Metric("share_flagged", unlabelled.share_flagged, False, ("anomaly",), _each(unlabelled.flags), signed=True),
        Metric("agreement", clusters.agreement, True, ("clusters",)),
        Metric("silhouette", clusters.silhouette, True, ("clusters",)),
        Metric("explained", clusters.explained, True, ("clusters",)),
        Metric("smallest_share", clusters.smallest_share, True, ("clusters",)),
        Metric("pinball", partial(quantile.pinball, levels=()), False, ("quantiles",)),
        *(
            Metric(name, whole, True, ("topk",), terms)
            for name, whole, terms in (
                ("ndcg_at_k", ranking.ndcg_at_k, ranking.ndcg_terms),
                ("recall_at_k", ranking.recall_at_k, ranking.recall_terms),
                ("map_at_k", ranking.map_at_k, ranking.map_terms),
                ("hit_rate_at_k", ranking.hit_rate_at_k, ranking.hit_terms),
            )
        ),
        Metric("coverage", partial(quantile.coverage, levels=()), False, ("quantiles",), signed=True),
    )
}  # fmt: skip
"""Every metric by name."""

_OF_LEVELS = {"pinball": (quantile.pinball, quantile.pinballs), "coverage": (quantile.coverage, quantile.inside)}


def metric(name: str, *, levels: tuple[float, ...] = (), scale: float | None = None) -> Metric:
    """Return a metric by name.

    Parameters
    ----------
    name
        Such as ``roc_auc``.
    levels
        Of the quantiles, for metrics of quantiles.
    scale
        Error of the seasonal naive rule, the unit of ``mase``; 1 when left out.

    Raises
    ------
    NotFound
        When there is none; near matches are named.
    """
    try:
        found = METRICS[name]
    except KeyError:
        raise NotFound(f"there is no metric {name!r}", expected=near(name, METRICS)) from None
    if name == "mase" and scale is not None:
        terms = _each(partial(number.scaled_errors, scale=scale))
        return replace(found, function=partial(number.mase, scale=scale), terms=terms)
    if name not in _OF_LEVELS or not levels:
        return found
    whole, each = _OF_LEVELS[name]
    return replace(found, function=partial(whole, levels=levels), terms=_each(partial(each, levels=levels)))
