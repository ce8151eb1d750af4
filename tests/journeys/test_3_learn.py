"""Step 3: a model beside its baseline, on purged splits, tracked with the table versions that made it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import February, Prepared
from tests.journeys.house import MODEL, House

STOCK = Path(__file__).with_name("stock_client.py")


def stock(house: House, folder: Path, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Look with MLflow's own client."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PYTEST"))}
    (folder / "rows.json").write_text(json.dumps(rows))
    uri = f"sqlite:///{house.places.tracking_db}"
    done = subprocess.run(
        [sys.executable, str(STOCK), uri, MODEL, str(folder / "rows.json")],
        cwd=folder,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def test_the_model_beats_its_baseline_and_the_gate_says_so_in_words(prepared: Prepared) -> None:
    trained, tested = prepared.said["train"], prepared.said["backtest"]
    metrics = trained["metrics"]
    assert set(metrics["model"]) >= {"roc_auc", "log_loss", "brier"}
    assert metrics["model"]["roc_auc"] > 0.55 and metrics["baseline"]["roc_auc"] == pytest.approx(0.5)
    assert metrics["model"]["brier"] < metrics["baseline"]["brier"]
    assert tested["verdict"]["passed"] and "roc_auc" in tested["verdict"]["says"]
    assert len(tested["folds"]) == 2
    cuts = [datetime.fromisoformat(each["cut"]) for each in tested["folds"]]
    assert cuts == sorted(cuts) and len(set(cuts)) == 2


def test_rows_whose_label_was_not_known_at_the_cut_are_purged(prepared: Prepared) -> None:
    counts = prepared.said["train"]["counts"]
    assert counts["purged"] > 500
    kinds = ("unlabelled", "not_yet_known", "purged", "fitted", "tested")
    assert sum(counts[each] for each in kinds) == counts["total"] == 27_004


def test_a_stock_mlflow_client_sees_the_run_and_answers_as_the_server_did(
    february: February, prepared: Prepared, tmp_path: Path
) -> None:
    with february.house.opened() as project:
        told = [project.run("why", {"prediction": each}) for each in _some_ids(february)]
    features = {name: [each["features"][name] for each in told] for name in told[0]["features"]}
    seen = stock(february.house, tmp_path, features)
    (run,) = seen["runs"]
    trained = prepared.said["train"]
    assert (run["id"], run["status"]) == (trained["run_id"], "FINISHED")
    assert run["digests"] == sorted(f"{name}@{version}" for name, version in trained["pins"].items())
    assert run["metrics"]["roc_auc"] == pytest.approx(trained["metrics"]["model"]["roc_auc"])
    assert "n_estimators" in " ".join(run["params"])
    assert seen["versions"] == [1] and seen["champion"] == 1 and seen["champion_run"] == run["id"]
    assert seen["predicted"] == pytest.approx([each["value"] for each in told], rel=0, abs=1e-12)
    assert not seen["has_millstream"]


def _some_ids(february: February) -> list[str]:
    return [answers.ids[place] for answers in february.answers.values() for place in (0, len(answers.ids) // 2)]
