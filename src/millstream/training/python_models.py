"""Fitted Python models of any kind: as they were fitted, as files, and as they answer from a worker.

A file is in skops' format where skops is installed and holds the model whole, else a pickle; XGBoost has its own
format. Both are written so that equal models give equal bytes.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from millstream.errors import DefinitionError
from millstream.tracking import portable_python
from millstream.training.matrix import Array
from millstream.training.own_code import OwnCode
from millstream.training.remote import Remote
from millstream.training.worker import Opening

PICKLE_PROTOCOL = 5
FILE_OF = {"skops": "model.skops", "pickle": "model.pickle", "ubj": "model.ubj", "mlflow": "model.zip"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SLICE = 4096
_PROBED = 24
_ROUNDING = 1e-9


class Python(msgspec.Struct, frozen=True):
    """What ``model.json`` says of a Python model beyond task, features and categories.

    Parameters
    ----------
    file, format
        Where the model is, and how it is read.
    estimator
        Import path of its class.
    method, column
        What is asked of it, and which column of the answer is taken; None takes all.
    fill
        What stands in for missing features, where the estimator takes none.
    alone
        Whether rows are answered one by one, because together they give other last bits.
    code, packages
        The project's own files that travel with it, and the packages it needs.
    groups
        Of a model of clusters: how rows are measured, the middle of each group, and what the estimator calls it.
    rising
        Whether the numbers of a row are sorted: quantiles that never cross.
    """

    file: str
    format: str
    estimator: str
    method: str
    column: int | None
    fill: list[float] | None
    alone: bool
    code: list[str]
    packages: list[str]
    groups: dict[str, list[Any]] | None = None
    rising: bool = False


class PythonModel:
    """A Python model: the object where it was fitted, else a worker that is started at the first prediction.

    Parameters
    ----------
    said
        What ``model.json`` says of it.
    kept
        Its files beside ``model.json``.
    width
        Features a row.
    made
        The fitted object, in the process that fitted it.
    own
        The code it was fitted with there.
    """

    kind = "python"

    def __init__(
        self, said: Python, kept: Mapping[str, bytes], *, width: int, made: Any = None, own: OwnCode | None = None
    ) -> None:
        self.said, self._kept, self._width, self._made = said, dict(kept), width, made
        self._own = own or OwnCode({})
        self._remote: Remote | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed."""
        name = self.said.estimator.rpartition(":")[2]
        found = []
        if self.said.fill is not None:
            found.append(f"A missing feature is replaced by its mean in training: {name} takes no missing values.")
        if self.said.format == "pickle":
            found.append("The model is a pickle: whoever opens it runs code of its author. Only workers open it.")
        if self.said.code:
            found.append(f"Code of the project travels with the model: {', '.join(self.said.code)}.")
        return tuple(found)

    def predict(self, matrix: Array) -> Array:
        """Predict one number a row, or several: shape (rows,) or (rows, values)."""
        parts = [self._some(matrix[start : start + _SLICE]) for start in range(0, len(matrix), _SLICE)]
        return np.concatenate(parts) if parts else np.empty(0)

    def described(self) -> dict[str, Any]:
        """Say how it is read and asked."""
        described = msgspec.structs.asdict(self.said)
        left_out = [name for name in ("groups", "rising") if not described[name]]
        return {name: each for name, each in described.items() if name not in left_out}

    def grouped(self, groups: dict[str, list[Any]]) -> PythonModel:
        """Return the model with the middles of its groups: it then answers a group and the distance to each."""
        said = msgspec.structs.replace(self.said, groups=groups)
        return PythonModel(said, self._kept, width=self._width, made=self._made, own=self._own)

    def files(self) -> dict[str, bytes]:
        """Return the model and the code it needs."""
        return dict(self._kept)

    def quantiles(self) -> PythonModel:
        """Return the model as one whose numbers are quantiles, sorted so that they never cross."""
        said = msgspec.structs.replace(self.said, rising=True)
        return PythonModel(said, self._kept, width=self._width, made=self._made, own=self._own)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._remote is not None:
            self._remote.close()
            self._remote = None

    def __del__(self) -> None:
        self.close()

    def _some(self, matrix: Array) -> Array:
        if self._made is not None:
            with self._own:
                answers: Array = portable_python.answer(self._made, {**self.described(), "alone": False}, matrix)
            return answers
        if self._remote is None:
            said = {**self.described(), "features": [""] * self._width}
            name = self.said.estimator.rpartition(":")[2]
            self._remote = Remote(Opening(said, self._kept), name=name, width=self._width)
        part = self._remote.predict_bytes(np.ascontiguousarray(matrix, dtype=np.float64).tobytes(), len(matrix))
        values = np.frombuffer(part.values, dtype=np.float64)
        return values.reshape(-1, part.width) if part.width else values


