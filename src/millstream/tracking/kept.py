"""What runs name of the lake, and what runs that were deleted left behind; read without importing MLflow."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from millstream.settings import Places

_RUN_TAIL, _MODEL_TAIL = 3, 4
_NAMED = (
    "SELECT d.name, d.digest, r.run_uuid FROM datasets d JOIN inputs i ON i.source_id = d.dataset_uuid"
    " JOIN runs r ON r.run_uuid = i.destination_id WHERE r.lifecycle_stage = 'active'"
)
_REGISTERED = "SELECT run_id FROM model_versions WHERE run_id IS NOT NULL"
_RUNS = f"SELECT artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND run_uuid NOT IN ({_REGISTERED})"
_MODELS = (
    "SELECT artifact_location FROM logged_models WHERE source_run_id IN (SELECT run_uuid FROM runs WHERE"
    f" lifecycle_stage = 'deleted' AND run_uuid NOT IN ({_REGISTERED}))"
    " AND artifact_location NOT IN (SELECT source FROM model_versions WHERE source IS NOT NULL)"
)


def named_versions(places: Places) -> list[tuple[str, int, str]]:
    """Return the table versions that runs which were not deleted name, each with its run."""
    found = []
    for name, digest, run in _ask(places, _NAMED):
        said = re.fullmatch(r"(?:.*@)?(\d+)", digest)
        if said:
            found.append((name, int(said.group(1)), run))
    return found


def left_behind(places: Places) -> list[Path]:
    """Return the folders of artifacts of runs that people deleted, and that no registered version needs."""
    runs = [_local(places, uri, _RUN_TAIL) for (uri,) in _ask(places, _RUNS)]
    models = [_local(places, uri, _MODEL_TAIL) for (uri,) in _ask(places, _MODELS)]
    return [
        each for each in (*runs, *models) if each.is_dir() and each.resolve().is_relative_to(places.artifacts.resolve())
    ]


def _ask(places: Places, query: str) -> list[tuple[str, ...]]:
    if not places.tracking_db.exists():
        return []
    with closing(sqlite3.connect(f"{places.tracking_db.as_uri()}?mode=ro", uri=True, timeout=20.0)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
            return []
        return database.execute(query).fetchall()


def _local(places: Places, uri: str, tail: int) -> Path:
    return places.artifacts.joinpath(*Path(unquote(urlparse(uri).path)).parts[-tail:])
