"""Models a scoring process may hold: kinds that are plain data, parsed from safe formats, bounded in time.

Everything that runs code of its own (pickles, pipelines) is held by a worker process; here is only the line to it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from millstream.definitions.tasks import Shape, TaskName
from millstream.errors import IntegrityError
from millstream.releases.verify import is_safe_name
from millstream.serving.lightgbm import Booster
from millstream.training.remote import Remote
from millstream.training.worker import Opening

Read: TypeAlias = Callable[[str], bytes]
"""Returns the bytes of a release's file by its name."""

Numbers: TypeAlias = float | Sequence[float]
"""What a model says of a row: one number, or one a class or quantile level."""

_NAN = math.nan
_LARGEST_EXPONENT = 700.0


class Predictor(Protocol):
    """A model that turns float64 features into one number a row, or one a class or quantile level."""

    width: int

    def predict_one(self, features: array[float]) -> Numbers:
        """Predict one row."""
        ...

    def predict_many(self, features: array[float], rows: int) -> Sequence[Numbers]:
        """Predict rows that lie one after another; the same numbers as row by row."""
        ...

    def close(self) -> None:
        """Free what the model holds."""
        ...


class LightGbmFile(msgspec.Struct, frozen=True, tag_field="kind", tag="lightgbm"):
    """A LightGBM model: its text lies beside."""

    task: TaskName
    features: tuple[str, ...]
    file: str = "model.txt"
    categories: dict[str, list[str]] = {}
    classes: tuple[str, ...] = ()


class ConstantFile(msgspec.Struct, frozen=True, tag_field="kind", tag="constant"):
    """A model that always says the same."""

    task: TaskName
    features: tuple[str, ...]
    value: float | tuple[float, ...]
    categories: dict[str, list[str]] = {}


class LinearFile(msgspec.Struct, frozen=True, tag_field="kind", tag="linear"):
    """A linear model; ``fill`` stands in for a missing feature. Binary passes the sum through the logistic function."""

    task: TaskName
    features: tuple[str, ...]
    intercept: float
    coefficients: tuple[float, ...]
    fill: tuple[float, ...] = ()
    categories: dict[str, list[str]] = {}


class SoftmaxFile(msgspec.Struct, frozen=True, tag_field="kind", tag="softmax"):
    """A linear model a class; sums become probabilities by softmax."""

    task: TaskName
    features: tuple[str, ...]
    intercepts: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    fill: tuple[float, ...]
    categories: dict[str, list[str]] = {}


class LadderFile(msgspec.Struct, frozen=True, tag_field="kind", tag="ladder"):
    """A model a quantile level, each as its own ``model.json`` would say it; answers are sorted."""

    task: TaskName
    features: tuple[str, ...]
    rungs: tuple[dict[str, Any], ...]
    categories: dict[str, list[str]] = {}


class RobustFile(msgspec.Struct, frozen=True, tag_field="kind", tag="robust"):
    """Distances from the middle of what was seen; a scale of 0 leaves a feature out."""

    task: TaskName
    features: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    categories: dict[str, list[str]] = {}


class CentresFile(msgspec.Struct, frozen=True, tag_field="kind", tag="centres"):
    """Groups as centres, in standard deviations from the mean; a scale of 0 leaves a feature out."""

    task: TaskName
    features: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    centres: tuple[tuple[float, ...], ...]
    categories: dict[str, list[str]] = {}


class PythonFile(msgspec.Struct, frozen=True, tag_field="kind", tag="python"):
    """A Python object of any kind: its file and its own code lie beside; a worker opens it."""

    task: TaskName
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
    groups: dict[str, list[Any]] | None = None
    categories: dict[str, list[str]] = {}


ModelFile: TypeAlias = (
    LightGbmFile | ConstantFile | LinearFile | SoftmaxFile | LadderFile | RobustFile | CentresFile | PythonFile
)


class AnswersFile(msgspec.Struct, frozen=True):
    """What ``model.json`` says of the answers, whatever kind the model is of.

    ``decides`` names the file that says where an answer becomes a decision or an alarm; empty for models without.
    """

    task: TaskName
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    decides: str = ""
    k: int = 0


class ThresholdFile(msgspec.Struct, frozen=True):
    """From which number on an answer is a yes."""

    value: float


