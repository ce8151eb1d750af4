"""Every kind of answer on the road from rows to a verdict and an artifact that the scoring server reads."""

from datetime import timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from millstream.definitions import tasks
from millstream.definitions.model import Estimator
from millstream.definitions.splits import Time
from millstream.definitions.tasks import Shape
from millstream.errors import BadData, Conflict, DefinitionError
from millstream.serving import models as serving
from millstream.serving.shape import shaped
from millstream.training import backtest, judge, read_champion, read_predictor, train
from millstream.training.matrix import matrix
from millstream.training.shapes import labels_of, shape_of
from millstream.training.simple import baseline
from tests.training.made import LIGHTGBM, START, frame, manifest, plan, training_set

LOGISTIC = "sklearn.linear_model:LogisticRegression"
TREES = Estimator(LIGHTGBM, {"n_estimators": 20, "num_leaves": 7})
CLASSES = {"metrics": ["accuracy", "balanced_accuracy", "macro_f1", "roc_auc"], "goal": "log_loss"}


def classed(rows=2000, **words):
    """Rows whose label is the class early, on time or late."""
    made = frame(rows, number=True, **words)
    score = pl.col("label")
    named = pl.when(score < -1.5).then(pl.lit("early")).when(score < 1.5).then(pl.lit("on time"))
    named = named.when(score.is_not_null()).then(pl.lit("late"))
    return made.with_columns(named.alias("label"))


def timeless(made, **words):
    """Rows without a time of their own, all decided at one instant."""
    still = pl.lit(START).cast(pl.Datetime("us", "UTC"))
    training = training_set(made.with_columns(decided_at=still, label_known_at=still), **words)
    plain = msgspec.structs.replace(training.plan, event_time=None)
    return type(training)(plan=plain, frame=training.frame, pins=training.pins, static_at=START)


@pytest.mark.parametrize("estimator", [TREES, Estimator(LOGISTIC, {})], ids=["lightgbm", "logistic"])
def test_classes_are_learnt_judged_shipped_and_served_alike(estimator, tmp_path):
    said = manifest(estimator=estimator, **CLASSES)
    training = training_set(classed(), label="varchar")
    tested = backtest(said.model("late"), training)
    verdict = judge(tested)
    assert verdict.passed, verdict.says
    record = train(said, training, folder=tmp_path / "made", tested=tested, verdict=verdict)
    assert (record.task, record.classes) == ("multiclass", ("early", "late", "on time"))
    assert set(record.metrics["model"]) == {*CLASSES["metrics"], "log_loss"}
    assert record.metrics["model"]["accuracy"] > record.metrics["baseline"]["accuracy"]
    read = serving.read_from(tmp_path / "made")
    file = serving.read_model(read)
    predictor, shape = serving.load(file, read), serving.read_shape(read)
    sample = msgspec.json.decode((tmp_path / "made" / "sample.json").read_bytes())
    flat = serving.array("d", [np.nan if each is None else each for row in sample["features"] for each in row])
    answers = [shaped(each, shape) for each in predictor.predict_many(flat, 200)]
    np.testing.assert_allclose([each.value for each in answers], sample["values"], rtol=0, atol=1e-12)
    kept = read_predictor(tmp_path / "made")
    offline = kept.predict(matrix(training.frame, training.plan.columns, kept.categories))
    assert offline.shape == (2000, 3)
    np.testing.assert_allclose(offline.sum(axis=1), 1.0)
    first = answers[0].said
    assert first["class"] == max(first["probabilities"], key=first["probabilities"].get)
    one = predictor.predict_one(flat[: len(training.plan.columns)])
    assert shaped(one, shape).said["probabilities"] == pytest.approx(first["probabilities"], abs=1e-15)
    simple = serving.read_baseline(read, shape)
    assert len(simple) == 3 and sum(simple) == pytest.approx(1.0)


