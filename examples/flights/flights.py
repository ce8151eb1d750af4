"""Will a flight arrive more than 15 minutes late? Asked two hours before departure."""

from lightgbm import LGBMClassifier

from millstream import Each, FeatureView, Model, Table, checks, loop, sources, splits, traffic
from millstream import features as f

NEW_YORK = "America/New_York"

schedule = Table(
    "schedule",
    source=sources.Delta("ops/schedule"),
    key="flight_id",
    timezone=NEW_YORK,
    event_time="scheduled_departure",
    known_at="scheduled_departure - interval '30 days'",
    checks=[
        checks.unique("flight_id"),
        checks.between("distance", 0, 6000),
        checks.references("dest", "airports.faa", severity="note"),
    ],
    owner="network planning",
    description="What is planned to fly, known thirty days ahead.",
)

movements = Table(
    "movements",
    source=sources.Delta("ops/movements"),
    key="flight_id",
    timezone=NEW_YORK,
    event_time="scheduled_departure",
    columns={
        "departed_at": "scheduled_departure + dep_delay * interval '1 minute'",
        # An assumption: 50 minutes on the ground (elapsed less air time: 29 in the median, 49 at the 90th percentile).
        "arrived_at": "departed_at + (air_time + 50) * interval '1 minute'",
    },
    known_at="arrived_at",  # a day's rows come in one batch, each with the day on which it landed
    lag="1d",
    checks=[
        checks.unique("flight_id"),
        checks.nulls("tailnum", at_most=0.05),
        checks.holds("air_time > 0"),
        checks.fresh(within="60h"),
        checks.complete(against="schedule", key="flight_id"),
    ],
    owner="operations control",
    description="What flew, known when it landed; here within a day.",
)

weather = Table(
    "weather",
    source=sources.Delta("ops/weather"),
    key=("origin", "observed_at"),
    event_time="observed_at",
    lag="1d",
    checks=[
        checks.unique("origin", "observed_at", severity="warn"),
        checks.nulls("visib", at_most=0.05),
        checks.between("temp", -40, 130),
    ],
    owner="met office desk",
    description="Hourly observations at the three airports.",
)

planes = Table("planes", source=sources.Csv("files/planes.csv"), key="tailnum", checks=[checks.unique("tailnum")])

airports = Table("airports", source=sources.Csv("files/airports.csv"), key="faa", checks=[checks.unique("faa")])

flights = Table(
    "flights",
    of=[schedule, movements],
    key="flight_id",
    event_time="scheduled_departure",
    sql="""
        select s.*, m.tailnum, m.dep_delay, m.arr_delay, m.arrived_at
        from schedule s left join movements m using (flight_id)
    """,
    description="The schedule, with what became of it.",
)

carrier_form = FeatureView(
    "carrier_form",
    of=flights,
    entity="carrier",
    features=dict(
        late_share_7d=f.mean("arr_delay > 15", over="7d"),
        late_share_3d=f.mean("arr_delay > 15", over="3d"),
        dep_delay_3d=f.mean("dep_delay", over="3d"),
        flights_1d=f.count(over="1d"),
    ),
)

origin_form = FeatureView(
    "origin_form",
    of=flights,
    entity="origin",
    features=dict(
        late_share_2d=f.mean("arr_delay > 15", over="2d"),
        dep_delay_2d=f.mean("dep_delay", over="2d"),
        dep_delay_std_2d=f.std("dep_delay", over="2d"),
    ),
)

route_form = FeatureView(
    "route_form",
    of=flights,
    entity=("carrier", "origin", "dest"),
    features=dict(late_90d=f.target("arr_delay > 15", over="90d", smooth=20)),
)

weather_seen = FeatureView(
    "weather_seen",
    of=weather,
    entity="origin",
    ttl="36h",
    features=dict(
        wind=f.last("wind_speed"),
        visib=f.last("visib"),
        pressure=f.last("pressure"),
        precip_1d=f.sum("precip", over="1d"),
    ),
)

airport = FeatureView(
    "airport", of=airports, entity="faa", features=dict(alt=f.last("alt"), lat=f.last("lat"), lon=f.last("lon"))
)

at_request = FeatureView(
    "at_request",
    of=f.Request(scheduled_departure="timestamptz", distance="double"),
    features=dict(
        hour="hour(scheduled_departure at time zone 'America/New_York')",
        weekday="isodow(scheduled_departure at time zone 'America/New_York')",
        distance="distance",
        long_haul="distance > 1500",
    ),
)

late = Model(
    "late",
    rows=Each(flights, decide_at="scheduled_departure - interval '2 hours'"),
    label="arr_delay > 15",
    features=[
        carrier_form,
        origin_form,
        route_form,
        weather_seen,
        airport.on({"faa": "dest"}, name="dest_airport"),
        at_request,
    ],
    estimator=LGBMClassifier(n_estimators=80, num_leaves=8, learning_rate=0.05, min_child_samples=200),
    metrics=["roc_auc", "log_loss", "brier"],
    goal="roc_auc",
    split=splits.Time(test="7d", folds=2),
    traffic=traffic.Champion(fallback=["previous", "baseline"]),
    retrain=loop.Every("56d", or_on=loop.Harm(), at_most_every="21d"),
)
