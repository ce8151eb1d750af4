"""The features people make every day, of one world: each by a plain loop, from the lake and as it is served."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from millstream import Each, FeatureView, Model, Table, sources
from millstream import features as f
from millstream.definitions.manifest import gather
from millstream.definitions.model import Estimator
from millstream.features import FeaturePlan, compile_plan, point_in_time, spine
from millstream.features.online.lookup import Lookup
from millstream.features.online.store import LmdbOnline
from millstream.features.online.writer import Writer
from millstream.lake.frame import TableFrame
from millstream.types import Schema, to_micros

SCHEMA: Schema = {
    "id": "bigint", "buyer": "varchar", "item": "varchar", "kind": "varchar", "city": "varchar", "amount": "double",
    "e_1": "double", "e_2": "double", "returned": "boolean", "at": "timestamptz",
}  # fmt: skip
KNOWN = dict.fromkeys(SCHEMA, "placed") | {"returned": "decided"}
START = datetime(2013, 1, 1, 9, tzinfo=UTC)
LAGS = (7, 28, 365)
ITEMS = {"oolong": "tea", "sencha": "tea", "rye": "bread"}

orders = Table("orders", source=sources.Csv("orders.csv"), key="id", event_time="at")
item = FeatureView(
    "item", of=orders, entity="item",
    features={"rate": f.mean("returned"), "n": f.count("returned"), **f.elements("e", 2)}
    | {f"week_{lag}": f.sum("amount", over="7d", ago=f"{lag}d") for lag in LAGS},
)  # fmt: skip
kind = FeatureView(
    "kind", of=orders, entity="kind", features={"rate": f.mean("returned"), "sold_28d": f.sum("amount", over="28d")}
)
city = FeatureView("city", of=orders, entity="city", features={"sold_28d": f.sum("amount", over="28d")})
of_kind = FeatureView("of_kind", of=orders, entity=("city", "kind"), features={"sold_28d": f.sum("amount", over="28d")})
buyer = FeatureView("buyer", of=orders, entity="buyer", features={"idle": f.since_last(), **f.elements("e", 2)})
asked = FeatureView(
    "asked", of=f.Request(amount="double", city="varchar", kind="varchar", at="timestamptz"),
    features={
        **f.one_hot("kind", ["tea", "bread"], other=True), **f.missing("amount", "city"),
        **f.crossed("city", "kind", buckets=16), **f.cycle("at", "day", timezone="America/New_York"),
        **f.calendar("at", timezone="America/New_York", holidays="US"),
    },
)  # fmt: skip
made = FeatureView(
    "made", of=f.Request(item, kind, city, of_kind, buyer, amount="double"),
    features={
        "target": "coalesce(item.rate, kind.rate, 0.5)",
        "smooth": "(coalesce(item.rate, 0) * item.n + coalesce(kind.rate, 0.5) * 10) / (item.n + 10)",
        "share": "of_kind.sold_28d / city.sold_28d", "taste": f.dot("buyer.e", "item.e", 2),
        "new_buyer": "buyer.idle is null", "late_large": "coalesce(item.rate, 0) * amount",
        "grown": "item.week_7 - item.week_28",
    },
)  # fmt: skip


def table(seed: int = 5, rows: int = 90, **changed: Any) -> TableFrame:
    """Orders of 600 days, returned or not a week later; ``changed`` are columns of the last one."""
    rng = random.Random(seed)
    said = []
    for place in range(rows):
        at = START + timedelta(days=600 * place / rows, minutes=rng.randrange(900))
        what = rng.choice(list(ITEMS))
        said.append({
            "id": place, "buyer": rng.choice("uvw"), "item": what, "kind": ITEMS[what],
            "city": rng.choice(["x", "y", None]),
            "amount": rng.choice([None, 5.0, 12.5, 40.0]), "e_1": rng.choice([None, 0.5, -2.0]),
            "e_2": rng.choice([1.5, 3.0]),
            "returned": rng.choice([True, False, None]), "at": at, "placed": at + timedelta(minutes=1),
            "decided": at + timedelta(days=7),
        })  # fmt: skip
    said[-1] |= changed
    frame = pl.DataFrame(said, infer_schema_length=None)
    frame = frame.with_columns(pl.col("at", "placed", "decided").cast(pl.Datetime("us", "UTC")))
    return TableFrame("orders", 1, frame, SCHEMA, ("id",), "at", KNOWN)


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    model = Model("back", rows=Each(orders, decide_at="at + interval '2 minutes'"), label="returned",
                  features=[asked, made, item, kind, city, of_kind, buyer],
                  estimator=Estimator("sklearn.dummy:DummyClassifier", {}), goal="roc_auc")  # fmt: skip
    manifest = gather([orders, item, kind, city, of_kind, buyer, asked, made, model])
    return compile_plan(manifest, "back", {"orders": SCHEMA}, {"orders": KNOWN})


def expected(facts: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """Every feature of an order, in loops over facts that were known."""
    now = row["decided_at"]
    seen = [each for each in facts if each["placed"] <= now]
    judged = [each for each in seen if each["decided"] <= now and each["returned"] is not None]

    def rate(name: str) -> float | None:
        said = [each["returned"] for each in judged if each[name] == row[name]]
        return sum(said) / len(said) if said else None

    def sold(names: tuple[str, ...], days: int, ago: int = 0) -> float | None:
        mine = [each for each in seen if all(each[name] is not None and each[name] == row[name] for name in names)]
        mine = [each for each in mine if each["at"] + timedelta(days=ago) <= now]
        recent = [each for each in mine if now < each["at"] + timedelta(days=days + ago)]
        return sum(each["amount"] or 0.0 for each in recent) if mine else None

    def element(name: str, one: str) -> float | None:
        said = [each[one] for each in seen if each[name] == row[name] and each[one] is not None]
        return said[-1] if said else None

    of_item, of_kind_ = rate("item"), rate("kind")
    n = sum(each["item"] == row["item"] for each in judged)
    mine, whole = sold(("city", "kind"), 28), sold(("city",), 28)
    idle = [(now - each["at"]) / timedelta(days=1) for each in seen if each["buyer"] == row["buyer"]]
    pairs = [(element("buyer", one), element("item", one)) for one in ("e_1", "e_2")]
    weeks = {lag: sold(("item",), 7, lag) for lag in LAGS}
    crossed = f"{row['city']} & {row['kind']}"
    hashed = int(sha256(crossed.encode()).hexdigest()[:15], 16) % 16
    local = row["at"].astimezone(ZoneInfo("America/New_York"))
    clock = 2 * math.pi * (local.hour * 3600 + local.minute * 60) / 86_400
    return {
        "made.target": next(each for each in (of_item, of_kind_, 0.5) if each is not None),
        "made.smooth": ((of_item or 0) * n + (0.5 if of_kind_ is None else of_kind_) * 10) / (n + 10),
        "made.share": mine / whole if mine is not None and whole else None,
        "made.taste": None if any(None in pair for pair in pairs) else sum(a * b for a, b in pairs),
        "made.new_buyer": not idle,
        "made.late_large": None if row["amount"] is None else (of_item or 0) * row["amount"],
        "made.grown": None if None in (weeks[7], weeks[28]) else weeks[7] - weeks[28],
        "buyer.idle": min(idle, default=None), "item.rate": of_item, "item.n": n, "city.sold_28d": whole,
        **{f"item.week_{lag}": weeks[lag] for lag in LAGS}, "buyer.e_1": element("buyer", "e_1"),
        "asked.kind_tea": row["kind"] == "tea", "asked.kind_other": False,
        "asked.amount_missing": row["amount"] is None, "asked.city_missing": row["city"] is None,
        "asked.city_x_kind": None if row["city"] is None else hashed,
        "asked.at_day_sin": math.sin(clock), "asked.at_hour": local.hour, "asked.at_isodow": local.isoweekday(),
        "asked.at_holiday": (local.year, local.month, local.day) in FREE, "asked.at_weekend": local.isoweekday() > 5,
    }  # fmt: skip


FREE = {
    (2013, 1, 1), (2013, 1, 21), (2013, 2, 18), (2013, 5, 27), (2013, 7, 4), (2013, 9, 2), (2013, 10, 14),
    (2013, 11, 11), (2013, 11, 28), (2013, 12, 25), (2014, 1, 1), (2014, 1, 20), (2014, 2, 17), (2014, 5, 26),
    (2014, 7, 4),
}  # fmt: skip
"""The federal holidays of the United States in the orders' days."""


