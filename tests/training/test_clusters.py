"""Groups without labels: found, judged, numbered as before, described, shipped and served alike."""

from datetime import timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from millstream.definitions import tasks
from millstream.definitions.model import Estimator
from millstream.errors import BadData, DefinitionError
from millstream.metrics import METRICS
from millstream.metrics.clusters import agreement, explained, overlap, silhouette, smallest_share
from millstream.serving import models as serving
from millstream.serving.shape import shaped, told
from millstream.training import backtest, judge, read_champion, read_predictor, read_record, train
from millstream.training.fit import refit
from tests.training.made import START, frame, manifest, training_set

K_MEANS = "sklearn.cluster:KMeans"
MIDDLES = np.array([[0.0, 10.0], [6.0, 40.0], [12.0, 10.0]])
SHARES = (0.5, 0.3, 0.2)


def grouped(rows=1500, *, shares=SHARES, middles=MIDDLES, seed=3):
    """Rows around middles: ``form.delay`` and ``form.flights`` say where; a text and a truth value say nothing."""
    random = np.random.default_rng(seed)
    at = random.choice(len(middles), rows, p=shares)
    delay = middles[at, 0] + random.normal(0, 0.6, rows)
    flights = np.round(middles[at, 1] + random.normal(0, 3, rows)).astype(int)
    known = pl.col("decided_at")
    made = frame(rows).with_columns(
        label=pl.lit(None, dtype=pl.Boolean), label_known_at=known, **{"form.long": pl.lit(None, dtype=pl.Boolean)}
    )
    made = made.with_columns(pl.Series("form.delay", delay), pl.Series("form.flights", flights))
    training = training_set(made)
    return type(training)(plan=msgspec.structs.replace(training.plan, label=None), frame=training.frame,
                          pins=training.pins), at  # fmt: skip


def said_by(task=None, estimator=None, **words):
    return manifest(label=None, estimator=estimator, task=task or tasks.Clusters(3), metrics=["silhouette"], goal="",
                    **words)  # fmt: skip


def test_metrics_are_those_of_scikit_learn_and_say_when_they_cannot():
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    random = np.random.default_rng(1)
    points, codes, others = random.normal(size=(700, 3)), random.integers(0, 4, 700), random.integers(0, 3, 700)
    points[codes == 2] += 3
    assert silhouette(points, codes) == pytest.approx(silhouette_score(points, codes), abs=1e-12)
    assert agreement(codes, others) == pytest.approx(adjusted_rand_score(codes, others), abs=1e-12)
    assert agreement(codes, (codes + 1) % 4) == 1.0 and agreement([0, 0, 0], [1, 1, 1]) == 1.0
    assert explained(points, np.zeros(700)) == pytest.approx(0.0, abs=1e-12) and 0 < explained(points, codes) < 1
    assert np.isnan(silhouette(points, np.zeros(700))) and np.isnan(agreement([1], [1])) and overlap([], []) == 0.0
    assert smallest_share([0, 1], [1, 1, 1, 0]) == 0.25 and np.isnan(smallest_share([0], []))
    with pytest.raises(BadData, match="a finite point and a group a row"):
        silhouette([[np.nan]], [0])
    assert METRICS["explained"].measure([[0.0], [0.0]], [0, 0]) is None


@pytest.mark.parametrize(
    "estimator", [None, Estimator("sklearn.mixture:GaussianMixture", {"n_init": 2})], ids=["k-means", "mixture"]
)
def test_groups_are_found_judged_described_shipped_and_served_alike(estimator, tmp_path):
    said, (training, truth) = said_by(estimator=estimator), grouped()
    tested = backtest(said.model("late"), training)
    verdict = judge(tested)
    assert verdict.passed and verdict.goal == "agreement" and verdict.goal_value > 0.9, verdict.says
    assert (
        "one group for all explains nothing" in verdict.says and "nobody can say whether a group means" in verdict.says
    )
    record = train(said, training, folder=tmp_path / "made", tested=tested, verdict=verdict)
    assert record.classes == ("1", "2", "3") and record.clusters_given == 3
    sizes = np.bincount(truth)
    assert [each.rows for each in record.clusters] == sorted(sizes.tolist(), reverse=True)
    second = record.clusters[1]
    assert second.typical["form.flights"] == pytest.approx(40, abs=1) and "form.flights high" in second.says
    assert second.typical["form.carrier"] in ("AA", "B6", "UA") and second.typical["form.long"] is None
    read = serving.read_from(tmp_path / "made")
    shape = serving.read_shape(read)
    predictor = serving.load(serving.read_model(read), read)
    sample = msgspec.json.decode((tmp_path / "made" / "sample.json").read_bytes())
    flat = serving.array("d", [np.nan if each is None else each for row in sample["features"] for each in row])
    try:
        numbers = predictor.predict_many(flat, len(sample["values"]))
        middling = predictor.predict_one(serving.array("d", [np.nan] * 4))
    finally:
        predictor.close()
    np.testing.assert_allclose([shaped(each, shape).value for each in numbers], sample["values"], rtol=1e-12)
    answer = told(*shaped(numbers[0], shape))
    assert answer["value"] in answer["distances"] and answer["distance"] == answer["distances"][answer["value"]]
    assert np.isfinite(middling).all()
    simple = told(*shaped(serving.read_baseline(read, shape), shape))
    assert simple["value"] == "1" and list(simple["distances"]) == ["1", "2", "3"]
    again = refit(said.model("late"), training, threads=record.threads, names=record.classes)
    assert again.content_hash == record.content_hash == read_predictor(tmp_path / "made").content_hash


