"""Which readings are unlike the others? Nobody says which are: there is no label."""

from sklearn.ensemble import IsolationForest

from millstream import Each, FeatureView, Model, Table, checks, sources, splits, tasks
from millstream import features as f

sensors = Table(
    "sensors",
    source=sources.Parquet("files/sensors.parquet"),
    key="reading_id",
    event_time="read_at",
    checks=[checks.unique("reading_id"), *(checks.nulls(f"f{each}", at_most=0.01) for each in range(1, 10))],
    owner="control room",
    description="Nine sensors, read together; the times are assumed, one reading every ten minutes.",
)

reading = FeatureView(
    "reading",
    of=f.Request(**{f"f{each}": "double" for each in range(1, 10)}),
    features={f"f{each}": f"f{each}" for each in range(1, 10)},
)

odd = Model(
    "odd",
    rows=Each(sensors),
    label=None,
    task=tasks.Anomaly(share=0.05),
    features=[reading],
    estimator=IsolationForest(n_estimators=50),
    metrics=["share_flagged"],
    split=splits.Time(test="30d", folds=1),
)

plain = Model(
    "plain",
    rows=Each(sensors),
    label=None,
    task=tasks.Anomaly(share=0.05),
    features=[reading],
    metrics=["share_flagged"],
    split=splits.Time(test="30d", folds=1),
)
