"""Readiness follows from what is recorded: it moves when the record does, and says which command moves it."""

from pathlib import Path

import pytest

from millstream.project import Project
from millstream.state import alarms, jobs, observations, releases
from tests.console.test_decision import drawn
from tests.server import example

POINTS = [
    "packaging", "retraining", "audit", "mode", "scale", "business involvement", "environment", "rollback and failover",
]  # fmt: skip


@pytest.fixture
def opened(project):
    with Project(project, lock=True) as found:
        yield found


def points(project):
    found = project.run("ready", {"model": "late"})
    assert [each["point"] for each in found["points"]] == POINTS
    assert found["yes"] == sum(each["ready"] == "yes" for each in found["points"])
    for each in found["points"]:
        assert each["evidence"] if each["ready"] == "yes" else each["do"], each
    return {each["point"]: each for each in found["points"]}


def test_before_anything_is_done_nothing_is_ready(tmp_path, tmp_path_factory):
    with Project(example.new(tmp_path_factory, tmp_path / "new"), lock=True) as project:
        found = points(project)
        assert {each["ready"] for each in found.values()} == {"no", "partly"}
        assert found["packaging"]["do"] == "millstream train late"
        page = drawn(project, "look", model="late")
        assert "0 of 8 points" in page.text
        assert "The table flights was not read yet" in page.text
        assert "No answer was judged yet" in page.text
        assert "Nothing was checked or judged yet" in drawn(project, "status").text
        assert "asks for one" in drawn(project, "decisions").text


def test_what_is_live_gives_its_evidence(opened):
    found = points(opened)
    row = releases.named(opened.state, "late", 1)
    assert found["packaging"]["ready"] == "yes"
    assert row.id[:16] in found["packaging"]["evidence"]
    assert found["business involvement"]["ready"] == "yes"
    assert found["business involvement"]["evidence"].startswith("decision 1;")
    assert "ada, who did not train it" in found["business involvement"]["says"]
    assert found["environment"]["ready"] == "yes"
    assert found["rollback and failover"]["ready"] == "partly"
    assert "no version before it" in found["rollback and failover"]["says"]
    assert (found["mode"]["ready"], found["mode"]["do"]) == ("partly", "millstream up")
    assert (found["audit"]["ready"], found["audit"]["do"]) == ("partly", "millstream verify")
    page = drawn(opened, "look", model="late")
    assert "/decisions/1" in page.links
    for name in POINTS:
        assert name in page.text


def test_it_moves_with_the_record(opened):
    opened.run("verify", {"actor": "ann"})
    assert points(opened)["audit"]["do"] == "millstream reproduce late@1"
    opened.ledger.record(actor="ann", act="model.reproduce", subject="late@1", detail={"equal": False})
    assert points(opened)["audit"]["ready"] == "partly"
    opened.ledger.record(actor="ann", act="model.reproduce", subject="late@1", detail={"equal": True})
    assert points(opened)["audit"]["ready"] == "yes"
    with opened.state.transact() as tx:
        at = {"asked_at": "2013-02-01T05:00:00+00:00", "actor": "x", "reason": "y"}
        jobs.start(tx, jobs.Job(id="r1", kind="retrain", model="late", status="running", step="", **at))
        jobs.finish(tx, "r1", status="done", at="2013-02-02T05:00:00+00:00", result=None)
        measured = {"model": "late", "threshold": None, "verdict": "ok", "says": "", "day": "2013-02-01"}
        observations.put(tx, [
            observations.Observation(kind="latency", subject="p95", value=3.5, **measured),
            observations.Observation(kind="totals", subject="predictions", value=12_345.0, **measured),
        ])  # fmt: skip
    found = points(opened)
    assert found["retraining"]["evidence"] == "job r1"
    assert "3.5 ms of the 100 ms allowed" in found["scale"]["says"]
    assert "12,345 answers" in found["mode"]["says"]
    assert [name for name, each in found.items() if each["ready"] != "yes"] == ["rollback and failover"]
    opened.run("approve", {"decision": 2, "reason": "better", "actor": "ada"})
    after = points(opened)
    assert "puts late@1 back" in after["rollback and failover"]["says"]
    assert after["audit"]["do"] == "millstream reproduce late@2"  # nobody has rebuilt this one


def test_a_spoilt_bundle_is_not_packaged(opened):
    spoilt = Path(releases.named(opened.state, "late", 1).path) / "model.txt"
    spoilt.chmod(0o644)
    spoilt.write_text("something else")
    found = points(opened)
    assert found["packaging"]["ready"] == "no"
    assert found["environment"]["ready"] == "no"
    assert "is not whole" in found["packaging"]["says"]


def test_too_slow_is_no_and_alarms_of_the_model_stand_on_its_page(opened):
    with opened.state.transact() as tx:
        slow = observations.Observation(
            day="2013-02-01", model="late", kind="latency", subject="p95", value=400.0, threshold=None, verdict="bad",
            says="",
        )  # fmt: skip
        observations.put(tx, [slow])
        at = "2013-02-01T05:00:00+00:00"
        for model in ("late", "another", ""):
            alarms.put(tx, alarms.Alarm(
                id=f"of {model}", model=model, kind="drift", subject=f"of {model or 'data'}",
                severity="warn", value=1.0, threshold=0.5, opened_at=at, since=at, last_at=at, says="moved",
                next="millstream retrain late",
            ))  # fmt: skip
    assert points(opened)["scale"]["ready"] == "no"
    page = drawn(opened, "look", model="late")
    assert "2 open" in page.text
    assert "of late" in page.text
    assert "of data" in page.text
    assert "of another" not in page.text
    assert "Next: millstream retrain late" in page.text
