"""Outcomes of answers about days ahead, as they arrive, against loops over the same facts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from millstream.project import Project
from millstream.project.tables.data import keep_served
from millstream.project.watch import Watch
from millstream.state import observations
from tests.journeys.test_shapes import BEGIN, BERLIN, NOW, TOML, ask, demanded, midnight

__all__ = ["demanded"]
DAYS = 9
LAG = timedelta(hours=6)


def target_of(each: dict[str, Any]) -> date:
    return datetime.fromisoformat(each["target_at"]).astimezone(BERLIN).date()


def test_a_forecast_is_judged_once_when_its_own_day_is_over_however_long_ago_it_was_made(demanded: Project) -> None:
    watch, said = Watch(demanded), []
    sold = {(row["item"], row["day"]): row["quantity"] for row in demanded.lake.read("sales").frame.to_dicts()}
    for day in range(DAYS):
        at = NOW + timedelta(days=day)
        demanded.clock.advance(at)  # type: ignore[attr-defined]
        keep_served(demanded)
        status, body = ask(demanded, "demand", [{"item": item} for item in range(8)], at)
        assert status == 200
        asked = [(at, each["row"], target_of(each), each["value"], each["degraded"]) for each in body["predictions"]]
        said += asked
        watch.judge()
        closed = [each for each in said if midnight(each[2] + timedelta(days=1)) + LAG <= at and each[2] < at.date()]
        assert watch._models["demand"].book.totals() == (len(said), len(closed))
    assert not any(degraded for *_, degraded in said)
    demanded.clock.advance(midnight(date(2024, 10, 13)) + timedelta(hours=8))  # type: ignore[attr-defined]
    assert watch.judge()
    again = Watch(demanded)
    assert again.judge() == [] and again._models["demand"].book.totals() == watch._models["demand"].book.totals()
    _check_performance(demanded, said, sold)


def _check_performance(project: Project, said: list[Any], sold: dict[Any, float]) -> None:
    found = observations.series(project.state, "demand", "performance", "rmse")[-1]
    now = project.clock.now()
    due = [each for each in said if midnight(each[2]) + timedelta(days=3) + LAG <= now]  # two days of patience
    assert len(due) > 300
    errors: dict[int, list[float]] = {}
    naive = []
    for at, item, target, value, _ in due:
        truth = sold[item, midnight(target)]
        errors.setdefault((target - at.astimezone(BERLIN).date()).days, []).append(value - truth)
        weeks = 1
        while midnight(target - timedelta(weeks=weeks) + timedelta(days=1)) + LAG > at:
            weeks += 1
        naive.append(sold[item, midnight(target - timedelta(weeks=weeks))] - truth)
    every = [each for some in errors.values() for each in some]
    assert found.value == pytest.approx(math.sqrt(np.mean(np.square(every))))
    assert found.detail["baseline"] == pytest.approx(math.sqrt(np.mean(np.square(naive))))
    ahead = found.detail["by_horizon"]
    assert set(ahead) == {str(each) for each in errors}
    for step, some in errors.items():
        assert ahead[str(step)]["value"] == pytest.approx(math.sqrt(np.mean(np.square(some))))
        assert ahead[str(step)]["outcomes"] == len(some)
    assert "1 ahead" in found.says and "7 ahead" in found.says
    bias = observations.series(project.state, "demand", "bias", "mean")[-1]
    truths = [sold[item, midnight(target)] for _, item, target, _, _ in due]
    assert bias.value == pytest.approx(sum(every) / sum(truths))
    assert bias.threshold == 0.05


FAILS = """
from lightgbm import LGBMClassifier
from millstream import Each, FeatureView, Model, Table, features as f, sources, splits

readings = Table("readings", source=sources.Parquet("data/readings.parquet"), key="reading", event_time="at")
failures = Table("failures", source=sources.Parquet("data/failures.parquet"), key="failure", event_time="at", lag="3h")
heat = FeatureView("heat", of=readings, entity="machine", features={"heat": f.last("heat")})
fails = Model("fails", rows=Each(readings), label=f.any(of=failures, on={"machine": "machine"}, ahead="48h"),
    features=[heat], estimator=LGBMClassifier(n_estimators=10, verbosity=-1), metrics=["roc_auc"], goal="roc_auc",
    split=splits.Time(test="10d", folds=1))
"""


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Project]:
    rng = np.random.default_rng(8)
    root = tmp_path / "machines"
    (root / "data").mkdir(parents=True)
    (root / "millstream.toml").write_text(TOML.replace('"churn"', '"machines"'))
    (root / "definitions.py").write_text(FAILS)
    fails = [
        (machine, BEGIN + timedelta(hours=float(at))) for machine in range(12) for at in rng.uniform(5600, 7000, 9)
    ]
    rows = []
    for machine in range(12):
        for hour in range(5600, 6900, 6):
            at = BEGIN + timedelta(hours=hour)
            near = any(who == machine and at <= when < at + timedelta(hours=48) for who, when in fails)
            rows.append((machine, at, float(rng.normal(2.0 if near else 0.0))))
    frame = pl.DataFrame(rows, schema=["machine", "at", "heat"], orient="row").sort("at", "machine")
    frame.with_row_index("reading").cast({"reading": pl.Int64}).write_parquet(root / "data/readings.parquet")
    broke = pl.DataFrame(fails, schema=["machine", "at"], orient="row").with_row_index("failure")
    broke.cast({"failure": pl.Int64}).write_parquet(root / "data/failures.parquet")
    with Project(root, lock=True) as project:
        project.run("refresh")
        project.run("train", {"model": "fails", "actor": "tess"})
        project.run("release", {"model": "fails", "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "it sees heat"})
        yield project


def test_what_became_of_rows_whose_label_looks_ahead_is_known_when_the_window_has_closed(machines: Project) -> None:
    readings = machines.lake.read("readings").frame
    broke = machines.lake.read("failures").frame
    watch, said = Watch(machines), []
    for day in range(8):
        at = NOW + timedelta(days=day)
        machines.clock.advance(at)  # type: ignore[attr-defined]
        rows = readings.filter(pl.col("at").is_between(at - timedelta(hours=23), at)).select("reading", "machine", "at")
        keep_served(machines)
        status, body = ask(machines, "fails", rows.select("reading", "machine").to_dicts(), at)
        assert status == 200, body
        said += [(row, each["id"]) for row, each in zip(rows.to_dicts(), body["predictions"], strict=True)]
        watch.judge()
        closed = [row for row, _ in said if row["at"] + timedelta(hours=51) <= at and day]
        assert watch._models["fails"].book.totals() == (len(said), len(closed))
    assert len(closed) > 100
    for row, id in said[:40]:
        mine = broke.filter(pl.col("machine") == row["machine"])["at"].to_list()
        truth = any(row["at"] <= when < row["at"] + timedelta(hours=48) for when in mine)
        assert machines.run("why", {"prediction": id})["outcome"]["label"] == truth
