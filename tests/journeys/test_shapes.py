"""The other shapes: entities at ticks, labels that look ahead, from files to a model that answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from millstream.project import Project

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
start = "2025-01-01T00:00:00+00:00"
label = "a replayed year"
"""
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


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
        return project.run("train", {"model": "churn", "actor": "tess"})


def test_a_churn_model_of_monthly_snapshots_learns_more_than_the_simple_rule(trained: dict[str, Any]) -> None:
    counts = trained["counts"]
    assert counts["not_yet_known"] > 0 and counts["purged"] > 0
    assert counts["total"] == sum(
        counts[name] for name in ("unlabelled", "not_yet_known", "purged", "fitted", "tested")
    )
    assert set(trained["pins"]) == {"customers", "orders"}
    assert trained["metrics"]["model"]["log_loss"] < trained["metrics"]["baseline"]["log_loss"]
