from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from millstream.settings import Places
from millstream.tracking import RunRecord, StoredModel, Tracking

NAMES = ("form.delay", "form.long")


def places_at(root: Path) -> Places:
    """Return the places of a project whose tracking is ready."""
    found = Places(root=root, lake=root / "lake", state=root / "state", online=root / "online")
    found.state.mkdir()
    Tracking(found).migrate()
    return found


def record(**changes) -> RunRecord:
    words = {
        "model": "late",
        "params": {"n_estimators": "20", "learning_rate": "0.1"},
        "metrics": {"roc_auc": 0.71, "baseline/roc_auc": 0.5, "mape": None},
        "series": {"fold/candidate/roc_auc": (0.7, None, 0.72)},
        "pins": {"flights": 12, "weather": 3},
        "started_at": 1_360_000_000.0,
        "ended_at": 1_360_000_009.5,
        "tags": {"mlflow.source.git.commit": "abc123"},
        "note": "because of the snow",
    }
    return RunRecord(**(words | changes))


def lightgbm_model() -> StoredModel:
    import lightgbm

    random = np.random.default_rng(2)
    features = random.normal(size=(500, 2))
    label = (features[:, 0] + random.normal(size=500) > 0).astype(float)
    made = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1)
    made.fit(features, label, feature_name=list(NAMES))
    text = made.booster_.model_to_string().split("\nparameters:")[0] + "\n"
    return StoredModel("lightgbm", NAMES, {"model.txt": text.encode()})


OWN_CODE = "class Least:\n    def predict(self, matrix):\n        return matrix.min(axis=1)\n"


def python_model() -> StoredModel:
    """A pickle of a class that only the code beside it knows."""
    said = {
        "kind": "python", "features": NAMES, "file": "model.pickle", "format": "pickle", "method": "predict",
        "column": None, "fill": [0.25, 0.0], "alone": False,
    }  # fmt: skip
    pickled = b"\x80\x02cown_least\nLeast\n)\x81."
    files = {"model.json": json.dumps(said).encode(), "model.pickle": pickled}
    return StoredModel("python", NAMES, files | {"code/own_least.py": OWN_CODE.encode()}, packages=("numpy",))


def linear_model() -> StoredModel:
    said = (
        b'{"kind":"linear","task":"binary","features":["form.delay","form.long"],"coefficients":[2.0,-1.0],'
        b'"intercept":0.5,"fill":[0.25,0.0]}'
    )
    return StoredModel("linear", NAMES, {"model.json": said})
