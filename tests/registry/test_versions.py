from __future__ import annotations

import os
import shutil
import warnings

import msgspec
import numpy as np
import pytest

from millstream import registry
from millstream.errors import IntegrityError, NotFound, StorageFull
from millstream.ledger import Ledger
from millstream.state import State
from millstream.tracking import Tracking
from millstream.training import backtest, judge, read_predictor, read_record, train
from millstream.types import SystemClock
from tests.tracking.made import places_at
from tests.training.made import manifest, training_set


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact") / "late"
    tested = backtest(manifest().model("late"), training_set())
    train(manifest(), training_set(), folder=folder, tested=tested, verdict=judge(tested))
    return folder


@pytest.fixture
def rooms(tmp_path):
    places = places_at(tmp_path)
    state = State(places.state_db)
    yield Tracking(places), {"places": places, "ledger": Ledger(state, SystemClock()), "actor": "ann"}
    state.close()


def test_a_training_becomes_the_next_version_and_is_found_again(rooms, artifact):
    tracking, said = rooms
    places, ledger = said["places"], said["ledger"]
    first = registry.register(tracking, artifact, tags={"mlflow.source.git.commit": "abc"}, note="first", **said)
    second = registry.register(tracking, artifact, **said)
    assert (first.name, first.version, second.version) == ("late", 1, 2)
    assert registry.versions(places, "late") == [first, second]
    assert registry.latest(places, "late") == second
    assert registry.version(places, "late", 1) == first
    assert first.content_hash == read_record(artifact).content_hash
    assert first.pins == {"flights": 12, "weather": 3}
    assert first.goal_value == first.metrics["model"]["roc_auc"]
    kept = registry.artifact_path(places, "late", 1)
    assert {each.name for each in kept.iterdir()} == {each.name for each in artifact.iterdir()}
    assert read_record(kept) == msgspec.structs.replace(read_record(artifact), run_id=first.run_id)
    assert read_record(artifact).run_id == ""
    acts = [(each.act, each.subject, each.actor) for each in ledger.rows()]
    assert acts == [("model.register", "late@2", "ann"), ("model.register", "late@1", "ann")]


def test_tracking_has_what_was_trained(rooms, artifact):
    tracking, said = rooms
    made = registry.register(tracking, artifact, tags={"mlflow.source.git.commit": "abc"}, note="first", **said)
    run = tracking.run(made.run_id)
    record = read_record(artifact)
    assert run.metrics["roc_auc"] == record.metrics["model"]["roc_auc"]
    assert run.metrics["baseline/log_loss"] == record.metrics["baseline"]["log_loss"]
    assert run.metrics["rows/purged"] == record.counts.purged
    assert run.metrics["train_s/model"] > 0
    assert "fold/candidate/roc_auc" in run.metrics
    assert run.params["n_estimators"] == "20"
    assert run.params["millstream.estimator"] == "lightgbm.sklearn:LGBMClassifier"
    assert run.datasets == ("flights@12", "weather@3")
    assert run.tags["millstream.version"] == "1"
    assert run.tags["millstream.manifest_digest"] == manifest().digest
    assert run.tags["mlflow.source.git.commit"] == "abc"
    (version,) = tracking.versions("late")
    assert version.tags == {"millstream.content_hash": record.content_hash}


def test_mlflow_predicts_what_the_kept_model_does(rooms, artifact):
    import mlflow
    import pandas as pd

    tracking, said = rooms
    made = registry.register(tracking, artifact, **said)
    (version,) = tracking.versions("late")
    source = tracking._client.get_model_version("late", str(version.version)).source
    sample = msgspec.json.decode((artifact / "sample.json").read_bytes())
    features = np.array(sample["features"], dtype=np.float64)
    predictor = read_predictor(registry.artifact_path(said["places"], "late", made.version))
    rows = pd.DataFrame(dict(zip(predictor.features, features.T, strict=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is first asked to load
        predicted = mlflow.pyfunc.load_model(source).predict(rows)
    np.testing.assert_allclose(predicted, sample["values"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(predictor.predict(features), sample["values"])


def test_a_version_that_is_not_there_is_said(rooms, artifact):
    tracking, said = rooms
    places = said["places"]
    assert registry.versions(places, "late") == []
    assert registry.latest(places, "late") is None
    registry.register(tracking, artifact, **said)
    with pytest.raises(NotFound, match="model 'late' has no version 3"):
        registry.version(places, "late", 3)
    with pytest.raises(NotFound, match="did you mean 'late'"):
        registry.artifact_path(places, "lade", 1)


def test_a_changed_artifact_is_refused_before_anything_is_logged(rooms, artifact, tmp_path):
    tracking, said = rooms
    copy = shutil.copytree(artifact, tmp_path / "copy")
    (copy / "model.txt").write_bytes((copy / "model.txt").read_bytes().replace(b"leaf_value=", b"leaf_value=1", 1))
    with pytest.raises(IntegrityError, match="its record says"):
        registry.register(tracking, copy, **said)
    assert tracking.runs("late") == []


def test_a_refused_write_leaves_no_folder_and_the_next_number_is_free(rooms, artifact, monkeypatch):
    tracking, said = rooms

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            registry.register(tracking, artifact, **said)
    assert registry.versions(said["places"], "late") == []
    assert [each.name for each in (said["places"].state / "models" / "late").iterdir()] == []
    assert said["ledger"].rows() == []
    assert registry.register(tracking, artifact, **said).version == 2


def test_a_tracking_store_begun_anew_beside_kept_versions_is_said(rooms, artifact):
    tracking, said = rooms
    kept = said["places"].state / "models" / "late" / "1"
    shutil.copytree(artifact, kept)  # registered in a store that was lost since
    with pytest.raises(IntegrityError, match="has already") as wrong:
        registry.register(tracking, artifact, **said)
    assert "backup" in wrong.value.do
    assert [each.version for each in registry.versions(said["places"], "late")] == [1]


def test_a_tracking_store_that_is_no_database_is_said(rooms, artifact):
    tracking, said = rooms
    said["places"].tracking_db.write_bytes(b"x" * 9000)
    with pytest.raises(IntegrityError, match="not an intact database"):
        registry.register(tracking, artifact, **said)
