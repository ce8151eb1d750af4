"""Feast at the same work: ``python -m benchmarks.peers.feast_store WORK FOLDER``.

The folder holds ``given.json``: names of tables, each the file ``TABLE.parquet`` and a view ``TABLE_now`` of it, with
its entity and features; and what each work needs besides. The registry is a file that is never read again, the online
store SQLite, as ``feast init`` makes both. What Feast found goes back, for ours to be compared with.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.peers.asked import serve


def store_of(folder: Path, given: dict[str, Any], offline: str = "duckdb") -> Any:
    """Make a feature store over the files."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64

    made = Path(tempfile.mkdtemp(prefix="feast-", dir=folder))
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry={"path": str(made / "registry.db"), "cache_ttl_seconds": 0},
            offline_store={"type": offline},
            online_store={"type": "sqlite", "path": str(made / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    wanted: list[Any] = []
    for name, said in given["tables"].items():
        entity = Entity(name=said["entity"], join_keys=[said["entity"]], value_type=ValueType.STRING)
        file = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="at", created_timestamp_column="known")
        fields = [Field(name=each, dtype=Float64) for each in said["features"]]
        wanted += [
            entity,
            FeatureView(
                name=f"{name}_now", entities=[entity], ttl=timedelta(days=3650), schema=fields, source=file, online=True
            ),
        ]
    store.apply(wanted)
    return store


def names(given: dict[str, Any]) -> list[str]:
    """Name the features as Feast does."""
    return [f"{name}_now:{each}" for name, said in given["tables"].items() for each in said["features"]]


def join(folder: Path, given: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Ask for the features as known at each decision (``-default``: as Feast does unless told otherwise)."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    offline, _, default = given["offline"].partition("-")
    store, refs = store_of(folder, given, offline), names(given)
    asks = pd.read_parquet(folder / "asks.parquet")

    def run() -> Any:
        job = store.get_historical_features(asks, refs, filter_by_created_timestamp=not default)
        return job.to_arrow()

    def found(made: Any) -> dict[str, Any]:
        assert isinstance(made, pa.Table)
        file = folder / f"found-{given['offline']}.parquet"
        pq.write_table(made.select(["row", *(each.partition(":")[2] for each in refs)]), file)
        return {"rows": len(made), "file": str(file)}

    return run, found


def materialise(folder: Path, given: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Bring the latest features of every entity into a new online store."""
    import contextlib
    import sqlite3

    empty = [store_of(folder, given)]

    def run() -> Any:
        store = empty.pop()
        with contextlib.redirect_stdout(sys.stderr):
            store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1))
        return store

    def found(store: Any) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(store.config.online_store.path)) as database:
            tables = [each for (each,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            (table,) = [each for each in tables if each.endswith("_now")]
            (entities,) = database.execute(f"SELECT count(DISTINCT entity_key) FROM {table}").fetchone()
        empty.append(store_of(folder, given))
        return {"entities": entities, "sample": _answers(store, given, given["sample"])}

    return run, found


def lookup(folder: Path, given: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Look up some entities at a time, each time others; the store is filled before."""
    import contextlib
    import itertools

    store, refs = store_of(folder, given), names(given)
    with contextlib.redirect_stdout(sys.stderr):
        store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1))
    rows = [[{said["entity"]: each} for each in some] for said in given["tables"].values() for some in given["asked"]]
    turns = itertools.cycle(rows)

    def run() -> Any:
        for _ in range(given["times"]):
            said = store.get_online_features(features=refs, entity_rows=next(turns)).to_dict()
        return said

    def found(_: Any) -> dict[str, Any]:
        return {"sample": _answers(store, given, given["sample"])}

    return run, found


def _answers(store: Any, given: dict[str, Any], entities: list[str]) -> list[list[float]]:
    """Return what is served of some entities, features in the order in which they are declared."""
    (said,) = given["tables"].values()
    answer = store.get_online_features(features=names(given), entity_rows=[{said["entity"]: each} for each in entities])
    columns = answer.to_dict()
    return [list(row) for row in zip(*(columns[each] for each in said["features"]), strict=True)]


def main() -> None:
    warnings.simplefilter("ignore")
    os.environ["FEAST_USAGE"] = "False"
    work, folder = sys.argv[1], Path(sys.argv[2])
    given = json.loads((folder / "given.json").read_text())
    if sys.argv[3:]:
        given["offline"] = sys.argv[3]
    run, found = globals()[work](folder, given)
    serve(run, found)


if __name__ == "__main__":
    main()
