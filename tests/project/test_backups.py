"""A backup has everything, a restore gives it back byte for byte, and nothing is half of either."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from millstream.errors import Conflict, IntegrityError, NotFound, UserError
from millstream.project import Project
from millstream.project.backups import restore
from millstream.project.backups.objects import Objects
from tests.server import example


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project, a folder with one backup of it, and what the backup said; look, do not touch."""
    folder = tmp_path_factory.mktemp("kept")
    root = example.copy(example.waiting(tmp_path_factory), folder / "flights")
    (root / "notes.md").write_text("not committed yet")
    with Project(root, lock=True) as project:
        said = project.run("backup", {"to": str(folder / "bak"), "actor": "bo"})
    return root, folder / "bak", said


def digests(folder, *, without=()):
    return {
        str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(folder.rglob("*"))
        if each.is_file() and each.relative_to(folder).parts[0] not in without
    }


def rows(root):
    with Project(root) as project:
        said = project.ledger.rows(limit=10_000, newest=False)
        return [(each.sequence, each.at, each.actor, each.act, each.subject, each.hash) for each in said]


def test_every_ledger_row_and_every_file_comes_back(made, tmp_path):
    root, folder, said = made
    again = restore(folder, tmp_path / "again", actor="rita")
    assert again["head"] == said["head"] and again["backup"] == said["backup"]
    before, after = rows(root), rows(tmp_path / "again")
    assert after[: len(before)] == before and before[-1][3] == "project.backup"
    assert [each[2:5] for each in after[len(before) :]] == [("rita", "project.restore", str(tmp_path / "again"))]
    for part in ("releases", "artifacts", "lake", "keys", "log"):
        had = digests(root / ".millstream" / part, without=(".lock",))
        assert digests(tmp_path / "again" / ".millstream" / part, without=(".lock",)) == had, part
        assert had or part == "log", part
    assert (tmp_path / "again" / "notes.md").read_text() == "not committed yet"
    words = {"cwd": tmp_path / "again", "capture_output": True, "text": True, "check": True}
    assert subprocess.run(["git", "status", "--short"], **words).stdout == "?? notes.md\n"
    shutil.copytree(root / "ops", tmp_path / "again" / "ops")  # attached: its owner's
    with Project(tmp_path / "again", lock=True) as project:
        assert project.run("verify")["ok"]
        trained = project.run("reproduce", {"subject": "late@1"})
    assert trained["equal"]


def test_the_next_one_copies_only_what_is_new(made, tmp_path):
    root, folder, _ = made
    mine = tmp_path / "bak"
    shutil.copytree(folder, mine)
    with Project(root, lock=True) as project:
        said = project.run("backup", {"to": str(mine), "actor": "bo"})
        checked = project.run("backup", {"to": str(mine), "check": True})
    assert said["copied_files"] == 1  # the state, which has the row of this backup
    assert checked["backups"] == Objects(mine).names() and len(checked["backups"]) == 2


def test_a_bit_that_flipped_is_named_and_nothing_is_made_of_it(made, tmp_path):
    root, folder, _ = made
    mine = tmp_path / "bak"
    shutil.copytree(folder, mine)
    objects = Objects(mine)
    files = objects.read().files
    for path in ("state/state.db", next(each for each in files if each.endswith(".parquet")), "git.bundle"):
        victim = objects.path(files[path].sha256)
        body = bytearray(victim.read_bytes())
        body[len(body) // 2] ^= 1
        victim.write_bytes(body)
        with pytest.raises(IntegrityError, match=path.rpartition("/")[2]) as wrong:
            restore(mine, tmp_path / "again")
        assert not (tmp_path / "again").exists() and "not what was kept" in wrong.value.happened
        with Project(root) as project, pytest.raises(IntegrityError, match="is not what was kept"):
            project.run("backup", {"to": str(mine), "check": True})
        body[len(body) // 2] ^= 1
        victim.write_bytes(body)
    objects.path(files["state/state.db"].sha256).unlink()
    with pytest.raises(IntegrityError, match=r"state\.db cannot be read"):
        restore(mine, tmp_path / "again")
    assert restore(folder, tmp_path / "again")["files"] == len(files)  # what the failures left is no hindrance


def test_what_cannot_be_is_refused_with_what_to_do(made, tmp_path):
    root, folder, _ = made
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(Conflict, match="is not empty"):
        restore(folder, tmp_path / "full")
    with pytest.raises(NotFound, match="holds no backup"):
        restore(tmp_path / "full", tmp_path / "again")
    with pytest.raises(NotFound, match="holds no backup '2020'"):
        restore(folder, tmp_path / "again", name="2020")
    with Project(root, lock=True) as project:
        with pytest.raises(UserError, match=r"holds something else: mine\.txt"):
            project.run("backup", {"to": str(tmp_path / "full")})
        with pytest.raises(UserError, match="is inside what is backed up"):
            project.run("backup", {"to": str(root / ".millstream" / "lake" / "bak")})
        with pytest.raises(NotFound, match="holds no backup"):
            project.run("backup", {"to": str(tmp_path / "none"), "check": True})
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_one_taken_while_rows_are_written_is_whole(made, tmp_path):
    root, _, _ = made
    mine = example.copy(root, tmp_path / "flights")
    done = threading.Event()

    def write():
        with Project(mine) as project:
            while not done.is_set():
                project.ledger.record(actor="busy", act="note", subject="late", detail={})

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with Project(mine, lock=True) as project:
            for _ in range(3):
                project.run("backup", {"to": str(tmp_path / "bak"), "actor": "bo"})
    finally:
        done.set()
        writing.join()
    for each in Objects(tmp_path / "bak").names():
        restored = restore(tmp_path / "bak", tmp_path / each, name=each)
        assert restored["head"] == Objects(tmp_path / "bak").read(each).head  # read from its first row to its last


KILLED = """
import os, signal, sys
from millstream.project import Project
from millstream.project.backups import objects

take, left = objects.Objects.take, [int(sys.argv[3])]
def doomed(self, file):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(self, file)
objects.Objects.take = doomed
with Project(sys.argv[1], lock=True) as project:
    project.run("backup", {"to": sys.argv[2], "actor": "bo"})
"""


@pytest.mark.parametrize("after", [0, 7])
def test_killed_it_leaves_no_half_backup_and_the_next_goes_on(made, tmp_path, after):
    root, _, said = made
    words = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "bak"), str(after)]
    done = subprocess.run(words, capture_output=True, env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with pytest.raises(NotFound, match="holds no backup"):
        restore(tmp_path / "bak", tmp_path / "again")
    with Project(root, lock=True) as project:
        again = project.run("backup", {"to": str(tmp_path / "bak"), "actor": "bo"})
    assert again["files"] == said["files"]
    assert sorted(each.name for each in (tmp_path / "bak").iterdir()) == ["backups", "objects"]
    assert all(len(each.name) == 2 for each in (tmp_path / "bak" / "objects").iterdir())
    assert json.loads((tmp_path / "bak/backups" / f"{again['backup']}.json").read_text())["head"] == again["head"]
    assert restore(tmp_path / "bak", tmp_path / "again")["head"] == again["head"]
