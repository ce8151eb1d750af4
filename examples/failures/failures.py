"""Will this machine fail within the next 48 hours? Asked at every reading of a running machine."""

from lightgbm import LGBMClassifier

from millstream import Each, FeatureView, Model, Table, checks, sources, splits
from millstream import features as f

telemetry = Table(
    "telemetry",
    source=sources.Parquet("files/telemetry.parquet"),
    key="reading_id",
    event_time="read_at",
    checks=[
        checks.unique("reading_id"),
        checks.between("temperature", -20, 200),
        checks.nulls("vibration", at_most=0.02),
        checks.holds("state in ('running', 'idle')"),
    ],
    owner="plant",
    description="What a machine's sensors read, four times a day.",
)

failures = Table(
    "failures",
    source=sources.Parquet("files/failures.parquet"),
    key="failure_id",
    event_time="failed_at",
    lag="2h",
    checks=[checks.unique("failure_id")],
    owner="maintenance",
    description="When a machine stopped; written down within two hours.",
)

heat = FeatureView(
    "heat",
    of=telemetry,
    entity="machine_id",
    features=dict(
        temperature=f.last("temperature"),
        hottest_7d=f.max("temperature", over="7d"),
    ),
)

shake = FeatureView(
    "shake",
    of=telemetry,
    entity="machine_id",
    features=dict(
        vibration_2d=f.mean("vibration", over="2d"),
        trend_28d=f.trend("vibration", over="28d"),
        calm_60d=f.quantile("vibration", 0.1, over="60d"),
    ),
)

worn = FeatureView(
    "worn",
    of=f.Request(shake),
    features=dict(more="shake.vibration_2d - shake.calm_60d"),  # no two machines shake alike when they are well
)

fails = Model(
    "fails",
    rows=Each(telemetry, where="state = 'running'"),
    label=f.any(of=failures, ahead="48h"),
    features=[heat, shake, worn],
    estimator=LGBMClassifier(n_estimators=80, num_leaves=8, learning_rate=0.06, min_child_samples=80),
    metrics=["roc_auc", "log_loss", "brier"],
    goal="log_loss",
    split=splits.Time(test="21d", folds=3),
)
