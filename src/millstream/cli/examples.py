"""Example projects, written as ordinary projects with a git repository of their own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

from millstream.definitions.load import load
from millstream.errors import Conflict, NotFound, StorageFull, UserError, near
from millstream.settings import places, read

IDENTITY = ("-c", "user.name=Millstream demo", "-c", "user.email=demo@millstream.invalid", "-c", "commit.gpgsign=false")


def source(example: str) -> Path:
    """Find an example's files: in the installed package, else in the source tree."""
    packaged = Path(str(files("millstream"))) / "_examples"
    shelf = packaged if packaged.is_dir() else Path(__file__).parents[3] / "examples"
    known = (
        sorted(each.name for each in shelf.iterdir() if (each / "millstream.toml").exists()) if shelf.is_dir() else []
    )
    if example not in known:
        raise NotFound(f"there is no example {example!r}", do=near(example, known))
    return shelf / example


def write(example: str, folder: Path) -> dict[str, Any]:
    """Write an example into an empty or missing folder.

    Raises
    ------
    NotFound
        For an example that does not exist, or whose data are not installed; nothing is left behind.
    Conflict
        When the folder holds something already.
    """
    origin = source(example)
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", expected="a new folder", do="choose another, or remove it")
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    for each in sorted(origin.iterdir()):
        if each.is_file() and each.suffix != ".pyc":
            shutil.copy(each, folder / each.name)
    try:
        load_standin(folder).prepare(folder)
    except SystemExit as missing:  # a stand-in ends so when the package with its data is not installed
        shutil.rmtree(folder)
        if not new:
            folder.mkdir()
        happened, _, do = str(missing).partition(": ")
        raise NotFound(happened, expected="the package that brings them", do=do) from None
    return {
        "folder": str(folder.resolve()),
        "example": example,
        "git": commit(folder, f"Start from the example {example}"),
    }


def models(folder: Path) -> list[str]:
    """Name the models a project defines."""
    return list(load(folder, cache=places(folder, read(folder)).manifests).models)


def load_standin(folder: Path) -> Any:
    """Load the stand-in for the company's own systems that an example brings."""
    spec = importlib.util.spec_from_file_location("standin", folder / "_standin.py")
    if spec is None or spec.loader is None:
        raise NotFound(f"{folder} has no _standin.py", expected="a project made by `millstream init --example flights`")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["standin"] = module
    spec.loader.exec_module(module)
    return module


def commit(folder: Path, message: str) -> str | None:
    """Commit everything in a folder to its own git repository; None where there is no git."""
    if shutil.which("git") is None:
        return None

    def git(*words: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *words], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            kind = StorageFull if "No space left" in done.stderr else UserError
            said = done.stderr.strip().splitlines()
            raise kind(
                f"git {words[0]} in {folder} failed: {said[-1] if said else f'exit code {done.returncode}'}",
                expected="a folder that git can keep",
                do="free some space and try again" if kind is StorageFull else f"cd {folder} && git {words[0]}",
            )
        return done.stdout.strip()

    if not (folder / ".git").exists():
        git("init", "-q", "-b", "main")
    git("add", "-A")
    if git("status", "--porcelain"):
        git("commit", "-q", "-m", message)
    return git("rev-parse", "HEAD")