class BaselineFile(msgspec.Struct, frozen=True):
    """The simple answer that stands in last; ``baseline.json``. ``values`` are all its numbers where it has several.

    Of a model that lists items, ``value`` is the share of pairs that were good choices, ``items`` the items most often
    chosen and ``shares`` how much of all good choices each was.
    ``offsets`` are added to the seasonal naive rule of a forecast of quantiles, one a level.
    """

    kind: str
    value: float
    values: tuple[float, ...] = ()
    items: tuple[int | str | bool, ...] = ()
    shares: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()


class _Constant:
    def __init__(self, said: ConstantFile) -> None:
        self.width = len(said.features)
        self._value = said.value

    def predict_one(self, features: array[float]) -> Numbers:
        return self._value

    def predict_many(self, features: array[float], rows: int) -> list[Numbers]:
        return [self._value] * rows

    def close(self) -> None:
        pass


class _Softmax:
    def __init__(self, said: SoftmaxFile) -> None:
        self.width = len(said.features)
        self._said = said
        widths = {len(each) for each in (*said.coefficients, said.fill)}
        if widths != {self.width} or len(said.coefficients) != len(said.intercepts):
            raise IntegrityError(
                f"model.json has coefficients of {len(said.coefficients)} classes for {sorted(widths)} features",
                expected=f"{len(said.intercepts)} classes and {self.width} features",
            )

    def predict_one(self, features: array[float]) -> Numbers:
        pairs = zip(features, self._said.fill, strict=True)
        filled = [stand_in if value != value else value for value, stand_in in pairs]
        sums = []
        for total, weights in zip(self._said.intercepts, self._said.coefficients, strict=True):
            for weight, value in zip(weights, filled, strict=True):
                total += weight * value
            sums.append(total)
        most = max(sums)
        powers = [math.exp(each - most) for each in sums]
        whole = sum(powers)
        return tuple(each / whole for each in powers)

    def predict_many(self, features: array[float], rows: int) -> list[Numbers]:
        width = self.width
        return [self.predict_one(features[row * width : (row + 1) * width]) for row in range(rows)]

    def close(self) -> None:
        pass


class _Robust:
    def __init__(self, said: RobustFile) -> None:
        self.width = len(said.features)
        self._said = said
        if {len(said.centre), len(said.scale)} != {self.width}:
            raise IntegrityError(
                "model.json has another number of features than distances", do="build the release again"
            )

    def predict_one(self, features: array[float]) -> Numbers:
        each = zip(features, self._said.centre, self._said.scale, strict=True)
        return max(
            (abs(value - centre) / scale for value, centre, scale in each if scale > 0 and value == value), default=0.0
        )

    def predict_many(self, features: array[float], rows: int) -> list[Numbers]:
        width = self.width
        return [self.predict_one(features[row * width : (row + 1) * width]) for row in range(rows)]

    def close(self) -> None:
        pass


class _Centres:
    """Answers the number of the nearest centre (of equally near ones the first), then the distance to each."""

    def __init__(self, said: CentresFile) -> None:
        self.width = len(said.features)
        self._said = said
        if {len(each) for each in (said.centre, said.scale, *said.centres)} != {self.width}:
            raise IntegrityError("model.json has another number of features than centres", do="build the release again")

    def predict_one(self, features: array[float]) -> Numbers:
        said = self._said
        each = zip(features, said.centre, said.scale, strict=True)
        point = [(value - mean) / scale if scale > 0 and value == value else 0.0 for value, mean, scale in each]
        away = []
        for centre in said.centres:
            total = 0.0
            for value, middle in zip(point, centre, strict=True):
                apart = value - middle
                total += apart * apart
            away.append(math.sqrt(total))
        return (float(min(range(len(away)), key=away.__getitem__)), *away)

    def predict_many(self, features: array[float], rows: int) -> list[Numbers]:
        width = self.width
        return [self.predict_one(features[row * width : (row + 1) * width]) for row in range(rows)]

    def close(self) -> None:
        pass


