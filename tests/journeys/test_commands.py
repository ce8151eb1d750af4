"""Every command in README.md and the documents is run, as written there, in the folder its page speaks of."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys import test_newcomer
from tests.journeys.shell import Shell, blocks, commands
from tests.server import example

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])
SET_UP = ("python3 -m venv ", ".venv/bin/pip install ", ". .venv/bin/activate")
"""What is run for real by ``test_the_readme_from_a_fresh_clone``, and by nobody in between."""
PROGRAM = re.compile(r"^(?:[A-Z_]+=\S+ )*(millstream|make|cd|curl|git|mlflow|pip|python3?|\.venv/bin/\S+) ")
Folder = Callable[[pytest.TempPathFactory, Path], Path]


def nothing(_: pytest.TempPathFactory, folder: Path) -> Path:
    """Begin in an empty folder."""
    return folder


def flights(folders: pytest.TempPathFactory, folder: Path) -> Path:
    """Begin in the flights example, with one version live, one waiting as decision 2 and a third trained."""
    return example.copy(example.waiting(folders), folder / "flights")


def written(name: str) -> Folder:
    """Begin in an example as ``init --example`` writes it."""

    def write(_: pytest.TempPathFactory, folder: Path) -> Path:
        Shell(folder).run(f"millstream init {name} --example {name}")
        return folder / name

    return write


LONG = pytest.mark.nightly
SESSIONS = {
    "README.md": (nothing, ()),
    "docs/catalog.md": (flights, LONG),
    "docs/environments.md": (flights, LONG),
    "docs/checks.md": (flights, LONG),
    "docs/page.md": (flights, ()),
    "docs/keep.md": (flights, LONG),
    "docs/features.md": (flights, LONG),
    **{f"examples/{each.parent.name}/README.md": (written(each.parent.name), LONG)
       for each in ROOT.glob("examples/*/README.md")},
}  # fmt: skip
"""Where the commands of a page begin; those of docs/start.md are run, and timed, by ``test_newcomer``."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_command_says_that_it_is_one_and_is_run(page: Path) -> None:
    for language, lines in blocks(page):
        if language == "":
            loose = [line for line in lines if PROGRAM.match(f"{line} ")]
            assert loose == [], f"{named(page)}: begin this block with ```sh, so that it is run"
    if commands(page) and page != test_newcomer.GUIDE:
        assert named(page) in SESSIONS, f"say in SESSIONS where the commands of {named(page)} begin"


@pytest.mark.parametrize(
    ("page", "begin"),
    [pytest.param(page, begin, marks=marks, id=page) for page, (begin, marks) in SESSIONS.items()],
)
def test_the_commands_of_a_page(
    page: str, begin: Folder, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = commands(ROOT / page)
    assert lines, f"{page} has no commands: take it out of SESSIONS"
    shell = Shell(begin(tmp_path_factory, tmp_path))
    for line in lines:
        if line.startswith("make "):
            made(line)
        elif not line.startswith(SET_UP):
            shell.run(line)


def made(line: str) -> None:
    """Ask make what it would do: the last step of each is a command that other tests run."""
    done = subprocess.run(
        [*shlex.split(line), "-n", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    last = {"demo": ".venv/bin/millstream demo", "test": ".venv/bin/python -m pytest"}
    assert done.stdout.strip().splitlines()[-1].startswith(last[line.split()[1]])


@pytest.mark.nightly
def test_the_readme_from_a_fresh_clone(tmp_path: Path) -> None:
    """Install and begin as README.md says, for real: packages come from the registry."""
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    lines = commands(ROOT / "README.md")
    assert [line for line in lines if line.startswith(SET_UP)], "README.md says how to install"
    wanted = [line for line in lines if not line.startswith("make ") and not line.startswith("millstream up")]
    script = "\n".join(["set -e", *wanted, "cd ..", "rm -rf flights", "make demo ARGS='--exit --json'"])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path / "clone", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
