"""The small project of ``init DIR`` alone: generated orders of a web shop, and every word explained where it stands."""

from __future__ import annotations

import numpy as np
import polars as pl

from millstream.cli.starting.write import IGNORED

MODEL = "returned"
_ORDERS, _DAYS, _CUSTOMERS = 6_000, 120, 400

_DEFINITIONS = '''"""Will an order come back? A first project, on GENERATED data; init --from starts from yours.

A project is this folder: definitions (this file), addresses (millstream.toml), and git. Nothing here does work when
it is read; `millstream train`, `release` and `up` do what it says.
"""

from lightgbm import LGBMClassifier

from millstream import Each, FeatureView, Model, Table, checks, loop, sources, splits
from millstream import features as f

# A table: where its rows come from, what names a row, when it happened, and when each column was KNOWN. The last is
# what keeps a model honest: whether an order came back is known only two weeks after it.
orders = Table(
    "orders",
    source=sources.Csv("data/orders.csv"),
    key="order_id",
    event_time="ordered_at",
    timezone="UTC",
    known_at={"*": "ordered_at", "came_back": "ordered_at + interval '14 days'"},
    checks=[
        checks.unique("order_id"),  # severity "stop" is the default here: nothing learns from a table that breaks it
        checks.between("amount", 0, 10_000),
        checks.nulls("category", at_most=0.05),
        checks.references("customer_id", "customers.customer_id", severity="note"),
    ],
    description="Orders of a shop that does not exist (generated).",
)

customers = Table(
    "customers",
    source=sources.Csv("data/customers.csv"),
    key="customer_id",
    checks=[checks.unique("customer_id")],
    description="Its customers (generated).",
)

# Features of an entity, over its past: only what was known at the instant of the prediction counts, in training and
# in serving alike.
customer_past = FeatureView(
    "customer_past",
    of=orders,
    entity="customer_id",
    features={
        "return_share_56d": f.mean("came_back", over="56d"),
        "orders_judged_56d": f.count("came_back", over="56d"),
    },
)

customer = FeatureView("customer", of=customers, entity="customer_id", features={"segment": f.last("segment")})

# Features of what the caller sends, as SQL expressions over one row.
at_request = FeatureView(
    "at_request",
    of=f.Request(amount="double", category="varchar", items="bigint", ordered_at="timestamptz"),
    features={
        "amount": "amount",
        "category": "category",
        "amount_per_item": "amount / items",
        "hour": "hour(ordered_at at time zone 'UTC')",
    },
)

returned = Model(
    "returned",
    rows=Each(orders),  # one prediction for each order, decided when it is placed
    label="came_back",  # true or false, so the answer is a probability
    features=[customer_past, customer, at_request],
    estimator=LGBMClassifier(n_estimators=80, num_leaves=7, min_child_samples=30),
    metrics=["log_loss", "brier"],
    goal="roc_auc",  # the metric that decides; a baseline is always trained beside
    split=splits.Time(test="21d", folds=2),  # judged on the last three weeks, twice
    retrain=loop.Weekly(or_on=loop.Harm()),
)
'''

_README = """# returned

A first project. **Its data are generated**: a shop that does not exist, whose customers of one segment send more
back. `returned.py` says everything and explains each word where it stands.

```
millstream check             # run the contracts on what arrived
millstream train returned    # train beside the baseline, get the verdict
millstream release returned  # sign, rehearse the rollback, ask for approval
millstream approve -m WHY    # by somebody else: MILLSTREAM_USER says who acts
millstream up                # page, API, loop and scoring server
```

Ask for a prediction once it is up:

```
curl http://127.0.0.1:8311/v1/models/returned/predict -d '{"rows": [{"order_id": 6001, "customer_id": 7,
  "amount": 120.5, "category": "shoes", "items": 2, "ordered_at": "2024-05-01T12:00:00Z"}]}'
```

Your own data: `millstream init DIR --from FILE --label COLUMN`.
"""


def files() -> dict[str, str]:
    """Return the files of the project, by name; the data are generated with a fixed seed."""
    orders, customers = _generated()
    return {
        "returned.py": _DEFINITIONS,
        "millstream.toml": 'name = "returned"\ntimezone = "UTC"\n',
        ".gitignore": IGNORED,
        "README.md": _README,
        "data/orders.csv": orders.write_csv(),
        "data/customers.csv": customers.write_csv(),
    }


def _generated() -> tuple[pl.DataFrame, pl.DataFrame]:
    draw = np.random.default_rng(11)
    segment = draw.choice(["new", "regular", "business"], _CUSTOMERS, p=[0.3, 0.5, 0.2])
    habit = draw.normal(0, 0.8, _CUSTOMERS) + np.select([segment == "new", segment == "business"], [0.6, -0.9], 0.0)
    customer = draw.integers(0, _CUSTOMERS, _ORDERS)
    seconds = np.sort(draw.integers(0, _DAYS * 86_400, _ORDERS))
    category = draw.choice(["shoes", "books", "garden", "toys"], _ORDERS, p=[0.35, 0.3, 0.15, 0.2])
    amount = np.round(draw.lognormal(3.6, 0.7, _ORDERS), 2)
    lean = (
        habit[customer]
        + 0.9 * (category == "shoes")
        - 0.7 * (category == "books")
        + 0.35 * (np.log(amount) - 3.6)
        - 1.4
    )
    came_back = draw.random(_ORDERS) < 1 / (1 + np.exp(-lean))
    orders = pl.DataFrame(
        {
            "order_id": np.arange(1, _ORDERS + 1),
            "customer_id": customer + 1,
            "ordered_at": seconds,
            "category": category,
            "items": draw.integers(1, 6, _ORDERS),
            "amount": amount,
            "came_back": came_back,
        }
    ).with_columns(
        ordered_at=(pl.datetime(2024, 1, 1) + pl.duration(seconds="ordered_at")).dt.to_string("%Y-%m-%d %H:%M:%S")
    )
    return orders, pl.DataFrame({"customer_id": np.arange(1, _CUSTOMERS + 1), "segment": segment})
