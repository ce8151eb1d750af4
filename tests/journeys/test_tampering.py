"""What somebody who can write the project's folder changes is noticed by `verify`, which names it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from millstream.errors import IntegrityError, UserError
from millstream.project.root import Project

DEFINITIONS = """
from lightgbm import LGBMRegressor
from millstream import Each, FeatureView, Model, Table, checks, features as f, sources
rides = Table("rides", source=sources.Csv("rides.csv"), key="ride", checks=[checks.between("km", 0, 100)])
stops = Table("stops", source=sources.Delta("stops"), key="stop")
ask = FeatureView("ask", of=f.Request(km="double"), features=dict(km="km"))
fare = Model("fare", rows=Each(rides), label="fare", features=[ask], metrics=["mae"], goal="mae",
             estimator=LGBMRegressor(n_estimators=5, min_child_samples=5, verbosity=-1))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "project"
    root.mkdir()
    (root / "millstream.toml").write_text('name = "rides"\n')
    (root / "definitions.py").write_text(DEFINITIONS)
    km = [float(each % 97) for each in range(300)] + [400.0]
    pl.DataFrame({"ride": range(301), "km": km, "fare": [3 + 2 * each for each in km]}).write_csv(root / "rides.csv")
    pl.DataFrame({"stop": ["a", "b"], "zone": [1, 2]}).write_delta(root / "stops")
    for words in (["init", "-q"], ["add", "*.py"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    with Project(root, lock=True) as project:
        assert project.run("check")["exit_code"] == 0
        project.run("train", {"model": "fare", "actor": "tess"})
        project.run("train", {"model": "fare", "actor": "tess"})
        project.run("release", {"model": "fare", "dirty": True, "actor": "tess"})
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(made, tmp_path / "project")
    with Project(tmp_path / "project", lock=True) as opened:
        yield opened


def bad(project: Project, **words: Any) -> list[str]:
    said = project.run("verify", words)
    wrong = [f"{each['subject']}: {each['says']}" for each in said["findings"] if not each["ok"]]
    assert bool(wrong) == (said["exit_code"] == 8) and said["ok"] == (not wrong)
    return wrong


def test_nothing_was_changed(project: Project) -> None:
    assert bad(project) == []
    said = {each["subject"]: each["says"] for each in project.run("verify")["findings"]}
    assert "heads kept in releases and the lake hold" in said["ledger"]
    assert said["model fare"] == "2 versions and runs as registered"
    assert said["checks"].startswith("1 reports")


STATE = {
    "UPDATE quarantine SET key = '[5]'": "rides@0: its rows in quarantine",
    "DELETE FROM quarantine": "rides@0: its rows in quarantine",
    "INSERT INTO quarantine VALUES ('stops', 0, '[\"a\"]', 'x', 'y')": "stops@0: has rows in quarantine",
    "UPDATE contracts SET report = replace(report, 'false', 'true')": "rides@0: what its checks said",
    "DELETE FROM contracts": "rides@0: was checked",
    "UPDATE table_files SET rows = rows + 1 WHERE name = 'stops'": "stops@0: what is kept of its files",
    "UPDATE table_files SET low = 1, high = 2 WHERE name = 'rides'": "rides@0: what is kept of its files",
    "INSERT INTO table_files SELECT name, 'b', 7, until, bytes, rows, sha256, parts, timed_by, low, high"
    " FROM table_files WHERE name = 'stops'": "stops: file b is kept of a version that nobody registered",
    "UPDATE table_versions SET body = replace(body, 'registered_at\":\"2', 'registered_at\":\"1')": "its record is not",
}


@pytest.mark.parametrize("sql", STATE)
def test_a_changed_row_of_the_state_is_named(project: Project, sql: str) -> None:
    with project.state.transact() as tx:
        assert tx.execute(sql.replace("body = replace(body,", "body = CAST(replace(CAST(body AS TEXT),").replace(
            "\":\"1')", "\":\"1') AS BLOB)"
        )) > 0  # fmt: skip
    (said, *_) = bad(project)
    assert STATE[sql] in said


TRACKED = {
    "UPDATE latest_metrics SET value = 0.001 WHERE key = 'mae'": "latest metrics",
    "UPDATE metrics SET value = 0.001 WHERE key = 'mae'": "metrics",
    "UPDATE params SET value = '500' WHERE key = 'n_estimators'": "parameters",
    "UPDATE tags SET value = 'ada' WHERE key = 'millstream.actor'": "tags",
    "UPDATE model_version_tags SET value = 'x'": "tags of its version",
    "DELETE FROM model_versions WHERE version = 2": "registered version",
}


@pytest.mark.parametrize("sql", TRACKED)
def test_a_changed_run_in_tracking_is_named(project: Project, sql: str) -> None:
    with closing(sqlite3.connect(project.places.tracking_db)) as database:
        assert database.execute(sql).rowcount > 0
        database.execute("INSERT INTO tags SELECT 'mine', 'a note', run_uuid FROM runs LIMIT 1")  # people's own may
        database.commit()
    wrong = bad(project)
    assert wrong and all("fare@" in each and TRACKED[sql] in each for each in wrong), wrong


def test_a_changed_model_in_tracking_or_beside_is_named(project: Project) -> None:
    (first, *_) = project.places.artifacts.rglob("model.txt")
    first.write_text(first.read_text().replace("shrinkage", "shrinkagf"))
    assert ["altered after training: files" in each for each in bad(project)] == [True]
    report = project.places.state / "models/fare/1/report.json"
    report.write_bytes(report.read_bytes().replace(b"true", b"True"))
    assert len(bad(project)) == 2


def test_models_that_are_gone_are_not_taken_for_never_trained(project: Project) -> None:
    shutil.rmtree(project.places.state / "models")
    assert ["is gone" in each for each in bad(project)] == [True, True]
    with pytest.raises(IntegrityError, match=r"was trained .* is gone") as gone:
        project.run("backtest", {"model": "fare"})
    command = gone.value.do.partition(": its release")[0]
    assert command.startswith("mkdir -p") and os.system(command) == 0
    with pytest.raises(IntegrityError, match="backup, or millstream train fare"):
        project.run("release", {"model": "fare", "version": 1, "dirty": True})
    assert project.run("backtest", {"model": "fare"})["version"] == 2
    assert len(bad(project)) == 1  # version 1 was never released


def cut(project: Project, after: int) -> None:
    with closing(sqlite3.connect(project.places.state_db)) as database:
        database.execute("DROP TRIGGER ledger_never_shrinks")
        database.execute("DELETE FROM ledger WHERE sequence > ?", (after,))
        database.commit()


def test_a_tail_cut_behind_a_release_is_noticed_without_a_file(project: Project) -> None:
    built = project.ledger.rows(acts=("release.build",))[0].sequence
    cut(project, built - 2)
    (said, *_) = bad(project)
    assert "was kept in release fare@2: its tail was cut" in said


def test_a_tail_cut_behind_a_commit_of_the_lake_is_noticed(project: Project) -> None:
    before = project.ledger.head().sequence
    project.lake.append("extra", pl.DataFrame({"a": [1]}), app_id="x", app_version=1, actor="tess")
    cut(project, before - 1)
    assert any("was kept in version extra@0 of the lake: its tail was cut" in each for each in bad(project))


def test_heads_in_a_file_are_compared_and_added(project: Project, tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    assert bad(project, anchor=str(heads)) == [] == bad(project, anchor=str(heads))
    lines = [msgspec.json.decode(each) for each in heads.read_bytes().splitlines()]
    assert [each["sequence"] for each in lines] == [lines[0]["sequence"], lines[0]["sequence"] + 1]
    cut(project, lines[0]["sequence"])
    assert bad(project) == []  # the cut rows are younger than whatever was kept here
    (said,) = bad(project, anchor=str(heads))
    assert (
        f"row {lines[1]['sequence']} was kept in heads" in said or "is not the one whose hash was kept in heads" in said
    )
    assert len(heads.read_bytes().splitlines()) == 2  # what does not hold is not kept
    heads.write_text("not heads\n")
    with pytest.raises(UserError, match="not a file of heads"):
        project.run("verify", {"anchor": str(heads)})


@pytest.mark.parametrize("damage", [lambda body: b"{", lambda body: body.replace(b"100", b"999")])
def test_a_damaged_manifest_is_made_again_and_said(
    project: Project, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    (kept,) = project.places.manifests.glob("*.json")
    before = kept.read_bytes()
    kept.write_bytes(damage(before))
    assert kept.read_bytes() != before
    assert project.manifest.table("rides").checks and kept.read_bytes() == before
    assert "altered or damaged" in capsys.readouterr().err
    assert project.ledger.rows(acts=("manifest.damaged",))


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def test_a_flipped_bit_of_an_attached_file_is_found_by_a_deep_look(project: Project) -> None:
    (file,) = (project.root / "stops").glob("*.parquet")
    assert bad(project, deep=True) == []
    flip(file)
    assert bad(project) == []  # it has its size, and nobody read it
    (said,) = bad(project, deep=True)
    assert said.startswith("stops: file") and "does not have the bytes it had" in said


def test_large_attached_files_are_hashed_by_the_first_deep_look(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.lake.writer._HASHED_BYTES", 10)
    pl.DataFrame({"stop": ["c"], "zone": [3]}).write_delta(project.root / "stops", mode="append")
    project.run("refresh")
    told = [project.run("verify", {"deep": True})["findings"] for _ in range(2)]
    first, second = (next(each["says"] for each in said if each["subject"] == "stops") for said in told)
    assert "every byte of 1 of 2 files as before; 1 hashed for the first time" in first
    assert "every byte of 2 of 2 files as before" in second
    flip(max((project.root / "stops").glob("*.parquet"), key=lambda each: each.stat().st_mtime_ns))
    assert len(bad(project, deep=True)) == 1
    with project.state.transact() as tx:
        tx.execute("UPDATE file_hashes SET sha256 = 'x'")
    (said,) = bad(project)
    assert "the hashes kept of its files are not as the ledger tells" in said


def audited(project: Project) -> dict[str, str]:
    return {each["question"]: each["answer"] for each in project.run("audit", {"subject": "fare@2"})["answers"]}


def test_an_auditor_is_told_what_is_gone(project: Project) -> None:
    said = audited(project)
    assert said["Can it be trained again?"].startswith("yes") and "rewritten" not in said["Which code?"]
    shutil.rmtree(project.places.state / "models")
    assert "is gone, this bundle has it" in audited(project)["Which run?"]
    words = ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--amend", "-m", "another"]
    subprocess.run(["git", *words], cwd=project.root, check=True)
    assert "history was rewritten" in audited(project)["Which code?"]
    for each in (project.places.lake / "rides").glob("*.parquet"):
        each.unlink()
    said = audited(project)
    assert said["Can it be trained again?"].startswith("NO") and "is missing" in said["Can it be trained again?"]
    assert said["Is the bundle intact?"].startswith("yes") and said["Which definitions?"]
    assert any("is missing" in each for each in bad(project))
