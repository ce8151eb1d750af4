"""In bounded memory: whatever the bound, the same answers to the last bit, every row in its place."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.features import FeaturePlan, PolarsEngine
from millstream.features.facts import NOBODY
from millstream.features.parts import Split
from millstream.lake.frame import TableFrame

from . import worlds

EVERYTHING = {**worlds.VALUES, **worlds.LATER_VALUES}
SEVERAL = worlds.plan(values=EVERYTHING)
AGO = worlds.plan(values=EVERYTHING, overs=(None, "20s"), ago="7s", ttl=None)
STATIC = worlds.plan(values={"last": ("x",), "std": ("x",), "distinct": ("word",)}, static=True, overs=(None,))

facts = st.lists(worlds.fact, max_size=20)
rows = st.lists(worlds.ask | worlds.ask.map(lambda each: each | {"at": None}), max_size=8)


def same(plan: FeaturePlan, facts: list[dict[str, Any]], rows: list[dict[str, Any]], *, static: bool = False) -> None:
    spine, table = worlds.asks(rows), {"facts": worlds.table(facts, static=static)}
    wanted = PolarsEngine(10**9).point_in_time(plan, spine, table)
    for memory in (1, 4_000, 12_000):
        found = PolarsEngine(memory).point_in_time(plan, spine, table)
        assert found.schema == wanted.schema
        for name in wanted.columns:
            assert found[name].equals(wanted[name], null_equal=True), (memory, name, found[name], wanted[name])


@settings(max_examples=6, deadline=None)
@given(facts, rows)
def test_parts_give_what_the_whole_gives(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(SEVERAL, facts, rows)


@settings(max_examples=8, deadline=None)
@given(facts, rows)
def test_of_windows_that_end_some_time_ago(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(AGO, facts, rows)


@pytest.mark.nightly
@settings(max_examples=300, deadline=None)
@given(facts, rows)
def test_parts_of_many_worlds(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(SEVERAL, facts, rows)
    same(AGO, facts, rows)


@settings(max_examples=15, deadline=None)
@given(facts, rows)
def test_of_static_tables(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(STATIC, facts, rows, static=True)


def test_a_correction_that_names_another_entity_takes_the_fact_from_the_first() -> None:
    first = {"id": 1, "a": "u", "b": 1, "at": 1, "x": 1.0, "n": 1, "flag": True, "word": "red", "k1": 1, "k2": 1}
    rows = [{"p": who, "q": 1, "at": at} for at in (3, 8) for who in ("u", "v", "w")]
    found = PolarsEngine(1).point_in_time(
        SEVERAL, worlds.asks(rows), {"facts": worlds.table([first, first | {"a": "v", "k1": 5, "k2": 5}])}
    )
    assert found["one.count_all_ever"].to_list() == [1, 0, 0, 0, 1, 0]
    gone = worlds.table([first, first | {"a": None, "k1": 5, "k2": 5}])
    found = PolarsEngine(1).point_in_time(SEVERAL, worlds.asks(rows), {"facts": gone})
    assert found["one.count_all_ever"].to_list() == [1, 0, 0, 0, 0, 0]


def test_parts_hold_as_many_facts_as_the_bound_allows_and_whole_entities() -> None:
    facts = np.repeat(np.arange(7), [1, 1, 5, 1, 1, 1, 9])
    split = Split(7, facts, np.array([NOBODY, 0, 2, 3, 4, 6, 6, 1]), limit=3)
    held = [split.entities_of(number).tolist() for number in range(split.count)]
    assert [each for part in held for each in part] == [0, 1, 2, 3, 4, 6], "an entity nobody asks about is left out"
    assert split.count > 2
    assert all(len(part) == 1 or sum(int((facts == each).sum()) for each in part[:-1]) <= 3 for part in held)


def crowd(entities: int, many: int) -> tuple[FeaturePlan, pl.DataFrame, dict[str, TableFrame]]:
    """Rows and facts of a week, as many of each."""
    rng = np.random.default_rng(many)
    at, kept = rng.integers(0, 600_000, many), worlds.table([])
    times = {each: pl.lit(worlds.START).cast(worlds.INSTANT) + pl.duration(seconds=pl.col("s")) for each in WHEN}
    made = pl.DataFrame(
        {"s": at, "id": np.arange(many), "b": np.ones(many, dtype=np.int64), "x": rng.normal(size=many)}
    )
    made = made.with_columns(pl.lit(1).alias("n"), pl.lit(True).alias("flag"), pl.lit("red").alias("word"), **times)
    named = made.with_columns(pl.Series("a", rng.integers(0, entities, many)).cast(pl.String))
    table = replace(kept, frame=named.select(kept.frame.columns).cast(dict(kept.frame.schema)))
    asks = pl.DataFrame({"row": np.arange(many), "p": named["a"], "q": named["b"], "decided_at": named["at"]})
    values: dict[str, tuple[str | None, ...]] = {"count": (None,), "mean": ("x",), "max": ("x",), "quantile": ("x",)}
    plan = worlds.plan(values=values, overs=("1h", "1d"))
    return plan, asks.reverse(), {"facts": table}


WHEN = ("at", "k1", "k2")


def grown(memory: int, many: int) -> float:
    """Return how many bytes a process grew by while it computed, without the answers."""
    code = (
        "import sys, tests.features.test_parts as t\n"
        "from millstream.features import PolarsEngine\n"
        "plan, asks, tables = t.crowd(2000, int(sys.argv[2]))\n"
        "t.PolarsEngine(10**9).point_in_time(plan, asks.head(9), {'facts': t.head(tables['facts'])})\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "before = t.held('VmRSS')\n"
        "found = PolarsEngine(int(sys.argv[1])).point_in_time(plan, asks, tables)\n"
        "print(t.held('VmHWM') - before - found.select(plan.names).estimated_size())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(memory), str(many)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return float(done.stdout)


def held(what: str) -> int:
    """Return the bytes of memory this process holds, or held at most since it was told to begin anew."""
    return next(
        int(each.split()[1]) * 1024 for each in Path("/proc/self/status").read_text().splitlines() if what in each
    )


def head(table: TableFrame) -> TableFrame:
    return replace(table, frame=table.frame.head(9))


def test_memory_stays_under_its_bound() -> None:
    many, bound = 400_000, 64 * 10**6
    apart = grown(bound, many)
    assert apart <= bound + INDEX * many
    assert grown(10**9, many) > 1.25 * apart, "the bound would not have been felt"


@pytest.mark.nightly
def test_memory_stays_under_its_bound_over_millions() -> None:
    assert grown(256 * 10**6, 3_000_000) <= 256 * 10**6 + INDEX * 3_000_000


INDEX = 40 + 100
"""Bytes of each fact and of each row that parts are found by, and that answers are put in their places by."""
ROOT = Path(__file__).parents[2]