def test_a_number_stays_the_same_group_and_is_never_given_again(tmp_path):
    said = said_by()
    early, _ = grouped()
    cut = pl.col("decided_at") < START + timedelta(days=14)
    first = type(early)(plan=early.plan, frame=early.frame.filter(cut), pins=early.pins)
    train(said, first, folder=tmp_path / "1")
    old = {each.name: each.typical["form.delay"] for each in read_record(tmp_path / "1").clusters}
    assert old["1"] == pytest.approx(0, abs=0.2) and old["3"] == pytest.approx(12, abs=0.2)
    champion = read_champion(tmp_path / "1", name="late@1")
    later, _ = grouped(shares=(0.2, 0.3, 0.5), seed=4)  # now the last is the largest
    tested = backtest(said.model("late"), later, champion=champion)
    assert "rows that late@1 had not learnt from, the two agree to 1.00" in judge(tested).says
    record = train(said, later, folder=tmp_path / "2", tested=tested)
    assert record.classes == ("3", "2", "1")
    assert {each.name: each.typical["form.delay"] for each in record.clusters} == pytest.approx(old, abs=0.3)
    assert all(each.same > 0.95 for each in record.clusters)
    split = np.array([[0.0, 10.0], [12.0, 4.0], [12.0, 26.0]])  # the third in two, the second gone
    other, _ = grouped(shares=(0.4, 0.38, 0.22), middles=split, seed=5)
    late = read_champion(tmp_path / "2", name="late@2")
    record = train(said, other, folder=tmp_path / "3", tested=backtest(said.model("late"), other, champion=late))
    assert record.classes == ("1", "3", "4") and record.clusters_given == 4
    assert record.clusters[2].same is None
    assert any("New: 4. Gone: 2." in each for each in record.assumptions)


def test_how_many_groups_is_chosen_and_said_where_nobody_says_it(tmp_path):
    record = train(said_by(tasks.Clusters()), grouped()[0], folder=tmp_path / "made")
    assert len(record.classes) == 3
    assert any(
        "Nobody said how many groups: 3 of 2 to 10 has the best silhouette" in each for each in record.assumptions
    )
    five = train(said_by(tasks.Clusters(), Estimator(K_MEANS, {"n_clusters": 5})), grouped()[0], folder=tmp_path / "5")
    assert len(five.classes) == 5


def test_what_is_no_group_is_not_let_through_and_what_cannot_answer_is_refused(tmp_path):
    random = np.random.default_rng(5)
    training, _ = grouped(600)
    noise = [pl.Series(name, random.normal(size=600)) for name in ("form.delay", "form.flights")]
    blurred = type(training)(plan=training.plan, frame=training.frame.with_columns(noise), pins=training.pins)
    verdict = judge(backtest(said_by(tasks.Clusters(6)).model("late"), blurred))
    assert not verdict.passed and "into different groups" in verdict.says
    small = judge(backtest(said_by(tasks.Clusters(3, smallest=0.3)).model("late"), training))
    assert not small.passed and "too few to act on" in small.says
    with pytest.raises(DefinitionError, match="cannot say where a new row belongs") as wrong:
        train(said_by(estimator=Estimator("sklearn.cluster:DBSCAN", {})), training, folder=tmp_path / "scan")
    assert "KMeans" in (wrong.value.expected or "")
    with pytest.raises(BadData, match="rows are all alike"):
        blank = training.frame.with_columns(pl.lit(1.0).alias("form.delay"), pl.lit(1).alias("form.flights"))
        train(said_by(), type(training)(plan=training.plan, frame=blank, pins=training.pins), folder=tmp_path / "none")
    with pytest.raises(DefinitionError, match="two groups or more"):
        tasks.Clusters(1)
