"""A model that stock MLflow can load without Millstream: linear, constant, of classes, quantiles or groups.

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
        one of ``value`` (the median) and ``quantiles``, of groups one of ``value`` (its number), ``distance`` and
        ``distances``, as the scoring server says them. With ``params={"decide": True}`` a model with a threshold
        answers a table of ``value`` and ``decision``, one without label of ``value`` and ``flagged``.
        """
        said = self._said
        matrix = np.asarray(rows[said["features"]] if hasattr(rows, "columns") else rows, dtype=np.float64)
        numbers = self._numbers(said, matrix)
        if said["task"] == "clusters":
            return _groups(numbers, said["classes"])
        if (params or {}).get("decide") and said.get("decides"):
            return _decided(numbers, said, self._folder)
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
        if kind == "centres":
            scale, centres = np.asarray(said["scale"]), np.asarray(said["centres"])
            points = (matrix - np.asarray(said["centre"])) / np.where(scale > 0, scale, 1.0)
            points = np.where((scale > 0) & ~np.isnan(matrix), points, 0.0)
            total = np.zeros((len(points), len(centres)))
            for column in range(points.shape[1]):
                apart = points[:, column, None] - centres[None, :, column]
                total += apart * apart
            away = np.sqrt(total)
            return np.column_stack([away.argmin(axis=1), away])
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


def _decided(numbers: Any, said: Any, folder: pathlib.Path) -> Any:
    import pandas as pd

    at = json.loads((folder / said["decides"]).read_text(encoding="utf-8"))["value"]
    word = "flagged" if said["task"] == "anomaly" else "decision"
    return pd.DataFrame({"value": numbers, word: np.asarray(numbers) >= at})


def _groups(numbers: Any, names: Any) -> Any:
    import pandas as pd

    own = numbers[:, 0].astype(int)
    away = numbers[:, 1:].tolist()
    return pd.DataFrame(
        {
            "value": [names[each] for each in own],
            "distance": [row[each] for row, each in zip(away, own, strict=True)],
            "distances": [dict(zip(names, row, strict=True)) for row in away],
        }
    )


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
