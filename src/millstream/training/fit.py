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
from millstream.features.requests import REQUESTS
from millstream.training import artifact
from millstream.training.backtests import Backtest
from millstream.training.champion import Champion
from millstream.training.clusters import codes_of, in_one_group
from millstream.training.effects import Effect, effect
from millstream.training.estimators import Fit, default_threads
from millstream.training.folds import Fold, chosen_metrics, fit_rows, origins, refuse_absurd, run_fold
from millstream.training.gate import Verdict
from millstream.training.listed import baseline_file, says
from millstream.training.matrix import Array, matrix
from millstream.training.numbering import Numbered, afresh, numbered
from millstream.training.numbering import described as described_groups
from millstream.training.predictors import Predictor, hash_files, model_files
from millstream.training.record import TrainingRecord
from millstream.training.requests import requests
from millstream.training.segments import segments_of
from millstream.training.sets import TrainingSet
from millstream.training.shapes import shape_of
from millstream.training.simple import described
from millstream.training.splits import NEVER
from millstream.training.thresholds import THRESHOLD_JSON, Threshold, choose
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
    said: Mapping[str, Any] | None = None,
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
    said
        More words for the record: its ``leaks``, its ``lift``.

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
    shipped, numbers = _numbered(shipped, training, witness=tested.witness if tested else None)
    changes = {"printed": fitted.printed, **(said or {})}
    made = Made(shipped, fitted.train_s, fitted.params, used, began, changes, numbers)
    return keep(manifest, training, fold, made, folder=folder, tested=tested, verdict=verdict)


@dataclass(frozen=True)
class Made:
    """A model that is to ship: the seconds, parameters and threads it was fitted with, when that began.

    ``changes`` are words of the record that are other than usual; ``numbers`` those of its groups.
    """

    shipped: Predictor
    train_s: float
    params: dict[str, object]
    threads: int
    began: datetime
    changes: Mapping[str, Any] = field(default_factory=dict)
    numbers: Numbered | None = None


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
    learnt_from, asked = training.frame[rows], training.frame[fold.split.test]
    if fold.lists is not None:  # what is seen live is what is listed, so that is what it is compared with
        learnt_from = asked = fold.lists.shown
    learnt, held = (matrix(each, columns, shipped.categories) for each in (learnt_from, asked))
    values = shipped.predict(held)
    refuse_absurd(values, shape=shape, name=str(made.changes.get("estimator", model.estimator.path)))
    record = _record(manifest, training, fold, made)
    said = fold.predicted if fold.lists is None else fold.lists.ours.scores[:, 0]
    cut = (
        score_threshold(model, shipped.predict(learnt))
        if shape.task == "anomaly"
        else choose(model, shape, fold.label, fold.predicted)
    )
    groups: list[str] = []
    simple = fold.baseline
    if made.numbers is not None:
        record, groups, simple = _with_groups(record, made.numbers, shipped, training, learnt)
    record = msgspec.structs.replace(
        record,
        train_s={**record.train_s, "shipped": made.train_s},
        threshold=cut.says if cut else "",
        segments=()
        if not shape.labelled or shape.task == "topk"
        else segments_of(training, model, fold, metrics=chosen_metrics(model, shape)),
    )
    record = msgspec.structs.replace(record, **made.changes)
    files = {
        **shipped.files,
        "plan.json": training.plan.encode(),
        "baseline.json": artifact.as_json(
            described(simple, shape, fold.baseline_predicted) if fold.lists is None else baseline_file(training)
        ),
        "training.json": artifact.as_json(record),
        "reference.json": artifact.as_json(
            artifact.reference(training.plan.names, learnt, said, shape=shape, groups=groups)
        ),
        "sample.json": artifact.as_json(artifact.sample(training, asked, held, values, shape=shape)),
        "manifest.json": manifest.encode(),
        REQUESTS: artifact.as_json(requests(manifest, training, training.frame[rows])),
    }
    if cut is not None:
        files[THRESHOLD_JSON] = artifact.as_json(cut)
    if tested is not None:
        files["report.json"] = artifact.as_json(artifact.Report(tested.report, verdict, _effect(model, tested, cut)))
    artifact.write_files(folder, files)
    return record


