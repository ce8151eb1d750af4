"""What features are worth: those that carry the model come first, noise is named, time is bounded."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from millstream.features.plan import FeatureColumn
from millstream.training import backtest
from millstream.training.lift import lift
from tests.training import made


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(5)
    frame = made.frame(4000, skill=2.5).with_columns(pl.Series("noise.chance", rng.random(4000)))
    training = made.training_set(frame)
    plan = replace(training.plan, columns=(*made.COLUMNS, FeatureColumn("noise.chance", "double")))
    training = dataclasses.replace(training, plan=plan, took={"form": 0.4})
    model = made.manifest().models["late"]
    return model, training, backtest(model, training)


def test_what_carries_the_model_comes_first_and_noise_is_named(judged):
    model, training, tested = judged
    found = lift(model, training, tested, lag_s={"form": 3600.0})
    assert [each.name for each in found.views] == ["form", "noise"]
    assert found.views[0].low > 0.1
    assert found.views[1].idle
    assert "form carries most" in found.says
    assert "Nothing shows that noise helps" in found.says
    assert found.features[0].name == "form.delay"
    assert found.views[0].compute_ms == pytest.approx(100.0)
    assert found.views[0].lag_s == 3600.0
    delay = next(each for each in found.features if each.name == "form.delay")
    assert 0.05 < delay.missing < 0.15
    assert found == replace(lift(model, training, tested, lag_s={"form": 3600.0}), seconds=found.seconds)


def test_no_more_time_is_taken_than_allowed(judged):
    found = lift(*judged, budget_s=-1.0)
    assert found.cut
    assert all(each.gain is None for each in (*found.views, *found.features))
    assert "Nobody could measure" in found.says


def test_a_number_is_weighed_by_its_own_metric():
    training = made.training_set(made.frame(2000, number=True), label="double")
    words = {"estimator": "lightgbm.sklearn:LGBMRegressor"}
    from millstream.definitions.model import Estimator

    model = made.manifest(
        estimator=Estimator(words["estimator"], {"n_estimators": 20, "num_leaves": 7}), metrics=["rmse"], goal="rmse"
    ).models["late"]
    found = lift(model, training, backtest(model, training))
    assert found.goal == "rmse"
    assert found.views[0].gain > 0