def test_two_classes_named_by_texts_have_two_probabilities(tmp_path):
    made = frame().with_columns(pl.when("label").then(pl.lit("late")).otherwise(pl.lit("fine")).alias("label"))
    for number, estimator in enumerate(
        (TREES, Estimator(LOGISTIC, {}), Estimator("sklearn.dummy:DummyClassifier", {}))
    ):
        folder = tmp_path / str(number)
        record = train(manifest(estimator=estimator, **CLASSES), training_set(made, label="varchar"), folder=folder)
        assert record.classes == ("fine", "late")
        training = training_set(made, label="varchar")
        kept = read_predictor(folder)
        said = kept.predict(matrix(training.frame, training.plan.columns, kept.categories))
        assert said.shape == (2000, 2) and said.sum(axis=1) == pytest.approx(1.0)


def test_whole_numbers_are_numbers_unless_said_to_be_classes(tmp_path):
    made = classed().with_columns(
        pl.col("label").replace_strict({"early": 3, "on time": 10, "late": -2}).cast(pl.Int64)
    )
    training = training_set(made, label="bigint")
    assert shape_of(manifest().model("late"), training) == Shape("regression")
    said = manifest(task=tasks.Multiclass(), **CLASSES)
    shape = shape_of(said.model("late"), training)
    assert shape == Shape("multiclass", classes=("-2", "3", "10"))
    codes, labels = labels_of(training, shape), made["label"].to_list()
    assert [None if np.isnan(code) else float(shape.classes[int(code)]) for code in codes] == labels
    assert train(said, training, folder=tmp_path / "made").classes == ("-2", "3", "10")


def test_a_class_that_a_fold_has_not_seen_is_impossible_to_it_and_named_when_rare():
    made = classed().with_row_index("at")
    made = made.with_columns(label=pl.when(pl.col("at") >= 1995).then(pl.lit("new")).otherwise("label")).drop("at")
    tested = backtest(manifest(estimator=TREES, **CLASSES).model("late"), training_set(made, label="varchar"))
    new = tested.report.classes.index("new")
    assert (tested.candidate[:, new] == 0).all()
    assert (tested.label == new).sum() == tested.report.rare["new"] == 5
    assert "nothing can be said: new (5)" in judge(tested).says


def test_a_champion_of_other_classes_is_compared_by_their_names(tmp_path):
    early = classed().filter(pl.col("decided_at") < START + timedelta(days=12), pl.col("label") != "late")
    train(manifest(estimator=TREES, **CLASSES), training_set(early, label="varchar"), folder=tmp_path / "old")
    champion = read_champion(tmp_path / "old", name="late@1")
    tested = backtest(manifest(estimator=TREES, **CLASSES).model("late"), training_set(classed(), label="varchar"),
                      champion=champion)  # fmt: skip
    fresh = ~np.isnan(tested.champion[:, 0])
    assert 0 < fresh.sum() < fresh.size
    assert (tested.champion[fresh, tested.report.classes.index("late")] == 0).all()
    verdict = judge(tested)
    assert [each.against for each in verdict.comparisons] == ["baseline", "late@1"] and verdict.passed
    with pytest.raises(Conflict, match="late@1 answers a multiclass task, the model a binary task"):
        backtest(manifest().model("late"), training_set(), champion=champion)


@pytest.mark.parametrize(
    ("label", "words", "error", "says"),
    [
        (pl.lit("late"), {}, BadData, "labels that could be learnt from are 'late'"),
        (pl.col("flight_id"), {}, BadData, "different values, such as 'f00000'"),
        (pl.lit("late"), {"goal": "brier"}, DefinitionError, "'brier' of model 'late' is not for a multiclass task"),
        (pl.lit("a"), {"task": tasks.Binary()}, DefinitionError, "task Binary and a label that is varchar"),
    ],
)
def test_what_cannot_be_classes_is_said(label, words, error, says, tmp_path):
    with pytest.raises(error, match=says):
        training = training_set(frame().with_columns(label.alias("label")), label="varchar")
        train(manifest(**({**CLASSES, "estimator": TREES} | words)), training, folder=tmp_path / "none")