def _effect(model: Model, tested: Backtest, cut: Threshold | None) -> Effect | None:
    """Count what a candidate would have done, each flagging from its own threshold on."""
    theirs = tested.witness.threshold if tested.witness else None
    return effect(model, tested, threshold=cut.value if cut else None, theirs=theirs)


def refit(model: Model, training: TrainingSet, *, threads: int, names: tuple[str, ...] = ()) -> Predictor:
    """Fit a model on every row whose label is known: what ships, and what a reproduction makes again.

    ``names`` are the numbers that groups were given: they follow from the release before, not from the data.
    """
    shipped = _ship(model, training, shape=shape_of(model, training), threads=threads)[0]
    return _named(shipped, names) if shipped.task == "clusters" else shipped


def _numbered(
    shipped: Predictor, training: TrainingSet, *, witness: Champion | None
) -> tuple[Predictor, Numbered | None]:
    """Number the groups of a model, as the champion does where they are the same; other models stay as they are."""
    if shipped.task != "clusters":
        return shipped, None
    rows = np.flatnonzero(training.known != NEVER)
    columns = {each.name for each in training.plan.columns}
    answers = shipped.predict(matrix(training.frame[rows], training.plan.columns, shipped.categories))
    count = answers.shape[1] - 1
    numbers = afresh(count)
    if witness is not None and witness.shape.task == "clusters" and set(witness.features) <= columns:
        before = codes_of(witness.predict(training, rows))
        numbers = numbered(
            codes_of(answers), count, before=before, names=witness.shape.classes, given=witness.given,
            champion=witness.name,
        )  # fmt: skip
    return _named(shipped, numbers.names), numbers


def _with_groups(
    record: TrainingRecord, numbers: Numbered, shipped: Predictor, training: TrainingSet, learnt: Array
) -> tuple[TrainingRecord, list[str], Fit]:
    """Write down what groups there are; return the record, the group of each row learnt from, and the simple thing."""
    answers = shipped.predict(learnt)
    codes = codes_of(answers)
    told = described_groups(numbers, codes, learnt, columns=training.plan.columns, known=shipped.categories)
    said = (*record.assumptions, *((numbers.says,) if numbers.says else ()))
    record = msgspec.structs.replace(record, clusters=told, clusters_given=numbers.given, assumptions=said)
    return record, [numbers.names[each] for each in codes.tolist()], Fit(in_one_group(answers), {}, 0.0)


def _named(shipped: Predictor, names: tuple[str, ...]) -> Predictor:
    """Return a model of groups with their numbers in its files."""
    files = model_files(
        shipped.fitted, task=shipped.task, features=shipped.features, known=shipped.categories, classes=names
    )
    return msgspec.structs.replace(shipped, shape=Shape(shipped.task, classes=names), files=files)


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
        k=shape.k,
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
        k=shipped.shape.k,
        scale=shipped.shape.scale,
        season=training.plan.seasonal.season if training.plan.seasonal is not None else "",
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
        says=_says(model, training, fold, rows),
        seed=model.seed,
        threads=made.threads,
        content_hash=hash_files(shipped.files),
        started_at=made.began.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        assumptions=tuple(shipped.fitted.notes),
    )


def _says(model: Model, training: TrainingSet, fold: Fold, rows: int) -> str:
    counts = fold.split.counts
    shipped = f"shipped is the same recipe fitted on all {rows:,} labelled rows."
    if training.static:
        return (
            f"Judged by a model fitted on {counts.fitted:,} rows and tested on {counts.tested:,} others, parted by a "
            f"hash of their key because rows have no time of their own; {shipped}"
        )
    cut, end = (f"{from_micros(each):%Y-%m-%d %H:%M} UTC" for each in (fold.split.cut, fold.split.end))
    if fold.lists is not None:
        beside = f"{counts.sampled:,} of all {counts.total:,} rows are sampled items that nobody chose"
        return f"Fitted on {counts.fitted:,} rows known at {cut} ({beside}). {says(model, [fold.lists])} S{shipped[1:]}"
    return (
        f"Judged by a model fitted on {counts.fitted:,} rows known at {cut} and tested on {counts.tested:,} "
        f"decided until {end}; {shipped}"
    )


def _tell_fold(tell: Callable[[str], None] | None, model: Model, fold: Fold) -> None:
    if tell is not None:
        tell(f"fitted {model.name} on {fold.split.counts.fitted:,} rows in {fold.model.train_s:.1f} s")
