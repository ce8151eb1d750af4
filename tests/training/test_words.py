"""Weights, segments and thresholds: what a definition says about rows beside features and label."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest

from millstream.definitions.model import Estimator, Model
from millstream.definitions.tasks import Shape
from millstream.errors import BadData, DefinitionError
from millstream.lake.frame import TableFrame
from millstream.metrics import METRICS
from millstream.project.models import plain
from millstream.serving import models as serving
from millstream.serving.shape import shaped
from millstream.training import backtest, build_set, judge, read_predictor, train
from millstream.training.matrix import matrix
from millstream.training.segments import Part, beside
from millstream.training.sets import SEGMENT, WEIGHT
from millstream.training.thresholds import choose
from tests.training.made import LIGHTGBM, START, frame, manifest, plan, training_set

LOGISTIC = Estimator("sklearn.linear_model:LogisticRegression", {})


def with_extras(made: pl.DataFrame, *, weight: pl.Expr | None = None, carrier: pl.Expr | None = None):
    if weight is not None:
        made = made.with_columns(weight.alias(WEIGHT))
    return training_set(made if carrier is None else made.with_columns(carrier.alias(f"{SEGMENT}carrier")))


@pytest.mark.parametrize("estimator", [LOGISTIC, Estimator(LIGHTGBM, {"n_estimators": 15})], ids=["linear", "trees"])
def test_rows_of_no_weight_teach_nothing(estimator, tmp_path):
    kept = pl.col("form.carrier").fill_null("") != "UA"
    half = with_extras(frame(), weight=pl.when(kept).then(2.0).otherwise(0.0))
    record = train(manifest(estimator=estimator, weight="w"), half, folder=tmp_path / "half")
    alone = train(manifest(estimator=estimator), training_set(frame()), folder=tmp_path / "all")
    assert record.content_hash != alone.content_hash
    plain = read_predictor(tmp_path / "half")
    said = plain.predict(matrix(half.frame, half.plan.columns, plain.categories))
    theirs = read_predictor(tmp_path / "all")
    assert np.abs(said - theirs.predict(matrix(half.frame, half.plan.columns, theirs.categories))).max() > 0.01


def test_a_weight_that_is_none_is_refused(tmp_path):
    wrong = with_extras(frame(), weight=pl.when(pl.col("distance") > 2500).then(None).otherwise(1.0))
    with pytest.raises(BadData, match="weights of 'late' are NULL or below 0"):
        train(manifest(estimator=LOGISTIC, weight="w"), wrong, folder=tmp_path / "none")
    with pytest.raises(BadData, match="holds no weights"):
        train(manifest(estimator=LOGISTIC, weight="w"), training_set(), folder=tmp_path / "none")


def test_weights_and_segments_are_read_from_the_rows_table():
    at = pl.lit(START).cast(pl.Datetime("us", "UTC"))
    rows = pl.DataFrame(
        {"flight_id": ["a", "b"], "distance": [1.0, 5.0], "outcome": [True, False], "carrier": ["AA", None]}
    )
    schema = {
        "flight_id": "varchar",
        "distance": "double",
        "outcome": "boolean",
        "carrier": "varchar",
        "at": "timestamptz",
    }
    table = TableFrame(
        table="flights", version=3, frame=rows.with_columns(at=at), schema=schema, key=("flight_id",), event_time="at",
        known={},
    )  # fmt: skip
    bare = msgspec.structs.replace(plan(), columns=())
    said = manifest(weight="distance * 2", segments="carrier").model("late")
    assert isinstance(said, Model)
    training = build_set(bare, lambda name: table, model=said)
    assert training.weight is not None and training.weight.tolist() == [2.0, 10.0]
    assert training.segment("carrier").to_list() == ["AA", None]
    with pytest.raises(DefinitionError, match="segment 'carier', which table 'flights' has not"):
        build_set(bare, lambda name: table, model=said.but(segments=["carier"]))
    with pytest.raises(DefinitionError, match="weight of model 'late' is varchar"):
        build_set(bare, lambda name: table, model=said.but(weight="carrier"))


def test_a_segment_it_is_worse_for_is_named_though_the_whole_is_better(tmp_path):
    made = frame(4000)
    flipped = pl.when(pl.col("form.carrier") == "B6").then(~pl.col("label")).otherwise(pl.col("label"))
    odd = with_extras(made.with_columns(flipped.alias("label")), carrier=pl.col("form.carrier"))
    blind = matrix_without_carrier(odd)
    said = manifest(estimator=LOGISTIC, segments=["carrier"], goal="brier")
    tested = backtest(said.model("late"), blind)
    verdict = judge(tested)
    assert "surely worse than the simple guess for carrier B6 (" in verdict.says, verdict.says
    assert "Corrected for the 4 segments looked at." in verdict.says
    worst, *others = verdict.segments
    assert (worst.named, worst.standing, worst.against) == ("carrier B6", "worse", "baseline")
    assert worst.low <= worst.gain <= worst.high < 0 and worst.candidate > worst.other and worst.p < 0.05
    assert {each.standing for each in others} == {"better"} and all(each.low > 0 for each in others)
    told = msgspec.to_builtins(verdict)
    shown = plain.segments(told)
    assert shown[0]["for"] == "carrier B6" and shown[0]["in short"] == "surely worse"
    assert shown[0]["rows"] == f"{worst.rows:,}" and f"{worst.low:+.4f}" in shown[0]["gain, 99 % sure"]
    assert plain.segments_say(told).startswith("Beside the simple rule it is surely worse for carrier B6, of 4")
    answers = plain.answers(told, name="late@2", model="late", live=None, status="waiting", retrain="")
    whom = next(each for each in answers if each["question"] == "Is it worse for somebody?")
    assert whom["tone"] == "warn" and "carrier B6" in whom["answer"]
    record = train(said, blind, folder=tmp_path / "made", tested=tested, verdict=verdict)
    found = {each.value: each for each in record.segments}
    assert set(found) == {"AA", "B6", "UA", None} and sum(each.rows for each in record.segments) == record.counts.tested
    assert found["B6"].model > found["B6"].baseline and found["AA"].model < found["AA"].baseline
    quiet = judge(backtest(manifest(estimator=LOGISTIC, segments=["carrier"], goal="brier").model("late"),
                           with_extras(frame(4000), carrier=pl.col("form.carrier"))))  # fmt: skip
    assert "surely worse" not in quiet.says


def test_chance_alone_names_no_segment_however_many_there_are():
    random = np.random.default_rng(8)
    rows, parts_ = 4000, 30
    named, blocks = random.integers(0, parts_, rows), np.arange(rows) * 40 // rows
    among = [Part("shop", str(each), np.flatnonzero(named == each)) for each in range(parts_)]
    wrong = alone = 0
    for seed in range(12):
        label = (random.random(rows) < 0.3).astype(float)
        ours, theirs = (np.clip(0.3 + random.normal(0, 0.1, rows), 0.01, 0.99) for _ in "ab")
        found = beside(METRICS["brier"], label, ours, theirs, blocks=blocks, among=among, against="x@1", seed=seed)
        assert len(found) == parts_ and {each.standing for each in found} <= {"worse", "better", "unsure"}
        wrong += any(each.standing != "unsure" for each in found)
        alone += any(each.high < 0 or each.low > 0 for each in found)
    assert wrong <= 1 < alone, (wrong, alone)  # each alone at 99 % errs in a quarter of the verdicts
    few = beside(METRICS["brier"], label, ours, theirs, blocks=blocks, among=[Part("shop", "0", np.arange(99))],
                 against="x@1", seed=1)  # fmt: skip
    assert (few[0].standing, few[0].gain, few[0].rows) == ("few", None, 99)


def matrix_without_carrier(training):
    """The same rows, the carrier no feature."""
    columns = tuple(each for each in training.plan.columns if each.name != "form.carrier")
    return type(training)(
        plan=msgspec.structs.replace(training.plan, columns=columns), frame=training.frame, pins=training.pins
    )


def best(score, predicted):
    """The highest of the thresholds that score best, by trying each."""
    return max(sorted(set(predicted.tolist()), reverse=True), key=score)


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, 200).astype(float)
    predicted = np.round(np.clip(0.3 * label + random.random(200) * 0.7, 0, 1), 2)

    def f1(at):
        called = predicted >= at
        return 2 * label[called].sum() / (called.sum() + label.sum())

    def cost(at):
        called = predicted >= at
        return -((called & (label == 0)).sum() + 5 * (~called & (label == 1)).sum())

    for said, score in (("f1", f1), ("cost(fp=1, fn=5)", cost)):
        found = choose(manifest(threshold=said).model("late"), Shape("binary"), label, predicted)
        assert found is not None and score(found.value) == score(best(score, predicted))
    fixed = choose(manifest(threshold=0.4).model("late"), Shape("binary"), label, predicted)
    assert fixed is not None and fixed.value == 0.4 and "fixed at 0.4; it calls" in fixed.says


def test_a_threshold_ships_and_decides(tmp_path):
    said = manifest(estimator=LOGISTIC, threshold="f1")
    record = train(said, training_set(), folder=tmp_path / "made")
    assert "gives the best F1 on the hold-out; it calls" in record.threshold
    read = serving.read_from(tmp_path / "made")
    threshold, shape = serving.read_threshold(read), serving.read_shape(read)
    assert threshold is not None and 0 < threshold < 1
    assert shaped(threshold, shape, threshold).said == {"decision": True}
    assert shaped(threshold - 0.01, shape, threshold).said == {"decision": False}
    train(manifest(estimator=LOGISTIC), training_set(), folder=tmp_path / "plain")
    assert serving.read_threshold(serving.read_from(tmp_path / "plain")) is None


@pytest.mark.parametrize("wrong", [1.5, "f2", "cost(fp=0, fn=1)", True])
def test_a_threshold_that_is_none_is_refused(wrong):
    with pytest.raises(DefinitionError, match="threshold="):
        manifest(threshold=wrong)


def test_a_threshold_of_numbers_is_refused(tmp_path):
    number = Estimator("sklearn.linear_model:LinearRegression", {})
    with pytest.raises(DefinitionError, match="has a threshold and a regression task"):
        train(manifest(estimator=number, threshold=0.5, metrics=[], goal="mae"),
              training_set(frame(number=True), label="double"), folder=tmp_path / "none")  # fmt: skip
