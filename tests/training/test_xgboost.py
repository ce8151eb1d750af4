"""XGBoost: every kind of answer, with missing values and texts, from training to what the server and MLflow say."""

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from xgboost import XGBClassifier, XGBRegressor

from millstream.definitions import tasks
from millstream.definitions.estimator import Estimator
from millstream.serving import models as serving
from millstream.serving.shape import shaped
from millstream.training import backtest, judge, read_predictor, train
from millstream.training.matrix import matrix
from tests.training.made import frame, manifest, training_set

SMALL = {"n_estimators": 12, "max_depth": 3}
CASES = {
    "binary": (XGBClassifier(**SMALL), "boolean", {}),
    "regression": (XGBRegressor(**SMALL), "double", {"metrics": ["mae"], "goal": "rmse"}),
    "multiclass": (XGBClassifier(**SMALL), "varchar", {"metrics": ["accuracy"], "goal": "log_loss"}),
    "quantiles": (
        XGBRegressor(**SMALL), "double", {"task": tasks.Quantiles(), "metrics": ["coverage"], "goal": "pinball"},
    ),
    "quantiles of histograms": (
        HistGradientBoostingRegressor(max_iter=3), "double",
        {"task": tasks.Quantiles(), "metrics": ["coverage"], "goal": "pinball"},
    ),
}  # fmt: skip


def rows(label):
    made = frame(1200, number=label != "boolean")
    if label == "varchar":
        named = pl.when(pl.col("label") < 0).then(pl.lit("low")).when(pl.col("label") < 2).then(pl.lit("mid"))
        made = made.with_columns(
            pl.when(pl.col("label").is_not_null()).then(named.otherwise(pl.lit("top"))).alias("label")
        )
    return training_set(made, label=label)


LONG = pytest.mark.nightly


@pytest.mark.parametrize(
    "case",
    [pytest.param(each, marks=pytest.mark.nightly) if each == "quantiles of histograms" else each for each in CASES],
)
def test_what_was_trained_is_what_is_served(case, tmp_path):
    estimator, label, more = CASES[case]
    said = manifest(estimator=Estimator.of(estimator), **more)
    training = rows(label)
    tested = backtest(said.model("late"), training)
    verdict = judge(tested)
    assert verdict.passed, verdict.says  # it beats the simple rule
    record = train(said, training, folder=tmp_path / "made", tested=tested, verdict=verdict)
    again = train(said, training, folder=tmp_path / "again", tested=tested, verdict=verdict)
    assert record.content_hash == again.content_hash  # equal data, equal bytes
    if case == "quantiles":
        assert record.params["quantile_alpha"] == [0.1, 0.5, 0.9]
    if "histograms" not in case:
        assert record.params["feature_types"] == ["q", "q", "c", "q"]  # the text is told apart

    predictor = read_predictor(tmp_path / "made")
    features = matrix(training.frame, training.plan.columns, predictor.categories)
    assert np.isnan(features).any(axis=0)[[0, 2]].all()  # values and texts are missing
    ours = predictor.predict(features)
    assert np.isfinite(ours).all()
    if "quantiles" in case:
        assert (np.diff(ours, axis=1) >= 0).all() and (np.diff(ours, axis=1) > 0).any()
    if case == "multiclass":
        np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-6)
    nothing = predictor.predict(np.full((1, 4), np.nan))
    assert np.isfinite(nothing).all()
    predictor.fitted.close()

    read = serving.read_from(tmp_path / "made")
    served, shape = serving.load(serving.read_model(read), read), serving.read_shape(read)
    sample = msgspec.json.decode((tmp_path / "made" / "sample.json").read_bytes())
    flat = serving.array("d", [np.nan if each is None else each for row in sample["features"] for each in row])
    answers = [shaped(each, shape) for each in served.predict_many(flat, len(sample["features"]))]
    assert [each.value for each in answers] == sample["values"]  # row by row, to the last bit
    served.close()