def close(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, float) and other is not None and math.isclose(one, other, rel_tol=1e-12))


@pytest.mark.parametrize("seed", [5, 6])
def test_each_is_what_a_loop_says_and_is_served(plan: FeaturePlan, seed: int, tmp_path: Path) -> None:
    facts = table(seed)
    rows = point_in_time(plan, spine(plan, facts), {"orders": facts}).to_dicts()
    for row in rows:
        wanted = expected(facts.frame.to_dicts(), row)
        wrong = {name: (row[name], said) for name, said in wanted.items() if not close(row[name], said)}
        assert not wrong, (row["id"], wrong)
    for name in ("made.share", "made.taste", "item.week_365", "made.grown"):
        assert any(row[name] for row in rows), name
    store = LmdbOnline(tmp_path / "store")
    Writer(store).refresh([plan], lambda name, since: facts, pins={"orders": 1}, now=START)
    lookup = Lookup(plan, store)
    for row in rows:
        served = lookup.lookup_one(
            {name: _sent(row[name]) for name in plan.request_columns}, to_micros(row["decided_at"])
        )
        assert [None if each != each else each for each in served] == [row[name] for name in plan.names], row["id"]
    store.close()


def _sent(value: Any) -> Any:
    return to_micros(value) if isinstance(value, datetime) else value


def test_no_outcome_reaches_its_own_row_nor_one_before_it_was_known(plan: FeaturePlan) -> None:
    one, other = table(returned=True), table(returned=False)
    read = [point_in_time(plan, spine(plan, each), {"orders": each}).select("id", *plan.names) for each in (one, other)]
    assert read[0].equals(read[1])
    later = one.frame["at"].max() + timedelta(days=8)
    asks = point_in_time(plan, spine(plan, one), {"orders": one}).tail(1).with_columns(decided_at=pl.lit(later))
    asks = asks.select("id", "decided_at", *(each for each in plan.request_columns if each != "id"))
    seen = [point_in_time(plan, asks, {"orders": each})["made.target"][0] for each in (one, other)]
    assert seen[0] > seen[1]
