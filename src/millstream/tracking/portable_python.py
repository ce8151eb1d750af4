"""A fitted Python model: how it is read from its file, and how it answers.

Millstream's workers run these lines; stock MLflow runs a copy of this file beside the model, without Millstream. It
needs numpy and what the model itself needs. Reading ``pickle`` runs whatever the file says: only workers do it, with
bytes that a release's signature covers.
"""

import io
import json
import pathlib
import pickle
import shutil
import sys
import tempfile
import warnings
import weakref
import zipfile
from typing import Any

import numpy as np


def read(content: bytes, form: str) -> Any:
    """Read a model from its bytes; ``form`` is ``skops``, ``ubj`` (XGBoost's own), ``mlflow`` or ``pickle``."""
    if form == "skops":
        from skops import io as skops

        return skops.loads(content, trusted=skops.get_untrusted_types(data=content))
    if form == "ubj":
        return Boosted(content)
    if form == "mlflow":
        return Logged(content)
    return pickle.load(io.BytesIO(content))


def answer(model: Any, said: Any, matrix: Any) -> Any:
    """Answer rows of float64, as ``model.json`` says: shape (rows,), or (rows, values) where a row has several."""
    if said.get("groups") and len(matrix):
        return _grouped(answer(model, {**said, "groups": None}, matrix), said["groups"], matrix)
    if not len(matrix):
        return np.empty(0)
    if said["fill"] is not None:
        matrix = np.where(np.isnan(matrix), np.asarray(said["fill"], dtype=np.float64), matrix)
    if said["alone"] and len(matrix) > 1:
        return np.concatenate([_answer(model, said, matrix[row : row + 1]) for row in range(len(matrix))])
    return _answer(model, said, matrix)


def _answer(model: Any, said: Any, matrix: Any) -> Any:
    if isinstance(model, list):  # one a quantile level
        several = np.column_stack([_answer(each, {**said, "rising": False}, matrix) for each in model])
        return np.sort(several, axis=1)
    method = said["method"]
    values = np.asarray(getattr(model, method.removeprefix("-"))(matrix), dtype=np.float64)
    if method.startswith("-"):  # such as scores of scikit-learn, of which the lowest are the strangest
        values = -values
    if values.ndim == 2 and said["column"] is not None:
        values = values[:, said["column"]]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or len(values) != len(matrix):
        raise ValueError(f"{said['method']} gave an array of shape {values.shape} for {len(matrix)} rows")
    if said.get("rising"):  # quantiles never cross
        values = np.sort(values, axis=1)
    return np.ascontiguousarray(values)


def _grouped(labels: Any, said: Any, matrix: Any) -> Any:
    """Put the number of each row's group before its distance to each middle; a group never seen is the nearest."""
    centres, scale = np.asarray(said["centres"], dtype=np.float64), np.asarray(said["scale"], dtype=np.float64)
    points = (matrix - np.asarray(said["centre"], dtype=np.float64)) / np.where(scale > 0, scale, 1.0)
    points = np.where((scale > 0) & ~np.isnan(matrix), points, 0.0)
    total = np.zeros((len(points), len(centres)))
    for column in range(points.shape[1]):
        apart = points[:, column, None] - centres[None, :, column]
        total += apart * apart
    away = np.sqrt(total)
    numbers = away.argmin(axis=1).astype(np.float64)
    for place, label in enumerate(said["named"]):
        numbers[labels == label] = place
    return np.column_stack([numbers, away])


def _table(numbers: Any, names: Any) -> Any:
    import pandas as pd

    own, away = numbers[:, 0].astype(int), numbers[:, 1:].tolist()
    return pd.DataFrame(
        {
            "value": [names[each] for each in own],
            "distance": [row[each] for row, each in zip(away, own, strict=True)],
            "distances": [dict(zip(names, row, strict=True)) for row in away],
        }
    )


