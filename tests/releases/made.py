"""Small real artifact folders, and a project's releases room around them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from millstream import settings
from millstream.ledger import Ledger
from millstream.releases import Releases
from millstream.releases.fault import no_fault
from millstream.state import State
from millstream.types import SystemClock

ROWS = 8
TRAINER, APPROVER = "ann", "bob"


def write_artifact(folder: Path, *, value: float = 0.5, model: str = "late", note: str = "", more=None) -> Path:
    """Write an artifact folder as training does, with a model that always says the same."""
    folder.mkdir(parents=True)
    decided = datetime(2013, 2, 1, 12, tzinfo=UTC)
    rows = [{"flight_id": n, "decided_at": (decided + timedelta(minutes=n)).isoformat()} for n in range(ROWS)]
    files = {
        "plan.json": {"model": model, "columns": ["a", "b"]},
        "model.json": {"kind": "constant", "task": "binary", "features": ["a", "b"], "value": value},
        "baseline.json": {"kind": "prior", "value": 0.2213},
        "training.json": {
            "model": model, "task": "binary", "goal": "roc_auc", "estimator": "lightgbm.sklearn:LGBMClassifier",
            "features": ["a", "b"], "pins": {"flights": 12}, "counts": {"total": 100, "unlabelled": 3},
            "cut": "2013-01-25", "test_end": "2013-02-01", "seed": 7, "content_hash": "c0ffee",
            "metrics": {"model": {"roc_auc": 0.71, "log_loss": None}, "baseline": {"roc_auc": 0.5, "log_loss": None}},
            "says": f"judged on a week {note}", "run_id": "run-1",
        },
        "reference.json": {"rows": 100, "columns": {}},
        "sample.json": {"rows": rows, "features": [[1.0, None]] * ROWS, "values": [value] * ROWS},
        "manifest.json": {"tables": {}, "views": {}, "models": {}},
        "report.json": {"backtest": {}, "verdict": {"passed": True, "says": "better than the simple rule"}},
    } | (more or {})  # fmt: skip
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def constant(path: Path, rows) -> list[float]:
    """Answer as a server would, with a model that always says the same."""
    return [json.loads((path / "model.json").read_text())["value"]] * len(rows)


class House:
    """A project's releases, with short ways to a release at any stage."""

    def __init__(self, root: Path, *, fault=no_fault) -> None:
        root.mkdir(parents=True, exist_ok=True)
        (root / "millstream.toml").write_text('name = "mill"\n')
        self.root = root
        self.places = settings.places(root, settings.read(root))
        self.state = State(self.places.state_db)
        self.clock = SystemClock()
        self.ledger = Ledger(self.state, self.clock)
        self.releases = Releases(self.places, state=self.state, ledger=self.ledger, clock=self.clock, fault=fault)

    def artifact(self, value: float, **more) -> Path:
        folder = self.root / "artifacts" / f"{value}-{len(list(self.root.glob('artifacts/*')))}"
        return write_artifact(folder, value=value, **more)

    def built(self, value: float = 0.5, *, model_version=None, **more):
        artifact = self.artifact(value, **more)
        return self.releases.build(artifact, actor=TRAINER, trained_by=TRAINER, model_version=model_version)

    def rehearsed(self, value: float = 0.5, **more):
        release = self.built(value, **more)
        assert self.releases.rehearse(release, constant, actor=TRAINER).ok
        return release

    def approved(self, value: float = 0.5, **more):
        release = self.rehearsed(value, **more)
        asked = self.releases.ask(release, {"passed": True}, actor=TRAINER)
        self.releases.decide(asked.id, True, by=APPROVER, reason="it is better")
        return release

    def live(self, value: float = 0.5, **more):
        release = self.approved(value, **more)
        self.releases.swap(release.model, release, actor=APPROVER, reason="approved")
        return release

    def acts(self) -> list[str]:
        return [each.act for each in self.ledger.rows(newest=False)]

    def close(self) -> None:
        self.state.close()
