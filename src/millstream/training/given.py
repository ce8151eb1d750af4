"""A model that somebody logged with stock MLflow, as one that can ship: its columns checked, asked like any other.

LightGBM's trees and scikit-learn's linear models are taken out of it where they then answer as it does, so that the
scoring server answers inline; everything else travels whole and answers from a worker.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millstream.definitions.tasks import Shape
from millstream.errors import DefinitionError, near
from millstream.features.plan import FeatureColumn
from millstream.tracking import portable_python
from millstream.training.estimators import Fit, bare_text
from millstream.training.folds import Given
from millstream.training.matrix import Array, categories, matrix
from millstream.training.predictors import Fitted, LightGbm, Linear, Softmax
from millstream.training.python_models import FILE_OF, Python, PythonModel, differs_alone
from millstream.training.sets import TrainingSet
from millstream.training.splits import NEVER

TASKS = ("binary", "regression", "multiclass")
_RAW = ("sklearn", "lightgbm", "xgboost")
"""Flavors whose own object is asked; of any other what MLflow makes of it."""
_FITS = {
    "double": ("double", "float"),
    "bigint": ("long", "integer", "double", "float"),
    "boolean": ("boolean", "long", "integer", "double", "float"),
    "varchar": ("string",),
}
_LINEAR = ("LogisticRegression", "LinearRegression", "Ridge", "Lasso", "ElasticNet")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PROBED = 2000
_SAME = 1e-12


def given(
    folder: Path,
    training: TrainingSet,
    *,
    uri: str,
    flavors: Sequence[str],
    inputs: Mapping[str, str] | None,
    shape: Shape,
    learnt_to: int | None,
) -> Given:
    """Make a logged model one that is judged and shipped.

    Parameters
    ----------
    folder
        MLflow's, with ``MLmodel``.
    training
        The rows it is judged on; where it takes no missing values, their means stand in.
    uri, flavors, inputs
        Its address, what it can be loaded as, and its signature's columns with their types.
    shape
        Of the answers the model definition wants.
    learnt_to
        Latest decision it has learnt from, microseconds; None for unknown.

    Raises
    ------
    DefinitionError
        When its columns are not the model's features by name and type, it cannot be loaded, or answers otherwise.
    """
    columns = training.plan.columns
    refuse_other_columns(uri, inputs, columns)
    if shape.task not in TASKS:
        raise DefinitionError(
            f"a model of task {shape.task} cannot be taken from MLflow", expected=f"one of {', '.join(TASKS)}",
            do="write the model as an estimator with fit and predict, and train it here",
        )  # fmt: skip
    rows = np.flatnonzero(training.known != NEVER)
    frame = training.frame[rows]
    known = categories(frame, columns)
    features = matrix(frame, columns, known)
    said = {
        "columns": [[name, kind, [each.name for each in columns].index(name)] for name, kind in (inputs or {}).items()],
        "texts": known, "raw": any(each in _RAW for each in flavors), "likely": shape.task != "regression",
        "order": None,
    }  # fmt: skip
    made, content = _loaded(uri, folder, said, shape)
    name = f"{type(made.raw).__module__}:{type(made.raw).__qualname__}" if said["raw"] else "mlflow.pyfunc:PyFuncModel"
    probe = features[np.unique(np.linspace(0, len(features) - 1, min(_PROBED, len(features))).astype(np.intp))]
    means = _means(features)
    try:
        asked = _asked(made, probe, means)
        fitted = _inline(made, said, means, probe=probe, asked=asked, shape=shape) or _whole(
            made, content, asked, probe, name=name, flavors=flavors
        )
    except DefinitionError:
        raise
    except Exception as wrong:  # a border: a logged model may raise anything
        raise DefinitionError(
            f"the logged model {uri} does not answer these rows: {type(wrong).__name__}: {wrong}",
            expected=f"one {'number' if shape.width == 1 else 'probability a class'} a row"
            + (", a probability" if shape.task == "binary" else ""),
            do="try it in a notebook: mlflow.pyfunc.load_model(...) on p.training_set(...).to_pandas()",
        ) from wrong
    return Given(
        uri, Fit(fitted, {"flavor": ", ".join(flavors) or "python_function", "class": name}, 0.0), known, learnt_to
    )


def refuse_other_columns(uri: str, inputs: Mapping[str, str] | None, columns: Sequence[FeatureColumn]) -> None:
    """Refuse a model whose signature's columns are not the features, by name and type."""
    names = [each.name for each in columns]
    wanted = f"the model's features as columns: {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}"
    if inputs is None:
        raise DefinitionError(
            f"the logged model {uri} has no signature with named columns, so nobody knows which number is which",
            expected=wanted,
            do="log it with signature=mlflow.models.infer_signature(ts.to_pandas()[list(ts.features)])",
        )
    missing, strange = [each for each in names if each not in inputs], [each for each in inputs if each not in names]
    if missing or strange:
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"wants {', '.join(strange)}, which the model does not have"] if strange else []
        raise DefinitionError(
            f"the logged model {uri} {' and '.join(said)}",
            expected=wanted,
            do=near(strange[0], names) if strange else "fit it on list(p.training_set(...).features)",
        )
    for each in columns:
        if inputs[each.name] not in _FITS.get(each.dtype, ()):
            raise DefinitionError(
                f"the logged model {uri} takes {each.name} as {inputs[each.name]}, the feature is {each.dtype}",
                expected=f"one of {', '.join(_FITS.get(each.dtype, ()))}",
                do="fit it on p.training_set(...).to_pandas(), which has the types of the features",
            )


