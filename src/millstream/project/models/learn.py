"""Learn: train beside the baseline, replay the recipe, give the verdict, train again from pins."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.definitions.features import Window
from millstream.definitions.tasks import Ranking
from millstream.errors import DefinitionError, IntegrityError, UserError
from millstream.project.catalog.reads import record_training
from millstream.project.git import described
from millstream.project.models.leaks import looked_for, weighed
from millstream.project.models.plain import by_horizon, segments
from millstream.project.tables.data import refuse_broken
from millstream.project.tables.pins import refuse_lost
from millstream.state import releases as release_rows
from millstream.types import parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project
    from millstream.registry import ModelVersion
    from millstream.training import Backtest, Champion, TrainingSet, Verdict
    from millstream.training.record import Leak


def plan(project: Project, model: str) -> FeaturePlan:
    """Resolve what a model reads, against the heads of its tables."""
    from millstream.features import compile_plan

    wanted = tables_of(project, model)
    frames = {name: project.lake.schema(name) for name in wanted}
    known = {name: project.lake.known(name) for name in wanted}
    return compile_plan(project.manifest, model, frames, known, timezone=project.settings.timezone)


def views(project: Project, *, model: str, actor: str = "somebody") -> dict[str, Any]:
    """Name the features a model reads, by view."""
    found: dict[str, list[str]] = {}
    for each in plan(project, model).columns:
        view, _, feature = each.name.partition(".")
        found.setdefault(view, []).append(feature)
    return {"model": model, "views": found}


def train(
    project: Project, *, model: str, note: str = "", until: str | None = None, job: str = "", actor: str = "somebody"
) -> dict[str, Any]:
    """Train a model, judge it beside baseline and champion, log the run and register the version."""
    from millstream import registry, training
    from millstream.lake.housekeeping.holding import holding

    begun = time.perf_counter()
    known = _of_job(project, model, job)
    if known is not None:
        return known
    code = {**described(project.root, project.manifest.digest), **project.origin}
    tags = {"millstream.actor": actor, "millstream.job": job, **code}
    with holding(project.places), tempfile.TemporaryDirectory(dir=project.places.state) as scratch:
        folder = Path(scratch) / "artifact"
        with _noted(project, model, tags=tags, note=note):
            rows, tested, verdict, leaks = _judged(project, model, until)
            record_training(project, rows.plan, rows.pins, actor=actor, rows=rows.rows)
            said = {"leaks": leaks, "lift": weighed(project, model, rows, tested)}
            record = training.train(
                project.manifest, rows, folder=folder, tested=tested, verdict=verdict, tell=project.progress, said=said
            )
        version = registry.register(
            project.tracking, folder, places=project.places, ledger=project.ledger, actor=actor, tags=tags, note=note
        )
    return {
        "model": model,
        "version": version.version,
        "run_id": version.run_id,
        "seconds": round(time.perf_counter() - begun, 2),
        "metrics": version.metrics,
        "goal": version.goal,
        "counts": msgspec.to_builtins(record.counts),
        "pins": version.pins,
        "verdict": msgspec.to_builtins(verdict),
        "folds": _folds(tested),
        "leaks": list(msgspec.to_builtins(leaks)),
        "lift": msgspec.to_builtins(record.lift),
        "actor": actor,
    }


@contextlib.contextmanager
def _noted(project: Project, model: str, *, tags: dict[str, str], note: str) -> Iterator[None]:
    """Leave a run behind of a training that fails or is stopped; nothing of it is registered."""
    began = time.time()
    try:
        yield
    except (DefinitionError, KeyboardInterrupt) as wrong:
        killed = isinstance(wrong, KeyboardInterrupt)
        if killed or str(wrong).startswith("estimator "):  # a word in the definition that is wrong is no run
            says = "stopped by Ctrl-C" if killed else str(wrong)
            said = {**tags, **({"mlflow.note.content": note} if note else {})}
            project.tracking.log_stopped(model, killed=killed, says=says, tags=said, started_at=began)
        raise


def backtest(project: Project, *, model: str, version: int | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Give the verdict on a version from its own backtest, or replay the recipe on today's data when it has none."""
    from millstream.lake.housekeeping.holding import holding
    from millstream.training.artifact import read_report

    chosen = chosen_version(project, model, version)
    report = read_report(Path(chosen.path)) if chosen is not None else None
    if report is not None and report.verdict is not None:
        return {
            "model": model,
            "version": chosen.version if chosen else None,
            "goal": report.verdict.goal,
            "verdict": msgspec.to_builtins(report.verdict),
            "folds": _folded(report.backtest),
            "segments": segments(msgspec.to_builtins(report.verdict)),
            "by_horizon": by_horizon(msgspec.to_builtins(report.verdict)),
        }
    with holding(project.places):
        rows, tested, verdict, leaks = _judged(project, model, None)
        record_training(project, rows.plan, rows.pins, actor=actor, rows=rows.rows)
        detail = {"passed": verdict.passed, "pins": dict(rows.pins)}
        project.ledger.record(actor=actor, act="model.backtest", subject=model, detail=detail)
    return {
        "model": model,
        "version": None,
        "goal": verdict.goal,
        "verdict": msgspec.to_builtins(verdict),
        "folds": _folds(tested),
        "segments": segments(msgspec.to_builtins(verdict)),
        "by_horizon": by_horizon(msgspec.to_builtins(verdict)),
        "leaks": list(msgspec.to_builtins(leaks)),
    }


