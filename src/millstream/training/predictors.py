"""Fitted models as plain data: the kinds a release may hold, each written without anything that would differ twice.

``lightgbm`` is LightGBM's text without its parameters section, ``linear`` is coefficients, ``softmax`` is coefficients
a class, ``constant`` always says the same, ``ladder`` is one model a quantile level, ``robust`` is distances from the
middle, ``centres`` is groups; ``python`` is any other fitted object, in a format that only workers open. ``KINDS``
reads each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np

from millstream.definitions.tasks import Shape, TaskName
from millstream.errors import IntegrityError
from millstream.training.centres import Centres, Yardstick
from millstream.training.matrix import Array, Categories
from millstream.training.python_models import Python, PythonModel
from millstream.training.robust import Robust

MODEL_JSON, MODEL_TEXT = "model.json", "model.txt"
_LARGEST_EXPONENT = 700.0


class Fitted(Protocol):
    """A fitted model."""

    @property
    def kind(self) -> str:
        """Name of the kind, as ``model.json`` says it."""
        ...

    def predict(self, matrix: Array) -> Array:
        """Predict one number a row, shape (n,), or one a class or quantile, shape (n, k)."""
        ...

    def described(self) -> dict[str, Any]:
        """Return what ``model.json`` says of it beyond task, features and categories."""
        ...

    def files(self) -> dict[str, bytes]:
        """Return its files beside ``model.json``."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed in fitting, for the record and the card."""
        ...


