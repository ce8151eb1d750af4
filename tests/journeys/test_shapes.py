"""The other shapes: entities at ticks, labels that look ahead, from files to a model that answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from millstream.definitions import tasks
from millstream.definitions.manifest import gather
from millstream.errors import DefinitionError
from millstream.features import point_in_time
from millstream.features.plan import FeaturePlan
from millstream.features.ticks import existing
from millstream.project import Project
from millstream.project.answering.answers import keep_ended
from millstream.project.models import learn
from millstream.project.watch import Watch
from millstream.serving.app import App
from millstream.serving.chain import Chain
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.serving.models import read_from
from millstream.serving.scorer import Scorer
from millstream.training import backtest, build_set, judge, train
from millstream.training.sets import SIMPLE
from millstream.types import to_micros

DEFINITIONS = """
from lightgbm import LGBMClassifier
from millstream import Every, FeatureView, Model, Table, features as f, sources, splits

customers = Table("customers", source=sources.Parquet("data/customers.parquet"), key="customer_id",
    known_at="signed_up_at", timezone="Europe/Berlin")
orders = Table("orders", source=sources.Parquet("data/orders.parquet"), key="order_id", event_time="ordered_at",
    lag="1d")
habits = FeatureView("habits", of=orders, entity="customer_id",
    features={"orders_30d": f.count(over="30d"), "orders_90d": f.count(over="90d"),
              "spent_90d": f.sum("amount", over="90d"), "paid_ever": f.count(where="amount > 50")})
customer = FeatureView("customer", of=customers, entity="customer_id", features={"plan": f.last("plan")})
churn = Model("churn", rows=Every("1mo", of=customers, where="not closed"),
    label=f.none(of=orders, ahead="60d"), features=[habits, customer],
    estimator=LGBMClassifier(n_estimators=20, verbosity=-1), metrics=["roc_auc", "log_loss"], goal="log_loss",
    split=splits.Time(test="60d", folds=2))
"""
TOML = """name = "churn"
timezone = "Europe/Berlin"
[replay]
start = "2024-10-01T12:00:00+00:00"
label = "a replayed year"
"""
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 10, 1, 12, tzinfo=UTC)


def people(rng: np.random.Generator, count: int = 300) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Customers who order at a pace of their own until, perhaps, they stop."""
    signed = [BEGIN + timedelta(days=int(day)) for day in rng.integers(-30, 200, count)]
    customers = pl.DataFrame(
        {
            "customer_id": np.arange(count),
            "signed_up_at": signed,
            "plan": rng.choice(["basic", "gold"], count),
            "closed": rng.random(count) < 0.05,
        }
    )
    rows = []
    for customer, since in enumerate(signed):
        at = since + timedelta(days=float(rng.exponential(5)))
        stops = since + timedelta(days=float(rng.exponential(200)))
        while at < min(stops, datetime(2025, 1, 1, tzinfo=UTC)):
            rows.append((customer, at, float(rng.gamma(2, 30))))
            at += timedelta(days=float(rng.exponential(20)))
    orders = pl.DataFrame(rows, schema=["customer_id", "ordered_at", "amount"], orient="row")
    return customers, orders.with_row_index("order_id")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shop")
    (root / "data").mkdir()
    (root / "millstream.toml").write_text(TOML)
    (root / "definitions.py").write_text(DEFINITIONS)
    customers, orders = people(np.random.default_rng(3))
    customers.write_parquet(root / "data/customers.parquet")
    orders.write_parquet(root / "data/orders.parquet")
    return root


