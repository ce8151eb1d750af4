"""Registering a training as a model version, and finding it again."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from millstream.disk import sync
from millstream.errors import IntegrityError, NotFound, StorageFull, near
from millstream.ledger import Ledger
from millstream.registry import proof
from millstream.settings import Places
from millstream.tracking import RunRecord, StoredModel, Tracking
from millstream.tracking.records import Beside
from millstream.training.artifact import as_json, read_report
from millstream.training.predictors import Predictor, read_predictor
from millstream.training.record import TrainingRecord, read_record
from millstream.training.thresholds import THRESHOLD_JSON

_RECORD = "training.json"


class ModelVersion(msgspec.Struct, frozen=True):
    """One version of a model.

    Parameters
    ----------
    name, version
        Together its name everywhere: ``late@3``.
    run_id
        Its run in tracking.
    content_hash
        Of the model's files.
    pins
        Table versions it was trained on.
    metrics
        ``model`` and ``baseline``, on the hold-out.
    goal, goal_value
        The metric that decides, and its value.
    trained_at
        ISO 8601, by the machine's clock.
    path
        Folder of its artifact.
    """

    name: str
    version: int
    run_id: str
    content_hash: str
    pins: dict[str, int]
    metrics: dict[str, dict[str, float | None]]
    goal: str
    goal_value: float | None
    trained_at: str
    path: str


def register(
    tracking: Tracking,
    artifact: Path,
    *,
    places: Places,
    ledger: Ledger,
    actor: str,
    tags: Mapping[str, str] | None = None,
    note: str = "",
) -> ModelVersion:
    """Log a training as a run, register its model as the next version and keep its folder.

    Parameters
    ----------
    tracking
        Where runs go.
    artifact
        A folder written by ``training.train``; it stays as it is.
    places
        The project's folders.
    ledger, actor
        Where the act is written down, and who did it.
    tags
        Of the run, such as ``mlflow.source.git.commit``.
    note
        Why the model was trained.

    Raises
    ------
    IntegrityError
        When the folder is not what training wrote.
    StorageFull
        When the disk refuses; no version folder appears.

    Notes
    -----
    A crash between MLflow's version and the folder leaves a number without a folder: ``versions`` does not list it,
    and the next registration takes the next number.
    """
    record = read_record(artifact)
    predictor = read_predictor(artifact)
    if predictor.content_hash != record.content_hash:
        raise IntegrityError(
            f"the model in {artifact} has hash {predictor.content_hash[:12]}, its record says "
            f"{record.content_hash[:12]}",
            expected="the files that training wrote",
            do="train again",
        )
    stored = _stored(predictor, artifact)
    run_id = tracking.log_run(_run(record, artifact, tags=dict(tags or {}), note=note), stored, files=artifact)
    said = {"millstream.content_hash": record.content_hash}
    number = tracking.register(record.model, run_id, tags=said)
    kept = _keep(places, artifact, msgspec.structs.replace(record, run_id=run_id), number=number)
    made = _described(kept)
    detail: dict[str, object] = {
        "run": run_id,
        "content_hash": made.content_hash,
        "pins": made.pins,
        "goal_value": made.goal_value,
    }
    if "millstream.origin" in (tags or {}):  # defined in a notebook: a release asks for the definition in a commit
        detail["origin"] = dict(tags or {})["millstream.origin"]
    tracking.tag(run_id, {"millstream.version": str(number)})
    detail |= proof.kept(places, record.model, number, run_id=run_id)
    ledger.record(actor=actor, act="model.register", subject=f"{made.name}@{number}", detail=detail)
    return made


def _stored(predictor: Predictor, artifact: Path) -> StoredModel:
    """Say which files stock MLflow needs: LightGBM's own, or all of them with the small loader."""
    several: dict[str, Beside] = {"multiclass": "probabilities", "quantiles": "quantiles", "clusters": "distances"}
    beside: Beside = several.get(predictor.task, "")
    decides: Literal["", "decision", "flagged"] = ""
    threshold = {}
    if (artifact / THRESHOLD_JSON).exists():
        decides = "flagged" if predictor.task == "anomaly" else "decision"
        threshold = {THRESHOLD_JSON: (artifact / THRESHOLD_JSON).read_bytes()}
    own = predictor.fitted.kind == "lightgbm" and not beside and not decides
    files = {name: content for name, content in predictor.files.items() if not own or name != "model.json"}
    packages = tuple(predictor.fitted.described().get("packages", ()))
    kind, features = predictor.fitted.kind, predictor.features
    return StoredModel(kind, features, {**files, **threshold}, beside, packages, decides)


