"""Fitted models as plain data: the kinds a release may hold, each written without anything that would differ twice.

``lightgbm`` is LightGBM's text without its parameters section, ``linear`` is coefficients, ``constant`` one number;
``python`` is any other fitted object, in a format that only workers open.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
import numpy as np

from millstream.errors import IntegrityError
from millstream.training.matrix import Array, Categories
from millstream.training.python_models import Python, PythonModel

TaskName: TypeAlias = Literal["binary", "regression"]

MODEL_JSON, MODEL_TEXT = "model.json", "model.txt"
_LARGEST_EXPONENT = 700.0


class Fitted(Protocol):
    """A fitted model."""

    @property
    def kind(self) -> str:
        """Name of the kind, as ``model.json`` says it."""
        ...

    def predict(self, matrix: Array) -> Array:
        """Predict one number a row: a probability or a mean."""
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
    """A LightGBM model."""

    kind = "lightgbm"

    def __init__(self, text: str) -> None:
        self.text = text
        self._booster: Any = None

    def predict(self, matrix: Array) -> Array:
        """Predict by the text that ships, on one thread."""
        if self._booster is None:
            import lightgbm

            try:
                self._booster = lightgbm.Booster(model_str=self.text)
            except lightgbm.basic.LightGBMError as wrong:
                raise IntegrityError(f"{MODEL_TEXT} is not a LightGBM model: {wrong}") from None
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)

    def described(self) -> dict[str, Any]:
        """Name the file."""
        return {"file": MODEL_TEXT}

    def files(self) -> dict[str, bytes]:
        """Return the text."""
        return {MODEL_TEXT: self.text.encode()}

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
        if self.task != "binary":
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


class Constant:
    """A model that always says the same."""

    kind = "constant"

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, matrix: Array) -> Array:
        """Say it once a row."""
        return np.full(len(matrix), self.value)

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


def model_files(fitted: Fitted, *, task: TaskName, features: tuple[str, ...], known: Categories) -> dict[str, bytes]:
    """Return the files of a model; equal models give equal bytes."""
    said = {"kind": fitted.kind, "task": task, "features": features, "categories": known, **fitted.described()}
    return {MODEL_JSON: msgspec.json.format(msgspec.json.encode(said, order="sorted"), indent=1), **fitted.files()}


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
    task, features, categories
        As ``model.json`` has them.
    files
        Its files as read, which is what its content hash is of.
    """

    fitted: Any
    task: TaskName
    features: tuple[str, ...]
    categories: dict[str, list[str]]
    files: dict[str, bytes]

    @property
    def content_hash(self) -> str:
        """Hash of the model's files."""
        return hash_files(self.files)

    def predict(self, matrix: Array) -> Array:
        """Predict one number a row."""
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
        written = (folder / MODEL_JSON).read_bytes()
        said: dict[str, Any] = msgspec.json.decode(written)
        files = {MODEL_JSON: written}
        if said["kind"] == "lightgbm":
            files[MODEL_TEXT] = (folder / MODEL_TEXT).read_bytes()
            fitted: Fitted = LightGbm(files[MODEL_TEXT].decode())
        elif said["kind"] == "linear":
            numbers = (np.array(said["coefficients"]), said["intercept"], np.array(said["fill"], dtype=np.float64))
            fitted = Linear(numbers[0], numbers[1], fill=numbers[2], task=said["task"])
        elif said["kind"] == "constant" and math.isfinite(said["value"]):
            fitted = Constant(said["value"])
        elif said["kind"] == "python":
            python = msgspec.convert({name: said.get(name) for name in Python.__struct_fields__}, Python)
            beside = {name: (folder / name).read_bytes() for name in (python.file, *python.code)}
            files |= beside
            fitted = PythonModel(python, beside, width=len(said["features"]))
        else:
            raise ValueError(f"kind {said['kind']!r}")
        return Predictor(fitted, said["task"], tuple(said["features"]), said["categories"], files)
    except (OSError, KeyError, TypeError, ValueError, msgspec.ValidationError) as wrong:
        raise IntegrityError(
            f"the model in {folder} cannot be read: {type(wrong).__name__} {wrong}",
            expected="files as training writes them",
            do="train again, or restore the folder",
        ) from None
