"""Step 7: a retrain goes live under traffic without a failed request, and a bad release goes back at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millstream.state import decisions, jobs
from tests.awaited import until
from tests.journeys.answered import logged
from tests.journeys.conftest import FIRST, Prepared
from tests.journeys.house import APPROVER, MODEL, TRAINER, Answers, Up


@pytest.fixture(scope="module")
def up(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    house = prepared.house.copy(tmp_path_factory.mktemp("acted") / "mill")
    with house.up() as up:
        up.answering()
        up.turn(FIRST)
        yield up


def whole(up: Up, answers: Answers, releases: dict[int, str]) -> None:
    """Every request was answered, each by exactly one named release, as the log has it."""
    assert not answers.refused and not answers.broken and len(answers.given) > 100
    kept = logged(up.house)
    for each in answers.given:
        said = kept[each["id"]]
        assert (said.version, said.value, said.answered_by) == (each["version"], each["value"], each["answered_by"])
        assert said.release == releases[said.version] and each["answered_by"] == "champion"


def test_a_retrain_is_decided_approved_and_swapped_under_traffic(up: Up) -> None:
    day = up.house.decisions(FIRST)
    with up.traffic(day) as answers:
        asked = up.command("retrain", model=MODEL, reason="a month is over", actor="ann")
        assert asked["status"] == "waiting" and asked["decision"] is not None, asked
        (waiting,) = up.command("status")["decisions"]
        assert waiting["id"] == asked["decision"] and "roc_auc" in waiting["says"] and waiting["passed"] is True
        assert {each["version"] for each in answers.given} == {1}, "nothing changes before somebody approves"
        approved = up.command("approve", decision=asked["decision"], reason="no worse", actor=APPROVER)
        after = up.ask(day[:60])
    assert approved["version"] == 2 and approved["ms"] < 2000
    assert {each["version"] for each in after.given} == {2}, "law 7: none of an older one once release has returned"
    assert {each["version"] for each in answers.given} == {1, 2}
    with up.house.opened_beside() as project:
        whole(up, answers, {each.version: each.id for each in project.releases.history(MODEL)})
        assert len(decisions.about(project.state, project.releases.named(MODEL, 2).id)) == 1
        until(lambda: not jobs.at_work(project.state), "the job has ended")
        (job,) = jobs.recent(project.state)
        assert (job.status, job.model, job.actor) == ("done", MODEL, "ann")


def test_a_bad_release_goes_back_live_within_two_seconds(up: Up) -> None:
    day = up.house.decisions(FIRST)
    before = up.command("status")["models"][0]["live"]["version"]
    trained = up.command("train", model=MODEL, until="2013-01-17", note="a bad idea", actor=TRAINER)
    asked = up.command("release", model=MODEL, version=trained["version"], actor=TRAINER)
    with up.traffic(day) as answers:
        until(lambda: len(answers.given) > 50, "traffic")
        live = up.command("approve", decision=asked["decision"], reason="against the verdict", actor=APPROVER)
        bad = live["version"]
        until(lambda: sum(each["version"] == bad for each in answers.given) > 50, "answers of the bad release")
        rolled = up.command("rollback", model=MODEL, reason="worse", actor="on call")
        after = up.ask(day[:60])
    assert rolled["version"] == before and rolled["ms"] <= 2000
    assert {each["version"] for each in after.given} == {before}
    with up.house.opened_beside() as project:
        whole(up, answers, {each.version: each.id for each in project.releases.history(MODEL)})
        assert project.tracking.alias(MODEL) == project.releases.named(MODEL, before).model_version
    said = up.command("status")
    assert said["models"][0]["live"]["version"] == before
    assert said["timeline"][0]["kind"] == "rollback"