def chosen_version(project: Project, model: str, version: int | None) -> ModelVersion | None:
    """Return a version, or the newest; None when none was ever trained.

    Raises
    ------
    IntegrityError
        When it was trained and its folder is gone.
    """
    from millstream import registry

    releases = release_rows.history(project.state, model)
    bundles = {each.model_version: each.path for each in releases if each.model_version is not None}
    registry.missing(project.ledger, project.places, model, version, bundles=bundles)
    return registry.version(project.places, model, version) if version else registry.latest(project.places, model)


def reproduce(project: Project, *, subject: str, actor: str = "somebody") -> dict[str, Any]:
    """Train a release again from its own definitions and pins, and compare the bytes of the model."""
    from millstream import training
    from millstream.project.models.ship import release_of

    release = release_of(project, subject)
    project.releases.open(release)  # pins and definitions as signed, or nothing is proved by them
    pinned = training.read_record(Path(release.path)).pins
    refuse_lost(project, pinned, of=f"training {release.name} again")
    made = training.reproduce(
        Path(release.path), lambda table, version: project.lake.read(table, version=version), engine=project.engine
    )
    record = {"subject": release.name, **msgspec.to_builtins(made)}
    record["exit_code"] = 0 if made.equal else IntegrityError.exit_code
    project.ledger.record(actor=actor, act="model.reproduce", subject=release.name, detail={"equal": made.equal})
    return record


def _judged(project: Project, model: str, until: str | None) -> tuple[TrainingSet, Backtest, Verdict, tuple[Leak, ...]]:
    from millstream import training

    definition = project.manifest.model(model)
    wanted = tables_of(project, model)
    refuse_broken(project, wanted)
    heads = project.lake.heads()
    refuse_lost(project, {each: heads[each] for each in wanted if each in heads}, of=f"training {model}")
    try:
        end: datetime = parse_instant(until) if until else project.clock.now()
    except ValueError as wrong:
        raise UserError(str(wrong)) from None
    rows = rows_of(project, model, end)
    leaks = looked_for(project, definition, rows)
    tested = training.backtest(definition, rows, champion=champion(project, model), tell=project.progress)
    return rows, tested, training.judge(tested), leaks


def rows_of(project: Project, model: str, end: datetime) -> TrainingSet:
    """Build the training set of a model that ends at an instant."""
    from millstream import training

    wanted = plan(project, model)
    at = min(static_instant(project, wanted.rows_table), end)
    if project.kept is not None:  # a notebook keeps what it computed
        return project.kept(wanted, end, at)
    definition = project.manifest.model(model)
    return training.build_set(
        wanted, project.lake.read, until=end, static_at=at, model=definition, engine=project.engine
    )


def static_instant(project: Project, table: str) -> datetime:
    """Return the instant at which rows without a time of their own are decided: that of their table's version."""
    return parse_instant(project.lake.head(table).registered_at)


def champion(project: Project, model: str) -> Champion | None:
    """Return who answers now, to compare with; None where nothing is live."""
    from millstream.project.models.ship import live
    from millstream.training import read_champion

    release = live(project, model)
    if release is not None:
        project.releases.open(release)  # every file as signed, or nothing of it is used
    return read_champion(Path(release.path), name=release.name) if release is not None else None


def tables_of(project: Project, model: str, *, features: bool = True) -> list[str]:
    """Name the tables a model reads, their inputs included; without ``features`` those of rows and label only."""
    definition = project.manifest.model(model)
    wanted = [
        definition.rows.of,
        *(
            str(view.of)
            for role in (definition.features if features else ())
            if isinstance((view := project.manifest.view(role.view)).of, str)
        ),
    ]
    if isinstance(definition.task, Ranking):
        wanted.append(definition.task.candidates)
    if isinstance(definition.label, Window) and definition.label.of is not None:
        wanted.append(definition.label.of)
    found: list[str] = []
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.append(name)
            wanted += project.manifest.table(name).of
    return found


def _of_job(project: Project, model: str, job: str) -> dict[str, Any] | None:
    """Return what a job has trained already, so that a step begun again does not train twice."""
    if not job:
        return None
    written = {row.detail.get("run"): row.subject for row in project.ledger.rows(act="model.register", limit=20)}
    for run in project.tracking.runs(model, limit=5):
        if run.tags.get("millstream.job") == job and run.run_id in written:
            return {"model": model, "version": int(written[run.run_id].rpartition("@")[2]), "run_id": run.run_id}
    return None


def _folds(tested: Backtest) -> list[dict[str, Any]]:
    return _folded(tested.report)


def _folded(report: Any) -> list[dict[str, Any]]:
    found = []
    for each in msgspec.to_builtins(report)["folds"]:
        sides = {"model": each["candidate"], "simple rule": each["baseline"], "champion": each["champion"]}
        metrics = {side: said["metrics"] for side, said in sides.items() if said is not None}
        found.append({"cut": each["cut"], "tested": each["counts"]["tested"], "metrics": metrics})
    return found
