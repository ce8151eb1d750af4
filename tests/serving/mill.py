"""Releases made by hand, small and real, and a lookup that keeps its features in memory."""

import math
import time
from array import array
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from millstream import settings
from millstream.expressions import parse
from millstream.features.online import LmdbOnline, layout
from millstream.features.plan import FeatureColumn, FeaturePlan, ViewPlan, WindowPlan
from millstream.ledger import Ledger
from millstream.releases.bundle import build
from millstream.releases.desk import Desk
from millstream.serving.server import read_running
from millstream.state import State, leases, pointer
from millstream.types import SystemClock

REQUEST = {"scheduled_departure": "timestamptz", "distance": "double"}
EXPRESSIONS = {
    "at_request.hour": "hour(scheduled_departure at time zone 'America/New_York')",
    "at_request.long_haul": "distance > 1500",
}
ROW = {"flight_id": 7, "carrier": "UA", "scheduled_departure": "2013-02-01T12:00:00Z", "distance": 1600.0}


def plan(*, views: bool = True) -> FeaturePlan:
    request = {name: parse(text, REQUEST, where=name) for name, text in EXPRESSIONS.items()}
    window = WindowPlan("mean", parse("delay", {"delay": "double"}, where="delay"), 86_400_000_000, "double")
    form = ViewPlan("form", "flights", ("carrier",), ("varchar",), ("carrier",), {"mean": window, "max": window})
    looked = [FeatureColumn(f"form.{name}", "double") for name in form.features] if views else []
    return FeaturePlan(
        model="late",
        rows_table="flights",
        row_key=("flight_id",),
        columns=(*looked, *(FeatureColumn(name, each.dtype) for name, each in request.items())),
        views=(form,) if views else (),
        request=REQUEST,
        request_features=request,
        decide_at=None,
        event_time="scheduled_departure",
        where=None,
        label=parse("delay > 15", {"delay": "double"}, where="label"),
    )


class Memory:
    """An online store in memory: the features of carriers as steps of time; one nobody knows has none."""

    def __init__(self):
        self.broken = False
        view = plan().views[0]
        applied = {view.id: layout.Applied(versions={"flights": 3}, since_us=0)}
        self.kept = {layout.APPLIED: msgspec.json.encode(applied)}
        steps = {"UA": {0: [12.5, 60.0], 1_000_000: [13.5, 61.0]}, "AA": {0: [3.0, math.nan]}}
        for carrier, known in steps.items():
            instants = array("q", known).tobytes()
            rows = array("d", [value for row in known.values() for value in row]).tobytes()
            self.kept[layout.key_of(layout.view_prefix(view.id), (carrier,))] = layout.pack(instants, rows, [])

    @contextmanager
    def snapshot(self):
        if self.broken:
            raise OSError("the online store is gone")
        yield self.kept


def write(folder: Path, *, version=1, model=None, baseline=0.2, views=True) -> Path:
    """Write a release's artifact files."""
    folder.mkdir(parents=True)
    features = list(plan(views=views).names)
    said = {"kind": "constant", "task": "binary", "value": 0.5} | (model or {})
    files = {
        "release.json": {"model": "late", "version": version},
        "model.json": said | {"features": features},
        "baseline.json": {"kind": "prior", "value": baseline},
    }
    for name, content in files.items():
        (folder / name).write_bytes(msgspec.json.encode(content))
    (folder / "plan.json").write_bytes(plan(views=views).encode())
    return folder


def booster(*, features=4, rounds=40, seed=1):
    """Train a small LightGBM model on noise with a signal."""
    import lightgbm

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2000, features)) * [20, 40, 8, 1][:features]
    x[rng.random(x.shape) < 0.05] = math.nan
    y = (np.nan_to_num(x[:, 0]) + rng.normal(size=2000) * 5 > 10).astype(float)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 15}
    return lightgbm.train(settings, lightgbm.Dataset(x, y), num_boost_round=rounds)


def write_trees(folder: Path, *, version=1, trained=None, **more) -> Path:
    """Write a release whose model is LightGBM's."""
    write(folder, version=version, model={"kind": "lightgbm", "task": "binary", "file": "model.txt"}, **more)
    (folder / "model.txt").write_text((trained or booster()).model_to_string())
    return folder


class Project:
    """A project with signed releases, an online store and a pointer, as the control plane leaves them."""

    def __init__(self, root: Path):
        root.mkdir(parents=True, exist_ok=True)
        (root / "millstream.toml").write_text('name = "mill"\n')
        self.root = root
        self.places = settings.places(root, settings.read(root))
        self.state = State(self.places.state_db)
        clock = SystemClock()
        self.desk = Desk(self.places, self.state, Ledger(self.state, clock), clock)
        online = LmdbOnline(self.places.online)
        online.commit(Memory().kept.items())
        online.close()
        self._built = 0

    def build(self, files=None, **said):
        """Build and sign a release; return its id."""
        self._built += 1
        artifact = write(self.root / f"artifact-{self._built}", **said)
        (artifact / "release.json").unlink()
        for name, content in {
            "manifest.json": {"tables": {}, "views": {}, "models": {}},
            "training.json": {"model": "late", "estimator": "", "run_id": f"run-{self._built}", "metrics": {}},
            "sample.json": {"rows": [], "features": [], "values": []},
        }.items():
            (artifact / name).write_bytes(msgspec.json.encode(content))
        for name, text in (files or {}).items():
            (artifact / name).parent.mkdir(parents=True, exist_ok=True)
            (artifact / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return build(self.desk, artifact, actor="ann", trained_by="ann").id

    def point(self, release):
        """Move the pointer; return the new generation."""
        with self.state.transact() as tx:
            now = pointer.get(self.state, "late").generation
            return pointer.swap(tx, model="late", release=release, expected_generation=now, at="").generation

    def lease(self):
        """Return the one live lease, if there is one."""
        found = leases.live(self.state, time.time())
        return found[0] if found else None

    def running(self):
        """Return where the scoring server says it is."""
        return read_running(self.places.run / "scoring.json")
