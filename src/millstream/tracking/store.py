"""Logging runs, registering versions and moving aliases, in batches, through MLflow's own client."""

from __future__ import annotations

import fcntl
import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from millstream.errors import Conflict, IntegrityError, NotFound, StorageFull, near
from millstream.settings import Places
from millstream.tracking import flavor, quiet, schema
from millstream.tracking.records import RunRecord, StoredModel, TrackedRun, TrackedVersion
from millstream.types import from_micros

if TYPE_CHECKING:
    from millstream.tracking.logged import LoggedModel

CHAMPION = "champion"
"""The alias of the version that answers: a projection of the state database's pointer, never the truth."""

_METRICS_A_BATCH, _TEXTS_A_BATCH = 1000, 100
_LONGEST_DIGEST, _LONGEST_PARAM, _LONGEST_TAG = 36, 6000, 8000
_MOST_RUNS = 1000


class Tracking:
    """The tracking store of a project: ``tracking.db`` (SQLite, WAL) and its artifacts.

    Parameters
    ----------
    places
        Where they lie.

    Notes
    -----
    Making one costs nothing. The first call imports MLflow, 1 to 3 s (call ``migrate`` early from a thread). A new
    project's database is made at once from a kept schema; another version of MLflow migrates it, 2 to 6 s.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._migrating = threading.Lock()

    @property
    def uri(self) -> str:
        """Address to give a stock MLflow client."""
        return f"sqlite:///{self._places.tracking_db}"

    def migrate(self) -> None:
        """Import MLflow and bring the database to its schema; at once when that is done already."""
        self._client.get_experiment_by_name("Default")

    def experiment(self, name: str) -> str:
        """Return the id of a model's experiment, made if need be."""
        with self._translated():
            return self._experiment(name)

    def log_run(self, record: RunRecord, model: StoredModel, *, files: Path | None = None) -> str:
        """Log one finished training and its model; return the run's id.

        Parameters
        ----------
        record
            What is logged.
        model
            Stored so that ``mlflow.pyfunc.load_model`` predicts what the scoring server answers.
        files
            A folder kept with the run as the artifact ``millstream``.

        Raises
        ------
        StorageFull
            When the disk refuses the write.

        Notes
        -----
        50 parameters, 1,000 metrics and a model take about 0.1 s.
        """
        with self._translated():
            experiment = self._experiment(record.model)
            run = self._client.create_run(
                experiment,
                start_time=_milliseconds(record.started_at),
                tags=_tags(record),
                run_name=record.tags.get("millstream.run_name"),
            )
            run_id = str(run.info.run_id)
            self._log_values(run_id, record)
            self._log_datasets(run_id, record.pins)
            self._log_model(experiment, run_id, record.model, model)
            if files is not None:
                kept = _local(run.info.artifact_uri) / "millstream"
                shutil.copytree(files, kept, copy_function=shutil.copyfile)
            self._client.set_terminated(run_id, status="FINISHED", end_time=_milliseconds(record.ended_at))
        return run_id

    def log_stopped(self, name: str, *, killed: bool, says: str, tags: Mapping[str, str], started_at: float) -> str:
        """Log a training that came to no model, so that it is not lost; return the run's id.

        Parameters
        ----------
        name
            Of the model.
        killed
            Whether somebody stopped it; else it failed.
        says
            What happened, kept as ``millstream.stopped``.
        tags
            As of any run.
        started_at
            Seconds since the epoch.
        """
        with self._translated():
            said = {**tags, "millstream.stopped": says}
            run = self._client.create_run(
                self._experiment(name),
                start_time=_milliseconds(started_at),
                tags={each: value[:_LONGEST_TAG] for each, value in said.items()},
            )
            self._client.set_terminated(run.info.run_id, status="KILLED" if killed else "FAILED")
            return str(run.info.run_id)

    def register(self, name: str, run_id: str, *, tags: Mapping[str, str] | None = None) -> int:
        """Register the model of a run as the next version of a name; return the version.

        Raises
        ------
        NotFound
            When there is no such run, or it logged no model.
        """
        with self._translated():
            try:
                run = self._client.get_run(run_id)
            except quiet.failure():
                raise NotFound(f"MLflow has no run {run_id!r}", do="millstream status") from None
            outputs = run.outputs.model_outputs if run.outputs else []
            if not outputs:
                raise NotFound(f"run {run_id} logged no model", expected="a run made by Tracking.log_run")
            logged = self._client.get_logged_model(outputs[0].model_id)
            if not self._registered(name):
                self._client.create_registered_model(name)
            # The address of the folder, not "models:/<id>": MLflow would look the id up in its global default store.
            version = self._client.create_model_version(
                name, source=logged.artifact_location, run_id=run_id, tags=dict(tags or {}), await_creation_for=0
            )
            link = json.dumps([{"name": name, "version": version.version}])
            self._client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
            return int(version.version)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to a run, finished or not; doing it twice changes nothing."""
        from mlflow.entities import RunTag

        with self._translated():
            said = [RunTag(name, value[:_LONGEST_TAG]) for name, value in tags.items()]
            self._client.log_batch(run_id, tags=said, synchronous=True)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version; doing it twice changes nothing.

        Raises
        ------
        NotFound
            When the version does not exist.
        """
        if version not in {each.version for each in self.versions(name)}:
            raise NotFound(f"MLflow has no version {version} of {name!r}", do=f"millstream audit {name}")
        with self._translated():
            self._client.set_registered_model_alias(name, alias, str(version))

    def alias(self, name: str, alias: str = CHAMPION) -> int | None:
        """Return the version an alias names, None for none."""
        with self._translated():
            found = self._registered(name)
            said = found.aliases.get(alias) if found else None
            return int(said) if said is not None else None

    def drop_alias(self, name: str, alias: str = CHAMPION) -> None:
        """Take an alias away; at once when nothing has it."""
        if self.alias(name, alias) is not None:
            with self._translated():
                self._client.delete_registered_model_alias(name, alias)

    def versions(self, name: str) -> list[TrackedVersion]:
        """List the registered versions of a name, oldest first; empty for an unknown name."""
        with self._translated():
            registered = self._registered(name)
            if registered is None:
                return []
            found = self._client.search_model_versions(f"name = '{name}'", max_results=_MOST_RUNS)
        aliases: dict[int, list[str]] = {}
        for alias, version in registered.aliases.items():
            aliases.setdefault(int(version), []).append(alias)
        versions = [
            TrackedVersion(
                name, int(each.version), each.run_id or "", tuple(sorted(aliases.get(int(each.version), ()))), each.tags
            )
            for each in found
        ]
        return sorted(versions, key=lambda each: each.version)

    def runs(self, name: str, *, limit: int = 100) -> list[TrackedRun]:
        """List the runs of a model, newest first; empty for an unknown model."""
        with self._translated():
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                return []
            found = self._client.search_runs(
                [experiment.experiment_id], max_results=min(limit, _MOST_RUNS), order_by=["start_time DESC"]
            )
        return [_tracked(name, each) for each in found]

    def run(self, run_id: str) -> TrackedRun:
        """Return one run.

        Raises
        ------
        NotFound
            When there is none; near matches are named.
        """
        with self._translated():
            try:
                found = self._client.get_run(run_id)
            except quiet.failure():
                every = self._client.search_experiments()
                known = self._client.search_runs([each.experiment_id for each in every], max_results=_MOST_RUNS)
                ids = [each.info.run_id for each in known]
                raise NotFound(f"there is no run {run_id!r}", expected=near(run_id, ids)) from None
            return _tracked(self._client.get_experiment(found.info.experiment_id).name, found)

    def logged(self, said: str) -> LoggedModel:
        """Find a model that somebody logged with stock MLflow: ``runs:/ID/NAME``, a run's id, or ``models:/m-...``.

        Raises
        ------
        NotFound, UserError
            When there is none, or the address is none of MLflow's.
        """
        from millstream.tracking.logged import find

        with self._translated():
            return find(self, said)

    @property
    def client(self) -> Any:
        """MLflow's client on this store, whatever MLFLOW_* variables say; for this room."""
        return self._client

    @cached_property
    def _client(self) -> Any:
        self._places.state.mkdir(parents=True, exist_ok=True)
        self._places.artifacts.mkdir(parents=True, exist_ok=True)
        with self._migrating, (self._places.state / "tracking.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            schema.prepare(self._places.tracking_db)
            client = quiet.client(self.uri)
            client.get_experiment_by_name("Default")
        return client

    def _registered(self, name: str) -> Any | None:
        found = self._client.search_registered_models(f"name = '{name}'", max_results=1)
        return found[0] if found else None

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, (self._places.artifacts / name).as_uri()))

    def _log_values(self, run_id: str, record: RunRecord) -> None:
        from mlflow.entities import Metric, Param

        at = _milliseconds(record.ended_at)
        metrics = [Metric(name, value, at, 0) for name, value in record.metrics.items() if _finite(value)]
        for name, values in record.series.items():
            metrics += [Metric(name, value, at, step) for step, value in enumerate(values) if _finite(value)]
        params = [Param(name, value[:_LONGEST_PARAM]) for name, value in record.params.items()]
        chunks = list(_chunks(metrics, _METRICS_A_BATCH)), list(_chunks(params, _TEXTS_A_BATCH))
        for number in range(max(len(each) for each in chunks)):
            some = [each[number] if number < len(each) else [] for each in chunks]
            self._client.log_batch(run_id, metrics=some[0], params=some[1], synchronous=True)

    def _log_datasets(self, run_id: str, pins: Mapping[str, int]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(name=table, digest=digest(table, version), source_type="local", source=f"millstream:{table}"),
                [InputTag("mlflow.data.context", "training")],
            )
            for table, version in sorted(pins.items())
        ]
        if inputs:
            self._client.log_inputs(run_id, inputs)

    def _log_model(self, experiment: str, run_id: str, name: str, model: StoredModel) -> None:
        from mlflow.entities import LoggedModelOutput

        logged = self._client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type=model.kind)
        location = str(logged.artifact_location)
        flavor.write(model, _local(location), run_id=run_id, model_id=logged.model_id, location=location)
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self._client.finalize_logged_model(logged.model_id, "READY")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what a disk or a lock says into errors of ours; anything else of MLflow's stays as it is."""
        failure = quiet.failure()
        try:
            yield
        except OSError as wrong:
            raise _refused(self._places.artifacts, wrong) from wrong
        except (failure, sqlite3.Error) as wrong:
            raise _refused(self._places.tracking_db, wrong) from wrong


