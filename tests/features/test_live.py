"""Served features stay what a point-in-time read says, fact by fact, in whatever order facts come and are read."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from millstream.features import FeaturePlan
from millstream.features.online import LmdbOnline, Writer
from millstream.features.online.live import Fresh, Live, Reading
from millstream.lake.frame import TableFrame

from . import worlds
from .test_aggregates import AGO, LATER
from .test_online import ASK, FACT, PLAN, WINDOWED, agree

AHEAD = timedelta(days=4)
BASE = 600
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


class Posts:
    """Facts in memory: a version, and what was posted since; ``take`` makes a version of it."""

    def __init__(self, *, static: bool = False) -> None:
        self.static = static
        self.facts: list[dict[str, Any]] = []
        self.posted = self.contained = self.version = 0

    def frame(self, facts: list[dict[str, Any]]) -> TableFrame:
        return dataclasses.replace(worlds.table(facts, static=self.static), version=self.version)

    def now(self) -> TableFrame:
        return self.frame(self.facts)

    def post(self, *facts: dict[str, Any]) -> None:
        self.facts += facts
        self.posted += len(facts)

    def deliver(self, *facts: dict[str, Any]) -> None:
        """A version brings rows that were not posted."""
        self.take()
        self.facts += facts
        self.posted += len(facts)
        self.contained, self.version, self.other = self.posted, self.version + 1, self.version + 1

    other = 0

    def take(self) -> None:
        self.contained, self.version = self.posted, self.version + 1

    def read(self, table: str, since: Any, until: Any, version: int) -> Reading:
        assert version >= self.other
        frame = self.now()
        if since is not None:
            near = frame.frame.filter(pl.col("at") >= since)
            keys = near["id"].unique().implode()
            kept = frame.frame.filter((pl.col("at") >= since).fill_null(False) | pl.col("id").is_in(keys))
            frame = dataclasses.replace(frame, frame=kept)
        return Reading(frame, self.posted, 0)

    def fresh(self, table: str, *, after: int, limit: int) -> Fresh | None:
        if after >= self.posted:
            return None
        rows = self.frame(self.facts[after : after + limit]).frame
        return Fresh(rows, rows.select("id").clear(), min(after + limit, self.posted))

    def same(self, table: str, applied: Any, version: int) -> bool:
        was = applied.versions[table]
        return was == version or (was >= self.other and self.contained <= applied.posted)


def refresh(live: Live, plan: FeaturePlan, posts: Posts, now: float):
    return live.refresh([plan], pins={"facts": posts.version}, now=worlds.instant(now), ahead=AHEAD)


acts = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.lists(worlds.fact, min_size=1, max_size=4)),
        st.tuples(st.just("post"), st.lists(worlds.fact, min_size=1, max_size=1)),
        st.tuples(st.just("deliver"), st.lists(worlds.fact, min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["take", "refresh", "restart"]), st.just([])),
        st.tuples(st.just("read"), st.lists(worlds.ask, min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=10,
)


def interleave(plan: FeaturePlan, folder: Path, examples: int, *, static: bool = False) -> None:
    """Any interleaving: what is read is always what all acknowledged facts say at that instant."""
    store = LmdbOnline(folder, map_bytes=64 << 20)

    @settings(max_examples=examples, deadline=None, phases=PHASES)
    @given(st.lists(worlds.fact, max_size=6), acts)
    def check(first: list[dict[str, Any]], told: list[tuple[str, list[dict[str, Any]]]]) -> None:
        store.commit([(key, None) for key in store.keys(b"")])
        posts = Posts(static=static)
        posts.deliver(*first)
        live, now = Live(Writer(store), posts), BASE
        refresh(live, plan, posts, now)
        for act, given_ in told:
            now += 3
            if act in ("post", "deliver", "take"):
                getattr(posts, act)(*given_)
            if act == "restart":
                live = Live(Writer(store), posts)
            if act == "deliver" or act == "refresh":
                refresh(live, plan, posts, now)
            if act == "read":
                live.catch_up([plan], now=worlds.instant(now))
                asks = [each | {"at": each["at"] + now - BASE} for each in given_]
                agree(plan, store, posts.now(), asks)
        live.catch_up([plan], now=worlds.instant(now))
        asks = [{"p": p, "q": q, "at": at + now - BASE} for p in "uvw" for q in (1, 2) for at in (0, 13, 30)]
        agree(plan, store, posts.now(), asks)

    check()
    store.close()


def test_a_fact_without_a_key_is_applied_as_it_is_computed(tmp_path: Path) -> None:
    store, posts = LmdbOnline(tmp_path, map_bytes=64 << 20), Posts()
    live = Live(Writer(store), posts)
    refresh(live, WINDOWED, posts, BASE)
    posts.post(FACT | {"id": None})
    live.catch_up([WINDOWED], now=worlds.instant(BASE))
    agree(WINDOWED, store, posts.now(), [ASK | {"at": 16}])
    store.close()


def test_a_fact_that_comes_while_facts_are_read_is_applied_too(tmp_path: Path) -> None:
    class Busy(Posts):
        def read(self, *asked: Any) -> Reading:
            if self.posted:
                self.post(FACT | {"id": 100 + self.posted, "a": "v"})
            return super().read(*asked)

    store, posts = LmdbOnline(tmp_path, map_bytes=64 << 20), Busy()
    live = Live(Writer(store), posts)
    refresh(live, PLAN, posts, BASE)
    for _ in range(2):
        posts.post(FACT | {"id": posts.posted})
        while live.catch_up([PLAN], now=worlds.instant(BASE)).facts:
            pass
        agree(PLAN, store, posts.now(), [ASK | {"p": each, "at": 30} for each in "uv"])
        live = Live(Writer(store), posts)
    assert posts.posted == 4
    store.close()


PLANS = {"ever": (PLAN, 10, 1500), "windowed": (WINDOWED, 10, 1500), "order": (LATER, 5, 600), "ago": (AGO, 5, 600)}
"""What is kept fact by fact, and how many interleavings of it are tried: by day and by night."""


@pytest.mark.parametrize("name", PLANS)
def test_online_is_offline_whatever_comes_when(name: str, tmp_path: Path) -> None:
    plan, examples, _ = PLANS[name]
    interleave(plan, tmp_path, examples)


@pytest.mark.nightly
@pytest.mark.parametrize("name", PLANS)
def test_online_is_offline_whatever_comes_when_deeply(name: str, tmp_path: Path) -> None:
    plan, _, examples = PLANS[name]
    interleave(plan, tmp_path, examples)