class LightGbm:
    """A LightGBM model.

    Parameters
    ----------
    text
        As it ships.
    file
        Under which name it ships.
    """

    kind = "lightgbm"

    def __init__(self, text: str, *, file: str = MODEL_TEXT) -> None:
        self.text, self.file = text, file
        self._booster: Any = None

    def predict(self, matrix: Array) -> Array:
        """Predict by the text that ships, on one thread."""
        if self._booster is None:
            import lightgbm

            try:
                self._booster = lightgbm.Booster(model_str=self.text)
            except lightgbm.basic.LightGBMError as wrong:
                raise IntegrityError(f"{self.file} is not a LightGBM model: {wrong}") from None
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)

    def described(self) -> dict[str, Any]:
        """Name the file."""
        return {"file": self.file}

    def files(self) -> dict[str, bytes]:
        """Return the text."""
        return {self.file: self.text.encode()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed: nothing."""
        return ()


class Linear:
    """A linear model; ``fill`` stands in for a missing feature; binary passes the sum through the logistic function."""

    kind = "linear"

    def __init__(self, coefficients: Array, intercept: float, *, fill: Array, task: TaskName) -> None:
        self.coefficients, self.intercept, self.fill, self.task = coefficients, intercept, fill, task

    def predict(self, matrix: Array) -> Array:
        """Predict with the scoring server's arithmetic: one feature after another."""
        filled = np.where(np.isnan(matrix), self.fill, matrix)
        total = np.full(len(filled), self.intercept)
        for column, weight in enumerate(self.coefficients):
            total += weight * filled[:, column]
        if self.task not in ("binary", "topk"):
            return total
        power = np.exp(-np.minimum(np.abs(total), _LARGEST_EXPONENT))
        answer: Array = np.where(total >= 0, 1.0 / (1.0 + power), power / (1.0 + power))
        return answer

    def described(self) -> dict[str, Any]:
        """Return coefficients, intercept and fill."""
        return {
            "coefficients": self.coefficients.tolist(),
            "intercept": self.intercept,
            "fill": self.fill.tolist(),
        }

    def files(self) -> dict[str, bytes]:
        """Return nothing: ``model.json`` holds all of it."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed."""
        return ("A missing feature is replaced by its mean in training: a linear model takes no missing values.",)


class Softmax:
    """A linear model a class; ``fill`` stands in for a missing feature, sums become probabilities by softmax.

    Parameters
    ----------
    coefficients, intercepts
        Shapes (classes, features) and (classes,).
    fill
        Shape (features,).
    """

    kind = "softmax"

    def __init__(self, coefficients: Array, intercepts: Array, *, fill: Array) -> None:
        self.coefficients, self.intercepts, self.fill = coefficients, intercepts, fill

    def predict(self, matrix: Array) -> Array:
        """Predict with the scoring server's arithmetic: one feature after another."""
        filled = np.where(np.isnan(matrix), self.fill, matrix)
        total = np.repeat(self.intercepts[None, :], len(filled), axis=0)
        for column in range(filled.shape[1]):
            total += filled[:, column, None] * self.coefficients[None, :, column]
        power = np.exp(total - total.max(axis=1, keepdims=True))
        answer: Array = power / power.sum(axis=1, keepdims=True)
        return answer

    def described(self) -> dict[str, Any]:
        """Return coefficients, intercepts and fill."""
        return {
            "coefficients": self.coefficients.tolist(),
            "intercepts": self.intercepts.tolist(),
            "fill": self.fill.tolist(),
        }

    def files(self) -> dict[str, bytes]:
        """Return nothing: ``model.json`` holds all of it."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed."""
        return ("A missing feature is replaced by its mean in training: a linear model takes no missing values.",)


class Constant:
    """A model that always says the same: one number, or one a class or level."""

    kind = "constant"

    def __init__(self, value: float | tuple[float, ...]) -> None:
        self.value = value

    def predict(self, matrix: Array) -> Array:
        """Say it once a row."""
        return np.full((len(matrix), *np.shape(self.value)), self.value)

    def described(self) -> dict[str, Any]:
        """Return the value."""
        return {"value": self.value}

    def files(self) -> dict[str, bytes]:
        """Return nothing: ``model.json`` holds all of it."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed: nothing."""
        return ()


class Ladder:
    """One model a quantile level; answers are sorted, so that quantiles never cross."""

    kind = "ladder"

    def __init__(self, rungs: tuple[Fitted, ...]) -> None:
        self.rungs = rungs

    def predict(self, matrix: Array) -> Array:
        """Predict every level, rising: sorting never harms (Chernozhukov and others, Econometrica 78, 2010)."""
        return np.sort(np.column_stack([each.predict(matrix) for each in self.rungs]), axis=1)

    def described(self) -> dict[str, Any]:
        """Return what each rung says of itself."""
        return {"rungs": [{"kind": each.kind, **each.described()} for each in self.rungs]}

    def files(self) -> dict[str, bytes]:
        """Return the files of all rungs."""
        return {name: content for each in self.rungs for name, content in each.files().items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed for any rung, each thing once."""
        return tuple(dict.fromkeys(note for each in self.rungs for note in each.notes))


ReadFile: TypeAlias = Callable[[str], bytes]
"""Returns a file of the model by its name."""


def _lightgbm(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    return LightGbm(read(said["file"]).decode(), file=said["file"])


def _linear(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    fill = np.array(said["fill"], dtype=np.float64)
    return Linear(np.array(said["coefficients"]), said["intercept"], fill=fill, task=said["task"])


def _softmax(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    numbers = [np.array(said[each], dtype=np.float64) for each in ("coefficients", "intercepts", "fill")]
    return Softmax(numbers[0], numbers[1], fill=numbers[2])


def _constant(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    value = tuple(said["value"]) if isinstance(said["value"], list) else said["value"]
    if not np.isfinite(value).all():
        raise ValueError(f"a constant of {value}")
    return Constant(value)


def _ladder(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    return Ladder(tuple(KINDS[each["kind"]]({"task": "regression", **each}, read) for each in said["rungs"]))


def _python(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    python = msgspec.convert(
        {name: said.get(name) for name in Python.__struct_fields__ if name in said or name != "rising"}, Python
    )
    beside = {name: read(name) for name in (python.file, *python.code)}
    return PythonModel(python, beside, width=len(said["features"]))


def _robust(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    return Robust(np.array(said["centre"], dtype=np.float64), np.array(said["scale"], dtype=np.float64))


def _centres(said: Mapping[str, Any], read: ReadFile) -> Fitted:
    centre, scale, centres = (np.array(said[each], dtype=np.float64) for each in ("centre", "scale", "centres"))
    return Centres(Yardstick(centre, scale), centres)


KINDS: dict[str, Callable[[Mapping[str, Any], ReadFile], Fitted]] = {
    "lightgbm": _lightgbm,
    "linear": _linear,
    "softmax": _softmax,
    "constant": _constant,
    "ladder": _ladder,
    "python": _python,
    "robust": _robust,
    "centres": _centres,
}
"""Kind to what makes one of what ``model.json`` says and the files beside it."""


def model_files(
    fitted: Fitted, *, task: TaskName, features: tuple[str, ...], known: Categories, classes: tuple[str, ...] = (),
    levels: tuple[float, ...] = (), decides: str = "", k: int = 0,
) -> dict[str, bytes]:  # fmt: skip
    """Return the files of a model; equal models give equal bytes."""
    said: dict[str, Any] = {"kind": fitted.kind, "task": task, "features": features, "categories": known}
    said |= {"classes": classes} if classes else {}
    said |= {"levels": levels} if levels else {}
    said |= {"decides": decides} if decides else {}
    said |= {"k": k} if k else {}
    written = msgspec.json.encode(said | fitted.described(), order="sorted")
    return {MODEL_JSON: msgspec.json.format(written, indent=1), **fitted.files()}


def hash_files(files: dict[str, bytes]) -> str:
    """Hash a model by its files: names, lengths and bytes."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


class Predictor(msgspec.Struct, frozen=True):
    """A model read from an artifact folder, for scoring off line.

    Parameters
    ----------
    fitted
        The model.
    shape, features, categories
        As ``model.json`` has them.
    files
        Its files as read, which is what its content hash is of.
    """

    fitted: Any
    shape: Shape
    features: tuple[str, ...]
    categories: dict[str, list[str]]
    files: dict[str, bytes]

    @property
    def task(self) -> TaskName:
        """Which kind of answer it gives."""
        return self.shape.task

    @property
    def content_hash(self) -> str:
        """Hash of the model's files."""
        return hash_files(self.files)

    def predict(self, matrix: Array) -> Array:
        """Predict one number a row, several for classes and quantiles."""
        predicted: Array = self.fitted.predict(matrix)
        return predicted


def read_predictor(folder: Path) -> Predictor:
    """Read the model of an artifact folder or a release.

    Raises
    ------
    IntegrityError
        When a file is missing or is not what training writes.
    """
    try:
        files = {MODEL_JSON: (folder / MODEL_JSON).read_bytes()}
        said: dict[str, Any] = msgspec.json.decode(files[MODEL_JSON])

        def read(name: str) -> bytes:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"a file named {name!r}")
            return files.setdefault(name, (folder / name).read_bytes())

        if said["kind"] not in KINDS:
            raise ValueError(f"kind {said['kind']!r}")
        fitted = KINDS[said["kind"]](said, read)
        shape = Shape(said["task"], tuple(said.get("classes", ())), tuple(said.get("levels", ())), said.get("k", 0))
        return Predictor(fitted, shape, tuple(said["features"]), said["categories"], files)
    except (OSError, KeyError, TypeError, ValueError, msgspec.ValidationError) as wrong:
        raise IntegrityError(
            f"the model in {folder} cannot be read: {type(wrong).__name__} {wrong}",
            expected="files as training writes them",
            do="train again, or restore the folder",
        ) from None
