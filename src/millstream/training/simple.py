"""The simple thing to beat, one for each kind of answer; it ships beside the model and stands in last."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from millstream.definitions.tasks import Shape
from millstream.training.estimators import Fit
from millstream.training.matrix import Array
from millstream.training.predictors import Constant

_KINDS = {
    "binary": "prior", "multiclass": "prior", "regression": "median", "quantiles": "quantiles of all labels",
}  # fmt: skip


class Seasonal:
    """The seasonal naive rule: what a season ago was known, with the spread of its errors where quantiles are asked.

    It predicts from one column: what the rule says of each row (``features.seasonal``), NaN where it knows nothing.

    Parameters
    ----------
    offsets
        What is added for each level: that quantile of label less rule, over the rows learnt from; None for the number
        itself (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, 2021, section 5.5).
    otherwise
        What is said where the rule knows nothing: the median, or the quantiles, of all labels.
    """

    kind = "seasonal"
    notes: tuple[str, ...] = ()

    def __init__(self, offsets: tuple[float, ...] | None, otherwise: float | tuple[float, ...]) -> None:
        self.offsets, self.otherwise = offsets, otherwise

    def predict(self, matrix: Array) -> Array:
        """Predict from what the rule says."""
        rule = matrix[:, 0]
        if self.offsets is None:
            return np.where(np.isnan(rule), self.otherwise, rule)
        return np.where(np.isnan(rule)[:, None], np.array(self.otherwise), rule[:, None] + np.array(self.offsets))

    def described(self) -> dict[str, Any]:
        """Return what it says where it knows nothing, and what is added to the rule."""
        return {"value": self.otherwise, **({} if self.offsets is None else {"offsets": self.offsets})}

    def files(self) -> dict[str, bytes]:
        """Return nothing: ``baseline.json`` holds all of it."""
        return {}


def baseline(label: Array, *, shape: Shape, rule: Array | None = None) -> Fit:
    """Fit the simple thing to beat.

    The share of true labels, the share of each class, the median, or the quantiles of all labels; of a forecast what
    was known of the last season.

    Parameters
    ----------
    label
        As learnt from, without NaN; codes for classes.
    shape
        Which kind of answer.
    rule
        What the seasonal naive rule says of the same rows, NaN where it knows nothing; None for a model without.
    """
    began = time.perf_counter()
    otherwise = _value(label, shape)
    if rule is None:
        return Fit(Constant(otherwise), {}, time.perf_counter() - began)
    offsets = None
    if shape.levels:
        off = (label - rule)[~np.isnan(rule)]
        offsets = tuple(np.quantile(off, shape.levels).tolist()) if off.size else (0.0,) * len(shape.levels)
    return Fit(Seasonal(offsets, otherwise), {}, time.perf_counter() - began)


def _value(label: Array, shape: Shape) -> float | tuple[float, ...]:
    if shape.task == "binary":
        return float(np.mean(label))
    if shape.task == "multiclass":
        counts = np.bincount(label.astype(np.intp), minlength=len(shape.classes))
        return tuple((counts / counts.sum()).tolist())
    if shape.task == "quantiles":
        return tuple(np.quantile(label, shape.levels).tolist())
    return float(np.median(label))


def described(simple: Fit, shape: Shape, predicted: Array) -> dict[str, Any]:
    """Return what ``baseline.json`` says: the number people read, and all of them where there are several.

    Of a model without labels it is the middling score, which flags nothing.
    """
    if shape.task == "clusters":
        numbers = simple.fitted.described()["value"]
        return {"kind": "one group for all", "value": numbers[1], "values": list(numbers)}
    if shape.task == "anomaly":
        return {"kind": "middling robust distance", "value": float(np.median(predicted))}
    told = simple.fitted.described()
    value, offsets = told["value"], told.get("offsets")
    said: dict[str, Any] = {"kind": _KINDS[shape.task]}
    if simple.fitted.kind == Seasonal.kind:
        said = {"kind": f"seasonal naive, else {said['kind']}"} | ({"offsets": list(offsets)} if offsets else {})
    if shape.task == "multiclass":
        return said | {"value": max(value), "values": list(value)}
    if shape.task == "quantiles":
        return said | {"value": value[shape.levels.index(0.5)], "values": list(value)}
    return said | {"value": value}
