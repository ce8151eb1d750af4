"""The demo as one command: a story for a person, one JSON object for a program."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.command import Said, millstream, started

KEYS = {
    "seconds", "copied_bytes", "tables", "model", "predictions", "outcomes", "lost", "alarms", "retrains", "releases",
    "rollback_ms", "latency_ms", "reproduced", "verify",
}  # fmt: skip


def demo(folder: Path, until: str | None) -> Said:
    span = ("--until", until) if until else ()
    return millstream("demo", "--exit", "--json", "--dir", folder, *span, timeout_s=900)


def summary(said: Said) -> dict[str, Any]:
    """The one object on standard output; the story went to standard error."""
    assert said.code == 0, said.err[-3000:]
    told: dict[str, Any] = json.loads(said.out)
    assert set(told) == KEYS
    assert "Traceback" not in said.err
    assert told["copied_bytes"] == 0 and told["lost"] == 0
    assert told["reproduced"] is True and told["verify"] is True
    assert set(told["tables"]) == {"schedule", "movements", "weather", "planes", "airports", "flights"}
    assert all(set(each) == {"version", "rows", "quarantined"} for each in told["tables"].values())
    assert all(isinstance(each["rows"], int) for each in told["tables"].values())
    model = told["model"]
    assert set(model) == {"name", "version", "goal", "value", "baselines"}
    assert (model["name"], model["goal"]) == ("late", "roc_auc") and model["value"] > max(model["baselines"].values())
    assert told["predictions"] >= told["outcomes"] > 0
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]
    fields = {"kind", "subject", "at", "planted", "noticed_after_days"}
    assert told["alarms"] and all(set(each) == fields for each in told["alarms"])
    return told


@pytest.mark.nightly
def test_the_demo_tells_its_story_and_prints_one_object(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = summary(demo(folder, "2013-02-12"))
    assert told["tables"]["movements"]["version"] == 43 and told["predictions"] > 2000
    assert not [each for each in told["alarms"] if each["kind"] in ("performance", "harm")], "a blizzard is no harm"
    assert not [each for each in told["alarms"] if each["planted"]]
    # the folder is an ordinary project, on which every other command works
    status = millstream("status", "--json", "-p", folder).record
    assert status["predictions"] == told["predictions"] and status["models"][0]["live"]["version"] == 1
    assert status["clock"] and status["now"].startswith("2013-02-13")
    assert not status["servers"], "--exit leaves nothing running"
    again = millstream("ingest", "--json", "-p", folder)
    assert again.code == 0 and again.record["versions"] == []
    _a_second_run_starts_anew_and_can_be_stopped(folder)


def _a_second_run_starts_anew_and_can_be_stopped(folder: Path) -> None:
    (folder / "note.txt").write_text("of the run before")
    running = started("demo", "--exit", "--json", "--dir", folder)
    assert running.stderr is not None and running.stdout is not None
    said = ""
    while "page fills" not in " ".join(said.split()):
        line = running.stderr.readline()
        assert line, said
        said += line
    assert "starts anew" in " ".join(said.split()) and not (folder / "note.txt").exists()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "stopped" in err and "Traceback" not in err, err
    assert out == ""
    assert not millstream("status", "--json", "-p", folder).record["servers"]


@pytest.mark.parametrize("what", ["a file", "a project"])
def test_a_folder_that_is_no_demo_is_refused_and_left_alone(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    mine = folder / ("thesis.txt" if what == "a file" else "millstream.toml")
    mine.write_text("# years of work\n")
    if what == "a project":
        (folder / ".millstream").mkdir()
    before = sorted(folder.rglob("*"))
    said = demo(folder, "2013-02-02")
    assert said.code == 5 and json.loads(said.out)["title"] == "Conflict"
    assert sorted(folder.rglob("*")) == before and mine.read_text() == "# years of work\n"


@pytest.mark.parametrize(("until", "code"), [("2013-13-40", 2), ("2014-05-01", 2)])
def test_a_day_outside_the_replay_is_refused(tmp_path: Path, until: str, code: int) -> None:
    said = demo(tmp_path / "demo", until)
    assert said.code == code and until in said.err and "Traceback" not in said.err
    assert not (tmp_path / "demo").exists()


def test_the_whole_story(tmp_path: Path) -> None:
    told = summary(demo(tmp_path / "demo", None))
    planted = [each for each in told["alarms"] if each["planted"]]
    assert {each["subject"].partition(".")[0] for each in planted} == {"weather", "movements"}
    assert all(each["noticed_after_days"] <= 1 for each in planted), planted
    assert [each for each in told["alarms"] if not each["planted"]], "real causes show unplanted"
    assert told["retrains"] >= 2 and told["releases"] >= 3
    assert told["rollback_ms"] is not None and told["rollback_ms"] <= 2000
    february = [each for each in told["alarms"] if "2013-02-08" <= each["at"] <= "2013-02-16"]
    assert "outcomes" in {each["kind"] for each in february}
    assert not {each["kind"] for each in february} & {"performance", "harm"}


def test_with_ask_a_person_decides_and_no_request_is_sent_before(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    running = started("demo", "--ask", "--exit", "--json", "--until", "2013-02-02", "--dir", folder)
    assert running.stderr is not None
    said = ""
    while "waits for you" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    assert millstream("approve", "-m", "as I say", "-p", folder, "--json").record["status"] == "approved"
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0 and "live, as you decided" in " ".join(err.split()), err
    told = json.loads(out)
    asked = int("".join(each for each in err.partition("decisions over HTTP")[0].split()[-1] if each.isdigit()))
    assert told["predictions"] == asked > 200, "every request was answered"
