"""Training again from the pins: the same data and definitions must give the same model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from millstream.errors import IntegrityError, Refused
from millstream.training.artifact import read_manifest, read_plan
from millstream.training.fit import refit
from millstream.training.matrix import matrix
from millstream.training.predictors import Predictor, read_predictor
from millstream.training.record import TrainingRecord, read_record
from millstream.training.sets import TrainingSet, build_set
from millstream.training.splits import NEVER
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.features import FeatureEngine
    from millstream.lake.frame import TableFrame

ReadVersion: TypeAlias = "Callable[[str, int], TableFrame]"


class Reproduction(msgspec.Struct, frozen=True):
    """What training again gave.

    Parameters
    ----------
    equal
        Whether the model's files are the same, byte for byte.
    content_hash_then, content_hash_now
        Hash of the files in the artifact, and of those made now.
    difference
        Largest relative difference of predictions on the training rows: 0 when equal; None where the two cannot be
        compared (other features).
    rows
        Rows fitted.
    pins
        Table versions read.
    says
        In words.
    """

    equal: bool
    content_hash_then: str
    content_hash_now: str
    difference: float | None
    rows: int
    pins: dict[str, int]
    says: str


def reproduce(folder: Path, read: ReadVersion, *, engine: FeatureEngine | None = None) -> Reproduction:
    """Train the model of an artifact folder or release again, from its own definitions and pins.

    Parameters
    ----------
    folder
        The artifact.
    read
        Gives a table at a version: ``lambda table, version: lake.read(table, version=version)``.
    engine
        Who computes features; the embedded one unless said.

    Raises
    ------
    IntegrityError
        When the folder's files do not fit together: a changed model is found before training.
    Refused
        For a model that was fitted outside: nobody knows how to make it again.
    NotFound
        When a pinned version is gone.
    """
    record, plan, manifest = read_record(folder), read_plan(folder), read_manifest(folder)
    then = read_predictor(folder)
    if record.logged:
        raise Refused(
            f"{record.model} was fitted outside Millstream and logged as {record.logged}: its recipe is not known here",
            expected="a model that millstream train made",
            do=f"millstream train {record.model}",
        )
    if then.content_hash != record.content_hash:
        raise IntegrityError(
            f"the model in {folder} has hash {then.content_hash[:12]}, its record says {record.content_hash[:12]}",
            expected="the files that training wrote",
            do="restore the folder",
        )
    missing = [name for name in plan.learnt_from if name not in record.pins]
    if missing:
        raise IntegrityError(f"the record in {folder} pins no version of {', '.join(missing)}")
    training = build_set(
        plan,
        lambda name: read(name, record.pins[name]),
        since=_instant(record.since),
        until=_instant(record.until),
        static_at=_instant(record.static_at),
        model=manifest.model(record.model),
        engine=engine,
    )
    now = refit(manifest.model(record.model), training, threads=record.threads, names=record.classes)
    equal = now.content_hash == then.content_hash
    apart = 0.0 if equal else _apart(training, then, now)
    return Reproduction(
        equal=equal,
        content_hash_then=then.content_hash,
        content_hash_now=now.content_hash,
        difference=apart,
        rows=int((training.known != NEVER).sum()),
        pins=dict(training.pins),
        says=_says(record, equal=equal, apart=apart),
    )


def _apart(training: TrainingSet, then: Predictor, now: Predictor) -> float | None:
    if then.features != now.features or then.shape != now.shape:
        return None
    columns = training.plan.columns
    left, right = (each.predict(matrix(training.frame, columns, each.categories)) for each in (then, now))
    scale = np.maximum(np.maximum(np.abs(left), np.abs(right)), np.finfo(np.float64).tiny)
    return float(np.max(np.abs(left - right) / scale))


def _says(record: TrainingRecord, *, equal: bool, apart: float | None) -> str:
    if equal:
        return f"Trained again from its pins, {record.model} is the same model, byte for byte."
    how = "and cannot be compared" if apart is None else f"and predictions differ by up to {apart:.3g}, relatively"
    return f"Trained again from its pins, {record.model} is another model {how}."


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None
