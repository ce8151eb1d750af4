"""The demand project: real sales, 28 days ahead, checked against the package's own files; answering and watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
import pytest

from millstream.cli.examples import load_standin, models, write
from millstream.project import Project
from millstream.project.models import learn
from millstream.serving.client import Client
from millstream.training import build_set
from tests.awaited import until
from tests.server import example

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def demand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    root = tmp_path_factory.mktemp("gallery") / "demand"
    write("demand", root)
    assert models(root) == ["demand"]
    with Project(root, lock=True) as project:
        checked = project.run("check")
        assert checked["reports"] and not any(each["quarantined"] for each in checked["reports"])
        trained = project.run("train", {"model": "demand", "actor": "tess"})
        project.run("release", {"model": "demand", "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "better than last week"})
    yield root, trained


def test_it_beats_what_was_sold_a_season_ago_at_every_distance(demand: tuple[Path, dict[str, Any]]) -> None:
    root, trained = demand
    counts, metrics = trained["counts"], trained["metrics"]
    assert trained["verdict"]["passed"], trained["verdict"]["says"]
    assert "better on 28 of 28 distances" in trained["verdict"]["says"]
    assert counts["purged"] == 80 * (3 * 28 + sum(range(1, 28))), "targets not over, and told of, at the cut"
    assert counts["tested"] == 80 * 28 * 28, "28 whole days of decisions, each with its whole horizon"
    assert metrics["model"]["rmse"] < 0.8 * metrics["baseline"]["rmse"]
    assert metrics["model"]["mase"] < metrics["baseline"]["mase"]
    with Project(root) as project:
        (release,) = project.releases.history("demand")
        record = json.loads((Path(release.path) / "training.json").read_bytes())
        card = (Path(release.path) / "card.md").read_text()
    assert record["season"] == "1w" and [each["value"] for each in record["segments"]] == [str(n) for n in range(1, 29)]
    assert "seasonal naive" in card


def test_its_training_set_is_what_loops_make_of_the_packages_files(demand: tuple[Path, dict[str, Any]]) -> None:
    root, _ = demand
    with Project(root, lock=True) as project:
        made = build_set(learn.plan(project, "demand"), project.lake.read, until=project.clock.now())
        now = project.clock.now()
    assert made.rows == 330 * 80 * 28 and made.ahead is not None
    data = load_standin(root).packaged()
    food = pl.read_parquet(data / "products.parquet").filter(pl.col("department") == "GROCERY")
    kind = dict(food.select("product_id", "product_category").rows())
    places = set(made.frame["store_id"].unique().to_list())
    lines: dict[tuple[int, str], list[tuple[datetime, int]]] = {}
    sold = pl.read_parquet(data / "transactions.parquet").filter(pl.col("store_id").is_in(places))
    for store, product, units, at in sold.select("store_id", "product_id", "quantity", "transaction_timestamp").rows():
        if product in kind:
            lines.setdefault((store, kind[product]), []).append((at.replace(tzinfo=UTC), units))
    mailed: dict[tuple[int, str, int], int] = {}
    front = pl.scan_parquet(data / "promotions.parquet").filter(
        pl.col("store_id").is_in(places) & pl.col("mailer_location").is_in(["D", "F", "H", "L", "Z"])
    )
    for store, product, week in front.select("store_id", "product_id", "week").collect().rows():
        if product in kind:
            key = (store, kind[product], week)
            mailed[key] = mailed.get(key, 0) + 1
    for row in made.frame.sample(150, seed=4).to_dicts():
        mine, target = lines[row["store_id"], row["category"]], row["target_at"].astimezone(NEW_YORK)
        ends = datetime.combine(target.date() + timedelta(days=1), time(), tzinfo=NEW_YORK)
        assert target.time() == time() and row["decided_at"].astimezone(NEW_YORK).time() == time()
        told = sum(units for at, units in mine if row["target_at"] <= at < ends)
        assert row["label"] == (told if ends.astimezone(UTC) + timedelta(hours=4) <= now else None)
        known = row["decided_at"] - timedelta(hours=4)
        month = sum(units for at, units in mine if row["decided_at"] - timedelta(days=28) < at <= known)
        assert row["pace.units_28d"] == month or (month == 0 and row["pace.units_28d"] is None)
        week = (target.date() - datetime(2017, 1, 2).date()).days // 7 + 2
        shown = mailed.get((row["store_id"], row["category"], week), 0)
        assert (row["planned.front"] or 0) == shown


def test_it_answers_for_every_day_of_the_horizon_and_is_watched(demand: tuple[Path, dict[str, Any]]) -> None:
    root, _ = demand
    with Project(root, lock=True) as project:
        now = project.clock.now()
        out = root / "forecast.parquet"
        assert project.run("score", {"model": "demand", "out": str(out)})["rows"] == 80 * 28
    scores = pl.read_parquet(out).filter(store_id=367, category="SOFT DRINKS").sort("target_at")
    assert scores.height == 28
    row = {"store_id": 367, "category": "SOFT DRINKS"}
    with example.up(root) as (supervisor, control):
        until(lambda: _champion(supervisor.scoring_url, row))
        answers = _ask(supervisor.scoring_url, row)
        assert [each["target_at"] for each in answers] == [each.isoformat() for each in scores["target_at"]]
        assert [each["value"] for each in answers] == scores["value"].to_list()
        with Project(root) as project:
            project.clock.advance(now + timedelta(days=1))  # type: ignore[attr-defined]
        control.send("POST", "/api/tick", {})
        why = control.command("why", {"prediction": answers[0]["id"]})
        assert why["value"] == pytest.approx(answers[0]["value"]) and why["recomputed"]["equal"]
        assert control.command("status", {})["predictions"] >= 28
    with Project(root, lock=True) as project:
        assert project.run("reproduce", {"subject": "demand@champion"})["equal"]
        assert project.run("verify")["ok"]


def _ask(url: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    async def post() -> tuple[int, bytes]:
        async with Client(url, timeout_s=10) as client:
            return await client.post("/v1/models/demand/predict", msgspec.json.encode({"rows": [row]}))

    status, body = asyncio.run(post())
    assert status == 200, body
    answers: list[dict[str, Any]] = json.loads(body)["predictions"]
    return answers


def _champion(url: str, row: dict[str, Any]) -> bool:
    try:
        return all(each["answered_by"] == "champion" for each in _ask(url, row))
    except (OSError, AssertionError):
        return False
