"""Labels that look ahead, against loops over facts: windows, corrections, lag, and when a label was known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions.features import Window
from millstream.errors import LeakError
from millstream.features import spine
from millstream.features.ahead import add_label
from millstream.types import parse_duration

from . import shapes
from .shapes import DAYS, HOURS, World

VALUES: dict[str, tuple[str | None, ...]] = {
    "any": (None, "flag"),
    "none": (None, "flag"),
    "count": (None, "x"),
    "sum": ("x", "n"),
    "mean": ("x",),
    "min": ("x",),
    "max": ("n",),
    "last": ("x", "flag"),
}
LABELS = [(name, value, where) for name, values in VALUES.items() for value in values for where in (None, "n > 0")]


def window(name: str, value: str | None, where: str | None, ahead: str, **options: Any) -> Window:
    return Window(name, value, ahead=ahead, of="facts", where=where, **options)  # type: ignore[arg-type]


def expected(
    facts: list[dict[str, Any]],
    who: str | None,
    span: tuple[float, float],
    said: tuple[str, str | None, str | None],
    by: float,
    lag: float,
    *,
    decided: bool = True,
) -> tuple[Any, float]:
    """Return label and known-at of one row; instants are in the world's units."""
    name, value, where = said
    begin, end = span
    columns = ("who", "at", "id" if value is None else value, *(("n",) if where else ()))
    lives = shapes.lives(facts, "id", columns)

    def past(row: dict[str, Any]) -> bool:
        mine = [
            start for other, start, _ in lives if other is row or (row["id"] is not None and other["id"] == row["id"])
        ]
        return decided and row["at"] == begin and min(mine) <= begin

    inside = [
        (row, start, stop)
        for row, start, stop in lives
        if start <= by
        and who is not None
        and row["who"] == who
        and row["at"] is not None
        and begin <= row["at"] < end
        and not past(row)
    ]
    known = max([end + lag, *(stop if stop <= by else start for _, start, stop in inside)])
    if who is None or known > by:
        return None, known
    held = [(row, start) for row, start, stop in inside if stop > by and (not where or (row["n"] or 0) > 0)]
    held.sort(key=lambda pair: (pair[0]["at"], pair[1], facts.index(pair[0])))
    if value is None:
        return {"count": len(held), "any": bool(held), "none": not held}[name], known
    return shapes.aggregate(name, [row[value] for row, _ in held], len(held)), known


def distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number rows, so that equal ones can be told apart."""
    return [row | {"place": place} for place, row in enumerate(rows)]


def frame(world: World, asks: list[tuple[str | None, int]]) -> pl.DataFrame:
    rows = [(place, who, world.instant(at)) for place, (who, at) in enumerate(asks)]
    return pl.DataFrame(rows, schema=["reading", "who", "decided_at"], orient="row").with_columns(
        pl.col("decided_at").cast(shapes.INSTANT), pl.col("who").cast(pl.String)
    )


asks = st.lists(st.tuples(shapes.maybe(shapes.names), st.integers(0, 40)), min_size=1, max_size=5)


@pytest.mark.parametrize(("name", "value", "where"), LABELS)
@given(facts=st.lists(shapes.fact, max_size=10), asked=asks, by=st.integers(0, 50))
@settings(max_examples=12, deadline=None)
def test_a_label_is_what_loops_find_in_its_window(
    name: str, value: str | None, where: str | None, facts: list[dict[str, Any]], asked: list[Any], by: int
) -> None:
    world, facts = HOURS, distinct(facts)
    plan = shapes.each(window(name, value, where, "100m"))
    assert plan.ahead is not None and (plan.ahead.entity, plan.ahead.keys) == (("who",), ("who",))
    bare = [{key: each for key, each in row.items() if key != "place"} for row in facts]
    table = shapes.table(world, "facts", bare, shapes.FACTS, "id")
    found = add_label(plan.ahead, frame(world, asked), table, known_by=world.instant(by))
    lag = shapes.LAG / world.unit
    for (who, at), row in zip(asked, found.to_dicts(), strict=True):
        label, known = expected(facts, who, (at, at + 5), (name, value, where), by, lag)
        assert row["label_known_at"] == world.start + known * world.unit
        assert (
            row["label"] == label if not isinstance(label, float) else row["label"] == pytest.approx(label, rel=1e-12)
        )


@given(
    members=st.lists(shapes.member, max_size=4),
    facts=st.lists(shapes.fact, max_size=10),
    until=st.integers(10, shapes.END + 20),
    targets=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_the_days_of_a_label_are_days_of_the_calendar(
    members: list[dict[str, Any]], facts: list[dict[str, Any]], until: int, targets: bool
) -> None:
    world, end, zone = DAYS, DAYS.instant(until), ZoneInfo(shapes.ZONE)
    at = "target_at" if targets else "decided_at"
    plan = shapes.every(world, window("sum", "x", None, "1d", at=at), targets=targets)
    tables = (
        shapes.table(world, "members", members, shapes.MEMBERS, "who"),
        shapes.table(world, "facts", facts, shapes.FACTS, "id"),
    )
    found = spine(plan, tables[0], between=(None, end), facts=tables[1])
    for row in found.to_dicts():
        begin: datetime = row[at]
        close = (begin.astimezone(zone).replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        span = tuple((each.astimezone(begin.tzinfo) - world.start) / world.unit for each in (begin, close))
        lag = shapes.LAG / world.unit
        label, known = expected(distinct(facts), row["who"], span, ("sum", "x", None), until, lag, decided=not targets)  # type: ignore[arg-type]
        assert row["label"] == (label if label is None else pytest.approx(label, rel=1e-12))
        assert row["label_known_at"] == world.start + known * world.unit


def test_what_had_happened_and_was_known_at_the_decision_is_not_ahead() -> None:
    many = f.count(of="facts", ahead="2h")
    assert label([fact(at=3, k1=3, k2=3), fact(id=2, at=3, k1=4, k2=4)], many, by=20)[0] == 1
    assert label([fact(at=3, k1=3, k2=3), fact(at=3, k1=4, k2=4)], many, by=20)[0] == 0  # a correction of the past


def test_facts_with_the_times_of_ticks_that_are_taken_as_known_at_once_are_refused() -> None:
    hours = [fact(id=place, at=3 * place, k1=3 * place, k2=3 * place) for place in range(20)]
    member = {"who": "ann", "kind": "a", "active": True, "k1": 0, "k2": 0}
    members = shapes.table(HOURS, "members", [member], shapes.MEMBERS, "who")
    plan = shapes.every(HOURS, f.sum("x", of="facts", ahead="1h"))
    with pytest.raises(LeakError, match="facts in its windows happened at the very instant of a decision"):
        spine(plan, members, facts=shapes.table(HOURS, "facts", hours, shapes.FACTS, "id"))
    later = [row | {"k1": row["k1"] + 3, "k2": row["k2"] + 3} for row in hours]
    found = spine(plan, members, facts=shapes.table(HOURS, "facts", later, shapes.FACTS, "id"))
    assert found["label"].drop_nulls().unique().to_list() == [2.0]


def fact(**said: Any) -> dict[str, Any]:
    return {"id": 1, "who": "ann", "at": 5, "x": 2.0, "n": 1, "flag": True, "k1": 5, "k2": 5} | said


def label(facts: list[dict[str, Any]], said: Window, by: int, at: int = 3) -> tuple[Any, float]:
    plan = shapes.each(said)
    assert plan.ahead is not None
    table = shapes.table(HOURS, "facts", facts, shapes.FACTS, "id")
    (row,) = add_label(plan.ahead, frame(HOURS, [("ann", at)]), table, known_by=HOURS.instant(by)).to_dicts()
    return row["label"], (row["label_known_at"] - HOURS.start) / HOURS.unit


def test_a_positive_is_not_known_before_its_window_has_closed_and_the_lag_has_passed() -> None:
    some = f.any(of="facts", ahead="2h")
    closed = 3 + parse_duration("2h") / HOURS.unit + shapes.LAG / HOURS.unit  # 11.25
    assert label([fact()], some, by=11) == (None, closed)
    assert label([fact()], some, by=12) == (True, closed)
    assert label([], some, by=12) == (False, closed)


def test_the_window_begins_with_its_instant_and_ends_before_its_end() -> None:
    many = f.count(of="facts", ahead="2h")
    assert label([fact(id=place, at=at) for place, at in enumerate((2, 3, 8, 9))], many, by=20)[0] == 2


def test_a_late_fact_and_a_correction_change_the_label_and_when_it_was_known() -> None:
    total = f.sum("x", of="facts", ahead="2h")
    late = [fact(), fact(id=2, x=5.0, k1=15, k2=15)]
    assert label(late, total, by=14) == (2.0, 11.25)
    assert label(late, total, by=15) == (7.0, 15.0)
    moved = [fact(), fact(at=30, k1=18, k2=18)]  # it happened later than was believed
    assert label(moved, total, by=17) == (2.0, 11.25)
    assert label(moved, total, by=18) == (0.0, 18.0)


def test_no_fact_is_an_answer_and_a_null_value_is_none() -> None:
    assert label([], f.sum("x", of="facts", ahead="2h"), by=20)[0] == 0.0
    assert label([], f.none(of="facts", ahead="2h"), by=20)[0] is True
    assert label([], f.mean("x", of="facts", ahead="2h"), by=20)[0] is None
    assert label([fact(flag=None)], f.any("flag", of="facts", ahead="2h"), by=20)[0] is None
    assert label([fact(flag=None), fact(id=2)], f.any("flag", of="facts", ahead="2h"), by=20)[0] is True


@given(facts=st.lists(shapes.fact, max_size=8), asked=asks, until=st.integers(5, 50))
@settings(max_examples=20, deadline=None)
def test_each_row_has_the_label_of_its_own_instant(facts: list[dict[str, Any]], asked: list[Any], until: int) -> None:
    """Rows of a table, decided at their event times, with labels among the facts of another."""
    rows = [{"reading": n, "who": who, "at": at, "k1": at, "k2": at} for n, (who, at) in enumerate(asked)]
    readings = shapes.table(HOURS, "readings", rows, shapes.READINGS, "reading")
    table = shapes.table(HOURS, "facts", facts, shapes.FACTS, "id")
    plan = shapes.each(f.any("flag", of="facts", ahead="2h", where="n > 0"))
    found = spine(plan, readings, between=(None, HOURS.instant(until)), facts=table)
    wanted = [row for row in rows if row["at"] < until]
    assert found["reading"].to_list() == [row["reading"] for row in wanted]
    lag = shapes.LAG / HOURS.unit
    for row, made in zip(wanted, found.to_dicts(), strict=True):
        span, said = (row["at"], row["at"] + 6), ("any", "flag", "n > 0")
        label, known = expected(distinct(facts), row["who"], span, said, until, lag)
        assert (made["label"], made["label_known_at"]) == (label, HOURS.start + known * HOURS.unit)
    assert spine(plan, readings).columns == ["reading", "who", "decided_at"]
