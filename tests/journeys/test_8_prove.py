"""Step 8: any answer, any version and all of it can be shown to be what it claims, and a flipped bit is named."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from millstream.errors import IntegrityError, NotFound
from tests.journeys.command import millstream
from tests.journeys.conftest import February
from tests.journeys.house import APPROVER, MODEL, TRAINER, House


@pytest.fixture
def lived(february: February, tmp_path: Path) -> House:
    """A copy of the project that has lived through February."""
    return february.house.copy(tmp_path / "mill")


def flip(file: Path, *, at: float = 0.5) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 1
    file.write_bytes(data)


def test_why_says_how_an_answer_came_about_and_recomputes_it(february: February) -> None:
    days = list(february.answers.values())
    given = [days[place].given[len(days[place].given) // 2] for place in (0, len(days) // 2, -1)]
    told = [february.house.run("why", prediction=each["id"]) for each in given[:2]]
    told.append(millstream("why", given[2]["id"], "--json", "-p", february.house.root).record)
    for said, answer in zip(told, given, strict=True):
        assert (said["value"], said["version"], said["answered_by"]) == (answer["value"], 1, "champion")
        assert said["recomputed"]["equal"], said
        assert said["approved_by"] == APPROVER and len(said["features"]) > 10
        assert {"flights", "weather", "airports"} <= set(said["tables"])
    assert told[0]["tables"]["flights"] < told[2]["tables"]["flights"]
    with pytest.raises(NotFound):
        february.house.run("why", prediction=given[0]["id"] + "9999999")


def test_an_auditor_gets_an_answer_from_a_record_for_each_question(february: February) -> None:
    said = february.house.run("audit", subject=f"{MODEL}@champion")
    answers = {each["question"]: each["answer"] for each in said["answers"]}
    assert "weather@31" in answers["Which data?"] and "movements@31" in answers["Which data?"]
    assert APPROVER in answers["Who approved it?"] and answers["Is the bundle intact?"].startswith("yes")
    assert not [name for name, answer in answers.items() if not answer or "unknown" in str(answer)], answers
    acts = [each["act"] for each in said["history"]]
    wanted = ["model.register", "release.build", "release.rehearse", "decision.ask", "decision.approve", "pointer.swap"]
    assert [each for each in acts if each in wanted] == wanted
    assert said["history"][0]["actor"] == TRAINER


def test_the_live_version_trains_again_to_the_same_bytes(february: February) -> None:
    said = february.house.run("reproduce", subject=f"{MODEL}@champion")
    assert said["equal"] and said["subject"] == f"{MODEL}@1", said


def test_verify_holds_for_a_project_that_has_lived(february: February) -> None:
    said = millstream("verify", "--json", "-p", february.house.root)
    assert said.code == 0 and said.record["ok"], said.record
    subjects = {each["subject"] for each in said.record["findings"]}
    assert {"ledger", "movements", "flights", "planes", f"{MODEL}@1"} <= subjects


def test_verify_names_a_changed_ledger_row(lived: House) -> None:
    with sqlite3.connect(lived.places.state_db) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")  # whoever can write the file can do this too
        number, body = next(
            (number, bytes(body))
            for number, body in database.execute("SELECT sequence, body FROM ledger ORDER BY sequence")
            if b"better than the simple rule" in bytes(body)
        )
        body = body.replace(b"better than", b"bettes than")
        database.execute("UPDATE ledger SET body = ? WHERE sequence = ?", (body, number))
    database.close()
    said = millstream("verify", "--json", "-p", lived.root)
    assert said.code == 8 and not said.record["ok"]
    bad = [each for each in said.record["findings"] if not each["ok"]]
    assert [each["subject"] for each in bad] == ["ledger"] and str(number) in bad[0]["says"], bad


@pytest.mark.parametrize("name", ["model.txt", "plan.json", "baseline.json", "release.json", "signature"])
def test_verify_names_a_flipped_bit_in_a_bundle_and_it_is_never_live(lived: House, name: str) -> None:
    (bundle,) = [each for each in lived.places.releases.iterdir() if not each.name.startswith(".")]
    (bundle / name).chmod(0o644)
    flip(bundle / name)
    with lived.opened() as project:
        said = project.run("verify")
        bad = [each for each in said["findings"] if not each["ok"]]
        assert [each["subject"] for each in bad] == [f"{MODEL}@1"], bad
        assert said["exit_code"] == 8
        if name != "signature":
            assert name in bad[0]["says"], bad
        with pytest.raises(IntegrityError):
            project.releases.open(project.releases.live(MODEL))  # type: ignore[arg-type]


def test_verify_names_a_flipped_bit_in_a_lake_file(lived: House) -> None:
    (file,) = (lived.places.lake / "planes").rglob("*.parquet")
    flip(file)
    said = lived.run("verify")
    bad = [each for each in said["findings"] if not each["ok"]]
    assert [each["subject"].partition("@")[0] for each in bad] == ["planes"] and file.name in bad[0]["says"], bad


def test_verify_names_an_attached_file_that_is_not_as_registered(lived: House) -> None:
    file = lived.root / "ops/movements/movements-2013-01-15.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    bad = [each for each in lived.run("verify")["findings"] if not each["ok"]]
    assert [each["subject"].partition("@")[0] for each in bad] == ["movements"] and file.name in bad[0]["says"], bad


def test_an_auditor_is_told_when_the_state_says_another_approver_than_the_ledger(house: House) -> None:
    with sqlite3.connect(house.places.state_db) as database:
        assert database.execute("UPDATE decisions SET decided_by = 'zoe'").rowcount
    database.close()
    said = house.run("audit", subject=f"{MODEL}@1")
    answers = {each["question"]: each["answer"] for each in said["answers"]}
    assert said["exit_code"] == 8 and "zoe" in answers["Who approved it?"]
    assert answers["Is this as the ledger tells?"].startswith("NO: decision 1") and APPROVER in str(answers)
    assert house.run("verify")["exit_code"] == 8


@pytest.mark.parametrize("name", ["training.json", "environment.lock", "plan.json"])
def test_nothing_is_quoted_from_a_broken_bundle_and_nothing_proved_by_it(house: House, name: str) -> None:
    (bundle,) = [each for each in house.places.releases.iterdir() if not each.name.startswith(".")]
    (bundle / name).unlink()
    said = house.run("audit", subject=f"{MODEL}@1")
    answers = {each["question"]: each["answer"] for each in said["answers"]}
    assert said["exit_code"] == 8 and answers["Is the bundle intact?"].startswith("NO") and name in str(answers)
    assert "cannot be said" in answers["Which data?"] and "cannot be said" in answers["How good?"]
    with pytest.raises(IntegrityError):
        house.run("reproduce", subject=f"{MODEL}@1")


def test_what_proving_read_is_on_the_ledger(february: February) -> None:
    with february.house.opened() as project:
        project.run("sql", {"query": "select carrier, count(*) from flights group by 1", "actor": "ann"})
        (row,) = project.ledger.rows(limit=1)
        assert (row.act, row.actor) == ("table.read", "ann") and "flights@" in row.subject
        assert "select carrier" in json.dumps(row.detail)
        assert project.ledger.verify().ok
