"""How much of each category will each store sell tomorrow? Asked every midnight."""

from lightgbm import LGBMRegressor

from millstream import Every, FeatureView, Model, Table, checks, loop, monitors, sources, splits, traffic
from millstream import features as f

NEW_YORK = "America/New_York"

assortment = Table(
    "assortment",
    source=sources.Delta("ops/assortment"),
    key=("store_id", "category"),
    timezone=NEW_YORK,  # whose midnights the forecasts are made at, and are about
    event_time="listed_from",
    checks=[checks.unique("store_id", "category")],
    owner="range planning",
    description="Which store carries which category, and since when.",
)

daily = Table(
    "daily",
    source=sources.Delta("ops/daily"),
    key=("store_id", "category", "day"),
    event_time="day",
    timezone=NEW_YORK,
    known_at="delivered_at",
    lag="2h",
    checks=[
        checks.unique("store_id", "category", "day"),
        checks.holds("units >= 0 and sales >= 0"),
        checks.fresh(within="36h"),
        checks.expected("store_id", "category"),
        checks.zeros("units", "sales"),
    ],
    owner="store systems",
    description="What each store sold of each category, a row a day, delivered at four the next morning.",
)

pace = FeatureView(
    "pace",
    of=daily,
    entity=["store_id", "category"],
    features=dict(
        units_7d=f.sum("units", over="7d"),
        units_28d=f.sum("units", over="28d"),
        mean_28d=f.mean("units", over="28d"),
        last=f.last("units", over="7d"),
    ),
)

category = FeatureView(
    "category_pace", of=daily, entity="category", features=dict(mean_28d=f.mean("units", over="28d"))
)

store = FeatureView("store_pace", of=daily, entity="store_id", features=dict(mean_7d=f.mean("units", over="7d")))

when = FeatureView(
    "when",
    of=f.Request(target_at="timestamptz"),
    features=dict(weekday="isodow(target_at at time zone 'America/New_York')"),
)

demand = Model(
    "demand",
    rows=Every("1d", of=assortment, horizon=("1d", "1d")),
    label=f.sum("units", of=daily, ahead="1d", at="target_at"),
    features=[pace, category, store, when],
    estimator=LGBMRegressor(
        objective="poisson", n_estimators=200, num_leaves=15, learning_rate=0.05, min_child_samples=100
    ),
    metrics=["rmse", "mae", "bias"],
    goal="rmse",
    split=splits.Time(test="14d", folds=2),
    monitor=monitors.Classic(goal_worse=0.2, bias=0.1),  # the error of a month differs by a tenth from the next
    traffic=traffic.Champion(fallback=["previous", "baseline"]),
    retrain=loop.Every("28d", or_on=loop.Harm(), at_most_every="21d"),
)
