from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import Conflict, Unavailable
from millstream.loop import durable
from millstream.loop.durable import Durable
from millstream.state import State, jobs
from tests.loop.works import STEPS, Transient, Works, open_loop

Opener = Callable[..., tuple[Durable, Works]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Opener]:
    started: list[Durable] = []

    def opened(**faults: Any) -> tuple[Durable, Works]:
        works = Works(tmp_path, **faults)
        loop = open_loop(tmp_path, works)
        loop.start()
        started.append(loop)
        return loop, works

    yield opened
    for each in started:
        each.stop()
        each.retraining.state.close()


def ended(loop: Durable, job_id: str) -> jobs.Job:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        job = jobs.get(loop.retraining.state, job_id)
        if job.ended_at is not None:
            return job
        time.sleep(0.005)
    raise AssertionError(f"{job} did not end")


def acts(loop: Durable) -> list[str]:
    rows = loop.retraining.ledger.rows(act="loop.", newest=False)
    return [f"{each.act} {each.detail.get('step', '')}".strip() for each in rows]


def test_a_retrain_goes_all_the_way_and_is_written_down(start: Opener, tmp_path: Path) -> None:
    loop, works = start()
    job, new = loop.begin("late", actor="ann", reason="by hand")
    same, second = loop.begin("late", actor="bob", reason="me too")
    assert new and not second and same.id == job.id
    waiting = loop.join(job.id, timeout_s=20)
    assert (waiting.status, waiting.step) == ("waiting", "approval")
    assert loop.look() == []
    (tmp_path / "decision").write_text("approved")
    loop.look()
    loop.look()  # noticed twice, swapped once
    job = ended(loop, job.id)
    assert (job.status, job.result) == ("done", {"generation": 2, "release": "abc"})
    assert works.effects == [f"{job.id} {each}" for each in STEPS]
    steps = jobs.steps(loop.retraining.state, job.id)
    assert [each.name for each in steps] == ["candidate", "backtest", "gate", "release", "ask", "approval", "swap"]
    assert {each.status for each in steps} == {"done"} and {each.attempts for each in steps} == {1}
    assert acts(loop) == ["loop.start", *(f"loop.step {each.name}" for each in steps), "loop.end"]
    assert loop.retraining.ledger.verify().ok
    (tmp_path / "decision").unlink()
    again, new = loop.begin("late", actor="ann", reason="next week")
    assert new and again.id != job.id


def test_a_failed_gate_ends_with_its_verdict(start: Opener) -> None:
    loop, works = start(passes=False)
    job, _ = loop.begin("late", actor="ann", reason="x")
    job = ended(loop, job.id)
    assert job.status == "refused" and job.result is not None and not job.result["passed"]
    assert works.effects[-1] == f"{job.id} gate"
    assert acts(loop)[-1] == "loop.end"


def test_a_rejection_ends_it_without_a_swap(start: Opener, tmp_path: Path) -> None:
    loop, works = start()
    job, _ = loop.begin("late", actor="ann", reason="x")
    loop.join(job.id, timeout_s=20)
    (tmp_path / "decision").write_text("rejected")
    assert ended(loop, job.id).status == "rejected"
    assert f"{job.id} swap" not in works.effects


def test_a_waiting_job_can_be_cancelled_and_stays_cancelled(start: Opener, tmp_path: Path) -> None:
    loop, works = start()
    job, _ = loop.begin("late", actor="ann", reason="x")
    loop.join(job.id, timeout_s=20)
    assert loop.cancel(job.id, actor="bob", reason="not now").status == "cancelled"
    (tmp_path / "decision").write_text("approved")
    assert loop.look() == [] and f"{job.id} swap" not in works.effects
    with pytest.raises(Conflict, match="has ended"):
        loop.cancel(job.id, actor="bob", reason="again")


def test_a_transient_failure_is_tried_again_and_a_lasting_one_ends_the_job(
    start: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_PAUSE_S", 0.001)
    loop, _ = start(
        fail={
            "candidate": [Transient("disk busy"), Transient("disk busy")],
            "release": [ValueError("a bug")],
            "backtest": [],
        }
    )
    job, _ = loop.begin("late", actor="ann", reason="x")
    job = ended(loop, job.id)
    assert job.status == "failed" and job.result == {"step": "release", "error": "ValueError", "says": "a bug"}
    attempts = {each.name: each.attempts for each in jobs.steps(loop.retraining.state, job.id)}
    assert attempts["candidate"] == 3
    loop.retraining.steps.fail["candidate"] = [Transient("down")] * 3  # type: ignore[attr-defined]
    job, new = loop.begin("late", actor="ann", reason="y")
    assert new and ended(loop, job.id).status == "failed"


def test_work_needs_a_running_loop(tmp_path: Path) -> None:
    loop = open_loop(tmp_path, Works(tmp_path))
    with pytest.raises(Unavailable, match="not running"):
        loop.begin("late", actor="ann", reason="x")
    loop.start()  # what was written down is begun
    job = loop.join("retrain-late-1", timeout_s=20)
    loop.stop()
    assert job.status == "waiting"


def test_killed_at_every_step_it_resumes_with_each_effect_once(tmp_path: Path) -> None:
    points = [f"{step}:{when}" for step in STEPS[:-1] for when in ("before", "after")]
    points += ["waiting", "swap:before", "swap:after", "end"]
    command = [sys.executable, "-m", "tests.loop.killed", str(tmp_path), *points]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [f"{each} killed" for each in points[:-1]] + ["end exit 0"], done.stderr
    works, state = Works(tmp_path), State(tmp_path / "state.db")
    job = jobs.get(state, "retrain-late-1")
    assert (job.status, job.result) == ("done", {"generation": 2, "release": "abc"})
    assert works.effects == [f"{job.id} {each}" for each in STEPS]
    loop = open_loop(tmp_path, works)
    steps = jobs.steps(state, job.id)
    assert acts(loop) == ["loop.start", *(f"loop.step {each.name}" for each in steps), "loop.end"]
    assert {each.name: each.attempts for each in steps if each.name != "approval"} == dict.fromkeys(STEPS, 3)
    assert loop.retraining.ledger.verify().ok