class _Ladder:
    def __init__(self, said: LadderFile, read: Read) -> None:
        self.width = len(said.features)
        shared = {"task": "regression", "features": said.features}
        try:
            rungs = [msgspec.convert({**shared, **each}, ModelFile) for each in said.rungs]
        except msgspec.ValidationError as wrong:
            raise IntegrityError(
                f"a rung of model.json cannot be used: {wrong}", do="build the release again"
            ) from None
        self._rungs: list[Predictor] = [load(each, read) for each in rungs]

    def predict_one(self, features: array[float]) -> Numbers:
        return tuple(sorted(_single(each.predict_one(features)) for each in self._rungs))

    def predict_many(self, features: array[float], rows: int) -> list[Numbers]:
        columns = [each.predict_many(features, rows) for each in self._rungs]
        return [tuple(sorted(map(_single, row))) for row in zip(*columns, strict=True)]

    def close(self) -> None:
        for each in self._rungs:
            each.close()


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
        return _logistic(total) if self._said.task in ("binary", "topk") else total

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


def read_shape(read: Read) -> Shape:
    """Read the shape of a model's answers.

    Raises
    ------
    IntegrityError
        When classes or levels are missing where the task has them.
    """
    said: AnswersFile = decode(read, "model.json", AnswersFile)
    shape = Shape(said.task, said.classes, said.levels, said.k)
    if (said.task == "topk") != bool(said.k):
        raise IntegrityError(
            f"model.json of a {said.task} task lists {said.k} items", expected="a list for topk and for nothing else",
            do="build the release again",
        )  # fmt: skip
    if (said.task in ("multiclass", "clusters")) != bool(said.classes) or (said.task == "quantiles") != bool(
        said.levels
    ):
        raise IntegrityError(
            f"model.json of a {said.task} task has {len(said.classes)} classes and {len(said.levels)} levels",
            expected="classes for multiclass and clusters, levels for quantiles",
            do="build the release again",
        )
    return shape


def read_threshold(read: Read) -> float | None:
    """Read from which number on an answer is a yes; None for a model without a threshold."""
    said: AnswersFile = decode(read, "model.json", AnswersFile)
    return float(decode(read, said.decides, ThresholdFile).value) if said.decides else None


def read_baseline(read: Read, shape: Shape | None = None) -> Numbers:
    """Read the answer of ``baseline.json``, which must be finite: one number, or as many as the shape has."""
    said: BaselineFile = decode(read, "baseline.json", BaselineFile)
    wide = shape is not None and shape.width > 1
    numbers = said.values if wide else (said.value,)
    if not all(map(math.isfinite, numbers)) or (shape is not None and len(numbers) != shape.width):
        raise IntegrityError(
            f"baseline.json says {', '.join(map(str, numbers)) or 'nothing'}",
            expected="a finite number" if not wide else f"{shape.width} finite numbers" if shape else "",
        )
    return numbers if wide else said.value


def read_popular(read: Read) -> dict[Any, float]:
    """Read the items most often chosen, with their shares, from ``baseline.json``."""
    said: BaselineFile = decode(read, "baseline.json", BaselineFile)
    if len(said.items) != len(said.shares):
        raise IntegrityError("baseline.json has not as many shares as items", do="build the release again")
    return dict(zip(said.items, said.shares, strict=True))


def read_offsets(read: Read, shape: Shape) -> tuple[float, ...]:
    """Read what is added, a level, to what a season ago was known; nothing for one number."""
    said: BaselineFile = decode(read, "baseline.json", BaselineFile)
    if said.offsets and len(said.offsets) != shape.width:
        raise IntegrityError(f"baseline.json has {len(said.offsets)} offsets", expected=f"{shape.width}, one a level")
    return said.offsets


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
        return Booster(read(said.file), width=len(said.features), outputs=len(said.classes) or 1)
    if isinstance(said, SoftmaxFile):
        return _Softmax(said)
    if isinstance(said, RobustFile):
        return _Robust(said)
    if isinstance(said, CentresFile):
        return _Centres(said)
    if isinstance(said, LadderFile):
        return _Ladder(said, read)
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


def _single(said: Numbers) -> float:
    if isinstance(said, Sequence):
        raise IntegrityError("a quantile's model says several numbers", expected="one number a row")
    return said


def _logistic(score: float) -> float:
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-min(score, _LARGEST_EXPONENT)))
    power = math.exp(max(score, -_LARGEST_EXPONENT))
    return power / (1.0 + power)
