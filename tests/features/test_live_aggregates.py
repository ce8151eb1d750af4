"""What one fact moves for everybody follows the versions of its table; what outgrows memory is read again."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import polars as pl

from millstream.features.online import LmdbOnline, Lookup, Writer
from millstream.features.online.live import Live
from millstream.lake.frame import TableFrame

from . import worlds
from .test_live import BASE, Posts, refresh
from .test_online import FACT, agree
from .test_target import plan as target_plan

DAY = 86_400


def test_target_means_move_at_midnight_for_everybody_and_follow_versions(tmp_path: Path) -> None:
    """The fact of one shop moves the mean of all: at the next midnight, once a version has it, and never half."""
    plan, store, posts = target_plan(smooth=3.0), LmdbOnline(tmp_path, map_bytes=64 << 20), Posts()
    live, now = Live(Writer(store), posts), 2 * BASE
    told = [("u", True), ("u", False), ("v", False)]
    old = {"at": -900, "k1": -900, "k2": -900}
    posts.deliver(*(FACT | old | {"id": at, "a": who, "flag": flag} for at, (who, flag) in enumerate(told)))
    hours = [{"p": who, "q": 1, "at": at} for who in "uvw" for at in (BASE, DAY - 1, DAY, 2 * DAY, 3 * DAY)]

    def served() -> list[float]:
        lookup = Lookup(plan, store)
        instants = [int((worlds.START + timedelta(seconds=row["at"])).timestamp() * 1e6) for row in hours]
        return [float(value) for (value,) in lookup.lookup_many(hours, instants)]

    refresh(live, plan, posts, now)
    agree(plan, store, posts.now(), hours)
    before, frozen = served(), posts.now()
    posts.post(FACT | {"id": 9, "a": "v", "at": 700, "k1": 700, "k2": 700, "flag": True})
    assert live.catch_up([plan], now=worlds.instant(now)).facts == 0
    agree(plan, store, frozen, hours)
    assert Writer(store).applied()[plan.views[0].id].posted == 3  # and what it reflects is said
    posts.take()
    refresh(live, plan, posts, now)
    agree(plan, store, posts.now(), hours)
    after = served()
    assert after[0] == before[0] and after[1] == before[1]  # u, before midnight: nothing new is known of it
    assert after[2] > before[2] and after[4] > before[4]  # and after: everybody's mean has moved
    posts.post(FACT | {"id": 0, "a": "u", "at": -900, "k1": 800, "k2": 800, "flag": False})  # a correction
    posts.take()
    refresh(live, plan, posts, now)
    agree(plan, store, posts.now(), hours)
    store.close()


def test_facts_that_outgrow_memory_are_read_again(tmp_path: Path) -> None:
    plan, posts = worlds.plan(overs=("5s",), values={"count": (None,)}), Shrinking()
    store = LmdbOnline(tmp_path, map_bytes=64 << 20)
    live, now = Live(Writer(store), posts, bound_bytes=8_000), BASE
    refresh(live, plan, posts, now)
    for each in range(40):
        posts.post(*(FACT | {"id": 10 * each + more, "at": each} for more in range(10)))
        live.catch_up([plan], now=worlds.instant(now))
        assert live.sizes().get("facts", (0, 0))[1] <= 8_000
    assert posts.reads > 2
    store.close()


class Shrinking(Posts):
    """Reads only the last facts, as though the others had left their windows."""

    reads = 0

    def read(self, *asked: object):
        self.reads += 1
        found = super().read(*asked)  # type: ignore[arg-type]
        rows: TableFrame = dataclasses.replace(found.rows, frame=found.rows.frame.tail(12).select(pl.all()))
        return found._replace(rows=rows)
