"""Notebooks beside servers and beside each other, and stock MLflow beside both."""

import json
import subprocess
import sys
import threading

import mlflow
import pytest
from sklearn.linear_model import LogisticRegression

import millstream
from millstream.errors import UserError
from tests.server import example


def test_two_notebooks_train_while_the_servers_run(made, tmp_path, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_USER", "nora")
    root = example.copy(made, tmp_path / "flights")
    runs, broken = [], []

    def notebook(seed):
        try:
            with millstream.open(root) as p:
                p.progress = lambda line: None
                assert p.sql("select count(*) as n from flights").frame["n"][0] > 1000
                runs.append(p.train(p.model("late").but(seed=seed), note=f"seed {seed}", until="2013-01-29"))
        except BaseException as wrong:  # noqa: BLE001 - whatever it is, the test says it
            broken.append(wrong)

    with example.up(root) as (_, control):
        both = [threading.Thread(target=notebook, args=(seed,)) for seed in (1, 2)]
        for each in both:
            each.start()
        checked = control.command("check", {"actor": "ada"})
        for each in both:
            each.join(timeout=120)
        assert not broken, broken
        assert sorted(each.version for each in runs) == [4, 5] and checked["exit_code"] == 0
        assert control.command("status", {})["models"][0]["live"]["version"] == 1
        with millstream.open(root) as p:
            listed = {each["version"]: each for each in p.runs("late")}
            assert {listed[4]["note"], listed[5]["note"]} == {"seed 1", "seed 2"}
            assert p.ledger.verify().ok and p.ledger.rows(act="model.register", limit=2)[0].actor == "nora"


NOTEBOOK = """
import json, sys
import millstream
from millstream.errors import MillstreamError

p = millstream.open(sys.argv[1])
p.progress = lambda line: None
seed = int(sys.argv[2])
late = p.model("late").but(seed=seed)
rows = len(p.training_set(late, until="2013-01-29"))
run = p.train(late, until="2013-01-29", note=f"seed {seed}")
try:
    said = "adopted" if p.adopt(run).diff else "nothing to adopt"
except MillstreamError as wrong:
    said = str(wrong)
print(json.dumps([rows, run.version, said]))
"""


@pytest.mark.nightly
def test_two_kernels_train_cache_and_adopt_at_the_same_time(made, tmp_path):
    root = example.copy(made, tmp_path / "flights")
    both = [
        subprocess.Popen([sys.executable, "-c", NOTEBOOK, str(root), str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in (21, 22)
    ]
    said = [json.loads(each.communicate(timeout=120)[0]) for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert said[0][0] == said[1][0] and sorted(each[1] for each in said) == [4, 5]  # no run is lost
    words = [each[2] for each in said]
    assert "adopted" in words and all(each == "adopted" or "changed meanwhile" in each for each in words), words
    with millstream.open(root) as p:
        p.progress = lambda line: None
        assert p.model("late").seed in (21, 22)  # the file is whole
        assert {each["note"] for each in p.runs("late")} >= {"seed 21", "seed 22"} and p.ledger.verify().ok
        p.training_set("late", until="2013-01-29")
        assert p.cache.misses == 0  # what either kept, a third reads


def test_a_dataset_says_how_its_table_is_opened(p):
    source = p.table("weather").dataset().source
    with pytest.raises(UserError, match=r"which MLflow does not know how to open") as wrong:
        source.load()
    assert "table('weather', version=" in wrong.value.do


@pytest.fixture
def stock(monkeypatch):
    """Stock MLflow, put back as it was."""
    yield
    mlflow.autolog(disable=True, silent=True)
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def test_what_stock_mlflow_logs_names_the_versions_read(own, stock):
    weather = own.table("weather", version=30)
    rows = weather.to_pandas(columns=["temp", "visib", "pressure"]).dropna()
    uri = own.autolog("late", log_models=False)
    LogisticRegression(max_iter=50).fit(rows[["temp", "visib"]].to_numpy(), rows["pressure"] > 1015)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("late")
    (newest,) = client.search_runs([experiment.experiment_id], max_results=1, order_by=["start_time DESC"])
    assert "weather@30" in [each.dataset.digest for each in newest.inputs.dataset_inputs]
    assert newest.data.params["max_iter"] == "50"
    first = next(iter(own.runs("late")))
    assert first["version"] is None and first["state"].startswith("stock")

    with mlflow.start_run() as run:
        mlflow.log_input(own.table("planes").dataset(), context="looked at")
    datasets = {each.dataset.digest: each.dataset for each in client.get_run(run.info.run_id).inputs.dataset_inputs}
    assert {"planes@0", "weather@30"} <= set(datasets)
    assert json.loads(datasets["planes@0"].source) == {"table": "planes", "version": 0}


def test_runs_of_ours_keep_their_own_pins(own, stock):
    own.table("planes").frame()
    own.autolog("late", disable=True)
    run = own.train("late", until="2013-01-29")
    assert "planes@0" not in own.tracking.run(run.run_id).datasets