def digest(table: str, version: int) -> str:
    """Name a table version in MLflow's 36 characters; of a long name the start is kept.

    >>> digest("flights", 12)
    'flights@12'
    """
    tail = f"@{version}"
    return table[: _LONGEST_DIGEST - len(tail)] + tail


def _refused(path: Path, wrong: Exception) -> Exception:
    said = str(wrong)
    if "disk" in said or "full" in said or "No space" in said:
        return StorageFull(f"{path} could not be written: {said}", do="free some space and try again")
    if "locked" in said:
        return Conflict(f"{path} was locked by another process", do="millstream status")
    if "not a database" in said or "malformed" in said:
        return IntegrityError(
            f"{path} is not an intact database: {said}", do="bring it back from a backup, or move it away to look at it"
        )
    return wrong


def _tags(record: RunRecord) -> dict[str, str]:
    said = {**record.tags, "millstream.pins": " ".join(f"{name}@{at}" for name, at in sorted(record.pins.items()))}
    if record.note:
        said["mlflow.note.content"] = record.note
    return {name: value[:_LONGEST_TAG] for name, value in said.items()}


def _tracked(name: str, run: Any) -> TrackedRun:
    return TrackedRun(
        run_id=run.info.run_id,
        model=name,
        status=run.info.status,
        started_at=from_micros(run.info.start_time * 1000).isoformat(),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
        datasets=tuple(sorted(each.dataset.digest for each in run.inputs.dataset_inputs)),
    )


def _chunks(values: list[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _local(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))
