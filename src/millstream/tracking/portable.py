"""A linear or constant model that stock MLflow can load without Millstream.

This file is copied beside such a model as ``portable_model.py``: it needs numpy and nothing else.
"""

import json
import pathlib
from typing import Any

import numpy as np


class PortableModel:
    """Predicts from ``model.json``; the same arithmetic as the scoring server's."""

    def __init__(self, said: Any) -> None:
        self._said = said

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Return one number a row; columns are taken by name where there are names."""
        said = self._said
        matrix = np.asarray(rows[said["features"]] if hasattr(rows, "columns") else rows, dtype=np.float64)
        if said["kind"] == "constant":
            return np.full(len(matrix), said["value"])
        filled = np.where(np.isnan(matrix), np.asarray(said["fill"]), matrix)
        total = np.full(len(filled), said["intercept"])
        for column, weight in enumerate(said["coefficients"]):
            total += weight * filled[:, column]
        if said["task"] != "binary":
            return total
        power = np.exp(-np.minimum(np.abs(total), 700.0))
        return np.where(total >= 0, 1.0 / (1.0 + power), power / (1.0 + power))


def _load_pyfunc(path: str) -> PortableModel:
    return PortableModel(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))
