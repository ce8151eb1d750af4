"""Training a model: judged on the hold-out, then fitted again on everything known, and written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.definitions.tasks import Shape
from millstream.training import artifact
from millstream.training.backtests import Backtest
from millstream.training.effects import effect
from millstream.training.estimators import Fit, default_threads
from millstream.training.folds import Fold, chosen_metrics, fit_rows, origins, refuse_absurd, run_fold
from millstream.training.gate import Verdict
from millstream.training.matrix import matrix
from millstream.training.predictors import Predictor, hash_files, model_files
from millstream.training.record import TrainingRecord
from millstream.training.segments import segments_of
from millstream.training.sets import TrainingSet
from millstream.training.shapes import shape_of
from millstream.training.simple import described
from millstream.training.splits import NEVER
from millstream.training.thresholds import THRESHOLD_JSON, choose
from millstream.training.unlabelled import score_threshold
from millstream.types import content_hash, from_micros


def train(
    manifest: Manifest,
    training: TrainingSet,
    *,
    folder: Path,
    tested: Backtest | None = None,
    verdict: Verdict | None = None,
    threads: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainingRecord:
    """Train the model of a training set and write its artifact folder.

    The metrics are those of a model fitted on what was known at the hold-out's cut; the model that ships is the same
    recipe fitted on every row whose label was known at the set's ``until``. The record says so.

    Parameters
    ----------
    manifest
        The definitions; the plan names the model.
    training
        Rows to learn from.
    folder
        Where the artifact is written; must be empty or missing.
    tested
        A backtest of the same model and set: its last fold is the hold-out and is not fitted again.
    verdict
        The gate's answer on it, kept beside.
    threads
        Of the estimator; half the cores when left out. Recorded.
    tell
        Called with one line a stage.

    Raises
    ------
    BadData
        When there is nothing to fit or to judge, all labels are alike, or predictions are absurd.
    DefinitionError
        When estimator, metrics or task do not fit; the estimator is named with what it said.
    """
    began = datetime.now(UTC)
    model = manifest.model(training.plan.model)
    shape = shape_of(model, training)
    chosen_metrics(model, shape)
    used = threads or default_threads()
    fold = (
        tested.folds[-1]
        if tested
        else run_fold(model, training, origins(model, training)[-1], shape=shape, threads=used)
    )
    _tell_fold(tell, model, fold)
    shipped, fitted = _ship(model, training, shape=shape, threads=used)
    made = Made(shipped, fitted.train_s, fitted.params, used, began, {"printed": fitted.printed})
    return keep(manifest, training, fold, made, folder=folder, tested=tested, verdict=verdict)


@dataclass(frozen=True)
class Made:
    """A model that is to ship: the seconds, parameters and threads it was fitted with, when that began.

    ``changes`` are words of the record that are other than usual.
    """

    shipped: Predictor
    train_s: float
    params: dict[str, object]
    threads: int
    began: datetime
    changes: Mapping[str, Any] = field(default_factory=dict)


def keep(
    manifest: Manifest,
    training: TrainingSet,
    fold: Fold,
    made: Made,
    *,
    folder: Path,
    tested: Backtest | None,
    verdict: Verdict | None,
) -> TrainingRecord:
    """Write the artifact folder of a model that is to ship; the hold-out is a fold's."""
    model, shipped = manifest.model(training.plan.model), made.shipped
    shape = shipped.shape
    rows = np.flatnonzero(training.known != NEVER)
    columns = training.plan.columns
    learnt = matrix(training.frame[rows], columns, shipped.categories)
    held = matrix(training.frame[fold.split.test], columns, shipped.categories)
    values = shipped.predict(held)
    refuse_absurd(values, shape=shape, name=str(made.changes.get("estimator", model.estimator.path)))
    record = _record(manifest, training, fold, made)
    unlabelled = shape.task == "anomaly"
    cut = (
        score_threshold(model, shipped.predict(learnt))
        if unlabelled
        else choose(model, shape, fold.label, fold.predicted)
    )
    record = msgspec.structs.replace(
        record,
        train_s={**record.train_s, "shipped": made.train_s},
        threshold=cut.says if cut else "",
        segments=() if unlabelled else segments_of(training, model, fold, metrics=chosen_metrics(model, shape)),
    )
    record = msgspec.structs.replace(record, **made.changes)
    files = {
        **shipped.files,
        "plan.json": training.plan.encode(),
        "baseline.json": artifact.as_json(described(fold.baseline, shape, fold.baseline_predicted)),
        "training.json": artifact.as_json(record),
        "reference.json": artifact.as_json(
            artifact.reference(training.plan.names, learnt, fold.predicted, shape=shape)
        ),
        "sample.json": artifact.as_json(
            artifact.sample(training, fold.split.test, held, artifact.logged(values, shape))
        ),
        "manifest.json": manifest.encode(),
    }
    if cut is not None:
        files[THRESHOLD_JSON] = artifact.as_json(cut)
    if tested is not None:
        files["report.json"] = artifact.as_json(artifact.Report(tested.report, verdict, effect(model, tested)))
    artifact.write_files(folder, files)
    return record


