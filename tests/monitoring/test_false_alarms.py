"""A world that stands still raises next to no alarm; one that changes raises the right one, soon."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.monitoring.worlds import START, Change, World

CHANGED = START + timedelta(days=40)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_hundred_days_that_stand_still_raise_at_most_one_alarm(seed: int) -> None:
    world = World(seed=seed).run(200)
    assert len([each for each in world.history if each[1] == "open"]) <= 1
    assert not world.alarms("harm") and not world.alarms("nulls") and not world.alarms("outcomes")


@pytest.mark.parametrize(
    ("change", "kind", "within"),
    [
        (Change(noise=2.0), "performance", 21),
        (Change(noise=3.0), "harm", 28),
        (Change(shift=1.5), "drift", 18),
        (Change(answers=0.1), "bias", 14),
        (Change(latency_us=900_000.0), "latency", 0),
        (Change(nulls=72), "nulls", 0),
        (Change(nulls=20), "nulls", 0),
        (Change(lost=0.55), "outcomes", 1),
        (Change(degraded=True), "degraded", 0),
    ],
)
def test_a_planted_change_is_found_within_days(change: Change, kind: str, within: int) -> None:
    world = World(seed=4, changes={CHANGED: change}).run(40 + within + 1)
    found = world.alarms(kind)
    assert [day for day, _ in found], f"no {kind} alarm within {within} days"
    day, alarm = found[0]
    assert CHANGED <= day <= CHANGED + timedelta(days=within)
    assert alarm.says and alarm.next and alarm.value is not None
    assert not [each for each in world.history if each[1] == "open" and each[0] < CHANGED]


def test_drift_and_bias_say_since_when() -> None:
    world = World(seed=4, changes={CHANGED: Change(shift=1.5, answers=0.1)}).run(60)
    for kind in ("drift", "bias"):
        _, alarm = world.alarms(kind)[0]
        assert abs((CHANGED.fromisoformat(alarm.since) - CHANGED).days) <= 3, alarm.says


def test_a_dead_sensor_is_over_after_three_good_days() -> None:
    back = CHANGED + timedelta(days=4)
    world = World(seed=5, changes={CHANGED: Change(nulls=72), back: Change()}).run(50)
    closed = [day for day, what, alarm in world.history if what == "close" and alarm.kind == "nulls"]
    assert closed == [back + timedelta(days=2)]


def test_a_blizzard_is_incomplete_outcomes_and_not_a_broken_model() -> None:
    storm, over = CHANGED, CHANGED + timedelta(days=2)
    world = World(seed=6, changes={storm: Change(lost=0.55, noise=3.0), over: Change()}).run(60)
    kinds = {alarm.kind for _, what, alarm in world.history if what == "open"}
    assert kinds == {"outcomes"}
    _, alarm = world.alarms("outcomes")[0]
    assert alarm.severity == "note" and "of 225 arrived" in alarm.says and "not judged" in alarm.says
