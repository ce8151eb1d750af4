"""Fitting an estimator so that equal data gives an equal model, and taking out of it what ships."""

from __future__ import annotations

import importlib
import os
import re
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from millstream.definitions.model import Estimator
from millstream.definitions.tasks import TaskName
from millstream.errors import BadData, DefinitionError, NotYet
from millstream.features.plan import FeatureColumn
from millstream.training.matrix import Array
from millstream.training.predictors import Constant, Fitted, LightGbm, Linear, Softmax

_PARAMETERS = re.compile(r"\nparameters:.*?end of parameters\n", re.DOTALL)
_LINEAR = ("LogisticRegression", "LinearRegression", "Ridge", "Lasso", "ElasticNet")
_SUPPORTED = f"a LightGBM estimator, or scikit-learn's {', '.join(_LINEAR)}, DummyClassifier or DummyRegressor"


class Fit(msgspec.Struct, frozen=True):
    """A fitted model, the parameters it was fitted with and the seconds it took."""

    fitted: Any
    params: dict[str, Any]
    train_s: float

    def predict(self, matrix: Array) -> Array:
        """Predict one number a row."""
        predicted: Array = self.fitted.predict(matrix)
        return predicted


def default_threads() -> int:
    """Return how many threads a training uses unless told: half the cores, at most 4; recorded and reproduced with.

    LightGBM's threads wait for each other by spinning: where they share their cores with a scoring server, two threads
    were measured a hundred times slower than one.
    """
    return max(1, min((os.cpu_count() or 1) // 2, 4))


def fit(
    said: Estimator, matrix: Array, label: Array, *, task: TaskName, columns: Sequence[FeatureColumn], seed: int,
    threads: int,
    weight: Array | None = None,
) -> Fit:  # fmt: skip
    """Fit an estimator.

    Parameters
    ----------
    said
        Its import path and parameters.
    matrix
        Features, shape (rows, features), NaN for missing.
    label
        Shape (rows,), without NaN; 0 or 1 for a binary task, 0 to k - 1, all there, for one of k classes.
    task
        ``binary``, ``multiclass`` or ``regression``.
    columns
        What the features are; texts are category codes, which LightGBM is told.
    seed, threads
        Fixed where the estimator takes them; a seed that the definition gives stays.
    weight
        How much each row counts, shape (rows,); all alike when left out.

    Raises
    ------
    DefinitionError
        When the estimator cannot be imported, is not made for the task, or fails; it is named with what it said.
    NotYet
        For an estimator that cannot be shipped.
    BadData
        When a binary task has one class only.
    """
    kind = _kind(said)
    _refuse_misfit(said, kind, task=task)
    if task == "binary" and len(np.unique(label)) < 2:
        raise BadData(
            f"all {len(label)} labels that could be learnt from are {'true' if label[0] else 'false'}",
            expected="some of both",
            do="train on a longer span, or look at the label",
        )
    params = _fixed(said, kind, seed=seed, threads=threads)
    if task == "multiclass" and kind.__module__.startswith("lightgbm"):
        params |= {"objective": "multiclass", "num_class": len(np.unique(label))}
    began = time.perf_counter()
    weighted = {} if weight is None else {"sample_weight": weight}

    def work() -> Fitted:
        made = kind(**params)
        if kind.__module__.startswith("lightgbm"):
            texts = [place for place, each in enumerate(columns) if each.dtype == "varchar"]
            named = {"feature_name": [each.name for each in columns], "categorical_feature": texts}
            made.fit(matrix, label, **named, **weighted)
            return LightGbm(bare_text(made.booster_.model_to_string()))
        return _from_scikit(made, matrix, label, task=task, weighted=weighted)

    fitted = _carefully(said, work)
    return Fit(fitted, params, time.perf_counter() - began)


def bare_text(text: str) -> str:
    """Take out of a LightGBM text what differs between equal models: its parameters section."""
    return _PARAMETERS.sub("\n", text)


def _kind(said: Estimator) -> Any:
    module, _, name = said.path.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as wrong:
        package = module.partition(".")[0]
        extra = "millstream[lightgbm]" if package in ("lightgbm", "sklearn") else package
        raise DefinitionError(
            f"estimator {said.path} cannot be imported: {wrong}", expected="an installed package",
            do=f"pip install '{extra}'",
        ) from None  # fmt: skip
    except AttributeError:
        raise DefinitionError(f"estimator {said.path}: module {module!r} has no {name!r}") from None
    if not callable(getattr(kind, "fit", None)) or not callable(getattr(kind, "predict", None)):
        raise DefinitionError(f"estimator {said.path} has no fit and predict", expected=_SUPPORTED)
    package = kind.__module__.partition(".")[0]
    shippable = name.startswith("LGBM") if package == "lightgbm" else name in (*_LINEAR, "DummyClassifier",
                                                                                "DummyRegressor")  # fmt: skip
    if package not in ("lightgbm", "sklearn") or not shippable or name == "LGBMRanker":
        raise NotYet(f"estimator {said.path} cannot be shipped in this version", expected=_SUPPORTED)
    return kind


def _refuse_misfit(said: Estimator, kind: Any, *, task: TaskName) -> None:
    classifies = hasattr(kind, "predict_proba")
    probable = task in ("binary", "multiclass")
    if classifies != probable:
        wanted = "gives probabilities (a classifier)" if probable else "gives numbers (a regressor)"
        raise DefinitionError(
            f"estimator {said.path} {'is a classifier' if classifies else 'is a regressor'}, the task is {task}",
            expected=f"an estimator that {wanted}",
        )


def _fixed(said: Estimator, kind: Any, *, seed: int, threads: int) -> dict[str, Any]:
    """Return the definition's parameters with what sameness needs."""
    params = dict(said.params)
    if kind.__module__.startswith("lightgbm"):
        for each in ("nthread", "nthreads", "num_thread", "num_threads", "force_col_wise"):
            params.pop(each, None)
        return {
            "random_state": seed, "verbosity": -1, **params,
            "deterministic": True, "force_row_wise": True, "n_jobs": threads,
        }  # fmt: skip
    if "random_state" in kind().get_params():
        params.setdefault("random_state", seed)
    return params


def _from_scikit(made: Any, matrix: Array, label: Array, *, task: TaskName, weighted: dict[str, Array]) -> Fitted:
    seen = ~np.isnan(matrix)
    fill = np.where(seen, matrix, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    filled = np.where(seen, matrix, fill)
    made.fit(filled, label, **weighted)
    if type(made).__name__.startswith("Dummy"):
        if task == "multiclass":
            return Constant(tuple(made.predict_proba(filled[:1])[0].tolist()))
        answers = made.predict_proba(filled[:1])[:, 1] if task == "binary" else made.predict(filled[:1])
        return Constant(float(np.ravel(answers)[0]))
    if task == "multiclass":
        return _softmax(made, fill)
    return Linear(np.ravel(made.coef_).astype(np.float64), float(np.ravel(made.intercept_)[0]), fill=fill, task=task)


def _softmax(made: Any, fill: Array) -> Fitted:
    coefficients = np.atleast_2d(made.coef_).astype(np.float64)
    intercepts = np.atleast_1d(made.intercept_).astype(np.float64)
    if len(made.classes_) == 2:
        coefficients, intercepts = (np.concatenate([0 * each, each]) for each in (coefficients, intercepts))
    return Softmax(coefficients, intercepts, fill=fill)


def _carefully(said: Estimator, work: Callable[[], Fitted]) -> Fitted:
    """Run an estimator; whatever it raises names it (its code is a plug-in)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except Exception as wrong:  # a border: an estimator may raise anything
        raise DefinitionError(
            f"estimator {said.path} failed: {type(wrong).__name__}: {wrong}",
            expected="an estimator that can be fitted on these features and labels",
            do="look at its parameters",
        ) from wrong
