"""Fitting an estimator so that equal data gives an equal model, and taking out of it what ships."""

from __future__ import annotations

import inspect
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from millstream.definitions.estimator import Estimator
from millstream.definitions.tasks import TaskName
from millstream.errors import BadData, DefinitionError
from millstream.features.plan import FeatureColumn
from millstream.tracking import portable_python
from millstream.training.building import Recipe, imported, rebuild, recipe
from millstream.training.calm import own_line, printed_to_log, repeatable, single_threaded
from millstream.training.centres import Centres, Yardstick
from millstream.training.matrix import Array
from millstream.training.own_code import OwnCode
from millstream.training.predictors import Constant, Fitted, LightGbm, Linear, Softmax
from millstream.training.python_models import FILE_OF, Python, PythonModel, differs_alone, written

_Made = TypeVar("_Made")
_METHODS = ("predict", "predict_proba", "score_samples")
_PARAMETERS = re.compile(r"\nparameters:.*?end of parameters\n", re.DOTALL)
_LINEAR = ("LogisticRegression", "LinearRegression", "Ridge", "Lasso", "ElasticNet")
_NEAREST = ("KMeans", "MiniBatchKMeans")
_DUMMY = ("DummyClassifier", "DummyRegressor")
_LAST_LINES = 10
"""Of what an estimator that failed had printed."""
_ONE_NUMBER = ("binary", "regression")
_PROBABILITIES = ("binary", "multiclass")
_WITHOUT_LABEL = ("anomaly", "clusters")
_LOWEST_IS_STRANGEST = ("score_samples", "decision_function")


class Fit(msgspec.Struct, frozen=True):
    """A fitted model, the parameters it was fitted with, the seconds it took and the end of what was printed."""

    fitted: Any
    params: dict[str, Any]
    train_s: float
    printed: str = ""

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
    BadData
        When a binary task has one class only.
    """
    weighted = {} if weight is None else {"sample_weight": weight}
    with OwnCode(said.code) as own:
        kind = _kind(said)
        shipped = form(kind, task=task)
        if shipped == "python":
            made_by = recipe(said, names=[each.name for each in columns], seed=seed, threads=threads)
            made_by = _told_of_texts(made_by, kind, columns)
            _refuse_misfit(said, _carefully(said, made_by.make), task=task)
            _refuse_one_class(label, task=task)
            began = time.perf_counter()

            def fit_it() -> PythonModel:
                with repeatable(seed, threads):
                    return _fit_python(own, made_by, matrix, label, task=task, weighted=weighted)

            fitted, printed = _heard(said, fit_it)
            return Fit(fitted, made_by.params, time.perf_counter() - began, printed)
    _refuse_misfit(said, kind(), task=task)
    _refuse_one_class(label, task=task)
    began = time.perf_counter()
    params = _fixed(said, kind, seed=seed, threads=threads)
    if task == "multiclass" and shipped == "lightgbm":
        params |= {"objective": "multiclass", "num_class": len(np.unique(label))}

    def work() -> Fitted:
        made = kind(**{name: rebuild(value) for name, value in params.items()})
        if shipped == "lightgbm":
            texts = [place for place, each in enumerate(columns) if each.dtype == "varchar"]
            named = {"feature_name": [each.name for each in columns], "categorical_feature": texts}
            made.fit(matrix, label, **named, **weighted)
            return LightGbm(bare_text(made.booster_.model_to_string()))
        if task == "clusters":
            with repeatable(seed, 1):  # the order of a sum over threads is not always the same
                centres = made.fit(matrix).cluster_centers_
            return Centres(Yardstick(np.zeros(matrix.shape[1]), np.ones(matrix.shape[1])), np.asarray(centres))
        return _from_scikit(made, matrix, label, task=task, weighted=weighted)

    plain, printed = _heard(said, work)
    return Fit(plain, params, time.perf_counter() - began, printed)


def _refuse_one_class(label: Array, *, task: str) -> None:
    if task == "binary" and len(np.unique(label)) < 2:
        raise BadData(
            f"all {len(label)} labels that could be learnt from are {'true' if label[0] else 'false'}",
            expected="some of both",
            do="train on a longer span, or look at the label",
        )


def bare_text(text: str) -> str:
    """Take out of a LightGBM text what differs between equal models: its parameters section."""
    return _PARAMETERS.sub("\n", text)


def _kind(said: Estimator) -> Any:
    kind = imported(said.path)
    if not callable(getattr(kind, "fit", None)) or not any(hasattr(kind, each) for each in _METHODS):
        raise DefinitionError(
            f"estimator {said.path} has no fit and predict", expected="an object with fit and predict, or predict_proba"
        )
    return kind


def form(kind: Any, *, task: str) -> str:
    """Say how an estimator ships: as LightGBM's text, as coefficients, as one number, or as a Python object."""
    package = kind.__module__.partition(".")[0]
    if package == "lightgbm" and kind.__name__ in ("LGBMClassifier", "LGBMRegressor"):
        return "lightgbm"
    if package == "sklearn" and kind.__name__ in (*_LINEAR, *_DUMMY) and task in (*_ONE_NUMBER, "multiclass"):
        return "plain"
    if package == "sklearn" and kind.__name__ in _NEAREST and task == "clusters":
        return "plain"
    return "python"