def test_a_hundred_rows_without_time_are_parted_by_key_and_honestly_uncertain(tmp_path):
    said = manifest(estimator=Estimator(LOGISTIC, {}))
    training = timeless(frame(100))
    tested = backtest(said.model("late"), training)
    parts = [set(each.split.test.tolist()) for each in tested.folds]
    assert len(parts) == 3 and not set.intersection(*parts)
    assert all(not set(each.split.fit.tolist()) & set(each.split.test.tolist()) for each in tested.folds)
    assert tested.report.blocks == "rows" and tested.report.days == tested.label.size
    verdict = judge(tested)
    assert "parted by their key" in verdict.says and "take the range as a rough one" in verdict.says
    record = train(said, training, folder=tmp_path / "made", tested=tested, verdict=verdict)
    assert "parted by a hash of their key" in record.says and record.static_at == START.isoformat()
    champion = read_champion(tmp_path / "made", name="late@1")
    again = judge(backtest(said.model("late"), training, champion=champion))
    assert "the two are not compared" in again.says


def test_few_rows_are_too_few_to_say():
    tested = backtest(manifest(estimator=Estimator(LOGISTIC, {})).model("late"), timeless(frame(40, skill=20)))
    verdict = judge(tested)
    assert not verdict.passed and "too few to say" in verdict.says


def test_a_row_stays_on_its_side_when_others_come():
    few, many = (timeless(frame(rows)) for rows in (200, 400))
    model = manifest(estimator=Estimator(LOGISTIC, {}), split=Time(folds=1, share=0.3)).model("late")
    held = [{each.keys[row] for row in backtest(model, each).folds[0].split.test} for each in (few, many)]
    labelled = {key for key, known in zip(many.keys, many.known, strict=True) if known < 2**62}
    both = set(few.keys) & labelled & {k for k, n in zip(few.keys, few.known, strict=True) if n < 2**62}
    assert held[0] & both == held[1] & both and 0.2 < len(held[1]) / 400 < 0.4


def test_the_simple_rule_of_each_task():
    assert baseline(np.array([0.0, 1, 1, 1]), shape=Shape("binary")).fitted.value == 0.75
    assert baseline(np.array([0.0, 1, 9]), shape=Shape("regression")).fitted.value == 1.0
    three = Shape("multiclass", classes=("a", "b", "c"))
    assert baseline(np.array([0.0, 0, 1, 0]), shape=three).fitted.value == (0.75, 0.25, 0.0)
    levels = Shape("quantiles", levels=(0.25, 0.5))
    assert baseline(np.array([0.0, 1, 2, 3, 4]), shape=levels).fitted.value == (1.0, 2.0)


def test_quantiles_never_cross_and_ship(tmp_path):
    said = manifest(
        estimator=Estimator("lightgbm.sklearn:LGBMRegressor", {"n_estimators": 20}), task=tasks.Quantiles(),
        metrics=["coverage"], goal="pinball",
    )  # fmt: skip
    training = training_set(frame(number=True), label="double")
    tested = backtest(said.model("late"), training)
    assert (np.diff(tested.candidate, axis=1) >= 0).all()
    verdict = judge(tested)
    assert verdict.passed, verdict.says
    record = train(said, training, folder=tmp_path / "made", tested=tested, verdict=verdict)
    assert record.levels == (0.1, 0.5, 0.9) and abs(record.metrics["model"]["coverage"]) < 0.2
    read = serving.read_from(tmp_path / "made")
    file = serving.read_model(read)
    predictor, shape = serving.load(file, read), serving.read_shape(read)
    sample = msgspec.json.decode((tmp_path / "made" / "sample.json").read_bytes())
    flat = serving.array("d", [np.nan if each is None else each for row in sample["features"] for each in row])
    answers = [shaped(each, shape) for each in predictor.predict_many(flat, 200)]
    assert [each.value for each in answers] == sample["values"]
    assert list(answers[0].said["quantiles"]) == ["0.1", "0.5", "0.9"]
    assert answers[0].said["quantiles"]["0.5"] == answers[0].value
    predictor.close()


