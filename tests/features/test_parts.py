"""In bounded memory: whatever the bound, the same answers to the last bit, every row in its place."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.features import FeaturePlan, PolarsEngine

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


@settings(max_examples=40, deadline=None)
@given(facts, rows)
def test_parts_give_what_the_whole_gives(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(SEVERAL, facts, rows)


@settings(max_examples=15, deadline=None)
@given(facts, rows)
def test_of_windows_that_end_some_time_ago(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(AGO, facts, rows)


@settings(max_examples=15, deadline=None)
@given(facts, rows)
def test_of_static_tables(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    same(STATIC, facts, rows, static=True)
