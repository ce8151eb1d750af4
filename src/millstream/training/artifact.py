"""The artifact folder: everything of a trained model, as plain files that a release bundles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from millstream.definitions.manifest import Manifest
from millstream.definitions.tasks import Shape
from millstream.errors import Conflict, IntegrityError
from millstream.features.plan import FeaturePlan
from millstream.metrics.profile import Profile, profile
from millstream.training.backtests import BacktestReport
from millstream.training.clusters import own_distance
from millstream.training.effects import Effect
from millstream.training.gate import Verdict
from millstream.training.matrix import Array
from millstream.training.sets import TrainingSet

if TYPE_CHECKING:
    import polars as pl

SAMPLE_ROWS = 200
PREDICTION = "prediction"
"""Column of the reference profile that holds the predictions on the hold-out."""

CLUSTER = "cluster"
"""Column of the reference profile that holds the cluster of each row learnt from."""


class Report(msgspec.Struct, frozen=True):
    """What ``report.json`` holds: a backtest, the gate's verdict on it, and what it would have done to people."""

    backtest: BacktestReport
    verdict: Verdict | None = None
    effect: Effect | None = None


_Kind = TypeVar("_Kind", FeaturePlan, Manifest, Report)


def logged(predicted: Array, shape: Shape) -> Array:
    """Return the one number a row that the prediction log keeps as the answer's value.

    It is the prediction itself, of classes the probability of the most probable one, of quantiles the median, of
    clusters the distance to the middle of its own.
    """
    if predicted.ndim == 1:
        return predicted
    if shape.task == "clusters":
        return own_distance(predicted)
    if shape.task == "multiclass":
        return np.asarray(predicted.max(axis=1))
    return np.asarray(predicted[:, shape.levels.index(0.5)]) if shape.task == "quantiles" else predicted


def reference(
    columns: tuple[str, ...], features: Array, predicted: Array, *, shape: Shape, groups: Sequence[str] = ()
) -> Profile:
    """Take the picture that live features and predictions are compared with.

    Features are those the model was fitted on, as it sees them (texts as codes); predictions are those on the
    hold-out, because a model is too sure of rows it has learnt from. ``groups`` is the cluster of each row learnt from.
    """
    seen = profile({name: features[:, place] for place, name in enumerate(columns)})
    said = profile({PREDICTION: logged(predicted, shape)})
    parted = profile({CLUSTER: np.array(groups, dtype=object)}).columns if groups else {}
    return Profile(seen.rows, {**seen.columns, **said.columns, **parted})


def sample(
    training: TrainingSet, asked: pl.DataFrame, features: Array, predicted: Array, *, shape: Shape
) -> dict[str, Any]:
    """Return up to 200 requests, evenly spread, with the features and the answer each must give again.

    ``values`` are what is logged; ``numbers``, where answers have several, all of them in the order of the classes,
    levels or groups. Of a model that lists items requests are pairs of somebody and an item, whose answer is one score.
    """
    values, several = logged(predicted, shape), predicted.ndim == 2
    picked = np.unique(np.linspace(0, len(asked) - 1, min(SAMPLE_ROWS, len(asked))).astype(np.intp))
    plan = training.plan
    shown = asked[picked].select(*(plan.request_columns if plan.ranking is None else plan.pair_columns), "decided_at")
    return {
        "rows": shown.to_dicts(),
        "features": [[None if math.isnan(each) else each for each in row] for row in features[picked].tolist()],
        "values": values[picked].tolist(),
        **({"numbers": predicted[picked][:, int(shape.task == "clusters") :].tolist()} if several else {}),
    }


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a new folder.

    Raises
    ------
    Conflict
        When the folder holds something already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", expected="a new folder")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def as_json(value: Any) -> bytes:
    """Encode a record so that people can read it and equal records give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1)


def read_plan(folder: Path) -> FeaturePlan:
    """Read ``plan.json``."""
    return _read(folder / "plan.json", FeaturePlan)


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``."""
    return _read(folder / "manifest.json", Manifest)


def read_report(folder: Path) -> Report | None:
    """Read ``report.json``, None where no backtest was run."""
    path = folder / "report.json"
    return _read(path, Report) if path.exists() else None


def _read(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as wrong:
        raise IntegrityError(
            f"{path} cannot be read: {wrong}", expected="a file as training writes it", do="train again, or restore it"
        ) from None
