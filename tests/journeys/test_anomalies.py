"""The example without labels: trained, released, answering over HTTP and watched; the known labels only look on."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.cli.examples import models, write
from millstream.project import Project
from millstream.training.robust import RobustZ
from tests.awaited import until
from tests.journeys.test_gallery import _a_day_passes, _answers, ask
from tests.server import example


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The example with its forest live, and everything it was trained on scored."""
    root = tmp_path_factory.mktemp("plant") / "anomalies"
    write("anomalies", root)
    with Project(root, lock=True) as project:
        project.run("check")
        said: dict[str, Any] = project.run("train", {"model": "odd", "actor": "tess"})
        project.run("release", {"model": "odd", "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "we looked at what it flags"})
        project.run("score", {"model": "odd", "out": str(root / "scores.parquet"), "actor": "tess"})
    return root, said


def test_the_verdict_says_what_it_compares_and_what_nobody_can_say(plant: tuple[Path, dict[str, Any]]) -> None:
    root, said = plant
    assert models(root) == ["odd", "plain"]
    verdict = said["verdict"]["says"]
    assert said["verdict"]["passed"] and said["goal"] == "stability"
    assert "Of the 5% of rows it finds most unusual, the robust distance of single features names" in verdict
    assert "compares models with each other, not with the truth" in verdict
    assert set(said["pins"]) == {"sensors"}, "what is known is read by nobody"


def test_the_known_anomalies_say_what_the_readme_says(plant: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, _ = plant
    how_well = runpy.run_path(str(root / "_how_well.py"))["how_well"]
    known, text = root / "known" / "anomalies.parquet", (root / "README.md").read_text()
    sensors = pl.read_parquet(root / "files" / "sensors.parquet")
    features = sensors.select(f"f{each}" for each in range(1, 10)).to_numpy()
    scores = RobustZ().fit(features).predict(features)
    edge = pl.Series(scores).quantile(0.95, interpolation="higher")
    simple = sensors.select("reading_id").with_columns(value=pl.Series(scores), flagged=pl.Series(scores >= edge))
    simple.write_parquet(tmp_path / "plain.parquet")
    found = {"odd": root / "scores.parquet", "plain": tmp_path / "plain.parquet"}
    for model, at in found.items():
        said = how_well(at, known)
        assert said["rows"] == 49_097
        row = next(each for each in text.splitlines() if each.startswith(f"| `{model}`"))
        shown = [f"{said['roc_auc']:.3f}", f"{said['flagged']:.1%}", f"{said['right']:.0%}", f"{said['found']:.0%}"]
        assert [each.strip() for each in row.split("|")[2:-1]] == shown


def test_a_reading_is_judged_as_it_arrives_and_the_day_is_watched(plant: tuple[Path, dict[str, Any]]) -> None:
    root, _ = plant
    both = pl.read_parquet(root / "scores.parquet").join(pl.read_parquet(root / "files/sensors.parquet"), "reading_id")
    with Project(root, lock=True) as project:
        now = project.clock.now().isoformat()
    picked = [both.filter("flagged").row(0, named=True), both.filter(~pl.col("flagged")).row(0, named=True)]
    names = ["reading_id", *(f"f{each}" for each in range(1, 10))]
    with example.up(root) as (supervisor, control):
        url = supervisor.scoring_url
        rows = [{name: each[name] for name in names} for each in picked]
        until(lambda: _answers(url, "odd", rows[0], now))
        said = [ask(url, "odd", row, now) for row in rows]
        assert [each["flagged"] for each in said] == [True, False]
        assert [each["value"] for each in said] == pytest.approx([each["value"] for each in picked])
        _a_day_passes(root)
        assert control.send("POST", "/api/tick", {})["decisions"] == []
        assert control.command("why", {"prediction": said[0]["id"]})["flagged"] is True
        status = control.command("status", {})
    assert status["predictions"] >= 2, "the day was judged"
    with Project(root, lock=True) as project:
        assert project.run("reproduce", {"subject": "odd@champion"})["equal"]
        assert project.run("verify")["ok"]
