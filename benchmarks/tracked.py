"""One training kept: 50 parameters, 1,000 metrics, a model of LightGBM, a registered version (``tracked-run``).

Ours writes MLflow's own SQLite store and files; a stock MLflow, in an environment of its own, reads the first and the
last run back, or the figure does not count: parameters, metrics, version, predictions. The limit inserts as many rows
into bare SQLite and writes the model's bytes. MLflow does the same beside: as its guide says (``mlflow``), and the
quickest way it offers (``mlflow-batched``). Stores are made and libraries imported before the clock starts.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.answer import FEATURES, TREES, train
from benchmarks.harness import Peer, Work
from benchmarks.other import Other, started

PARAMS, METRICS, STEPS = 50, 10, 100


@dataclass
class World:
    """What is kept, and where."""

    folder: TemporaryDirectory[str]
    tracking: Any
    record: Any
    model: Any
    runs: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder.name)


def setup(runs: int = 0) -> World:
    """Make an empty store, or one with so many runs, a parameter and a model to keep."""
    from millstream.tracking import RunRecord, StoredModel, Tracking

    folder = TemporaryDirectory()
    text = train()
    (Path(folder.name) / "model.txt").write_text(text)
    params = {f"param_{place}": str(place * 0.1) for place in range(PARAMS)}
    series = {f"metric_{each}": tuple(math.sin(each + step) for step in range(STEPS)) for each in range(METRICS)}
    now = time.time()
    record = RunRecord("late", params, {}, {}, now, now, series=series)
    names = next(line for line in text.splitlines() if line.startswith("feature_names=")).partition("=")[2].split()
    assert len(names) == FEATURES
    model = StoredModel("lightgbm", tuple(names), {"model.txt": text.encode()})
    tracking = Tracking(_places(Path(folder.name)))
    tracking.migrate()
    made = World(folder, tracking, record, model)
    for _ in range(runs):
        ours(made)
    return made


def ours(given: World) -> None:
    """Keep it."""
    run = given.tracking.log_run(given.record, given.model)
    given.tracking.register("late", run)
    given.runs.append(run)


def _places(root: Path) -> Any:
    from millstream.settings import Places

    return Places(root, root / "lake", root / "state", root / "online")


def limit(given: World) -> None:
    """Insert as many rows into bare SQLite, in one synced transaction, and write the model's bytes."""
    with closing(sqlite3.connect(given.path / "bare.db")) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE IF NOT EXISTS params (run, name, value)")
        database.execute("CREATE TABLE IF NOT EXISTS metrics (run, name, step, value)")
        database.executemany("INSERT INTO params VALUES (1, ?, ?)", given.record.params.items())
        rows = [
            (name, step, value) for name, values in given.record.series.items() for step, value in enumerate(values)
        ]
        database.executemany("INSERT INTO metrics VALUES (1, ?, ?, ?)", rows)
    (given.path / "bare.txt").write_bytes(given.model.files["model.txt"])


def same(given: World, who: str, found: dict[str, Any]) -> str | None:
    """Stop unless all that was kept can be read back, and the model answers as its library does."""
    import lightgbm
    import numpy as np

    rows = np.linspace(-2, 2, 5 * FEATURES).reshape(5, -1)
    wanted = lightgbm.Booster(model_str=given.model.files["model.txt"].decode()).predict(rows)
    series = {name: list(values) for name, values in given.record.series.items()}
    if found["params"] != dict(given.record.params) or found["series"] != series or found["version"] < 1:
        raise SystemExit(f"stock MLflow does not read back what {who} kept")
    if not np.allclose(found["predictions"], wanted, rtol=1e-12, atol=0):
        raise SystemExit(f"the model that {who} kept answers otherwise: {found['predictions']}, not {list(wanted)}")
    return None


@contextmanager
def peers(given: World) -> Iterator[Mapping[str, Peer]]:
    """Start MLflow twice; let a third read what ours kept, before and after."""
    ours(given)
    said = {"params": dict(given.record.params), "series": dict(given.record.series), "uri": given.tracking.uri}
    (given.path / "given.json").write_text(json.dumps({**said, "runs": given.runs}))
    folder = str(given.path)
    ways = {"mlflow": "defaults", "mlflow-batched": "batched"}
    start = {
        name: partial(Other, name, "mlflow_store", how, folder, check=partial(same, given, name))
        for name, how in ways.items()
    }
    _read_back(given)
    with started(start) as running:
        yield running
    (given.path / "given.json").write_text(json.dumps({**said, "runs": given.runs[-1:]}))
    _read_back(given)


def _read_back(given: World) -> None:
    """Let a stock MLflow read a run of ours."""
    reader = partial(Other, "stock MLflow", "mlflow_store", "read", str(given.path), check=partial(same, given, "ours"))
    with started({"read": reader}) as running:
        running["read"]()


SIZE = f"{PARAMS} parameters, {METRICS * STEPS:,} metrics, a model of {TREES} trees, a version"
CURVE = tuple((runs, partial(setup, runs)) for runs in (10, 100))
WORKS = {"tracked-run": Work("tracked-run", SIZE, setup, ours, limit, peers=peers, curve=CURVE)}
