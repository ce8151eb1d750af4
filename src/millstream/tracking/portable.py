"""A model that stock MLflow can load without Millstream: linear, constant, of classes or of quantiles.

This file is copied beside such a model as ``portable_model.py``: it needs numpy, pandas for answers of several numbers,
and LightGBM for LightGBM's models.
"""

import json
import pathlib
from typing import Any

import numpy as np


class PortableModel:
    """Predicts from ``model.json``; the same arithmetic as the scoring server's.

    Parameters
    ----------
    said
        What ``model.json`` says.
    folder
        Where the files it names lie.
    """

    def __init__(self, said: Any, folder: pathlib.Path = pathlib.Path()) -> None:
        self._said, self._folder = said, folder
        self._boosters: dict[str, Any] = {}

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Answer rows; columns are taken by name where there are names.

        One number a row; of classes a table of ``value`` (the most probable class) and ``probabilities``, of quantiles
        one of ``value`` (the median) and ``quantiles``, as the scoring server says them.
        """
        said = self._said
        matrix = np.asarray(rows[said["features"]] if hasattr(rows, "columns") else rows, dtype=np.float64)
        numbers = self._numbers(said, matrix)
        if said.get("classes"):
            return _table(numbers, said["classes"], "probabilities", numbers.argmax(axis=1))
        if said.get("levels"):
            middle = np.full(len(numbers), said["levels"].index(0.5))
            return _table(numbers, [f"{each:g}" for each in said["levels"]], "quantiles", middle)
        return numbers

    def _numbers(self, said: Any, matrix: Any) -> Any:
        kind = said["kind"]
        if kind == "constant":
            return np.full((len(matrix), *np.shape(said["value"])), said["value"])
        if kind == "lightgbm":
            return np.asarray(self._booster(said["file"]).predict(matrix, num_threads=1), dtype=np.float64)
        if kind == "ladder":
            rungs = [self._numbers({"task": "regression", **each}, matrix) for each in said["rungs"]]
            return np.sort(np.column_stack(rungs), axis=1)
        if kind == "robust":
            scale = np.asarray(said["scale"])
            away = np.abs(matrix - np.asarray(said["centre"])) / np.where(scale > 0, scale, 1.0)
            return np.where((scale > 0) & ~np.isnan(matrix), away, 0.0).max(axis=1)
        filled = np.where(np.isnan(matrix), np.asarray(said["fill"]), matrix)
        if kind == "softmax":
            return _softmax(filled, said)
        total = np.full(len(filled), said["intercept"])
        for column, weight in enumerate(said["coefficients"]):
            total += weight * filled[:, column]
        if said["task"] not in ("binary", "topk"):
            return total
        power = np.exp(-np.minimum(np.abs(total), 700.0))
        return np.where(total >= 0, 1.0 / (1.0 + power), power / (1.0 + power))

    def _booster(self, name: str) -> Any:
        if name not in self._boosters:
            import lightgbm

            self._boosters[name] = lightgbm.Booster(model_file=str(self._folder / name))
        return self._boosters[name]


def _softmax(filled: Any, said: Any) -> Any:
    total = np.repeat(np.asarray(said["intercepts"], dtype=np.float64)[None, :], len(filled), axis=0)
    weights = np.asarray(said["coefficients"], dtype=np.float64)
    for column in range(filled.shape[1]):
        total += filled[:, column, None] * weights[None, :, column]
    power = np.exp(total - total.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


def _table(numbers: Any, names: Any, what: str, picked: Any) -> Any:
    import pandas as pd

    rows = [dict(zip(names, row, strict=True)) for row in numbers.tolist()]
    chosen = [
        names[place] if what == "probabilities" else row[place] for row, place in zip(numbers, picked, strict=True)
    ]
    return pd.DataFrame({"value": chosen, what: rows})


def _load_pyfunc(path: str) -> PortableModel:
    file = pathlib.Path(path)
    return PortableModel(json.loads(file.read_text(encoding="utf-8")), file.parent)
