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


def baseline(label: Array, *, shape: Shape) -> Fit:
    """Fit the simple thing to beat.

    The share of true labels, the share of each class, the median, or the quantiles of all labels.

    Parameters
    ----------
    label
        As learnt from, without NaN; codes for classes.
    shape
        Which kind of answer.
    """
    began = time.perf_counter()
    return Fit(Constant(_value(label, shape)), {}, time.perf_counter() - began)


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
    value = simple.fitted.described()["value"]
    said: dict[str, Any] = {"kind": _KINDS[shape.task]}
    if shape.task == "multiclass":
        return said | {"value": max(value), "values": list(value)}
    if shape.task == "quantiles":
        return said | {"value": value[shape.levels.index(0.5)], "values": list(value)}
    return said | {"value": value}
