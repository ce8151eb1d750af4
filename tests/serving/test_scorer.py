import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.traffic import Champion
from millstream.errors import BadData, IntegrityError
from millstream.serving.chain import Chain
from millstream.serving.scorer import Scorer
from tests.serving import mill

LATER = math.inf


@pytest.fixture(scope="module")
def trained():
    return mill.booster()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory, trained):
    return Scorer.open(mill.write_trees(tmp_path_factory.mktemp("r") / "r1", trained=trained), mill.Memory())


def test_a_row_is_scored_as_its_features_are(scorer, trained):
    scored = scorer.score_one(scorer.check(mill.ROW), 0)
    assert scored.features.tolist() == [12.5, 60.0, 7.0, 1.0]
    assert scored.value == trained.predict(np.array([scored.features.tolist()]), num_threads=1)[0]
    assert scored.applied == {"flights": 3}


def test_an_entity_nobody_knows_is_no_error(scorer):
    scored = scorer.score_one(scorer.check(mill.ROW | {"carrier": "ZZ"}), 0)
    assert math.isnan(scored.features[0]) and math.isfinite(scored.value)


rows = st.fixed_dictionaries(
    {
        "flight_id": st.integers(0, 2**40),
        "carrier": st.sampled_from(["UA", "AA", "ZZ"]) | st.none(),
        "scheduled_departure": st.sampled_from(["2013-02-01T12:00:00Z", "2013-11-03T01:30:00-04:00"]),
        "distance": st.none() | st.floats(0, 6000),
    }
)


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(rows, max_size=9), at=st.integers(0, 2**50))
def test_many_equals_one(scorer, batch, at):
    checked = scorer.check_many(batch)
    many = scorer.score_many(checked, [at] * len(batch))
    one = [scorer.score_one(row, at) for row in checked]
    assert [each.value for each in many] == [each.value for each in one]
    assert [each.features.tobytes() for each in many] == [each.features.tobytes() for each in one]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"distance": "1"}, "distance"),
        ({"distance": True}, "distance"),
        ({"distance": math.nan}, "distance"),
        ({"distance": math.inf}, "distance"),
        ({"distance": 10**400}, "distance"),
        ({"scheduled_departure": "2013-02-01T12:00:00"}, "offset"),
        ({"scheduled_departure": 5}, "scheduled_departure"),
        ({"carrier": 3}, "carrier"),
        ({"carier": "UA"}, "did you mean 'carrier'"),
        ({"flight_id": math.nan}, "flight_id"),
    ],
)
def test_wrong_values_are_refused_by_name(scorer, change, says):
    with pytest.raises(BadData, match=says):
        scorer.check(mill.ROW | change)


def test_missing_columns_are_named_and_the_bad_row_counted(scorer):
    with pytest.raises(BadData, match="misses 'carrier', 'distance'"):
        scorer.check({name: mill.ROW[name] for name in ("flight_id", "scheduled_departure")})
    with pytest.raises(BadData, match="row 1: "):
        scorer.check_many([mill.ROW, mill.ROW | {"distance": "far"}])


def test_a_model_and_a_plan_that_disagree_are_refused(tmp_path):
    folder = mill.write(tmp_path / "r")
    (folder / "plan.json").write_bytes(mill.plan(views=False).encode())
    with pytest.raises(IntegrityError, match=r"form\.max, form\.mean"):
        Scorer.open(folder, mill.Memory())


@pytest.fixture
def releases(tmp_path):
    memory = mill.Memory()

    def made(name, value, **more):
        said = {"kind": "constant", "task": "binary", "value": value}
        return Scorer.open(mill.write(tmp_path / name, model=said, **more), memory)

    return memory, made


def answers(chain, rows=1, **more):
    return chain.answer([mill.ROW] * rows, [0] * rows, until=LATER, **more)


def test_the_champion_answers(releases):
    _, made = releases
    [answer] = answers(Chain(made("new", 0.7, version=2), previous=made("old", 0.6)))
    assert (answer.value, answer.answered_by, answer.degraded, answer.scorer.version) == (0.7, "champion", False, 2)


@pytest.mark.parametrize("value", ["raises", math.nan, math.inf, -math.inf])
def test_a_champion_that_fails_is_answered_for_by_the_next(releases, value, monkeypatch):
    _, made = releases
    champion, previous = made("new", 0.7, version=2), made("old", 0.6)

    def predict(_features):
        if value == "raises":
            raise ValueError("the model broke")
        return value

    def predict_many(features, rows):
        return [predict(features)] * rows

    monkeypatch.setattr(
        champion,
        "_predictor",
        type("P", (), {"predict_one": staticmethod(predict), "predict_many": staticmethod(predict_many)}),
    )
    for rows in (1, 3):
        found = answers(Chain(champion, previous=previous), rows)
        assert {(each.value, each.answered_by, each.degraded) for each in found} == {(0.6, "previous", True)}
        assert all(each.reason for each in found)
    alone = answers(Chain(champion))
    assert [(each.value, each.answered_by) for each in alone] == [(0.2, "baseline")]
    only = answers(Chain(champion, previous=previous, traffic=Champion(fallback=("baseline",))))
    assert only[0].answered_by == "baseline"


def test_a_lost_online_store_degrades_and_says_so(releases):
    memory, made = releases
    chain = Chain(made("new", 0.7), previous=made("old", 0.6))
    memory.broken = True
    [answer] = answers(chain)
    assert (answer.value, answer.answered_by) == (0.2, "baseline")
    assert "online store" in answer.reason


def test_without_a_lease_or_with_a_refused_release_the_champion_is_silent(releases):
    _, made = releases
    champion, previous = made("new", 0.7, version=2), made("old", 0.6)
    [answer] = answers(Chain(champion, previous=previous), stopped="no lease")
    assert (answer.answered_by, answer.reason) == ("previous", "no lease")
    [answer] = answers(Chain(champion, previous=champion, refused="a flipped bit"))
    assert (answer.value, answer.answered_by, answer.reason) == (0.7, "previous", "a flipped bit")


def test_after_the_deadline_the_baseline_answers(releases):
    _, made = releases
    [answer] = Chain(made("new", 0.7)).answer([mill.ROW], [0], until=time.monotonic() - 1)
    assert (answer.answered_by, answer.reason) == ("baseline", "the deadline had passed")


def test_bad_rows_are_the_callers_even_when_the_champion_is_silent(releases):
    _, made = releases
    with pytest.raises(BadData):
        Chain(made("new", 0.7)).answer([{}], [0], until=LATER, stopped="no lease")
