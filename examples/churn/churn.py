"""Which customers will order nothing in the next 60 days? Asked of each on the first of every month."""

from lightgbm import LGBMClassifier

from millstream import Every, FeatureView, Model, Table, checks, sources, splits
from millstream import features as f

customers = Table(
    "customers",
    source=sources.Parquet("files/customers.parquet"),
    key="customer_id",
    known_at="joined_at",
    timezone="Europe/Berlin",
    checks=[checks.unique("customer_id")],
    owner="shop",
    description="Who joined when, and by which channel.",
)

orders = Table(
    "orders",
    source=sources.Parquet("files/orders.parquet"),
    key="order_id",
    event_time="ordered_at",
    lag="1h",
    checks=[checks.unique("order_id"), checks.between("amount", 0, 5000)],
    owner="shop",
    description="What was ordered; here within the hour.",
)

calls = Table(
    "calls",
    source=sources.Parquet("files/calls.parquet"),
    key="call_id",
    event_time="called_at",
    lag="1d",
    checks=[checks.unique("call_id"), checks.holds("minutes >= 0")],
    owner="support",
    description="Calls to support; here the day after.",
)

habits = FeatureView(
    "habits",
    of=orders,
    entity="customer_id",
    features=dict(
        idle=f.since_last(),
        orders_180d=f.count(over="180d"),
    ),
)

rhythm = FeatureView(
    "rhythm",
    of=f.Request(habits),
    features=dict(overdue="habits.idle * habits.orders_180d / 180"),  # 3 means: three times their usual gap
)

support = FeatureView(
    "support",
    of=calls,
    entity="customer_id",
    features=dict(calls_60d=f.count(over="60d"), last_call=f.since_last()),
)

customer = FeatureView("customer", of=customers, entity="customer_id", features=dict(channel=f.last("channel")))

churn = Model(
    "churn",
    rows=Every("1mo", of=customers),
    label=f.none(of=orders, ahead="60d"),
    features=[habits, rhythm, support, customer],
    estimator=LGBMClassifier(n_estimators=60, num_leaves=8, learning_rate=0.08, min_child_samples=100),
    metrics=["roc_auc", "log_loss", "brier"],
    goal="roc_auc",
    split=splits.Time(test="60d", folds=2),
)
