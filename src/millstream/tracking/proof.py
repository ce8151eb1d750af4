"""What tracking says of a registered version, hashed part by part: read from its database, without MLflow."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from millstream.settings import Places
from millstream.types import content_hash

_OURS = "key LIKE 'millstream.%' OR key LIKE 'mlflow.source.%'"
_PARTS = {
    "parameters": "SELECT key, value FROM params WHERE run_uuid = :run ORDER BY key",
    "metrics": "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = :run ORDER BY key, step, value",
    "latest metrics": "SELECT key, step, value, is_nan FROM latest_metrics WHERE run_uuid = :run ORDER BY key",
    "tags": f"SELECT key, value FROM tags WHERE run_uuid = :run AND ({_OURS}) ORDER BY key",
    "registered version": "SELECT run_id, status FROM model_versions WHERE name = :name AND version = :version",
    "tags of its version": "SELECT key, value FROM model_version_tags WHERE name = :name AND version = :version"
    f" AND ({_OURS}) ORDER BY key",
}
"""Part to what it is made of. Notes and tags of people's own may change; what training logged may not."""
_RUN_TAIL, _MODEL_TAIL = 3, 4
"""How much of an artifact's address lies under the project's artifacts: the project may have been moved since."""


def fingerprints(places: Places, name: str, version: int, *, run_id: str) -> dict[str, str]:
    """Hash each part of what tracking holds of a registered version: its run, its entry and its files.

    Parameters
    ----------
    places
        Where the database and the artifacts lie.
    name, version, run_id
        The version, and the run that made it.

    Returns
    -------
    dict
        Part to hash; empty when there is no database. A part of which nothing is there has the hash of nothing.
    """
    if not places.tracking_db.exists():
        return {}
    asked = {"run": run_id, "name": name, "version": version}
    with closing(sqlite3.connect(f"{places.tracking_db.as_uri()}?mode=ro", uri=True, timeout=20.0)) as database:
        try:
            found = {
                part: content_hash([list(map(str, row)) for row in database.execute(query, asked)])
                for part, query in _PARTS.items()
            }
            runs = database.execute("SELECT artifact_uri FROM runs WHERE run_uuid = :run", asked).fetchall()
            query = "SELECT source FROM model_versions WHERE name = :name AND version = :version"
            models = database.execute(query, asked).fetchall()
        except sqlite3.DatabaseError as wrong:
            return {"database": f"cannot be read: {wrong}"}
    folders = [_local(places, uri, _RUN_TAIL) / "millstream" for (uri,) in runs]
    folders += [_local(places, uri, _MODEL_TAIL) for (uri,) in models]
    return found | {"files": content_hash([tree_hash(each) for each in folders])}


def tree_hash(folder: Path, *, without: Collection[str] = ()) -> str:
    """Hash the names and bytes of the files under a folder; what Python compiled meanwhile is left out."""
    digest = hashlib.sha256()
    found = sorted(each for each in folder.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    for path in (each for each in found if each.relative_to(folder).as_posix() not in without):
        body = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()


def altered(kept: dict[str, str], now: dict[str, str]) -> Iterable[str]:
    """Name the parts that are not as they were kept."""
    return [part for part, said in kept.items() if now.get(part) != said]


def _local(places: Places, uri: str, tail: int) -> Path:
    return places.artifacts.joinpath(*Path(unquote(urlparse(uri).path)).parts[-tail:])
