from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from millstream.errors import NotFound
from millstream.tracking import Tracking, schema
from millstream.tracking.store import digest
from tests.tracking.made import lightgbm_model, linear_model, python_model, record

STOCK = Path(__file__).with_name("stock_client.py")
ROWS = np.array([[-1.5, 0.0], [0.0, 1.0], [0.7, np.nan], [np.nan, 1.0]])


@pytest.fixture
def tracking(places) -> Tracking:
    return Tracking(places)


def stock(tracking: Tracking, folder: Path) -> dict:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PYTEST"))}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, str(STOCK), tracking.uri, "late", "line"],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def test_a_stock_client_lists_and_loads(tracking, tmp_path):
    import lightgbm

    model = lightgbm_model()
    version = tracking.register("late", tracking.log_run(record(), model))
    tracking.set_alias("late", "champion", version)
    linear = tracking.log_run(record(model="line"), linear_model())
    tracking.set_alias("line", "champion", tracking.register("line", linear))
    least = tracking.log_run(record(model="least"), python_model())
    tracking.set_alias("least", "champion", tracking.register("least", least))
    seen = stock(tracking, tmp_path)
    assert seen["own"] == [-1.5, 0.0, 0.0, 0.25]
    assert seen["params"] == dict(record().params)
    assert seen["metrics"]["roc_auc"] == 0.71
    assert seen["metrics"]["baseline/roc_auc"] == 0.5
    assert "mape" not in seen["metrics"]
    assert seen["history"] == [[0, 0.7], [2, 0.72]]
    assert seen["digests"] == ["flights@12", "weather@3"]
    assert (seen["commit"], seen["status"], seen["version"], seen["run"]) == ("abc123", "FINISHED", 1, True)
    assert seen["inputs"] == ["DataType.double", "DataType.double"]
    expected = lightgbm.Booster(model_str=model.files["model.txt"].decode()).predict(ROWS)
    np.testing.assert_allclose(seen["predicted"], expected, rtol=0, atol=1e-12)
    assert seen["again"] == seen["predicted"]
    sums = [0.5 - 3.0, 0.5 - 1.0, 0.5 + 1.4, 0.5 + 0.5 - 1.0]
    np.testing.assert_allclose(seen["other"], [1 / (1 + math.exp(-each)) for each in sums], rtol=0, atol=1e-15)
    assert not seen["has_millstream"]


def test_runs_versions_and_the_alias_are_read_back(tracking):
    model = linear_model()
    first = tracking.log_run(record(), model)
    second = tracking.log_run(record(started_at=1_360_100_000.0, metrics={"roc_auc": 0.8}), model)
    assert [tracking.register("late", each, tags={"k": "v"}) for each in (first, second)] == [1, 2]
    assert [each.run_id for each in tracking.runs("late")] == [second, first]
    assert [each.run_id for each in tracking.runs("late", limit=1)] == [second]
    run = tracking.run(first)
    assert run.started_at == "2013-02-04T17:46:40+00:00"
    assert run.datasets == ("flights@12", "weather@3")
    assert run.tags["mlflow.note.content"] == "because of the snow"
    assert run.tags["millstream.pins"] == "flights@12 weather@3"
    assert tracking.alias("late") is None
    tracking.set_alias("late", "champion", 2)
    tracking.set_alias("late", "champion", 1)
    tracking.set_alias("late", "champion", 1)
    assert tracking.alias("late") == 1
    assert [each.aliases for each in tracking.versions("late")] == [("champion",), ()]
    assert tracking.versions("late")[0].tags == {"k": "v"}
    tracking.drop_alias("late")
    tracking.drop_alias("late")
    assert tracking.alias("late") is None
    tracking.tag(first, {"millstream.version": "1"})
    assert tracking.run(first).tags["millstream.version"] == "1"


def test_what_is_not_there_is_said(tracking):
    assert tracking.runs("late") == []
    assert tracking.versions("late") == []
    assert tracking.alias("late") is None
    run = tracking.log_run(record(), linear_model())
    with pytest.raises(NotFound, match=r"did you mean"):
        tracking.run(run[:-1] + ("0" if run[-1] != "0" else "1"))
    with pytest.raises(NotFound, match="MLflow has no run 'ff'"):
        tracking.register("late", "ff")
    with pytest.raises(NotFound, match="no version 4 of 'late'"):
        tracking.set_alias("late", "champion", 4)


