"""Models a scoring process may hold: kinds that are plain data, parsed from safe formats, bounded in time.

Everything that runs code of its own (pickles, pipelines) is held by a worker process; here is only the line to it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from millstream.errors import IntegrityError
from millstream.releases.verify import is_safe_name
from millstream.serving.lightgbm import Booster
from millstream.training.remote import Remote
from millstream.training.worker import Opening

Read: TypeAlias = Callable[[str], bytes]
"""Returns the bytes of a release's file by its name."""

_NAN = math.nan
_LARGEST_EXPONENT = 700.0


class Predictor(Protocol):
    """A model that turns float64 features into one number a row."""

    width: int

    def predict_one(self, features: array[float]) -> float:
        """Predict one row."""
        ...

    def predict_many(self, features: array[float], rows: int) -> list[float]:
        """Predict rows that lie one after another; the same numbers as row by row."""
        ...

    def close(self) -> None:
        """Free what the model holds."""
        ...


class LightGbmFile(msgspec.Struct, frozen=True, tag_field="kind", tag="lightgbm"):
    """A LightGBM model: its text lies beside."""

    task: Literal["binary", "regression"]
    features: tuple[str, ...]
    file: str = "model.txt"
    categories: dict[str, list[str]] = {}


class ConstantFile(msgspec.Struct, frozen=True, tag_field="kind", tag="constant"):
    """A model that always says the same."""

    task: Literal["binary", "regression"]
    features: tuple[str, ...]
    value: float
    categories: dict[str, list[str]] = {}


class LinearFile(msgspec.Struct, frozen=True, tag_field="kind", tag="linear"):
    """A linear model; ``fill`` stands in for a missing feature. Binary passes the sum through the logistic function."""

    task: Literal["binary", "regression"]
    features: tuple[str, ...]
    intercept: float
    coefficients: tuple[float, ...]
    fill: tuple[float, ...] = ()
    categories: dict[str, list[str]] = {}


class PythonFile(msgspec.Struct, frozen=True, tag_field="kind", tag="python"):
    """A Python object of any kind: its file and its own code lie beside; a worker opens it."""

    task: str
    features: tuple[str, ...]
    file: str
    format: str
    method: str
    estimator: str
    column: int | None = None
    fill: list[float] | None = None
    alone: bool = False
    code: list[str] = []
    packages: list[str] = []
    categories: dict[str, list[str]] = {}


ModelFile: TypeAlias = LightGbmFile | ConstantFile | LinearFile | PythonFile


class BaselineFile(msgspec.Struct, frozen=True):
    """The simple answer that stands in last; ``baseline.json``."""

    kind: str
    value: float


class _Constant:
    def __init__(self, said: ConstantFile) -> None:
        self.width = len(said.features)
        self._value = said.value

    def predict_one(self, features: array[float]) -> float:
        return self._value

    def predict_many(self, features: array[float], rows: int) -> list[float]:
        return [self._value] * rows

    def close(self) -> None:
        pass


class _Linear:
    def __init__(self, said: LinearFile) -> None:
        self.width = len(said.features)
        self._fill = said.fill or (_NAN,) * self.width
        self._said = said
        if len(said.coefficients) != self.width or len(self._fill) != self.width:
            raise IntegrityError(
                f"model.json has {len(said.coefficients)} coefficients and {len(said.fill)} fill values",
                expected=f"{self.width} of each, one a feature",
            )

    def predict_one(self, features: array[float]) -> float:
        total = self._said.intercept
        for weight, value, stand_in in zip(self._said.coefficients, features, self._fill, strict=True):
            total += weight * (stand_in if value != value else value)
        return _logistic(total) if self._said.task == "binary" else total

    def predict_many(self, features: array[float], rows: int) -> list[float]:
        width = self.width
        return [self.predict_one(features[row * width : (row + 1) * width]) for row in range(rows)]

    def close(self) -> None:
        pass


def read_model(read: Read) -> ModelFile:
    """Read ``model.json`` of an artifact or release.

    Raises
    ------
    IntegrityError
        When it is missing or is not a model a scoring process can hold.
    """
    said: ModelFile = decode(read, "model.json", ModelFile)
    return said


def read_baseline(read: Read) -> float:
    """Read the value of ``baseline.json``, which must be a finite number."""
    value: float = decode(read, "baseline.json", BaselineFile).value
    if not math.isfinite(value):
        raise IntegrityError(f"baseline.json says {value}", expected="a finite number")
    return value


def load(said: ModelFile, read: Read, *, name: str = "the model", python: str = "") -> Predictor:
    """Make a model ready to predict; a LightGBM text of 1 MB takes about 10 ms.

    A Python model's worker only starts: with scikit-learn it takes about two seconds until it answers. It is given
    the bytes that were read here, so what was verified is what it opens.

    Parameters
    ----------
    said, read
        ``model.json``, and the files beside it.
    name
        What messages call the model.
    python
        Interpreter of the environment a Python model needs; this one unless given.
    """
    if isinstance(said, PythonFile):
        files = {each: read(each) for each in (said.file, *said.code)}
        opening = Opening(msgspec.structs.asdict(said), files)
        return Remote(opening, name=name, width=len(said.features), python=python)
    if isinstance(said, LightGbmFile):
        return Booster(read(said.file), width=len(said.features))
    return _Constant(said) if isinstance(said, ConstantFile) else _Linear(said)


def read_from(folder: Path) -> Read:
    """Read the files of a folder by name; files outside it are refused."""

    def read(name: str) -> bytes:
        path = folder / name
        if not is_safe_name(name):
            raise IntegrityError(f"{folder} was asked for {name!r}", expected="a file of its own")
        try:
            return path.read_bytes()
        except OSError as wrong:
            raise IntegrityError(f"{path} cannot be read: {wrong.strerror}", do="build the release again") from None

    return read


def decode(read: Read, name: str, kind: Any) -> Any:
    """Decode a JSON file of a release as one kind of record."""
    try:
        return msgspec.json.decode(read(name), type=kind)
    except msgspec.MsgspecError as wrong:
        raise IntegrityError(
            f"{name} of the release cannot be used: {wrong}", expected="a file written by training",
            do="build the release again",
        ) from None  # fmt: skip


class Encoder:
    """Turns feature values into the float64 a model was trained on.

    Booleans become 0 and 1, texts the code of their category, NULL and categories never seen in training NaN.

    >>> Encoder(["late", "carrier"], {"carrier": ["AA", "UA"]}).encode([True, "UA"]).tolist()
    [1.0, 1.0]
    """

    def __init__(self, features: Sequence[str], categories: Mapping[str, Sequence[str]]) -> None:
        self.features = tuple(features)
        self._codes = [
            {category: float(code) for code, category in enumerate(categories[name])} if name in categories else None
            for name in features
        ]
        self._plain = not any(codes is not None for codes in self._codes)

    def encode(self, values: Sequence[Any]) -> array[float]:
        """Encode one row of feature values, in the order of the features."""
        if self._plain:
            return array("d", [_NAN if value is None else value for value in values])
        return array(
            "d",
            [
                _NAN if value is None else codes.get(value, _NAN) if codes is not None else value
                for value, codes in zip(values, self._codes, strict=True)
            ],
        )


def _logistic(score: float) -> float:
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-min(score, _LARGEST_EXPONENT)))
    power = math.exp(max(score, -_LARGEST_EXPONENT))
    return power / (1.0 + power)
