"""How much of each category will each store sell on each of the next 28 days? Asked every midnight."""

from lightgbm import LGBMRegressor

from millstream import Every, FeatureView, Model, Table, checks, sources, splits
from millstream import features as f

assortment = Table(
    "assortment",
    source=sources.Parquet("files/assortment.parquet"),
    key=("store_id", "category"),
    timezone="America/New_York",  # whose midnights the forecasts are made at, and are about
    checks=[checks.unique("store_id", "category")],
    owner="range planning",
    description="Which store carries which category.",
)

sales = Table(
    "sales",
    source=sources.Parquet("files/sales.parquet"),
    key="line_id",
    event_time="sold_at",
    timezone="UTC",  # times come without zone; weeks that turn at 5, after 12 March at 4 o'clock, say it is UTC
    lag="4h",
    checks=[checks.unique("line_id"), checks.nulls("sold_at", at_most=0.0), checks.holds("units >= 0")],
    owner="tills",
    description="Sales lines of the panel of households; here four hours later.",
)

promotions = Table(
    "promotions",
    source=sources.Parquet("files/promotions.parquet"),
    key=("store_id", "category", "week"),
    event_time="begins_at",
    timezone="America/New_York",
    known_at="begins_at - interval '35 days'",  # an assumption: the data do not say when a week was planned
    checks=[checks.unique("store_id", "category", "week"), checks.holds("mailed >= 0 and displayed >= 0")],
    owner="planning",
    description="Products in the mailer and on display, by week from Monday; planned five weeks ahead.",
)

pace = FeatureView(
    "pace",
    of=sales,
    entity=["store_id", "category"],
    features=dict(
        units_7d=f.sum("units", over="7d"), units_28d=f.sum("units", over="28d"), units_84d=f.sum("units", over="84d")
    ),
)

store = FeatureView("store_pace", of=sales, entity="store_id", features=dict(units_28d=f.sum("units", over="28d")))

part = FeatureView("part", of=f.Request(pace, store), features=dict(of_store="pace.units_28d / store_pace.units_28d"))

plan = FeatureView(
    "plan",
    of=promotions,
    entity=["store_id", "category"],
    features=dict(
        front=f.last("front", over="7d"), mailed=f.last("mailed", over="7d"), displayed=f.last("displayed", over="7d")
    ),
)

shelf = FeatureView("shelf", of=assortment, entity=["store_id", "category"], features=dict(category=f.last("category")))

when = FeatureView(
    "when",
    of=f.Request(target_at="timestamptz"),
    features=dict(weekday="dayofweek(target_at at time zone 'America/New_York')"),
)

demand = Model(
    "demand",
    rows=Every("1d", of=assortment, horizon=("1d", "28d")),
    label=f.sum("units", of=sales, ahead="1d", at="target_at"),
    features=[pace, part, plan.on({}, name="planned", at="target_at"), shelf, when],
    estimator=LGBMRegressor(
        objective="poisson", n_estimators=60, num_leaves=15, learning_rate=0.1, min_child_samples=500
    ),
    metrics=["rmse", "mae", "wape", "mase", "bias"],
    goal="rmse",
    split=splits.Time(test="28d", folds=2),
)
