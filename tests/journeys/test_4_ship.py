"""Step 4: signed, rehearsed, approved by somebody else, and only then live."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from millstream.errors import Refused
from millstream.project.models import ship
from millstream.project.wheel import ProjectSteps
from millstream.state import jobs
from tests.journeys.command import millstream
from tests.journeys.conftest import February, Prepared
from tests.journeys.house import APPROVER, MODEL, TRAINER, House


def test_a_release_is_signed_and_its_rollback_rehearsed(prepared: Prepared) -> None:
    said = prepared.said["release"]
    assert said["rehearsal"].startswith("200 requests answered as at training")
    with prepared.house.opened() as project:
        live = project.releases.live(MODEL)
        assert live is not None and live.id == said["release"]
        opened = project.releases.open(live)
        folder = Path(live.path)
        assert folder.name == live.id and (folder / "signature").exists() and opened.key
        named = {file.name for file in folder.iterdir()} - {"release.json", "signature"}
        assert named == set(opened.said.files)


def test_the_one_who_trained_cannot_approve(house: House) -> None:
    trained = house.run("train", model=MODEL, until="2013-01-29", actor=TRAINER)
    asked = house.run("release", model=MODEL, version=trained["version"], actor="ben")
    assert house.run("reject", actor=APPROVER, reason="not now")["status"] == "rejected"
    assert house.run("status")["models"][0]["live"]["version"] == 1, "nothing changes for callers"
    asked = house.run("release", model=MODEL, version=trained["version"], actor="ben")
    for name in (TRAINER, TRAINER.upper(), f" {TRAINER} ", "ben", "system:loop"):
        with pytest.raises(Refused):
            house.run("approve", decision=asked["decision"], actor=name, reason="mine is good")
    refused = millstream("approve", "-m", "mine is good", "--json", "-p", house.root, actor=TRAINER)
    assert refused.code == 4 and TRAINER in refused.err and refused.record["title"] == "Refused"
    waiting = millstream("status", "--json", "-p", house.root).record
    assert [each["id"] for each in waiting["decisions"]] == [asked["decision"]]
    assert waiting["models"][0]["live"]["version"] == 1
    approved = millstream("approve", "-m", "looked at it", "--json", "-p", house.root, actor=APPROVER)
    assert approved.code == 0 and approved.record["version"] == 2, approved
    with house.opened() as project:
        acts = [(each.act, each.actor) for each in project.ledger.rows(newest=True, limit=8)]
        assert ("decision.approve", APPROVER) in acts and ("pointer.swap", APPROVER) in acts
        assert project.tracking.alias(MODEL) == trained["version"]


def test_a_loop_that_comes_late_does_not_undo_a_rollback(february: February, tmp_path: Path) -> None:
    """Approved, live, rolled back; only then the loop wakes up and finds the approval."""
    house = february.house.copy(tmp_path / "mill")
    with house.opened() as project:
        trained = project.run("train", {"model": MODEL, "until": "2013-01-29", "actor": TRAINER})
        asked = project.run("release", {"model": MODEL, "version": trained["version"], "actor": TRAINER})
        project.run("approve", {"actor": APPROVER, "reason": "looked at it"})
        project.run("rollback", {"model": MODEL, "actor": APPROVER, "reason": "worse"})
        job = jobs.Job(
            id="retrain-late-1", kind="retrain", model=MODEL, status="waiting", step="approval", asked_at="",
            actor=TRAINER, reason="a month is over",
        )  # fmt: skip
        ProjectSteps(project, project.run).swap(job, {"release": asked})
        assert project.releases.live(MODEL).version == 1  # type: ignore[union-attr]


def test_the_trainer_of_a_version_is_not_that_of_a_longer_number(house: House) -> None:
    with house.opened() as project:
        project.ledger.record(actor="zoe", act="model.register", subject=f"{MODEL}@10")
        assert ship.trainer(project, MODEL, 1) == TRAINER


def test_uncommitted_definitions_are_not_released(house: House) -> None:
    if shutil.which("git") is None:
        pytest.skip("without git a snapshot stands in, and nothing can be uncommitted")
    with (house.root / "flights.py").open("a") as file:
        file.write("\n# a thought\n")
    with pytest.raises(Refused, match="uncommitted"):
        house.run("release", model=MODEL)
    assert house.run("status")["models"][0]["releases"] == 1