def joined(models: Sequence[PythonModel], probe: Array) -> PythonModel:
    """Put models of one number each, one a quantile level, into one file."""
    first = models[0]
    if any(each.said.format == "ubj" for each in models):
        raise DefinitionError("quantiles of XGBoost in parts", expected="XGBRegressor, which fits all levels at once")
    said = msgspec.structs.replace(first.said, rising=True, alone=any(each.said.alone for each in models))
    made = [each._made for each in models]
    form, content = written(made, probe, msgspec.structs.asdict(said))
    packages = {*said.packages, *(("skops",) if form == "skops" else ())}
    said = msgspec.structs.replace(said, format=form, file=FILE_OF[form], packages=sorted(packages))
    code = {name: each for name, each in first.files().items() if name.startswith("code/")}
    return PythonModel(said, {said.file: content, **code}, width=first._width, made=made, own=first._own)


def written(made: Any, probe: Array, said: dict[str, Any]) -> tuple[str, bytes]:
    """Write a fitted model down; return the format and the bytes.

    Raises
    ------
    DefinitionError
        When it can be written in no format.
    """
    if type(made).__module__.partition(".")[0] == "xgboost":
        return "ubj", bytes(made.get_booster().save_raw("ubj"))
    safe = _as_skops(made, probe, said)
    if safe is not None:
        return "skops", safe
    try:
        return "pickle", pickle.dumps(made, protocol=PICKLE_PROTOCOL)
    except Exception as wrong:  # noqa: BLE001 - a border: an object may refuse to be written in any way
        raise DefinitionError(
            f"the fitted {type(made).__name__} cannot be written down: {type(wrong).__name__}: {wrong}",
            expected="an estimator that keeps only what pickle can hold: no lambdas, open files or locks",
            do="leave such things out in __getstate__, or make them in predict",
        ) from None


def _as_skops(made: Any, probe: Array, said: dict[str, Any]) -> bytes | None:
    """Write a model in skops' format; None where that is not installed or does not give the model back."""
    try:
        from skops import io as skops
    except ImportError:
        return None
    try:
        content = _settled(skops.dumps(made))
        again = portable_python.answer(portable_python.read(content, "skops"), said, probe)
    except Exception:  # noqa: BLE001 - a border: skops may refuse in any way; a pickle stands in, and the card says so
        return None
    same = np.array_equal(again, portable_python.answer(made, said, probe), equal_nan=True)
    return content if same else None


def _settled(content: bytes) -> bytes:
    """Write a skops file again without what differs between equal models: addresses in memory, and times."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.dumps(json.loads(archive.read("schema.json")), separators=(",", ":"))
        numbers: dict[str, str] = {}

        def number(found: re.Match[str]) -> str:
            return found[1] + numbers.setdefault(found[2], str(len(numbers))) + found[3]

        schema = re.sub(r'("__id__":)(\d+)()', number, schema)
        names = {name: name for name in archive.namelist() if name != "schema.json"}
        for name in names:
            stem, _, suffix = name.partition(".")
            if stem.isdigit():
                names[name] = f"{numbers.setdefault(stem, str(len(numbers)))}.{suffix}"
        schema = re.sub(r'"file":"([^"]+)"', lambda found: f'"file":"{names.get(found[1], found[1])}"', schema)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as again:
            for old, new in sorted(names.items(), key=lambda pair: pair[1]):
                again.writestr(zipfile.ZipInfo(new, _EPOCH), archive.read(old), zipfile.ZIP_DEFLATED)
            again.writestr(zipfile.ZipInfo("schema.json", _EPOCH), schema, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def differs_alone(made: Any, said: dict[str, Any], rows: Array) -> bool:
    """Say whether rows asked together get other last bits than asked alone.

    Raises
    ------
    DefinitionError
        When they get other answers altogether: a served row has no neighbours to depend on.
    """
    probe = rows[np.unique(np.linspace(0, len(rows) - 1, min(_PROBED, len(rows))).astype(np.intp))]
    together = portable_python.answer(made, {**said, "alone": False}, probe)
    alone = portable_python.answer(made, {**said, "alone": True}, probe)
    close: dict[str, Any] = {"rtol": _ROUNDING, "atol": _ROUNDING, "equal_nan": True}
    if together.shape != alone.shape or not np.allclose(together, alone, **close):
        raise DefinitionError(
            f"{type(made).__name__} answers a row otherwise alone than among others, or anew each time",
            expected="an answer that depends on the row's features only",
            do="learn in fit what predict needs to know of other rows, and fix the seed of what is random",
        )
    return not np.array_equal(together, alone, equal_nan=True)
