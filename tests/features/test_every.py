"""One row per entity and tick: who existed, as believed then, by the calendar, and under a horizon for when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions.view import FeatureView
from millstream.errors import BadData
from millstream.features import FeaturePlan, spine
from millstream.lake.frame import TableFrame

from . import shapes
from .shapes import DAYS, HOURS, World

KINDS = FeatureView("kinds", of=shapes.members_table, entity="kind", features={"n": f.count()})


def plan_of(world: World, *, targets: bool = False, where: str | None = "active") -> FeaturePlan:
    view = FeatureView("shown", of=shapes.facts_table, entity="who", features={"n": f.count()})
    roles = [view, KINDS]
    return shapes.every(world, targets=targets, where=where, roles=roles, views=[view, KINDS])


def expected(
    world: World, rows: list[dict[str, Any]], since: datetime | None, until: datetime, *, where: bool
) -> list[tuple[Any, ...]]:
    """Walk the clock; at every tick look at everybody."""
    told = [row for row in rows if row["k1"] is not None]
    if not told:
        return []
    begin = since or world.instant(min(row["k1"] for row in told))
    found = []
    for tick in shapes.walked(ZoneInfo(shapes.ZONE), begin, until, world.step):
        at = (tick - world.start) / world.unit
        for who in sorted({row["who"] for row in told}):
            if not any(row["who"] == who and row["k1"] <= at for row in told):
                continue
            told_active = shapes.believed(rows, "who", ("who", "active"), at)
            if where and not any(row["who"] == who and row["active"] for row in told_active):
                continue
            kind = [row["kind"] for row in shapes.believed(rows, "who", ("who", "kind"), at) if row["who"] == who]
            found.append((who, kind[0], tick))
    return found


members = st.lists(shapes.member, max_size=6)
spans = st.tuples(st.one_of(st.none(), shapes.instants), st.integers(0, shapes.END + 6))


def members_of(world: World, rows: list[dict[str, Any]]) -> TableFrame:
    return shapes.table(world, "members", rows, shapes.MEMBERS, "who")


@pytest.mark.parametrize("world", [HOURS, DAYS], ids=["hours", "days"])
@pytest.mark.parametrize("where", ["active", None], ids=["where", "all"])
@given(rows=members, span=spans)
@settings(max_examples=20, deadline=None)
def test_entities_stand_at_every_tick_from_when_they_were_known(
    world: World, where: str | None, rows: list[dict[str, Any]], span: tuple[int | None, int]
) -> None:
    since, until = world.instant(span[0]), world.instant(span[1])
    found = spine(plan_of(world, where=where), members_of(world, rows), between=(since, until))
    assert found.columns == ["who", "kind", "decided_at"]
    assert found.rows() == expected(world, rows, since, until, where=where is not None)


@pytest.mark.parametrize("world", [HOURS, DAYS], ids=["hours", "days"])
@given(rows=members, until=st.integers(0, shapes.END + 6))
@settings(max_examples=15, deadline=None)
def test_a_horizon_gives_a_row_for_each_tick_between_its_ends(
    world: World, rows: list[dict[str, Any]], until: int
) -> None:
    zone, end = ZoneInfo(shapes.ZONE), world.instant(until)
    found = spine(plan_of(world, targets=True), members_of(world, rows), between=(None, end))
    assert found.columns == ["who", "target_at", "kind", "decided_at"]
    wanted = []
    for who, kind, tick in expected(world, rows, None, end, where=True):
        # wall-clock days where the step is a day, hours where it is an hour
        def move(text: str, tick: datetime = tick) -> datetime:
            number = int(text[:-1])
            if text[-1] == "h":
                return tick + timedelta(hours=number)
            local = tick.astimezone(zone).replace(tzinfo=None) + timedelta(days=number)
            return local.replace(tzinfo=zone).astimezone(tick.tzinfo)

        first, last = map(move, world.horizon)
        ahead = shapes.walked(zone, first, last + timedelta(minutes=1), world.step)
        wanted += [(who, target, kind, tick) for target in ahead]
    assert found.rows() == wanted


def test_entities_taken_as_always_known_begin_with_the_first_fact() -> None:
    row = {"who": "ann", "kind": "a", "active": True, "k1": None, "k2": None}
    static = shapes.table(HOURS, "members", [row], shapes.MEMBERS, "who")
    static = TableFrame("members", 1, static.frame, static.schema, ("who",), None, {})
    fact = {"id": 1, "who": "ann", "at": 7, "x": 1.0, "n": 1, "flag": True, "k1": 8, "k2": 9}
    facts = shapes.table(HOURS, "facts", [fact], shapes.FACTS, "id")
    plan = shapes.every(HOURS, f.count(of=shapes.facts_table, ahead="1h"))
    found = spine(plan, static, between=(None, HOURS.instant(15)), facts=facts)
    assert found["decided_at"].to_list() == [HOURS.instant(9), HOURS.instant(12)]
    assert spine(plan, static, between=(None, HOURS.instant(15))).is_empty()
    with pytest.raises(BadData, match="do not say when anything was known"):
        spine(plan, static)


def test_an_entity_without_key_is_refused() -> None:
    row = {"who": None, "kind": "a", "active": True, "k1": 1, "k2": 1}
    with pytest.raises(BadData, match=r"1 rows of table 'members' have no key \(who is NULL\)"):
        spine(plan_of(HOURS), members_of(HOURS, [row]), between=(None, HOURS.instant(9)))
