"""Runs in a notebook: train, find again, list."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream import registry
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.errors import NotFound, UserError, near
from millstream.project.models import learn, logged, ship
from millstream.project.notebook import show
from millstream.project.notebook.tables import instant
from millstream.project.telling import unquoted
from millstream.training.artifact import read_manifest, read_report
from millstream.training.gate import Verdict
from millstream.training.record import TrainingRecord, read_record

if TYPE_CHECKING:
    from millstream.project.root import Project
    from millstream.registry import ModelVersion
    from millstream.tracking import TrackedRun

_SHORTEST = 6


class Run:
    """One training: the version it became, its metrics and the gate's verdict.

    Attributes
    ----------
    model, version, run_id
        Its name everywhere is ``late@3``; MLflow knows it by the id.
    note
        Why it was made, where this process made it.
    """

    def __init__(self, found: ModelVersion, *, note: str = "") -> None:
        self.model, self.version, self.run_id = found.name, found.version, found.run_id
        self.metrics, self.goal, self.pins = found.metrics, found.goal, dict(found.pins)
        self.note = note
        self.path = Path(found.path)

    @property
    def name(self) -> str:
        """Its name, such as ``late@3``."""
        return f"{self.model}@{self.version}"

    @cached_property
    def manifest(self) -> Manifest:
        """Every definition it was trained with."""
        return read_manifest(self.path)

    @property
    def definition(self) -> Model:
        """The model's definition, to change with ``.but(...)``."""
        return self.manifest.model(self.model)

    @cached_property
    def record(self) -> TrainingRecord:
        """What training wrote down."""
        return read_record(self.path)

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the gate said beside baseline and the champion of that day."""
        report = read_report(self.path)
        return report.verdict if report is not None else None

    @property
    def _table(self) -> Any:
        simple = self.metrics["baseline"]
        rows = [(name, value, simple.get(name)) for name, value in self.metrics["model"].items()]
        return show.records(("metric", "model", "simple rule"), rows)

    @property
    def _title(self) -> str:
        return f"{self.name}{f': {self.note}' if self.note else ''}"

    @property
    def _says(self) -> list[str]:
        verdict = self.verdict.says if self.verdict is not None else "no backtest was run"
        told = [f"Leak? {each.says}." for each in self.record.leaks]
        if self.record.lift is not None:
            told.append(self.record.lift.says)
        return [verdict, *told, f"{self.record.says} From {show.spelled(self.pins)}; run {self.run_id}."]

    def __repr__(self) -> str:
        return "\n".join([self._title, show.as_text(self._table), *self._says])

    def _repr_html_(self) -> str:
        return show.block(self._title, show.table(self._table), *self._says)


def trained(project: Project, model: str, *, note: str, until: str | datetime | None) -> Run:
    """Train in this process; the rows are those of ``training_set``, out of what is kept."""
    end = instant(until) or _now(project, model)
    with unquoted(project, project.actor):
        record = learn.train(project, model=model, note=note, until=end.isoformat(), actor=project.actor)
    project.progress(f"{model}@{record['version']} recorded after {record['seconds']:.1f} s")
    return Run(registry.version(project.places, model, record["version"]), note=note)


def registered(project: Project, model: str, said: str, *, learnt_to: str | datetime | None, note: str) -> Run:
    """Make a model that stock MLflow logged the next version."""
    learnt, end = instant(learnt_to), _now(project, model)
    with unquoted(project, project.actor):
        record = logged.register(
            project, model=model, logged=said, learnt_to=learnt.isoformat() if learnt else None, note=note,
            until=end.isoformat(), actor=project.actor,
        )  # fmt: skip
    project.progress(f"{model}@{record['version']} registered after {record['seconds']:.1f} s")
    return Run(registry.version(project.places, model, record["version"]), note=note)


def _now(project: Project, model: str) -> datetime:
    heads = {name: project.lake.head(name).version for name in learn.tables_of(project, model)}
    return project.cache.first_asked(heads, project.clock.now())


def find(project: Project, said: Run | int | str, *, model: str | None = None) -> Run:
    """Find a run by what people call it: itself, ``late@3``, ``late@champion``, ``champion``, 3, or its id.

    Raises
    ------
    NotFound
        When there is none; what there is is named.
    UserError
        For a bare version or ``champion`` where the model is not clear.
    """
    if isinstance(said, Run):
        return said
    if isinstance(said, bool) or not isinstance(said, int | str):
        raise UserError(f"{said!r} is no run", expected="what train returned, 'late@3', a version, or an id of a run")
    text = str(said)
    name, at, version = text.rpartition("@")
    if at:
        if not registry.versions(project.places, name):
            project.manifest.model(name)
        return _version(project, name, version)
    if (text.isdigit() and len(text) < _SHORTEST) or text == "champion":
        return _version(project, model or _only(project, text), text)
    return _by_id(project, text)


def _version(project: Project, model: str, version: str) -> Run:
    if version == "champion":
        live = ship.live(project, model)
        if live is None or live.model_version is None:
            raise NotFound(f"{model} has no live release", do=f"millstream release {model}, or name a version")
        return Run(_kept(project, model, live.model_version))
    if not version.isdigit():
        raise UserError(f"{model}@{version} names no version", expected=f"{model}@3 or {model}@champion")
    return Run(_kept(project, model, int(version)))


def _kept(project: Project, model: str, version: int) -> registry.ModelVersion:
    found = learn.chosen_version(project, model, version)
    assert found is not None  # a version that is named is there, or an error says why not
    return found


def _only(project: Project, said: str) -> str:
    models = list(project.manifest.models)
    if len(models) != 1:
        raise UserError(f"{said!r} of which model?", expected=f"for instance {models[0]}@{said}")
    return models[0]


def _by_id(project: Project, text: str) -> Run:
    known = {each.run_id: each for name in project.manifest.models for each in registry.versions(project.places, name)}
    found = [each for run_id, each in known.items() if run_id == text or (len(text) >= 6 and run_id.startswith(text))]
    if len(found) != 1:
        said = "several runs begin" if found else "no run of this project's models begins"
        raise NotFound(
            f"{said} with {text!r}", expected="what train returned, 'late@3', or an id", do=near(text, known)
        )
    return Run(found[0])


def _stopped(run: TrackedRun) -> str:
    """Say what a run without a version is: one of ours that came to nothing, or one that stock MLflow logged."""
    ended = run.status.lower()
    return ended if "millstream.stopped" in run.tags else f"stock, {ended}"


def listed(project: Project, model: str, *, limit: int) -> show.Answer:
    """List runs as MLflow has them, newest first, with what this project knows of each."""
    kept = registry.versions(project.places, model)  # of a model that no file defines there may be runs all the same
    goal = kept[-1].goal if kept and model not in project.manifest.models else project.manifest.model(model).goal
    at = ship.live(project, model)
    rows = []
    for each in project.tracking.runs(model, limit=limit):
        version = each.tags.get("millstream.version")
        simple = each.metrics.get(f"baseline/{goal}")
        state = "live" if at is not None and version is not None and at.model_version == int(version) else ""
        code = each.tags.get("mlflow.source.git.commit", each.tags.get("millstream.snapshot", ""))[:8]
        dirty = " changed" if each.tags.get("millstream.dirty") == "yes" else ""
        rows.append(
            (
                int(version) if version else None,
                each.started_at[:16].replace("T", " "),
                each.tags.get("millstream.actor", each.tags.get("mlflow.user", "")),
                each.tags.get("mlflow.note.content", ""),
                each.metrics.get(goal),
                simple,
                state or ("" if version else _stopped(each)),
                "notebook" if each.tags.get("millstream.origin") == "notebook" else code + dirty,
                each.run_id,
            )
        )
    columns = ("version", "when", "who", "note", goal, f"simple rule's {goal}", "state", "defined in", "run")
    return show.Answer(show.records(columns, rows), title=f"runs of {model}")