def _refuse_misfit(said: Estimator, made: Any, *, task: str) -> None:
    """Refuse a classifier where numbers are wanted, and a regressor where probabilities are."""
    says = _says(made)
    if says is None or task not in (*_ONE_NUMBER, "multiclass"):
        return
    wanted = "classifier" if task in _PROBABILITIES else "regressor"
    if says != wanted:
        gives = {"classifier": "gives probabilities (a classifier)", "regressor": "gives numbers (a regressor)"}
        raise DefinitionError(
            f"estimator {said.path} is a {says}, the task is {task}", expected=f"an estimator that {gives[wanted]}"
        )
    if wanted == "classifier" and not hasattr(made, "predict_proba"):
        raise DefinitionError(
            f"estimator {said.path} gives classes and no probabilities, the task is {task}",
            expected="a classifier with predict_proba",
            do="wrap it: CalibratedClassifierCV(...)",
        )


def _says(made: Any) -> str | None:
    """Ask scikit-learn what an estimator is, pipelines and searches included; None for a class of one's own."""
    base = sys.modules.get("sklearn.base")
    if base is None or not hasattr(made, "__sklearn_tags__"):
        return None
    return "classifier" if base.is_classifier(made) else "regressor" if base.is_regressor(made) else None


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


def _told_of_texts(made_by: Recipe, kind: Any, columns: Sequence[FeatureColumn]) -> Recipe:
    """Tell XGBoost which features are codes of texts, as LightGBM is told; what the definition says stays."""
    if kind.__module__.partition(".")[0] != "xgboost" or "feature_types" in made_by.params:
        return made_by
    types = ["c" if each.dtype == "varchar" else "q" for each in columns]
    if "c" not in types:
        return made_by
    return msgspec.structs.replace(
        made_by, params={**made_by.params, "enable_categorical": True, "feature_types": types}
    )