def _loaded(uri: str, folder: Path, said: dict[str, Any], shape: Shape) -> tuple[Any, bytes]:
    """Load the model; return it with the bytes that ship, which know the order of its classes."""
    try:
        made = portable_python.read(_packed(folder, said), "mlflow")
        classes = getattr(made.raw, "classes_", None)
    except Exception as wrong:  # a border: a logged model may raise anything
        raise DefinitionError(
            f"the logged model {uri} cannot be loaded here: {type(wrong).__name__}: {wrong}",
            expected="the packages it was logged with",
            do=f"compare {folder / 'requirements.txt'} with this environment",
        ) from wrong
    if not said["likely"] or classes is None or not hasattr(made.raw, "predict_proba"):
        return made, _packed(folder, said)
    theirs = [_class(each) for each in classes]
    wanted = list(shape.classes) or ["true"]
    missing = [each for each in wanted if each not in theirs]
    if missing and not shape.classes:
        theirs, missing = ["true" if each == "1" else each for each in theirs], []
    if missing or ("true" not in theirs and not shape.classes):
        raise DefinitionError(
            f"the logged model {uri} knows the classes {', '.join(theirs[:10])}",
            expected=", ".join(shape.classes) or "false and true, or 0 and 1",
        )
    places = [theirs.index(each) for each in wanted]
    content = _packed(folder, said | {"order": places if shape.classes else places[0]})
    return portable_python.read(content, "mlflow"), content


def _class(each: Any) -> str:
    """Spell a class as answers do."""
    value = each.item() if hasattr(each, "item") else each
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _packed(folder: Path, said: Mapping[str, Any]) -> bytes:
    """Put MLflow's folder and how it is asked into one zip; equal folders give equal bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("asked.json", _EPOCH), json.dumps(said, sort_keys=True))
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.writestr(zipfile.ZipInfo(f"model/{path.relative_to(folder)}", _EPOCH), path.read_bytes())
    return made.getvalue()


def _means(features: Array) -> Array:
    seen = ~np.isnan(features)
    means: Array = np.where(seen, features, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return means


def _asked(made: Any, probe: Array, means: Array) -> dict[str, Any]:
    """Say how it is asked: means stand in for missing features where it takes none."""
    asked: dict[str, Any] = {"method": "predict", "column": None, "fill": None, "alone": False}
    nothing = np.full((1, probe.shape[1]), np.nan)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            takes = bool(np.isfinite(portable_python.answer(made, asked, nothing)).all())
    except Exception:  # noqa: BLE001 - a border: a model may refuse in any way
        takes = False
    asked["fill"] = None if takes else means.tolist()
    asked["alone"] = differs_alone(made, asked, probe)
    return asked


def _inline(
    made: Any, said: Mapping[str, Any], means: Array, *, probe: Array, asked: dict[str, Any], shape: Shape
) -> Fitted | None:
    """Take out what the scoring server computes itself; None where there is none, or it answers otherwise."""
    order = [place for _, _, place in said["columns"]]
    kind, raw = type(made.raw).__name__, made.raw
    found: Fitted | None = None
    if type(raw).__module__.startswith("lightgbm") and order == sorted(order):
        found = LightGbm(bare_text(getattr(raw, "booster_", raw).model_to_string()))
    elif type(raw).__module__.startswith("sklearn") and kind in _LINEAR:
        placed = np.argsort(order)
        coefficients = np.atleast_2d(raw.coef_).astype(np.float64)[:, placed]
        intercepts = np.atleast_1d(raw.intercept_).astype(np.float64)
        if shape.task == "multiclass" and len(coefficients) == len(shape.classes):
            found = Softmax(coefficients, intercepts, fill=means)
        elif shape.task != "multiclass" and len(coefficients) == 1:
            found = Linear(coefficients[0], float(intercepts[0]), fill=means, task=shape.task)
    if found is None:
        return None
    theirs = portable_python.answer(made, asked, probe)
    ours = found.predict(probe)
    return found if ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=_SAME, atol=_SAME) else None


def _whole(
    made: Any, content: bytes, asked: dict[str, Any], probe: Array, *, name: str, flavors: Sequence[str]
) -> PythonModel:
    file = FILE_OF["mlflow"]
    tops = {name.partition(":")[0].partition(".")[0], "mlflow", "pandas", *(each for each in flavors if each in _RAW)}
    described = Python(
        file=file, format="mlflow", estimator=name, code=[], packages=sorted(tops), **asked,
    )  # fmt: skip
    return PythonModel(described, {file: content}, width=probe.shape[1], made=made)
