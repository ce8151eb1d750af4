"""kill -9 anywhere: the loop ends where it would have, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from millstream.errors import MillstreamError
from millstream.project import Project
from millstream.state import decisions, jobs, outbox, pointer
from tests.awaited import until
from tests.journeys.answered import logged
from tests.journeys.conftest import FIRST, Prepared
from tests.journeys.doomed import FILE, POINTS
from tests.journeys.house import APPROVER, MODEL, House, Up

AFTER_EFFECTS = ("end:candidate", "end:release", "end:swap")


def tell(up: Up, command: str, **arguments: str | int) -> None:
    """Ask for something; whether the one who asks lives to hear of it does not matter."""
    try:
        up.command(command, **arguments)
    except MillstreamError as wrong:
        assert not wrong.terminal, wrong


def job_of(project: Project) -> jobs.Job | None:
    found = jobs.recent(project.state)
    return found[0] if found else None


def doomed_retrain(house: House, points: tuple[str, ...]) -> None:
    """Retrain to the end, through a control plane that dies at every one of these points."""
    (house.root / FILE).write_text("\n".join(points))
    with house.up() as up, house.opened_beside() as project:
        up.answering()
        tell(up, "retrain", model=MODEL, reason="a month is over", actor="ann")
        until(lambda: (job := job_of(project)) and job.status == "waiting", "it asks", within_s=120)
        (asked,) = decisions.waiting(project.state, MODEL)
        tell(up, "approve", decision=asked.id, reason="no worse", actor=APPROVER)
        until(lambda: (job := job_of(project)) and job.ended_at, "it ends", within_s=60)
        until(up.control.alive, "control plane up")
        until(lambda: not outbox.pending(project.state), "the registry is told")
    died = [line.split()[0] for line in (house.root / f"{FILE}.log").read_text().splitlines()]
    assert died == list(points), "it died everywhere it was told to"


def each_effect_once(house: House) -> None:
    """The retrain ended as one that nobody disturbed, and did each thing outside once."""
    with house.opened() as project:
        (job,) = jobs.recent(project.state)
        assert (job.status, job.model) == ("done", MODEL), job
        runs = [each for each in project.tracking.runs(MODEL, limit=50) if each.tags.get("millstream.job") == job.id]
        assert len(runs) == 1
        releases = project.releases.history(MODEL)
        assert [each.version for each in releases] == [2, 1]
        assert releases[0].status == "live" and releases[0].model_version == 2
        assert [each.status for each in decisions.about(project.state, releases[0].id)] == ["approved"]
        at = pointer.get(project.state, MODEL)
        assert (at.release, at.previous, at.generation) == (releases[0].id, releases[1].id, 2)
        assert project.tracking.alias(MODEL) == 2
        rows = project.ledger.rows(limit=10_000, newest=False)
        steps = Counter(each.detail["step"] for each in rows if each.act == "loop.step")
        assert set(steps.values()) == {1} and len(steps) == 7, steps
        once = ("loop.start", "loop.end")
        assert all(sum(each.act == act for each in rows) == 1 for act in once)
        for act, subject in (
            ("model.register", f"{MODEL}@2"),
            ("release.build", f"{MODEL}@2"),
            ("decision.ask", f"{MODEL}@2"),
            ("decision.approve", f"{MODEL}@2"),
            ("pointer.swap", f"{MODEL}@2"),
        ):
            assert sum(each.act == act and each.subject == subject for each in rows) == 1, act
        assert project.run("verify")["ok"]


def test_a_control_plane_killed_after_each_effect_does_it_once(house: House) -> None:
    doomed_retrain_with(house, AFTER_EFFECTS)


@pytest.mark.nightly
def test_a_control_plane_killed_at_every_step_ends_where_it_would_have(house: House) -> None:
    doomed_retrain_with(house, POINTS)


def doomed_retrain_with(house: House, points: tuple[str, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("millstream.server.supervisor.CONTROL", "tests.journeys.doomed", raising=True)
        patch.chdir(Path(__file__).parents[2])  # the processes find the tests from here
        doomed_retrain(house, points)
    each_effect_once(house)


def test_a_scoring_server_killed_under_load_loses_nothing_acknowledged(prepared: Prepared, tmp_path: Path) -> None:
    house, back_s = prepared.house.copy(tmp_path / "mill"), []
    with house.up() as up:
        up.answering()
        up.turn(FIRST)
        day = house.decisions(FIRST)
        with up.traffic(day) as answers:
            for _ in range(5):
                seen = len(answers.given)
                until(lambda seen=seen: len(answers.given) > seen + 40, "load")
                process = up.supervisor.scoring.process
                assert process is not None
                os.kill(process.pid, signal.SIGKILL)
                killed = time.monotonic()
                until(lambda old=process: up.supervisor.scoring.process is not old, "started again")
                before = len(answers.given)
                until(lambda before=before: len(answers.given) > before, "answers again")
                back_s.append(time.monotonic() - killed)
            seen = len(answers.given)
            until(
                lambda: len(answers.given) > seen and answers.given[-1]["answered_by"] == "champion",
                "the champion answers again",
            )
        up.turn(FIRST.replace(day=2))
        lost = up.command("lost", ids=answers.ids)
    assert lost["lost"] == 0 and lost["asked"] == len(answers.ids) > 200, lost
    assert len(set(answers.ids)) == len(answers.ids)
    kept = logged(house)
    for each in answers.given:
        assert (kept[each["id"]].value, kept[each["id"]].version) == (each["value"], each["version"])
    assert not answers.refused, "a request gets an answer, or its connection breaks"
    assert len(answers.broken) <= 5 * 8 * 4, "only the connections that were open broke"
    assert min(back_s) < 5.0, back_s
    assert house.run("verify")["ok"]
