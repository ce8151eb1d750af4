"""Register: a model that somebody logged with stock MLflow becomes a version, judged like one that was trained here."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import UserError
from millstream.project.catalog.reads import record_training
from millstream.project.git import described
from millstream.project.models import learn
from millstream.project.tables.data import refuse_broken
from millstream.types import parse_instant, to_micros

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.tracking.logged import LoggedModel
    from millstream.training import TrainingSet
    from millstream.training.fit import Made
    from millstream.training.folds import Given


def register(
    project: Project,
    *,
    model: str,
    logged: str,
    learnt_to: str | None = None,
    note: str = "",
    until: str | None = None,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Bind a logged model to a definition's rows, features and label, judge it on the hold-out, register a version."""
    from millstream import registry, training
    from millstream.training.fit import keep as training_keep

    begun, began = time.perf_counter(), datetime.now(UTC)
    project.manifest.model(model)
    refuse_broken(project, learn.tables_of(project, model))
    found = project.tracking.logged(logged)
    rows = learn.rows_of(project, model, _instant(until) or project.clock.now())
    record_training(project, rows.plan, rows.pins, actor=actor, rows=rows.rows)
    given = _given(project, model, found, rows, learnt_to=_instant(learnt_to))
    project.progress(f"judging {found.uri}, as it was logged")
    tested = training.backtest(
        project.manifest.model(model), rows, champion=learn.champion(project, model), tell=project.progress, given=given
    )
    verdict = training.judge(tested)
    unsure = _provenance(found, learnt_to)
    verdict = msgspec.structs.replace(verdict, says=" ".join([verdict.says, *unsure]))
    with tempfile.TemporaryDirectory(dir=project.places.state) as scratch:
        folder = Path(scratch) / "artifact"
        changes = {"learnt_to": parse_instant(learnt_to).isoformat()} if learnt_to else {}
        made = _made(project, rows, given, says=unsure, began=began, tested=int(tested.folds[-1].split.test.size))
        made = dataclasses.replace(made, changes={**made.changes, **changes})
        training_keep(project.manifest, rows, tested.folds[-1], made, folder=folder, tested=tested, verdict=verdict)
        tags = {"millstream.actor": actor, "millstream.logged": found.uri, "millstream.logged_run": found.run_id}
        tags |= {**described(project.root, project.manifest.digest), **project.origin}
        version = registry.register(
            project.tracking, folder, places=project.places, ledger=project.ledger, actor=actor, tags=tags, note=note
        )
    return {
        "model": model,
        "version": version.version,
        "run_id": version.run_id,
        "logged": found.uri,
        "logged_run": found.run_id,
        "answers": "worker" if given.fit.fitted.kind == "python" else "inline",
        "read_before": list(found.datasets),
        "seconds": round(time.perf_counter() - begun, 2),
        "metrics": version.metrics,
        "goal": version.goal,
        "pins": version.pins,
        "verdict": msgspec.to_builtins(verdict),
        "actor": actor,
    }


def _given(project: Project, model: str, found: LoggedModel, rows: TrainingSet, *, learnt_to: datetime | None) -> Given:
    from millstream.training.given import given
    from millstream.training.shapes import shape_of

    return given(
        Path(found.folder), rows, uri=found.uri, flavors=found.flavors, inputs=found.inputs,
        shape=shape_of(project.manifest.model(model), rows),
        learnt_to=None if learnt_to is None else to_micros(learnt_to),
    )  # fmt: skip


def _made(
    project: Project, rows: TrainingSet, given: Given, *, says: list[str], began: datetime, tested: int
) -> Made:  # fmt: skip
    """Say what ships, and what the record says of it other than of a model fitted here."""
    from millstream.training.fit import Made
    from millstream.training.predictors import Predictor, model_files
    from millstream.training.shapes import shape_of
    from millstream.training.thresholds import THRESHOLD_JSON

    model = project.manifest.model(rows.plan.model)
    shape, names, fitted = shape_of(model, rows), rows.plan.names, given.fit.fitted
    files = model_files(
        fitted, task=shape.task, features=names, known=given.categories, classes=shape.classes,
        decides=THRESHOLD_JSON if model.threshold is not None else "",
    )  # fmt: skip
    changes: dict[str, Any] = {
        "logged": given.name,
        "estimator": given.fit.params["class"],
        "shipped_rows": 0,
        "says": f"Fitted outside Millstream, judged on {tested:,} rows as it is. {' '.join(says)}",
        "assumptions": (*fitted.notes, *says),
    }
    predictor = Predictor(fitted, shape, names, given.categories, files)
    return Made(predictor, 0.0, dict(given.fit.params), 1, began, changes)


def _provenance(found: LoggedModel, learnt_to: str | None) -> list[str]:
    """Say what is known of what a model was fitted on, and what is not."""
    read = f"It was logged by MLflow run {found.run_id[:8]}, begun {found.started_at[:16].replace('T', ' ')} UTC"
    tables = (
        f"{read}, before which {' '.join(found.datasets)} had been read."
        if found.datasets
        else f"{read}; which table versions it was fitted on is not known."
    )
    learnt = (
        f"By its author it has learnt from rows decided until {learnt_to}; it is judged on later ones alone."
        if learnt_to
        else "Whether it has learnt from the rows it is judged on is not known, so it may look better than it is."
    )
    return [tables, learnt, "A retraining fits the definition's own estimator, not this one."]


def _instant(said: str | None) -> datetime | None:
    try:
        return parse_instant(said) if said else None
    except ValueError as wrong:
        raise UserError(str(wrong)) from None
