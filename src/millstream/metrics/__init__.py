"""Numbers from arrays: how good an answer is, how sure we are of it, and how far data has moved.

Only numpy is needed. Every metric takes labels and predictions of one length and returns one number; where a number
cannot be had (no rows, one class only) the plain functions return ``nan`` and ``Metric.measure`` returns None, which
is what records, pages and JSON hold: a ``nan`` never leaves this room.
"""

from millstream.metrics.binary import accuracy, brier, log_loss, roc_auc
from millstream.metrics.number import bias, mae, mape, mase, r2, rmse, wape
from millstream.metrics.registry import METRICS, Metric, metric

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "bias",
    "brier",
    "log_loss",
    "mae",
    "mape",
    "mase",
    "metric",
    "r2",
    "rmse",
    "roc_auc",
    "wape",
]
