"""Hand-made training sets: no lake, no features, every number known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.splits import Time
from millstream.definitions.table import Table
from millstream.expressions import parse
from millstream.features.plan import FeatureColumn, FeaturePlan
from millstream.training.sets import TrainingSet

START = datetime(2013, 1, 1, tzinfo=UTC)
LIGHTGBM = "lightgbm.sklearn:LGBMClassifier"

COLUMNS = (
    FeatureColumn("form.delay", "double"),
    FeatureColumn("form.long", "boolean"),
    FeatureColumn("form.carrier", "varchar"),
    FeatureColumn("form.flights", "bigint"),
)


def plan(label: str = "boolean") -> FeaturePlan:
    return FeaturePlan(
        model="late",
        rows_table="flights",
        row_key=("flight_id",),
        columns=COLUMNS,
        views=(),
        request={"distance": "double"},
        request_features={},
        decide_at=None,
        event_time="at",
        where=None,
        label=parse("outcome", {"outcome": label}, where="label"),
    )


def frame(rows: int = 2000, *, days: int = 20, seed: int = 3, skill: float = 1.5, number: bool = False) -> pl.DataFrame:
    """Rows evenly over days; a label known 5 hours after its decision, some NULL."""
    random = np.random.default_rng(seed)
    delay = random.normal(size=rows)
    long = random.random(rows) < 0.3
    carrier = random.integers(0, 4, rows)
    score = skill * (delay + long + 0.5 * carrier - 1.2) + random.logistic(size=rows)
    decided = [START + timedelta(days=days) * (row / rows) for row in range(rows)]
    label: list[Any] = list(score) if number else [bool(each > 0) for each in score]
    missing = random.random(rows)
    return pl.DataFrame(
        {
            "flight_id": [f"f{row:05d}" for row in range(rows)],
            "distance": random.uniform(100, 3000, rows),
            "decided_at": decided,
            "label": [None if missing[row] < 0.05 else label[row] for row in range(rows)],
            "label_known_at": [each + timedelta(hours=5) for each in decided],
            "form.delay": [None if missing[row] > 0.9 else float(delay[row]) for row in range(rows)],
            "form.long": long,
            "form.carrier": [("AA", "B6", "UA", None)[each] for each in carrier],
            "form.flights": random.integers(0, 50, rows),
        },
        schema_overrides={"decided_at": pl.Datetime("us", "UTC"), "label_known_at": pl.Datetime("us", "UTC")},
    )


def training_set(
    made: pl.DataFrame | None = None, *, until: datetime | None = None, label: str = "boolean"
) -> TrainingSet:
    return TrainingSet(
        plan=plan(label), frame=frame() if made is None else made, pins={"flights": 12, "weather": 3}, until=until
    )


def manifest(**changes: Any) -> Manifest:
    flights = Table("flights", source=Csv("flights.csv"), key="flight_id", event_time="at")
    words: dict[str, Any] = {
        "rows": Each(flights),
        "label": "outcome",
        "features": [],
        "estimator": Estimator(LIGHTGBM, {"n_estimators": 20, "num_leaves": 7}),
        "metrics": ["roc_auc", "log_loss", "brier"],
        "goal": "roc_auc",
        "split": Time(test="4d", folds=3),
    }
    return gather([flights, Model("late", **(words | changes))])
