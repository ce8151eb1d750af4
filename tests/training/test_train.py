import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from millstream.definitions.model import Estimator
from millstream.errors import BadData, Conflict, DefinitionError, IntegrityError, NotFound
from millstream.metrics.profile import Profile
from millstream.serving import models as serving
from millstream.training import backtest, judge, read_champion, read_predictor, read_record, train
from millstream.training import reproduction as reproducing
from millstream.training.artifact import read_plan, read_report
from millstream.training.matrix import matrix
from millstream.training.splits import NEVER
from tests.training.made import LIGHTGBM, START, frame, manifest, training_set

FILES = {
    "plan.json", "model.json", "model.txt", "baseline.json", "training.json", "reference.json", "sample.json",
    "manifest.json", "report.json", "requests.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "late"
    training = training_set()
    tested = backtest(manifest().model("late"), training)
    train(manifest(), training, folder=folder, tested=tested, verdict=judge(tested))
    return folder


def test_the_folder_is_whole(artifact):
    assert {each.name for each in artifact.iterdir()} == FILES
    report = read_report(artifact)
    assert report is not None and report.verdict is not None and report.verdict.passed
    assert len(report.backtest.folds) == 3
    assert read_plan(artifact) == training_set().plan


def test_the_record_counts_every_row(artifact):
    record = read_record(artifact)
    training = training_set()
    labelled = int((training.known != NEVER).sum())
    counts = record.counts
    assert counts.total == training.rows == 2000
    assert counts.unlabelled == 2000 - labelled > 0
    assert counts.purged > 0
    assert counts.fitted + counts.purged + counts.tested == labelled
    assert record.shipped_rows == labelled
    assert record.metrics["model"]["roc_auc"] > 0.7 > record.metrics["baseline"]["roc_auc"] == 0.5
    assert set(record.metrics["model"]) == {"roc_auc", "log_loss", "brier"}
    assert record.content_hash == read_predictor(artifact).content_hash
    assert "shipped is the same recipe fitted on all" in record.says


def test_the_scoring_server_replays_the_sample(artifact):
    sample = msgspec.json.decode((artifact / "sample.json").read_bytes())
    said = serving.read_model(serving.read_from(artifact))
    predictor = serving.load(said, serving.read_from(artifact))
    assert len(sample["rows"]) == len(sample["values"]) == 200
    assert set(sample["rows"][0]) == {"flight_id", "distance", "decided_at"}
    flat = serving.array("d", [np.nan if each is None else each for row in sample["features"] for each in row])
    assert predictor.predict_many(flat, 200) == sample["values"]
    assert serving.read_baseline(serving.read_from(artifact)) == pytest.approx(0.5, abs=0.2)
    predictor.close()


def test_the_reference_holds_every_feature_and_the_prediction(artifact):
    reference = msgspec.json.decode((artifact / "reference.json").read_bytes(), type=Profile)
    assert set(reference.columns) == {*training_set().plan.names, "prediction"}
    assert reference.columns["form.delay"].null_share == pytest.approx(0.1, abs=0.03)


def test_a_backtest_fold_and_the_hold_out_of_a_training_are_the_same(artifact, tmp_path):
    record = train(manifest(), training_set(), folder=tmp_path / "alone")
    kept = read_record(artifact)
    assert (record.metrics, record.counts, record.cut) == (kept.metrics, kept.counts, kept.cut)
    assert record.content_hash == kept.content_hash


def reproduced(artifact, monkeypatch, made: pl.DataFrame):
    def build(plan, read, *, since, until, static_at, model, engine):
        return training_set(made, until=until)

    monkeypatch.setattr(reproducing, "build_set", build)
    return reproducing.reproduce(artifact, lambda table, version: None)


def test_training_again_gives_the_same_bytes(artifact, monkeypatch):
    again = reproduced(artifact, monkeypatch, frame())
    assert again.equal and again.difference == 0
    assert again.content_hash_now == again.content_hash_then == read_record(artifact).content_hash
    assert "byte for byte" in again.says


def test_other_data_gives_another_model_and_says_how_far(artifact, monkeypatch):
    again = reproduced(artifact, monkeypatch, frame(seed=4))
    assert not again.equal
    assert again.difference > 0.01


def test_a_flipped_bit_in_the_model_is_found_before_training(artifact, tmp_path):
    copy = shutil.copytree(artifact, tmp_path / "copy")
    text = bytearray((copy / "model.txt").read_bytes())
    text[len(text) // 2] ^= 1
    (copy / "model.txt").write_bytes(text)
    with pytest.raises(IntegrityError, match="its record says"):
        reproducing.reproduce(copy, lambda table, version: None)


def test_a_folder_that_holds_something_is_not_written_over(artifact):
    with pytest.raises(Conflict, match="is not empty"):
        train(manifest(), training_set(), folder=artifact)


def test_labels_known_only_later_are_unlabelled_at_until():
    until = START + timedelta(days=10)
    training = training_set(frame().filter(pl.col("decided_at") < until), until=until)
    known = training.known
    assert (known[known != NEVER] <= (until - START.replace(year=1970)).total_seconds() * 1e6).all()
    late = training.frame.filter((pl.col("label_known_at") > until) & pl.col("label").is_not_null())
    assert late.height > 0
    assert int((known == NEVER).sum()) == late.height + training.frame["label"].null_count()


def test_a_champion_is_scored_only_on_what_it_cannot_have_learnt(tmp_path):
    until = START + timedelta(days=12)
    early = frame().filter(pl.col("decided_at") < until)
    train(manifest(), training_set(early, until=until), folder=tmp_path / "champion")
    champion = read_champion(tmp_path / "champion", name="late@1")
    tested = backtest(manifest().model("late"), training_set(), champion=champion)
    fresh = ~np.isnan(tested.champion)
    assert tested.champion.size == tested.label.size
    assert 0 < fresh.sum() < fresh.size
    assert [each.champion is not None for each in tested.report.folds] == [False, True, True]
    predictor = read_predictor(tmp_path / "champion")
    training = training_set()
    rows = tested.folds[-1].split.test
    expected = predictor.predict(matrix(training.frame[rows], training.plan.columns, predictor.categories))
    np.testing.assert_array_equal(tested.champion[-rows.size :], expected)
    verdict = judge(tested)
    assert [each.against for each in verdict.comparisons] == ["baseline", "late@1"]


def test_a_champion_that_reads_other_features_is_named(artifact, tmp_path):
    copy = shutil.copytree(artifact, tmp_path / "copy")
    said = msgspec.json.decode((copy / "model.json").read_bytes())
    said["features"][0] = "form.gone"
    (copy / "model.json").write_bytes(msgspec.json.encode(said))
    champion = msgspec.structs.replace(read_record(copy), learnt_to=START.isoformat())
    (copy / "training.json").write_bytes(msgspec.json.encode(champion))
    with pytest.raises(Conflict, match=r"late@1 reads form\.gone"):
        backtest(manifest().model("late"), training_set(), champion=read_champion(copy, name="late@1"))


def test_a_regression_goes_the_same_road(tmp_path):
    said = manifest(
        estimator=Estimator("lightgbm.sklearn:LGBMRegressor", {"n_estimators": 20}), metrics=["mae"], goal="rmse"
    )
    training = training_set(frame(number=True), label="double")
    tested = backtest(said.model("late"), training)
    record = train(said, training, folder=tmp_path / "number", tested=tested)
    assert record.task == "regression"
    assert judge(tested).passed
    assert msgspec.json.decode((tmp_path / "number" / "baseline.json").read_bytes())["kind"] == "median"


@pytest.mark.parametrize("kind", ["sklearn.linear_model:LogisticRegression", "sklearn.dummy:DummyClassifier"])
def test_other_kinds_ship_and_are_served_alike(kind, tmp_path):
    train(manifest(estimator=Estimator(kind, {})), training_set(), folder=tmp_path / "other")
    sample = msgspec.json.decode((tmp_path / "other" / "sample.json").read_bytes())
    read = serving.read_from(tmp_path / "other")
    predictor = serving.load(serving.read_model(read), read)
    flat = serving.array("d", [np.nan if each is None else each for row in sample["features"] for each in row])
    np.testing.assert_allclose(predictor.predict_many(flat, 200), sample["values"], rtol=0, atol=1e-15)


def test_an_empty_set_is_said():
    with pytest.raises(BadData, match="training set of 'late' is empty"):
        training_set(frame()[:0])


def test_unlabelled_rows_alone_cannot_be_learnt_from(tmp_path):
    blank = frame().with_columns(pl.lit(None, dtype=pl.Boolean).alias("label"))
    with pytest.raises(BadData, match="none of 2000 rows has a label"):
        train(manifest(), training_set(blank), folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_one_class_is_said(tmp_path):
    sure = frame().with_columns(pl.lit(True).alias("label"))
    with pytest.raises(BadData, match="are true"):
        train(manifest(), training_set(sure), folder=tmp_path / "one")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"metrics": ["roc_uac"]}, NotFound, "did you mean 'roc_auc'"),
        ({"metrics": ["rmse"]}, DefinitionError, "'rmse' of model 'late' is not for a binary task"),
        ({"goal": "bias"}, DefinitionError, "which is 0 at its best"),
        ({"estimator": Estimator(LIGHTGBM, {"num_leaves": -1})}, DefinitionError, "LGBMClassifier failed"),
    ],
)
def test_what_cannot_work_is_named(changes, error, words, tmp_path):
    with pytest.raises(error, match=words):
        train(manifest(**changes), training_set(), folder=tmp_path / "none")