@pytest.fixture(scope="module")
def trained(shop: Path) -> dict[str, Any]:
    with Project(shop, lock=True) as project:
        project.run("refresh")
        said: dict[str, Any] = project.run("train", {"model": "churn", "actor": "tess"})
        project.run("release", {"model": "churn", "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "better than the simple rule"})
    return said


@pytest.fixture
def live(shop: Path, trained: dict[str, Any], tmp_path: Path) -> Iterator[Project]:
    """A copy with a live release, to do anything with."""
    shutil.copytree(shop, tmp_path / "shop")
    with Project(tmp_path / "shop", lock=True) as project:
        yield project


def released(project: Project, model: str) -> Path:
    from millstream.project.models.ship import live as live_release

    release = live_release(project, model)
    assert release is not None
    return Path(release.path)


def ask(project: Project, model: str, rows: list[dict[str, Any]], at: datetime) -> tuple[int, dict[str, Any]]:
    """Ask as a caller does, of the application that answers, at an instant."""
    return post(project, model, "predict", {"rows": rows}, at)


def post(project: Project, model: str, work: str, asked: dict[str, Any], at: datetime) -> tuple[int, dict[str, Any]]:
    """Send one request to the application that answers, at an instant."""
    log = PredictionLog(project.places.log)
    there = Live(leased=True)
    there.replace({model: Chain(Scorer.open(released(project, model), project.online), generation=1)}, {})
    app = App(there, log, now_us=lambda: to_micros(at))
    body, said = json.dumps(asked).encode(), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": f"/v1/models/{model}/{work}", "headers": headers}
    try:
        asyncio.run(app(scope, receive, send))
    finally:
        log.close()
    return said[0]["status"], json.loads(said[1]["body"])


def test_a_churn_model_of_monthly_snapshots_learns_more_than_the_simple_rule(trained: dict[str, Any]) -> None:
    counts = trained["counts"]
    assert counts["not_yet_known"] > 0 and counts["purged"] > 0
    assert counts["total"] == sum(
        counts[name] for name in ("unlabelled", "not_yet_known", "purged", "fitted", "tested")
    )
    assert set(trained["pins"]) == {"customers", "orders"}
    assert trained["metrics"]["model"]["log_loss"] < trained["metrics"]["baseline"]["log_loss"]


def test_a_batch_scores_everybody_who_exists_now_and_the_same_as_a_request(live: Project, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    live.run("score", {"model": "churn", "out": str(out)})
    scores = pl.read_parquet(out)
    assert scores.columns == ["customer_id", "decided_at", "value"]
    assert scores["decided_at"].unique().to_list() == [NOW]
    customers = live.lake.read("customers").frame
    assert scores["customer_id"].to_list() == customers.filter(~pl.col("closed"))["customer_id"].sort().to_list()
    status, said = ask(live, "churn", [{"customer_id": each} for each in scores["customer_id"]], NOW)
    assert status == 200 and not any(each["degraded"] for each in said["predictions"])
    assert [each["value"] for each in said["predictions"]] == scores["value"].to_list()


def test_what_is_served_of_an_entity_is_what_a_point_in_time_read_finds(live: Project) -> None:
    folder = released(live, "churn")
    plan = FeaturePlan.decode((folder / "plan.json").read_bytes())
    asked = existing(plan, live.lake.read("customers"), NOW)
    joined = point_in_time(plan, asked, {name: live.lake.read(name) for name in plan.tables})
    scorer = Scorer.open(folder, live.online)
    rows = scorer.check_many([{"customer_id": each} for each in asked["customer_id"].to_list()])
    found = scorer.score_many(rows, [to_micros(NOW)] * len(rows))
    counts = [each.features[scorer.features.index("habits.orders_90d")] for each in found]
    assert counts == joined["habits.orders_90d"].to_list()
    scorer.close()


def test_the_outcome_of_an_entity_is_that_of_the_instant_it_was_asked_at(live: Project) -> None:
    ids = list(range(60))
    _, first = ask(live, "churn", [{"customer_id": each} for each in ids], NOW)
    later = NOW + timedelta(days=2)
    _, second = ask(live, "churn", [{"customer_id": each} for each in ids], later)
    watch = Watch(live)
    live.clock.advance(NOW + timedelta(days=50))  # type: ignore[attr-defined]
    assert watch.judge()
    assert watch._models["churn"].book.totals() == (120, 0)  # no window has closed, whatever was ordered
    live.clock.advance(NOW + timedelta(days=64))  # type: ignore[attr-defined]
    watch.judge()
    assert watch._models["churn"].book.totals() == (120, 120)
    assert Watch(live).judge() == []  # all days are judged; and by another process the same
    orders = live.lake.read("orders").frame
    for said, at in ((first, NOW), (second, later)):
        for customer, each in zip(ids[:10], said["predictions"][:10], strict=True):
            mine = orders.filter(pl.col("customer_id") == customer)["ordered_at"]
            truth = live.run("why", {"prediction": each["id"]})
            # the clocks go back in between: sixty days of the calendar are an hour longer
            assert truth["outcome"]["label"] is not any(at <= when < at + timedelta(days=60, hours=1) for when in mine)
            assert truth["recomputed"]["equal"]
    proved = live.run("features_parity", {"model": "churn", "since": (NOW - timedelta(days=1)).isoformat()})
    assert (proved["compared"], proved["equal"]) == (120, 120), proved["says"]


def test_reported_outcomes_are_judged_months_before_a_table_could_tell(live: Project) -> None:
    ids = list(range(60))
    _, said = ask(live, "churn", [{"customer_id": each} for each in ids], NOW)
    early = said["predictions"][0]["id"]
    watch = Watch(live)
    nobody = {"key": {"customer_id": 999999, "decided_at": NOW.isoformat()}, "label": True}
    told = [{"id": each["id"], "label": True} for each in said["predictions"][:30]]
    in_berlin = NOW.astimezone(ZoneInfo("Europe/Berlin")).isoformat()
    told += [{"key": {"decided_at": in_berlin, "customer_id": each}, "label": False} for each in ids[30:]]
    for again in range(2):  # the same again counts once
        status, answer = post(live, "churn", "outcomes", {"outcomes": [*told, nobody]}, NOW + timedelta(days=2 + again))
        assert status == 200 and len(answer["outcomes"]) == 61
    post(live, "churn", "outcomes", {"outcomes": [{"id": early, "label": False}]}, NOW + timedelta(days=5))
    live.clock.advance(NOW + timedelta(days=8))  # type: ignore[attr-defined]
    watch.judge()
    book = watch._models["churn"].book
    assert (book.totals(), book.reported) == ((60, 60), (60, 0, 1))
    why = live.run("why", {"prediction": early})
    assert (why["outcome"]["label"], why["outcome"]["told_by"]) == (False, "report") and len(why["reported"]) == 3
    (model,) = live.run("status")["models"]
    assert model["outcomes"] == {"outcomes": 60, "reported": 60, "contradicted": 0, "waiting": 1}
    assert keep_ended(live) > 0 and Watch(live)._take_answers() is None  # sealed, they are read from the lake
    assert live.run("why", {"prediction": early})["reported"] == why["reported"]
    live.clock.advance(NOW + timedelta(days=64))  # type: ignore[attr-defined]
    again_judged = Watch(live)  # another process
    again_judged.judge()
    book = again_judged._models["churn"].book
    assert book.totals() == (60, 60) and book.reported.contradicted > 0
    assert live.run("why", {"prediction": early})["outcome"]["told_by"] == "table orders"


DEMAND = """
from lightgbm import LGBMRegressor
from millstream import Every, FeatureView, Model, Table, features as f, sources, splits

assortment = Table("assortment", source=sources.Parquet("data/assortment.parquet"), key="item", known_at="listed_at")
sales = Table("sales", source=sources.Parquet("data/sales.parquet"), key=("item", "day"), event_time="day",
    known_at="day + interval '24 hours'", lag="6h")
promotions = Table("promotions", source=sources.Parquet("data/promotions.parquet"), key=("item", "day"),
    event_time="day", known_at="announced_at")
pace = FeatureView("pace", of=sales, entity="item", features={"sold_14d": f.mean("quantity", over="14d")})
planned = FeatureView("planned", of=promotions, entity="item", features={"discount": f.last("discount", over="24h")})
when = FeatureView("when", of=f.Request(target_at="timestamptz"),
    features={"weekday": "dayofweek(target_at at time zone 'Europe/Berlin')"})
demand = Model("demand", rows=Every("1d", of=assortment, horizon=("1d", "7d")),
    label=f.sum("quantity", of=sales, ahead="1d", at="target_at"),
    features=[pace, planned.on({}, name="planned", at="target_at"), when],
    estimator=LGBMRegressor(n_estimators=40, verbosity=-1), metrics=["rmse", "mae"], goal="rmse",
    split=splits.Time(test="14d", folds=1))
"""
BERLIN = ZoneInfo("Europe/Berlin")


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=BERLIN).astimezone(UTC)


def stores(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Items that sell at a pace of their own, four times as well when they are promoted."""
    items, days = range(8), [date(2024, 7, 20) + timedelta(days=each) for each in range(85)]
    promoted = {(item, day) for item in items for day in days if rng.random() < 0.15}
    paces = rng.uniform(5, 20, len(items))
    sold = [
        (item, midnight(day), int(rng.poisson(paces[item] * (4 if (item, day) in promoted else 1))))
        for item in items
        for day in days
    ]
    plans = [(item, midnight(day), midnight(day - timedelta(days=20)), 30) for item, day in sorted(promoted)]
    return {
        "assortment": pl.DataFrame({"item": list(items), "listed_at": [midnight(date(2024, 8, 1))] * len(items)}),
        "sales": pl.DataFrame(sold, schema=["item", "day", "quantity"], orient="row"),
        "promotions": pl.DataFrame(plans, schema=["item", "day", "announced_at", "discount"], orient="row"),
    }


@pytest.fixture(scope="module")
def demanded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("demand")
    (root / "data").mkdir()
    (root / "millstream.toml").write_text(TOML)
    (root / "definitions.py").write_text(DEMAND)
    for name, frame in stores(np.random.default_rng(5)).items():
        frame.write_parquet(root / f"data/{name}.parquet")
    with Project(root, lock=True) as project:
        project.run("refresh")
        said = project.run("train", {"model": "demand", "actor": "tess"})
        assert said["metrics"]["model"]["rmse"] < 0.7 * said["metrics"]["baseline"]["rmse"]
        project.run("release", {"model": "demand", "actor": "tess"})
        project.run("approve", {"actor": "ada", "reason": "it knows what is planned"})
        yield project


def test_the_training_set_of_a_horizon_is_what_loops_make_of_it(demanded: Project) -> None:
    plan = learn.plan(demanded, "demand")
    made = build_set(plan, demanded.lake.read, until=NOW)
    sold = {(row["item"], row["day"]): row["quantity"] for row in demanded.lake.read("sales").frame.to_dicts()}
    off = {(row["item"], row["day"]): row for row in promotions(demanded)}
    first, last = date(2024, 8, 1), NOW.date()
    ticks = [midnight(first + timedelta(days=each)) for each in range((last - first).days + 1)]
    assert made.rows == len(ticks) * 8 * 7
    assert made.frame["decided_at"].unique().sort().to_list() == ticks
    for row in made.frame.sample(500, seed=1).to_dicts():
        ahead = (row["target_at"].astimezone(BERLIN).date() - row["decided_at"].astimezone(BERLIN).date()).days
        assert 1 <= ahead <= 7 and row["target_at"].astimezone(BERLIN).time() == time()
        known = midnight(row["target_at"].astimezone(BERLIN).date() + timedelta(days=1)) + timedelta(hours=6)
        assert row["label_known_at"] == known
        assert row["label"] == (sold[row["item"], row["target_at"]] if known <= NOW else None)
        plans = off.get((row["item"], row["target_at"]))
        announced = plans is not None and plans["announced_at"] <= row["decided_at"]
        assert row["planned.discount"] == (30 if announced else None)


def test_a_backtest_of_a_horizon_draws_days_predicted_and_ends_with_whole_horizons(demanded: Project) -> None:
    model = demanded.manifest.model("demand").but(metrics=["mae", "mase", "wape"])
    made = build_set(learn.plan(demanded, "demand"), demanded.lake.read, until=NOW)
    tested = backtest(model, made)
    assert made.ahead is not None and made.simple is not None
    test = tested.folds[-1].split.test
    assert np.bincount(made.ahead[test])[1:].tolist() == [14 * 8] * 7
    assert (
        tested.report.days == 14 + 7 - 1 == len({row.date() for row in made.frame["target_at"].gather(test).to_list()})
    )
    fitted = tested.folds[-1].split.fit
    assert made.known[fitted].max() <= tested.folds[-1].split.cut < made.decided[test].min()
    np.testing.assert_array_equal(tested.baseline, made.simple[test])
    said = tested.report.pooled["candidate"]
    labelled = ~np.isnan(made.label) & ~np.isnan(made.simple)
    scale = np.abs(made.label - made.simple)[labelled & (made.known <= to_micros(NOW))].mean()
    assert said["mase"] == pytest.approx(np.abs(tested.label - tested.candidate).mean() / scale)
    assert said["wape"] == pytest.approx(np.abs(tested.label - tested.candidate).sum() / tested.label.sum())
    assert "it is better on 7 of 7 distances" in judge(tested).says
    with pytest.raises(DefinitionError, match="measured by the seasonal naive rule, which it has not"):
        backtest(model.but(task=tasks.Regression()), dataclasses.replace(made, frame=made.frame.drop(SIMPLE)))


def test_quantiles_under_a_horizon_add_the_rules_errors_to_the_last_season(demanded: Project, tmp_path: Path) -> None:
    task = tasks.Forecast(season="7d", levels=(0.1, 0.5, 0.9))
    model = demanded.manifest.model("demand").but(task=task, metrics=["pinball", "coverage"], goal="pinball")
    manifest = gather([*demanded.manifest.tables.values(), *demanded.manifest.views.values(), model])
    made = build_set(learn.plan(demanded, "demand"), demanded.lake.read, until=NOW)
    tested = backtest(model, made)
    assert tested.report.task == "quantiles" and judge(tested).passed
    train(manifest, made, folder=tmp_path / "made", tested=tested)
    assert made.simple is not None
    fit = tested.folds[-1].split.fit
    off = (made.label - made.simple)[fit]
    offsets = np.quantile(off[~np.isnan(off)], task.levels)
    np.testing.assert_allclose(tested.baseline, made.simple[tested.folds[-1].split.test][:, None] + offsets)
    scorer = Scorer(read_from(tmp_path / "made"), release="x", model="demand", version=1, store=demanded.online)
    row = {"item": 3, "target_at": to_micros(midnight(NOW.date() + timedelta(days=2)))}
    ((value, said),) = scorer.simple_many([row], [to_micros(NOW)])
    sold = demanded.lake.read("sales").frame.filter(item=3, day=midnight(NOW.date() - timedelta(days=5)))["quantity"][0]
    assert (
        list(said["quantiles"].values()) == pytest.approx((sold + offsets).tolist())
        and value == said["quantiles"]["0.5"]
    )
    scorer.close()


def promotions(project: Project) -> list[dict[str, Any]]:
    read = project.lake.read("promotions")
    return read.frame.with_columns(pl.col(read.known["discount"]).alias("announced_at")).to_dicts()


def test_a_request_says_for_when_and_hears_of_what_is_planned(demanded: Project, tmp_path: Path) -> None:
    out = tmp_path / "demand.parquet"
    demanded.run("score", {"model": "demand", "out": str(out)})
    scores = pl.read_parquet(out).sort("item", "target_at")
    assert scores.columns == ["item", "target_at", "decided_at", "value"]
    assert scores.height == 8 * 7
    rows = [{"item": row["item"], "target_at": row["target_at"].isoformat()} for row in scores.to_dicts()]
    status, said = ask(demanded, "demand", rows, NOW)
    assert status == 200 and not any(each["degraded"] for each in said["predictions"])
    assert [each["value"] for each in said["predictions"]] == scores["value"].to_list()
    plans = {(row["item"], row["day"]) for row in promotions(demanded) if row["announced_at"] <= NOW}
    promoted = [(row["item"], row["target_at"]) in plans for row in scores.to_dicts()]
    assert any(promoted)
    mean = scores.with_columns(promoted=pl.Series(promoted)).group_by("promoted").agg(pl.col("value").mean())
    assert dict(mean.rows())[True] > 2 * dict(mean.rows())[False]
    told = demanded.run("why", {"prediction": said["predictions"][promoted.index(True)]["id"]})
    assert told["features"]["planned.discount"] == 30 and told["recomputed"]["equal"]
    proved = demanded.run("features_parity", {"model": "demand"})
    assert proved["compared"] == proved["equal"] >= len(rows) and not proved["unproved"], proved["says"]
    assert told["outcome"] is None


def test_a_request_that_says_no_instant_is_answered_for_each_of_the_horizon(demanded: Project) -> None:
    scores = pl.DataFrame(demanded.run("score", {"model": "demand"})["sample"])
    status, said = ask(demanded, "demand", [{"item": 0}, {"item": 1}], NOW)
    assert status == 200
    found = pl.DataFrame(said["predictions"])
    assert found["row"].to_list() == [0] * 7 + [1] * 7
    assert (
        found["target_at"].to_list()
        == [midnight(NOW.date() + timedelta(days=each)).isoformat() for each in range(1, 8)] * 2
    )
    assert found["value"].to_list()[:10] == scores["value"].to_list()[:10]
    named = {"item": 1, "target_at": "2024-10-03T00:00:00+02:00"}
    _, mixed = ask(demanded, "demand", [named, {"item": 0}], NOW)
    assert [each["row"] for each in mixed["predictions"]] == [0, *[1] * 7]
    assert mixed["predictions"][0]["target_at"] == "2024-10-02T22:00:00+00:00"
    assert mixed["predictions"][0]["value"] == found["value"][8]
    status, wrong = ask(demanded, "demand", [{"item": 0}, {"itme": 1}], NOW)
    assert status == 422 and wrong["detail"].startswith("row 1: the row misses 'item'")
    status, much = ask(demanded, "demand", [{"item": 0}] * 1500, NOW)
    assert status == 422 and "10,500 answers" in much["detail"] and "millstream score" in much["do"]


def test_what_stands_in_is_what_a_season_ago_was_known_of_each_day(demanded: Project) -> None:
    scorer = Scorer.open(released(demanded, "demand"), demanded.online)
    later = NOW + timedelta(hours=30)
    sold = {(row["item"], row["day"]): row["quantity"] for row in demanded.lake.read("sales").frame.to_dicts()}
    for at in (NOW, later):  # the next day's sales become known at 6 o'clock
        chain = Chain(scorer, generation=1)
        rows = [{"item": item, "target_at": midnight(at.date() + timedelta(days=ahead)).isoformat()}
                for item in range(8) for ahead in range(1, 8)]  # fmt: skip
        said = chain.answer(rows, [to_micros(at)] * len(rows), until=float("inf"), stopped="it may not answer")
        for row, each in zip(rows, said, strict=True):
            assert each.answered_by == "baseline"
            day = datetime.fromisoformat(row["target_at"]).astimezone(BERLIN).date()
            weeks = 1
            while midnight(day - timedelta(weeks=weeks) + timedelta(days=1)) + timedelta(hours=6) > at:
                weeks += 1
            assert each.value == sold[row["item"], midnight(day - timedelta(weeks=weeks))]
    unknown = [{"item": 99, "target_at": midnight(NOW.date() + timedelta(days=2)).isoformat()}]
    (nobody,) = chain.answer(unknown, [to_micros(NOW)], until=float("inf"), stopped="it may not answer")
    assert nobody.value == scorer.baseline.value
    scorer.close()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "misses 'item'"),
        ({"item": 1, "target_at": None}, "target_at is missing"),
        ({"item": 1, "target_at": "tomorrow"}, "is not a timestamptz"),
        ({"item": 1, "target_at": "2024-09-30T22:00:00Z"}, "an instant at most 7d ahead"),
        ({"item": 1, "target_at": "2025-01-30T22:00:00Z"}, "an instant at most 7d ahead"),
        ({"item": 1, "target_at": "2024-10-02T22:00:00Z", "decided_at": "x"}, "has 'decided_at'"),
    ],
)
def test_a_request_for_no_instant_of_the_horizon_is_refused(demanded: Project, row: dict[str, Any], says: str) -> None:
    status, said = ask(demanded, "demand", [row], NOW)
    assert status == 422
    assert says in f"{said['detail']} {said['expected']}"
