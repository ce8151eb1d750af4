import json
import math

import pytest

from millstream.errors import Refused, Unavailable
from millstream.releases import rehearse
from millstream.state import releases
from tests.releases.made import APPROVER, ROWS, TRAINER, constant


def test_the_first_release_is_rehearsed_against_the_baseline(house):
    went = house.releases.rehearse(house.built(), constant, actor=TRAINER)
    assert (went.ok, went.against, went.rows) == (True, "baseline", ROWS)
    assert "rolled back to the baseline" in went.says
    assert house.acts()[-1] == "release.rehearse"


def test_the_answers_before_on_and_after(house):
    old, new = house.live(0.3), house.built(0.8)
    asked = []

    def score(path, rows):
        asked.append((path.name, len(rows)))
        return constant(path, rows)

    went = rehearse(new, old, score)
    assert went.ok and went.against == old.id and 0 < went.rollback_ms <= went.ms < 5000
    assert asked == [(old.id, ROWS), (new.id, ROWS), (old.id, ROWS)]
    assert house.releases.live("late").id == old.id


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda values: [values[0] + 1e-9, *values[1:]], "does not answer as it did when it was trained: request 0"),
        (lambda values: values[:-1], f"gave {ROWS - 1} answers to {ROWS} requests"),
        (lambda values: [*values[:-1], math.nan], f"answered request {ROWS - 1} with nan"),
        (lambda values: [math.inf] * ROWS, "answered request 0 with inf"),
    ],
)
def test_a_release_that_answers_otherwise_may_not_go_live(house, wrong, says):
    release = house.approved()
    went = house.releases.rehearse(release, lambda path, rows: wrong(constant(path, rows)), actor=TRAINER)
    assert not went.ok and says in went.says
    with pytest.raises(Refused):
        house.releases.swap("late", release, actor=APPROVER, reason="go")
    assert house.releases.live("late") is None


def test_the_last_bits_may_differ_and_no_more(house):
    release = house.built()
    assert rehearse(release, None, lambda path, rows: [0.5 * (1 + 5e-13)] * len(rows)).ok
    assert not rehearse(release, None, lambda path, rows: [0.5 * (1 + 5e-12)] * len(rows)).ok


def test_an_old_release_that_does_not_answer_the_same_after_rolling_back(house):
    old, new = house.live(0.3), house.built(0.8)
    calls = []

    def score(path, rows):
        calls.append(path)
        drift = 0.1 if len(calls) == 3 else 0.0
        return [each + drift for each in constant(path, rows)]

    went = house.releases.rehearse(new, score, actor=TRAINER)
    assert not went.ok and "after rolling back" in went.says and old.id == went.against


def test_a_model_that_cannot_be_loaded_fails_the_rehearsal_and_other_errors_are_not_hidden(house):
    release = house.built()

    def missing(path, rows):
        raise Unavailable("lightgbm is not installed")

    went = house.releases.rehearse(release, missing, actor=TRAINER)
    assert not went.ok and "lightgbm is not installed" in went.says
    with pytest.raises(ZeroDivisionError):
        rehearse(release, None, lambda path, rows: [1 / 0])


@pytest.mark.parametrize("sample", [{"rows": [], "values": []}, {"rows": [{"a": 1}], "values": []}, {"rows": 3}])
def test_a_sample_that_proves_nothing_fails(house, sample):
    went = rehearse(house.built(more={"sample.json": sample}), None, constant)
    assert not went.ok and "sample.json" in went.says


def test_a_swap_without_a_rehearsal_is_refused(house):
    release = house.built()
    asked = house.releases.ask(release, {}, actor=TRAINER)
    house.releases.decide(asked.id, True, by=APPROVER, reason="fine")
    with pytest.raises(Refused, match="not rehearsed"):
        house.releases.swap("late", release, actor=APPROVER, reason="go")
    assert releases.get(house.state, release.id).status == "approved"
    assert "pointer.swap" not in house.acts()


def test_trees_answer_their_sample_through_the_server_s_own_reader(house):
    lightgbm = pytest.importorskip("lightgbm")
    import numpy as np

    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2))
    y = (x[:, 0] + x[:, 1] > 0).astype(float)
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(x, y), num_boost_round=5)
    sample = {
        "rows": [{"flight_id": n} for n in range(20)],
        "features": x[:20].tolist(),
        "values": booster.predict(x[:20]).tolist(),
    }
    model = {"kind": "lightgbm", "task": "binary", "features": ["a", "b"], "file": "model.txt"}
    release = house.built(more={"model.txt": booster.model_to_string(), "model.json": model, "sample.json": sample})

    def score(path, rows):
        from array import array

        from millstream.serving import models

        kept = json.loads((path / "sample.json").read_text())["features"]
        predictor = models.load(models.read_model(release.read), release.read)
        flat = array("d", [value for row in kept for value in row])
        return predictor.predict_many(flat, len(rows))

    went = rehearse(release, None, score)
    assert went.ok, went.says
