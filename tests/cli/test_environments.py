"""Environments: an overlay reads production's tables where they are, and writes nothing but its own."""

import hashlib
import json
import sqlite3
import subprocess
from contextlib import closing
from datetime import timedelta

import pytest

import millstream
from millstream.cli.examples import load_standin
from millstream.errors import Refused, UserError
from millstream.project import Project
from tests.server import example


@pytest.fixture
def root(waiting, tmp_path):
    return example.copy(waiting, tmp_path / "flights")


def production(root):
    """Everything production holds: its files, and what its databases say."""
    state = root / ".millstream"
    files = {
        str(each.relative_to(root)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(root.rglob("*"))
        if each.is_file()
        and not each.is_relative_to(state / "env")
        and not each.is_relative_to(state / "run")
        and ".db" not in each.name
        and ".git" not in each.parts
    }
    rows = {}
    for name in ("state.db", "tracking.db"):
        with closing(sqlite3.connect(state / name)) as opened:
            for (table,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows[name, table] = sorted(map(repr, opened.execute(f'SELECT * FROM "{table}"').fetchall()))
    return files, rows


def dev(root, *words, code=0, user="tina"):
    done = example.said(*words, "--json", "-p", root, user=user, env={"MILLSTREAM_ENV": "dev"})
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_an_overlay_works_on_productions_tables_and_leaves_production_as_it_was(root):
    before = production(root)
    pulled = dev(root, "refresh")["versions"]
    with Project(root) as prod:
        heads = {name: each for name, each in prod.lake.heads().items() if name != "flights"}
    assert {each["table"]: each["version"] for each in pulled if each["kind"] != "derived"} == heads
    checked = dev(root, "check")
    assert {each["table"] for each in checked["reports"]} >= {"schedule", "movements", "weather", "planes"}
    trained = dev(root, "train", "late", "--note", "mine")
    assert trained["version"] == 1 and trained["pins"]["weather"] == heads["weather"]
    assert dev(root, "release", "late")["version"] == 1
    status = dev(root, "status")
    assert status["environment"] == "dev" and [each["version"] for each in status["decisions"]] == [1]
    assert dev(root, "verify")["ok"]
    assert not list((root / ".millstream" / "env" / "dev").rglob("*.parquet")), "no data was copied"
    assert production(root) == before

    _promote(root)


def _promote(root):
    """Production trains what was tried and committed, and asks there."""
    definitions = root / "flights.py"
    text = definitions.read_text()
    definitions.write_text(text.replace("min_child_samples=", "subsample_freq=3, min_child_samples="))
    assert "uncommitted" in dev(root, "release", "late", "--to", "prod", code=4)["detail"]
    definitions.write_text(text)
    assert "no way to release" in dev(root, "release", "late", "--to", "staging", code=2)["detail"]
    released = dev(root, "release", "late", "--to", "prod")
    assert released["version"] == 4 and released["tried"]["environment"] == "dev"
    with Project(root) as prod:
        (asked,) = [each for each in prod.run("status")["decisions"] if each["version"] == 4]
        assert asked["trained_by"] == "tina"
        (noted,) = prod.tracking.runs("late", limit=1)
        assert "tried in dev as version 1" in json.dumps(noted.tags)
    again = example.run("release", "late", "--to", "prod", "-p", root)
    assert again.returncode == 4 and "this is prod already" in again.stderr
    definitions.write_text(text.replace("min_child_samples=", "subsample_freq=3, min_child_samples="))
    author = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "-C", root, *author, "commit", "-qam", "another recipe"], check=True)
    assert "other definitions" in dev(root, "release", "late", "--to", "prod", code=4)["detail"]


def test_a_notebook_changes_nothing_in_production_and_is_told_the_way(root):
    with millstream.open(root) as project:
        for command in ("approve", "rollback", "release", "refresh"):
            with pytest.raises(Refused, match="a notebook does not") as refused:
                project.run(command)
            assert f"millstream {command}" in str(refused.value) and "environment='dev'" in str(refused.value)
        assert project.run("status")["environment"] == "prod"
    with millstream.open(root, environment="dev") as project:
        assert project.run("refresh")["versions"]
        assert project.lake.read("planes").frame.height > 3000


def test_new_versions_come_over_and_old_ones_stay_readable(root):
    standin = load_standin(root)
    airline = standin.Airline(root / "ops")
    assert (
        "never trained" in example.run("--env", "dev", "release", "late", "--to", "prod", "-p", root).stderr
    )  # the option says the same as the variable
    with Project(root, environment="dev", lock=True) as mine:
        mine.run("refresh")
        before = mine.lake.head("movements").version
        rows = mine.lake.read("movements").frame.height
    airline.publish(airline.published_until() + timedelta(days=1))
    assert dev(root, "refresh")["versions"] == [], "production has not noticed it yet"
    example.run("refresh", "-p", root)
    assert {each["table"] for each in dev(root, "refresh")["versions"]} >= {"movements", "flights"}
    with Project(root, environment="dev") as mine:
        assert mine.lake.head("movements").version == before + 1
        assert mine.lake.read("movements").frame.height > rows
        assert mine.lake.read("movements", version=before).frame.height == rows


@pytest.mark.parametrize("name", ["Dev", "../prod", "a b", "-x", "d" * 40])
def test_an_environment_has_a_short_plain_name(root, name):
    with pytest.raises(UserError, match="no name for an environment"):
        Project(root, environment=name)
    assert not (root / ".millstream" / "env").exists()