def refit(model: Model, training: TrainingSet, *, threads: int) -> Predictor:
    """Fit a model on every row whose label is known: what ships, and what a reproduction makes again."""
    return _ship(model, training, shape=shape_of(model, training), threads=threads)[0]


def _ship(model: Model, training: TrainingSet, *, shape: Shape, threads: int) -> tuple[Predictor, Fit]:
    rows = np.flatnonzero(training.known != NEVER)
    fitted, known = fit_rows(model, training, rows, shape=shape, threads=threads)
    names = training.plan.names
    files = model_files(
        fitted.fitted,
        task=shape.task,
        features=names,
        known=known,
        classes=shape.classes,
        levels=shape.levels,
        decides=THRESHOLD_JSON if model.threshold is not None or shape.task == "anomaly" else "",
    )
    return Predictor(fitted.fitted, shape, names, known, files), fitted


def _record(manifest: Manifest, training: TrainingSet, fold: Fold, made: Made) -> TrainingRecord:
    shipped = made.shipped
    model = manifest.model(training.plan.model)
    metrics = chosen_metrics(model, shipped.shape)
    labelled = training.known != NEVER
    rows = int(labelled.sum())
    cut, end = from_micros(fold.split.cut).isoformat(), from_micros(fold.split.end).isoformat()
    counts = fold.split.counts
    return TrainingRecord(
        model=model.name,
        task=shipped.task,
        classes=shipped.shape.classes,
        levels=shipped.shape.levels,
        goal=model.goal,
        estimator=model.estimator.path,
        params=made.params,
        features=shipped.features,
        pins=dict(training.pins),
        since=training.since.isoformat() if training.since else None,
        until=training.until.isoformat() if training.until else None,
        static_at=training.static_at.isoformat() if training.static_at else None,
        manifest_digest=manifest.digest,
        plan_digest=content_hash(msgspec.to_builtins(training.plan)),
        counts=counts,
        cut=cut,
        test_end=end,
        metrics=fold.measured(metrics),
        train_s={"model": fold.model.train_s, "baseline": fold.baseline.train_s},
        learnt_to=from_micros(int(training.decided[labelled].max())).isoformat(),
        shipped_rows=rows,
        says=_says(training, fold, rows),
        seed=model.seed,
        threads=made.threads,
        content_hash=hash_files(shipped.files),
        started_at=made.began.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        assumptions=tuple(shipped.fitted.notes),
    )


def _says(training: TrainingSet, fold: Fold, rows: int) -> str:
    counts = fold.split.counts
    shipped = f"shipped is the same recipe fitted on all {rows:,} labelled rows."
    if training.static:
        return (
            f"Judged by a model fitted on {counts.fitted:,} rows and tested on {counts.tested:,} others, parted by a "
            f"hash of their key because rows have no time of their own; {shipped}"
        )
    cut, end = (f"{from_micros(each):%Y-%m-%d %H:%M} UTC" for each in (fold.split.cut, fold.split.end))
    return (
        f"Judged by a model fitted on {counts.fitted:,} rows known at {cut} and tested on {counts.tested:,} "
        f"decided until {end}; {shipped}"
    )


def _tell_fold(tell: Callable[[str], None] | None, model: Model, fold: Fold) -> None:
    if tell is not None:
        tell(f"fitted {model.name} on {fold.split.counts.fitted:,} rows in {fold.model.train_s:.1f} s")