class Boosted:
    """An XGBoost model, read from its UBJ format; its sklearn wrapper is not needed."""

    def __init__(self, content: bytes) -> None:
        import xgboost

        self._xgboost = xgboost
        self._booster = xgboost.Booster({"nthread": 1})
        self._booster.load_model(bytearray(content))

    def predict(self, matrix: Any) -> Any:
        """Predict probabilities or means, NaN for missing."""
        types = self._booster.feature_types
        known = {} if types is None else {"feature_types": types, "enable_categorical": "c" in types}
        return self._booster.predict(self._xgboost.DMatrix(matrix, missing=np.nan, nthread=1, **known))


class Logged:
    """A model that somebody logged with MLflow: its folder in a zip, and ``asked.json``, which says how it is asked."""

    def __init__(self, content: bytes) -> None:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="logged-"))
        self._gone = weakref.finalize(self, shutil.rmtree, str(folder), True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)
        self._said = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow import pyfunc

            loaded = pyfunc.load_model(str(folder / "model"))
            self.raw = loaded.get_raw_model() if self._said["raw"] else loaded

    def predict(self, matrix: Any) -> Any:
        """Answer rows of float64, given to the model as a table with the columns of its signature."""
        method = "predict_proba" if hasattr(self.raw, "predict_proba") and self._said["likely"] else "predict"
        values = getattr(self.raw, method)(self._table(matrix))
        values = np.asarray(getattr(values, "to_numpy", lambda: values)())
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if self._said["likely"] and values.ndim == 1 and values.dtype.kind not in "f":
            raise ValueError(f"it answers {values[0]!r}, a class, where a probability is wanted")
        order = self._said["order"]
        return values if order is None else values[:, order]

    def _table(self, matrix: Any) -> Any:
        import pandas as pd

        return pd.DataFrame({name: self._column(matrix[:, at], kind, name) for name, kind, at in self._said["columns"]})

    def _column(self, values: Any, kind: str, name: str) -> Any:
        missing = np.isnan(values)
        if kind == "string":
            texts = self._said["texts"].get(name, [])
            return np.array(
                [None if gone else texts[int(each)] for each, gone in zip(values, missing, strict=True)], object
            )
        whole = {"long": np.int64, "integer": np.int32, "boolean": np.bool_, "float": np.float32}.get(kind)
        return values if whole is None or (missing.any() and kind != "float") else values.astype(whole)


class PortablePython:
    """What MLflow's ``pyfunc`` calls; columns are taken by name where there are names."""

    def __init__(self, said: Any, content: bytes, threshold: Any = None) -> None:
        self._said, self._threshold = said, threshold
        self._model = read(content, said["format"])

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Return what the scoring server answers; with ``params={"decide": True}`` what is decided by it too."""
        matrix = np.asarray(rows[self._said["features"]] if hasattr(rows, "columns") else rows, dtype=np.float64)
        found = answer(self._model, self._said, matrix)
        if self._threshold is not None and (params or {}).get("decide"):
            import pandas as pd

            word = "flagged" if self._said["task"] == "anomaly" else "decision"
            return pd.DataFrame({"value": found, word: found >= self._threshold})
        return _table(found, self._said["classes"]) if self._said.get("groups") else found


def _prefer(folder: pathlib.Path, files: Any) -> None:
    """Let the model's own code be imported from its folder, whatever another model brought under the same names."""
    tops = {each.removeprefix("code/").partition("/")[0].removesuffix(".py") for each in files}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in tops and not str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    sys.path.insert(0, str(folder))


def _load_pyfunc(path: str) -> PortablePython:
    file = pathlib.Path(path)
    said = json.loads(file.read_text(encoding="utf-8"))
    _prefer(file.with_name("code"), said.get("code", ()))
    decides = said.get("decides")
    threshold = json.loads(file.with_name(decides).read_text(encoding="utf-8"))["value"] if decides else None
    return PortablePython(said, file.with_name(said["file"]).read_bytes(), threshold)
