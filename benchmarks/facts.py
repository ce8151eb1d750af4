"""Posted facts, from their acknowledgement to their features (``fact-fresh``).

It posts single facts over HTTP to a whole control plane, by a clock and not as fast as answers come, and
looks into the store as the scoring server does. The limit is the pause after which it looks again. Ours is the 99th
percentile; the curve says at how many facts a second, and what a post took. ``make bench ONLY=fact-fresh``.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.harness import Record

SHOPS, ORDERS, SECONDS = 10_000, 100_000, 10.0
RATES = (20, 100, 200)
CLIENTS, PAUSE_S = 8, 0.002
CODE = """
from lightgbm import LGBMClassifier
from millstream import Each, FeatureView, Model, Table, features as f, sources

orders = Table("orders", source=sources.Parquet("orders.parquet"), key="id", event_time="at", known_at="at")
form = FeatureView("form", of=orders, entity="shop", features=dict(
    n_1d=f.count(over="1d"), n=f.count(), total=f.sum("amount"), mean_7d=f.mean("amount", over="7d"),
    last=f.last("amount"), top=f.max("amount", over="30d")))
late = Model("late", rows=Each(orders), label="late", features=[form], goal="log_loss",
    estimator=LGBMClassifier(n_estimators=3, verbose=-1))
"""


def facts(shops: int, orders: int) -> Any:
    """Make orders of shops over thirty days, the last of them now."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(5)
    now, back = datetime.now(UTC), random.uniform(0, 30 * 86_400, orders)
    at = pl.Series([now] * orders, dtype=pl.Datetime("us", "UTC")) - pl.Series((back * 1e6).astype(int)).cast(
        pl.Duration("us")
    )
    shop = pl.Series(random.integers(0, shops, orders)).cast(pl.String)
    amount = pl.Series(random.normal(50, 10, orders))
    late = pl.Series(random.random(orders) < 0.3)  # of nothing: a label of the amount is a leak
    return pl.DataFrame({"id": range(orders), "shop": "s" + shop, "at": at, "amount": amount, "late": late})


def project(root: Path) -> None:
    """Make a project with one release live over those orders."""
    from millstream.project import Project

    root.mkdir()
    (root / "millstream.toml").write_text('name = "bench"\ntimezone = "UTC"\n')
    (root / "bench.py").write_text(CODE)
    facts(SHOPS, ORDERS).write_parquet(root / "orders.parquet")
    with Project(root, lock=True) as made:
        made.run("check", {})
        made.run("train", {"model": "late", "actor": "tina"})
        made.run("release", {"model": "late", "actor": "tina", "dirty": True})
        made.run("approve", {"actor": "ada", "reason": "bench"})


class Clients:
    """Posts one fact after the other from several connections, and looks when each can be read."""

    def __init__(self, control: Any, lookup: Any, place: int, first: int) -> None:
        self.control, self.lookup, self.place, self.next = control, lookup, place, first
        self.acks: list[float] = []
        self.waits: list[float] = []
        self.open: dict[str, tuple[float, float]] = {}
        self.lock, self.done = threading.Lock(), threading.Event()

    def run(self, rate: float) -> None:
        """Post at a rate for some seconds, and wait until all can be read."""
        begun = time.monotonic()
        wanted = iter([begun + each / rate for each in range(int(rate * SECONDS))])
        threads = [threading.Thread(target=self._post, args=(wanted,)) for _ in range(CLIENTS)]
        looking = threading.Thread(target=self._look)
        for each in (*threads, looking):
            each.start()
        for each in threads:
            each.join()
        self.done.set()
        looking.join()

    def _post(self, wanted: Any) -> None:
        parts = self.control.address.url.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(parts[0], int(parts[2]), timeout=60)
        headers = {"Authorization": f"Bearer {self.control.address.token}"}
        while True:
            with self.lock:
                due, number = next(wanted, None), self.next
                self.next += 1
            if due is None:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            amount, shop = float(number), f"s{number % SHOPS}"
            row = {"id": number, "shop": shop, "at": datetime.now(UTC).isoformat(), "amount": amount, "late": None}
            since = time.monotonic()
            connection.request("POST", "/v1/tables/orders/rows", json.dumps({"rows": [row]}), headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            now = time.monotonic()
            with self.lock:
                self.acks.append(now - since)
                self.open[shop] = now, amount

    def _look(self) -> None:
        from millstream.types import to_micros

        while not (self.done.is_set() and not self.open):
            with self.lock:
                waiting = list(self.open.items())
            at = to_micros(datetime.now(UTC) + timedelta(seconds=1))
            values = self.lookup.lookup_many([{"shop": shop} for shop, _ in waiting], [at] * len(waiting))
            now = time.monotonic()
            with self.lock:
                for (shop, (since, amount)), said in zip(waiting, values, strict=True):
                    if said[self.place] >= amount and self.open.get(shop, (0, 0))[1] == amount:
                        self.waits.append(now - since)
                        del self.open[shop]
            time.sleep(PAUSE_S)


def fresh() -> Record:
    """Measure at several rates."""
    from millstream.features.online import LmdbOnline, Lookup
    from millstream.project import Project
    from millstream.project.models.ship import live_plans
    from millstream.server.supervisor import Supervisor

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "bench"
        project(root)
        with Project(root) as made:
            plan, online = live_plans(made)[0], made.places.online
        supervisor = Supervisor(root, scoring_port=0, control_port=0)
        supervisor.start()
        try:
            control, store, curve, first = supervisor.ready(), LmdbOnline(online, readonly=True), [], 10**6
            for rate in (5, *RATES):  # the first is to warm up
                clients = Clients(control, Lookup(plan, store), plan.names.index("form.top"), first)
                clients.run(rate)
                first = clients.next + SHOPS
                curve.append(
                    {"facts_a_second": float(rate), **_said("post", clients.acks), **_said("usable", clients.waits)}
                )
        finally:
            supervisor.stop()
    return Record(
        work="fact-fresh",
        size=f"{RATES[-1]} facts/s, {SHOPS:,} entities, {ORDERS:,} facts, 6 features",
        unit="s (99th percentile)",
        better="lower",
        ours=curve[-1]["usable_p99"],
        limit=PAUSE_S,
        peers={},
        peak_mb=0.0,
        curve=curve[1:],
        load=os.getloadavg()[0],
    )


def _said(word: str, seconds: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(seconds, n=100)
    return {f"{word}_p50": round(cut[49], 4), f"{word}_p99": round(cut[98], 4)}


WORKS = {"fact-fresh": fresh}
