"""A model's numbers as an answer: thresholds, classes and quantiles, and files that do not fit them."""

import math

import msgspec
import pytest

from millstream.definitions.tasks import Shape
from millstream.errors import IntegrityError
from millstream.serving import models
from millstream.serving.app import App
from millstream.serving.chain import Chain
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.serving.scorer import Scorer
from millstream.serving.shape import shaped
from tests.serving import mill
from tests.serving.conftest import serving
from tests.serving.test_app import PREDICT, ask

THREE = {"kind": "constant", "task": "multiclass", "classes": ["a", "b", "c"], "value": [0.2, 0.5, 0.3]}


def release(folder, model, baseline=None, threshold=None):
    """Write a release by hand and return its folder."""
    mill.write(folder, model=model)
    if baseline is not None:
        (folder / "baseline.json").write_bytes(msgspec.json.encode(baseline))
    if threshold is not None:
        (folder / "threshold.json").write_bytes(msgspec.json.encode({"value": threshold}))
    return folder


def test_a_threshold_decides_over_http_and_is_logged(tmp_path):
    folder = release(tmp_path / "made", {"value": 0.5, "decides": "threshold.json"}, threshold=0.4)
    live = Live(leased=True)
    live.replace({"late": Chain(Scorer.open(folder, mill.Memory()))}, {})
    log = PredictionLog(tmp_path / "log")
    app = App(live, log, now_us=lambda: 5_000_000)
    with serving(app) as app.address:
        _, said, _ = ask(app, "POST", PREDICT, {"rows": [mill.ROW]})
        _, model, _ = ask(app, "GET", "/v1/models/late")
        live.lease_until = 0.0
        _, stood_in, _ = ask(app, "POST", PREDICT, {"rows": [mill.ROW]})
    log.close()
    answer = said["predictions"][0]
    assert (answer["value"], answer["decision"], model["threshold"]) == (0.5, True, 0.4)
    assert stood_in["predictions"][0]["answered_by"] == "baseline"
    assert stood_in["predictions"][0]["decision"] is False


def test_the_baseline_of_classes_answers_with_every_class(tmp_path):
    simple = {"kind": "prior", "value": 0.6, "values": [0.3, 0.1, 0.6]}
    scorer = Scorer.open(release(tmp_path / "made", THREE, baseline=simple), mill.Memory())
    answer = Chain(scorer).answer([mill.ROW], [5_000_000], until=math.inf, stopped="the lease ended")[0]
    assert (answer.value, answer.said["class"], answer.answered_by) == (0.6, "c", "baseline")
    assert scorer.score_one(scorer.check(mill.ROW), 5_000_000).said["probabilities"] == {"a": 0.2, "b": 0.5, "c": 0.3}


def test_a_model_without_an_answer_is_stood_in_for():
    assert math.isnan(shaped((0.5, math.nan), Shape("multiclass", classes=("a", "b"))).value)
    assert shaped(math.inf, Shape("binary"), 0.5).said == {}


@pytest.mark.parametrize(
    ("model", "baseline", "says"),
    [
        (THREE, {"kind": "prior", "value": 0.6}, "baseline.json says nothing"),
        (THREE | {"classes": []}, None, "0 classes and 0 levels"),
        ({"value": 0.5, "classes": ["a"]}, None, "of a binary task has 1 classes"),
        ({"value": 0.5, "decides": "threshold.json"}, None, "threshold.json"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, model, baseline, says):
    with pytest.raises(IntegrityError, match=says):
        Scorer.open(release(tmp_path / "made", model, baseline=baseline))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"kind": "softmax", "task": "multiclass", "classes": ["a", "b"], "intercepts": [0, 1], "fill": [0.0],
          "coefficients": [[1.0], [2.0]]}, "coefficients of 2 classes"),
        ({"kind": "robust", "task": "anomaly", "centre": [0.0], "scale": [1.0]}, "another number of features"),
        ({"kind": "ladder", "task": "quantiles", "levels": [0.5], "rungs": [{"kind": "tower"}]}, "a rung of"),
    ],
)  # fmt: skip
def test_models_of_another_width_are_refused(tmp_path, model, says):
    read = models.read_from(release(tmp_path / "made", model))
    with pytest.raises(IntegrityError, match=says):
        models.load(models.read_model(read), read)
