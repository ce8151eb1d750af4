"""An example project made once a session: one release live, a second one waiting; tests work on cheap copies."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from millstream.cli.commands import app
from millstream.cli.examples import write
from millstream.project import Project
from millstream.server.supervisor import Supervisor

TRAINER = "tina"
MILLSTREAM = [sys.executable, "-m", "millstream.cli"]
_MADE: dict[str, Path] = {}


def new(folders, to: Path) -> Path:
    """Write the example of flights to a folder; its data are made once a session."""
    if "new" not in _MADE:
        _MADE["new"] = folders.mktemp("new") / "flights"
        write("flights", _MADE["new"])
    return copy(_MADE["new"], to)


def waiting(folders) -> Path:
    """Return a project with ``late@1`` live, ``late@2`` waiting as decision 2 and a third version trained."""
    if "waiting" not in _MADE:
        root = new(folders, folders.mktemp("example") / "flights")
        with Project(root, lock=True) as project:
            project.run("check", {"actor": TRAINER})
            project.run("train", {"model": "late", "actor": TRAINER})
            project.run("release", {"model": "late", "actor": TRAINER})
            project.run("approve", {"actor": "ada", "reason": "better than the simple rule"})
            project.run("train", {"model": "late", "actor": TRAINER, "until": "2013-01-29"})
            project.run("release", {"model": "late", "actor": TRAINER})
            project.run("train", {"model": "late", "actor": TRAINER, "until": "2013-01-28"})
        _MADE["waiting"] = root
    return _MADE["waiting"]


def copy(origin: Path, to: Path) -> Path:
    """Copy a project; nothing in it may know where it lay."""
    shutil.copytree(origin, to, symlinks=True)
    return to


@contextlib.contextmanager
def up(root: Path):
    """Run servers over a project on free ports; yield the supervisor and a client of the control plane."""
    supervisor = Supervisor(root, scoring_port=0, control_port=0)
    supervisor.start()
    try:
        yield supervisor, supervisor.ready()
    finally:
        supervisor.stop()


def run(*words, cwd=None, user="ada", **options):
    """Run the command line to its end."""
    done = subprocess.run(
        [*MILLSTREAM, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "MILLSTREAM_USER": user, "COLUMNS": "200", "NO_COLOR": "1", **options.pop("env", {})},
        **options,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
    return done


def said(*words, cwd=None, user="ada", env=None):
    """Run a command to its end as ``run`` does, in this process: its start is what a process of its own costs."""
    env = {"MILLSTREAM_ENV": None, "MILLSTREAM_USER": user, "COLUMNS": "200", "NO_COLOR": "1", **(env or {})}
    with contextlib.chdir(cwd or Path.cwd()):
        done = CliRunner().invoke(app, [str(each) for each in words], prog_name="millstream", env=env)
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def descendants(pid: int) -> set[int]:
    """Return the ids of every process below one."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, last = {pid}, set()
    while found != last:
        last = set(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not yet fetched does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