def test_many_values_are_logged_in_batches(tracking):
    metrics = {f"m{number}": float(number) for number in range(2300)}
    params = {f"p{number}": "x" * 7000 for number in range(230)}
    run = tracking.run(tracking.log_run(record(metrics=metrics, params=params), linear_model()))
    assert len(run.params) == 230 and len(run.metrics) == 2301
    assert run.metrics["m2299"] == 2299.0


def test_files_are_kept_with_the_run(tracking, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "training.json").write_text("{}")
    run_id = tracking.log_run(record(), linear_model(), files=tmp_path / "kept")
    names = [each.path for each in tracking._client.list_artifacts(run_id, "millstream")]
    assert names == ["millstream/training.json"]


def test_the_database_is_in_wal_mode(tracking, places):
    tracking.migrate()
    with sqlite3.connect(places.tracking_db) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_hostile_variables_do_not_lead_elsewhere(tracking, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere.invalid")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    version = tracking.register("late", tracking.log_run(record(), linear_model()))
    tracking.set_alias("late", "champion", version)
    assert tracking.alias("late") == 1
    assert tracking.runs("late")[0].status == "FINISHED"
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_nothing_phones_home(places, tmp_path):
    code = (
        "import socket, sys, warnings\n"
        "warnings.simplefilter('error', RuntimeWarning)\n"
        "def refuse(*_, **__):\n    raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = refuse\nsocket.create_connection = refuse\nsocket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from millstream.settings import Places\nfrom millstream.tracking import Tracking\n"
        "from tests.tracking.made import linear_model, record\n"
        "assert 'mlflow' not in sys.modules\n"
        "root = Path(sys.argv[1])\n"
        "t = Tracking(Places(root=root, lake=root, state=root / 'state', online=root))\n"
        "t.set_alias('late', 'champion', t.register('late', t.log_run(record(), linear_model())))\n"
        "import threading, mlflow.telemetry\n"
        "assert mlflow.telemetry.get_telemetry_client() is None\n"
        "print(sorted(each.name for each in threading.enumerate()))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(places.root)], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == ["['MainThread']"]
    assert done.stderr == b""
    assert not (tmp_path / "home").exists()


def test_the_portable_loader_is_the_scoring_servers_arithmetic():
    from millstream.serving.models import LinearFile, load
    from millstream.tracking.portable import PortableModel

    said = json.loads(linear_model().files["model.json"])
    served = load(LinearFile(**{name: value for name, value in said.items() if name != "kind"}), Path())
    from array import array

    ours = PortableModel(said).predict(ROWS)
    np.testing.assert_allclose(ours, served.predict_many(array("d", ROWS.ravel()), 4), rtol=0, atol=1e-16)


@pytest.mark.parametrize(
    ("table", "version", "expected"), [("flights", 12, "flights@12"), ("t" * 60, 7, "t" * 34 + "@7")]
)
def test_a_digest_fits_mlflow(table, version, expected):
    assert digest(table, version) == expected


def test_the_kept_schema_is_what_mlflows_migrations_lead_to(tmp_path):
    schema.migrate_afresh(tmp_path / "new.db")
    kept, made = (
        sorted(line.strip(" \t,") for line in text.splitlines())
        for text in (schema.FILE.read_text(), schema.written(tmp_path / "new.db"))
    )  # MLflow's migrations write a table's constraints in no fixed order
    assert kept == made


def test_another_version_of_mlflow_migrates_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "FILE", tmp_path / "other.sql")
    schema.FILE.write_text(
        "-- The schema of mlflow-skinny 2.0.0, as its own migrations leave it.\nCREATE TABLE odd (x);\n"
    )
    schema.prepare(tmp_path / "new.db")
    with sqlite3.connect(tmp_path / "new.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_database_that_holds_something_is_left_alone(places):
    before = schema.written(places.tracking_db)
    schema.prepare(places.tracking_db)
    assert schema.written(places.tracking_db) == before
