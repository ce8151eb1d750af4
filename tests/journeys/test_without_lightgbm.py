"""Where LightGBM is not installed, ``init`` writes a linear model, which trains, is released, served and answers."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import polars as pl
import pytest

from tests.journeys.test_newcomer import Shell, serve

HIDDEN = """
import importlib.machinery
import os

_found = importlib.machinery.PathFinder.find_spec

def _find(name, path=None, target=None):
    hidden = name.partition(".")[0] in os.environ["HIDDEN"].split()
    return None if hidden else _found(name, path, target)

importlib.machinery.PathFinder.find_spec = staticmethod(_find)
"""
ROWS = 900


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in which LightGBM cannot be found by any process, and a file of machines that wear out."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(HIDDEN)
    draw = random.Random(5)
    rows = []
    for each in range(ROWS):
        kind, hours = draw.choice(["pump", "fan", "press"]), draw.uniform(0, 100)
        worn = hours / 20 + (3 if kind == "press" else 0) + draw.gauss(0, 1)
        seen = None if draw.random() < 0.1 else round(hours, 2)
        rows.append({"machine_id": each, "kind": kind, "hours": seen, "noise": round(draw.gauss(0, 1), 3),
                     "failed": "yes" if worn > 5 else "no", "wear": round(worn, 3)})  # fmt: skip
    frame = pl.DataFrame(rows)
    frame.drop("wear").write_csv(tmp_path / "machines.csv")
    frame.drop("failed").write_csv(tmp_path / "worn.csv")
    made = Shell(tmp_path)
    made.environment |= {
        "HIDDEN": "lightgbm",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(hidden), os.environ.get("PYTHONPATH")])),
    }
    return made


def begun(shell: Shell, file: str, label: str, estimator: str) -> None:
    shell.run(f"millstream init p --from {file} --label {label}")
    shell.run("cd p")
    written = (shell.folder / f"{label}.py").read_text()
    assert f"estimator={estimator}" in written and "lightgbm" not in written.lower()
    assert "kind_press" in written, "a linear model gets one truth value for each frequent text"
    assert json.loads(shell.run(f"millstream train {label} --json"))["verdict"]["passed"]


def test_a_linear_model_from_a_file_to_an_answer(shell: Shell) -> None:
    begun(shell, "machines.csv", "failed", "LogisticRegression(max_iter=1000)")
    shell.run("millstream release failed")
    shell.run("MILLSTREAM_USER=grace millstream approve -m better")
    said = serve(shell, "millstream up", "failed")
    assert said["answered_by"] == "champion" and 0 < said["value"] < 1


@pytest.mark.nightly
def test_a_linear_model_of_a_number(shell: Shell) -> None:
    begun(shell, "worn.csv", "wear", "Ridge()")


def test_without_anything_to_learn_with_init_says_what_to_install(shell: Shell) -> None:
    shell.environment["HIDDEN"] = "lightgbm sklearn"
    process = shell.start("millstream init p --from machines.csv --label failed")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2 and "pip install 'millstream[lightgbm]'" in told and "Traceback" not in told
    assert not (shell.folder / "p").exists()