def _fit_python(
    own: OwnCode, made_by: Recipe, matrix: Array, label: Array, *, task: str, weighted: dict[str, Array]
) -> PythonModel:
    """Fit any estimator; where it takes no missing values, the mean stands in."""
    seen = ~np.isnan(matrix)
    means = np.where(seen, matrix, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)

    def fitted(features: Array) -> Any:
        made = made_by.make()
        if weighted and "sample_weight" not in inspect.signature(made.fit).parameters:
            raise DefinitionError(
                f"estimator {made_by.path} takes no weights", expected="fit(features, label, sample_weight)",
                do="leave out weight=, or another estimator",
            )  # fmt: skip
        made.fit(features) if task in _WITHOUT_LABEL else made.fit(features, label, **weighted)
        single_threaded(made)
        return made

    made = _unless_missing(lambda: fitted(matrix)) if not seen.all() else fitted(matrix)
    method = _method(made_by.make() if made is None else made, task)
    asked: dict[str, Any] = {"method": method, "column": None, "fill": None, "alone": False}
    if made is None or not _takes_missing(made, asked, width=matrix.shape[1]):
        asked["fill"] = means.tolist()
        made = made if seen.all() else fitted(np.where(seen, matrix, means))
    asked["column"] = _column(made, method, task=task)
    asked["alone"] = differs_alone(made, asked, matrix)
    form, content = written(made, matrix[:200], asked)
    if form == "ubj":
        made, asked = portable_python.read(content, form), {**asked, "method": "predict", "column": None}
    file = FILE_OF[form]
    code = {f"code/{name}": source.encode() for name, source in own.files.items()}
    described = Python(
        file=file, format=form, estimator=made_by.path, code=sorted(code),
        packages=sorted({*made_by.packages, *(("skops",) if form == "skops" else ())}), **asked,
    )  # fmt: skip
    return PythonModel(described, {file: content, **code}, width=matrix.shape[1], made=made, own=own)


def _unless_missing(fit_it: Callable[[], Any]) -> Any:
    """Fit on data with missing values; None where the estimator says that it takes none."""
    try:
        return fit_it()
    except ValueError as wrong:
        if "nan" in str(wrong).lower() or "missing" in str(wrong).lower():
            return None
        raise


def _method(made: Any, task: str) -> str:
    """Choose what is asked of an estimator; an anomaly score where that is the task."""
    wanted = {"anomaly": ("score_samples", "decision_function", "predict"), "clusters": ("predict",)}
    order = wanted.get(task, ("predict",) if task not in _PROBABILITIES else ("predict_proba", "predict"))
    method = next(each for each in order if hasattr(made, each))
    return f"-{method}" if task == "anomaly" and method in _LOWEST_IS_STRANGEST else method


def _column(made: Any, method: str, *, task: str) -> int | None:
    """Choose the column of the positive class."""
    if task != "binary" or method != "predict_proba":
        return None
    classes = [float(each) for each in getattr(made, "classes_", (0.0, 1.0))]
    return classes.index(1.0)


def _takes_missing(made: Any, asked: dict[str, Any], *, width: int) -> bool:
    """Try whether an estimator answers a row of which nothing is known, as some served row will be."""
    try:
        return bool(np.isfinite(portable_python.answer(made, asked, np.full((1, width), np.nan))).all())
    except Exception:  # noqa: BLE001 - a border: an estimator may refuse in any way
        return False


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


def _carefully(said: Estimator, work: Callable[[], _Made]) -> _Made:
    """Run an estimator, whatever it prints."""
    return _heard(said, work)[0]


def _heard(said: Estimator, work: Callable[[], _Made]) -> tuple[_Made, str]:
    """Run an estimator; what it prints is heard, and whatever it raises names it (its code is a plug-in)."""
    heard = None
    try:
        with printed_to_log() as heard, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = work()
        return made, heard.text
    except DefinitionError:
        raise
    except MemoryError as wrong:
        raise DefinitionError(
            f"estimator {said.path} ran out of memory: {wrong or 'the system gave no more'}",
            expected="an estimator whose work on these rows fits into memory",
            do="a shorter span (since=), fewer features, or another estimator",
        ) from wrong
    except Exception as wrong:  # a border: an estimator may raise anything
        last = "\n".join(f"  {each}" for each in (heard.text if heard else "").splitlines()[-_LAST_LINES:])
        raise DefinitionError(
            f"estimator {said.path} failed: {type(wrong).__name__}: {wrong}{own_line(wrong, said)}"
            + (f"\nit printed:\n{last}" if last else ""),
            expected="an estimator that can be fitted on these features and labels",
            do="look at its parameters",
        ) from wrong