def versions(places: Places, name: str) -> list[ModelVersion]:
    """List the versions of a model, oldest first; empty for an unknown one."""
    return [_described(_folder(places, name) / str(number)) for number in _numbers(places, name)]


def version(places: Places, name: str, number: int) -> ModelVersion:
    """Return one version.

    Raises
    ------
    NotFound
        When there is none; those that exist are named.
    """
    return _described(artifact_path(places, name, number))


def latest(places: Places, name: str) -> ModelVersion | None:
    """Return the newest version, None for none."""
    known = _numbers(places, name)
    return version(places, name, known[-1]) if known else None


def artifact_path(places: Places, name: str, number: int) -> Path:
    """Return the folder of a version.

    Raises
    ------
    NotFound
        When there is none; near matches are named.
    """
    known = _numbers(places, name)
    if number in known:
        return _folder(places, name) / str(number)
    if known:
        raise NotFound(
            f"model {name!r} has no version {number}", expected=f"one of {', '.join(str(each) for each in known)}"
        )
    models = _folder(places, name).parent
    names = [each.name for each in models.iterdir() if each.is_dir()] if models.exists() else []
    raise NotFound(
        f"no version of a model {name!r} is registered", expected=near(name, names), do=f"millstream train {name}"
    )


def _folder(places: Places, name: str) -> Path:
    return places.state / "models" / name


def _numbers(places: Places, name: str) -> list[int]:
    folder = _folder(places, name)
    if not folder.is_dir():
        return []
    return sorted(int(each.name) for each in folder.iterdir() if each.name.isdigit())


def _described(folder: Path) -> ModelVersion:
    record = read_record(folder)
    return ModelVersion(
        name=record.model,
        version=int(folder.name),
        run_id=record.run_id,
        content_hash=record.content_hash,
        pins=record.pins,
        metrics=record.metrics,
        goal=record.goal,
        goal_value=record.goal_value,
        trained_at=record.ended_at,
        path=str(folder),
    )


def _keep(places: Places, artifact: Path, record: TrainingRecord, *, number: int) -> Path:
    """Copy a folder under its version: written aside, synced, renamed, its parent synced."""
    home = _folder(places, record.model)
    try:
        home.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=home))
        try:
            shutil.copytree(artifact, aside, copy_function=shutil.copyfile, dirs_exist_ok=True)
            (aside / _RECORD).write_bytes(as_json(record))
            for each in (*aside.rglob("*"), aside):
                sync(each)
            aside.chmod(0o755)
            kept = aside.rename(home / str(number))
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync(home)
    except OSError as wrong:
        if wrong.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise IntegrityError(
                f"tracking gave {record.model} the version {number}, which {home} has already",
                expected="the tracking store in which the kept versions were registered",
                do=f"bring {places.tracking_db.name} back from a backup, or move {home} away",
            ) from None
        raise StorageFull(f"{home} could not be written: {wrong}", do="free some space and train again") from wrong
    return kept


def _run(record: TrainingRecord, artifact: Path, *, tags: dict[str, str], note: str) -> RunRecord:
    metrics = dict(record.metrics["model"])
    metrics |= {f"baseline/{name}": value for name, value in record.metrics["baseline"].items()}
    metrics |= {f"train_s/{name}": value for name, value in record.train_s.items()}
    metrics |= {f"rows/{name}": float(value) for name, value in msgspec.structs.asdict(record.counts).items()}
    params = {name: str(value) for name, value in record.params.items()}
    facts = {
        "millstream.estimator": record.estimator,
        "millstream.until": record.until or "",
        "millstream.cut": record.cut,
        "millstream.threads": str(record.threads),
    }
    said = {
        "millstream.content_hash": record.content_hash,
        "millstream.manifest_digest": record.manifest_digest,
        "millstream.says": record.says,
    }
    said |= {"millstream.printed": record.printed} if record.printed else {}
    return RunRecord(
        model=record.model,
        params={**params, **facts},
        metrics=metrics,
        series=_fold_series(artifact),
        pins=record.pins,
        started_at=datetime.fromisoformat(record.started_at).timestamp(),
        ended_at=datetime.fromisoformat(record.ended_at).timestamp(),
        tags={**said, **tags},
        note=note,
    )


def _fold_series(artifact: Path) -> dict[str, tuple[float | None, ...]]:
    """Return each metric over the folds of a backtest, for model, baseline and champion."""
    report = read_report(artifact)
    if report is None:
        return {}
    series: dict[str, tuple[float | None, ...]] = {}
    for name in report.backtest.metrics:
        for who in ("candidate", "baseline", "champion"):
            scores = [getattr(fold, who) for fold in report.backtest.folds]
            series[f"fold/{who}/{name}"] = tuple(each.metrics.get(name) if each else None for each in scores)
    return series