def test_levels_and_shares_that_make_no_sense_are_refused():
    for wrong in ((0.1, 0.9), (0.5, 0.1), (0.5, 1.0)):
        with pytest.raises(DefinitionError, match="rising levels"):
            tasks.Quantiles(wrong)
    with pytest.raises(DefinitionError, match="a share between 0 and 1"):
        tasks.Anomaly(share=2)
    assert plan().label is not None


def without_label(rows=2000, **words):
    """Rows without a label, two in a hundred far out."""
    made = frame(rows).drop("label", "label_known_at")
    odd = pl.int_range(pl.len()) % 50 == 7
    far = pl.when(odd).then(pl.col("form.delay") + 9).otherwise(pl.col("form.delay"))
    training = training_set(made.with_columns(far.alias("form.delay")), **words)
    return type(training)(plan=msgspec.structs.replace(training.plan, label=None), frame=training.frame,
                          pins=training.pins)  # fmt: skip


def test_a_model_without_label_scores_flags_and_says_what_it_cannot_say(tmp_path):
    said = manifest(label=None, estimator=None, task=tasks.Anomaly(share=0.02), metrics=["share_flagged"], goal="")
    training = without_label()
    tested = backtest(said.model("late"), training)
    verdict = judge(tested)
    assert verdict.passed and verdict.goal == "stability" and verdict.goal_value > 0.9
    assert "There are no labels, so nobody can say whether what it flags matters" in verdict.says
    record = train(said, training, folder=tmp_path / "odd", tested=tested, verdict=verdict)
    assert record.task == "anomaly" and 0.01 < record.metrics["model"]["share_flagged"] < 0.03
    assert record.counts.unlabelled == 0 and record.shipped_rows == 2000
    assert "2.00% of those learnt from" in record.threshold
    read = serving.read_from(tmp_path / "odd")
    shape, threshold = serving.read_shape(read), serving.read_threshold(read)
    predictor = serving.load(serving.read_model(read), read)
    flags = [shaped(predictor.predict_one(serving.array("d", row)), shape, threshold)
             for row in ([0.0, 0.0, 1.0, 20.0], [9.5, 0.0, 1.0, 20.0], [np.nan] * 4)]  # fmt: skip
    assert [each.said["flagged"] for each in flags] == [False, True, False]
    assert flags[2].value == 0.0
    kept = read_predictor(tmp_path / "odd")
    sample = msgspec.json.decode((tmp_path / "odd" / "sample.json").read_bytes())
    flat = [[np.nan if each is None else each for each in row] for row in sample["features"]]
    np.testing.assert_allclose(kept.predict(np.array(flat)), sample["values"], rtol=0, atol=1e-15)
    simple = shaped(serving.read_baseline(read, shape), shape, threshold)
    assert simple.said == {"flagged": False}


def test_scores_of_noise_are_not_let_through():
    model = manifest(label=None, estimator=None, task=tasks.Anomaly(share=0.02), metrics=[], goal="").model("late")
    blank = [pl.lit(None, dtype=dtype).alias(each.name) for each, dtype in
             zip(plan().columns, (pl.Float64, pl.Boolean, pl.String, pl.Int64), strict=True)]  # fmt: skip
    training = without_label()
    nothing = type(training)(plan=training.plan, frame=training.frame.with_columns(blank), pins=training.pins)
    verdict = judge(backtest(model, nothing))
    assert not verdict.passed and "ranks rows differently (agreement not to be had" in verdict.says


def test_a_model_without_label_needs_rows_enough_and_no_task_of_labels(tmp_path):
    said = manifest(label=None, estimator=None, metrics=[], goal="")
    with pytest.raises(BadData, match=r"too few to tell the 1\.00% most unusual"):
        train(said, without_label(90), folder=tmp_path / "few")
    with pytest.raises(DefinitionError, match="task Binary and a label that is missing"):
        shape_of(manifest(label=None, task=tasks.Binary()).model("late"), without_label())
    with pytest.raises(DefinitionError, match="model 'late' has no goal"):
        manifest(goal="")
    with pytest.raises(DefinitionError, match="model 'late' has no estimator"):
        manifest(estimator=None)
