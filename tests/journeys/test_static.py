"""A table without times and a text label of three classes: from a file to classes with probabilities, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from sklearn.datasets import load_wine

from millstream.project import Project
from tests.awaited import until
from tests.journeys.command import millstream
from tests.journeys.test_gallery import ask
from tests.server import example


def wines(file: Path) -> None:
    """178 wines of three cultivars, as scikit-learn brings them, named as people name columns."""
    data = load_wine()
    frame = pl.DataFrame({name: data.data[:, place] for place, name in enumerate(data.feature_names)})
    names = [f"cultivar {'abc'[each]}" for each in data.target]
    frame.with_row_index("bottle").with_columns(cultivar=pl.Series(names)).write_csv(file)


def test_wines_are_told_apart(tmp_path: Path) -> None:
    wines(tmp_path / "wines.csv")
    root = tmp_path / "cellar"
    begun = millstream("init", root, "--from", tmp_path / "wines.csv", "--label", "cultivar", "--json")
    assert begun.code == 0, begun.err
    with Project(root, lock=True) as project:
        (model,) = project.manifest.models
        trained = project.run("train", {"model": model, "actor": "tess"})
        assert trained["verdict"]["passed"], trained["verdict"]["says"]
        released = project.run("release", {"model": model, "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "tells them apart"})
        path = Path(project.releases.history(model)[0].path)
        row = json.loads((path / "sample.json").read_text())["rows"][0]
        truth = project.run("sql", {"query": f"select cultivar from wines where bottle = {row['bottle']}"})["rows"][0][
            0
        ]
    row.pop("decided_at")
    with example.up(root) as (supervisor, control):
        answer = until(lambda: champion(supervisor.scoring_url, model, row))
        assert answer["version"] == released["version"]
        assert set(answer["probabilities"]) == {"cultivar a", "cultivar b", "cultivar c"}
        assert sum(answer["probabilities"].values()) == pytest.approx(1.0)
        assert answer["value"] == max(answer["probabilities"], key=answer["probabilities"].get) == truth
        why = control.command("why", {"prediction": answer["id"]})
        assert why["recomputed"]["equal"] is True
        refused = control.command("status", {})["models"][0]
        assert refused["live"]["version"] == 1


def champion(url: str, model: str, row: dict) -> dict | None:
    try:
        answer = ask(url, model, row)
    except (OSError, AssertionError):
        return None
    return answer if answer["answered_by"] == "champion" else None
