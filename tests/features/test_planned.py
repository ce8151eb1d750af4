"""Views about ``target_at``: what was known at the decision of facts whose window holds the target, and as served."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions.rows import Every
from millstream.definitions.view import FeatureView
from millstream.errors import DefinitionError
from millstream.features import FeaturePlan, point_in_time
from millstream.features.online import LmdbOnline, Lookup, Writer
from millstream.features.plan import FeaturePlan as Plan
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

from . import shapes
from .shapes import HOURS as WORLD

WINDOWS = {
    "n": f.count(),
    "n_2h": f.count(over="2h"),
    "sum": f.sum("x", over="2h"),
    "last": f.last("n"),
    "last_2h": f.last("n", over="2h"),
    "largest": f.max("x", over="2h"),
    "some": f.any("flag", over="2h"),
    "before": f.last("n", over="2h", ago="1h"),
    "kinds": f.distinct("n", over="2h"),
    "middle": f.quantile("n", 0.5, over="2h"),
    "since": f.since_last(over="2h"),
    "since_ago": f.since_first("n", over="2h", ago="1h"),
}
OVER = {"2h": 6, None: float("inf")}
PLANS = FeatureView("plans", of=shapes.facts_table, entity="who", features=WINDOWS)
BOUNDED = FeatureView(
    "plans",
    of=shapes.facts_table,
    entity="who",
    features={k: WINDOWS[k] for k in ("n_2h", "last_2h", "some", "before", "since")},
)


def plan_of(view: FeatureView = PLANS) -> FeaturePlan:
    role = view.on({}, name="plans", at="target_at")
    label = f.sum("x", of="facts", ahead="1h", at="target_at")
    return shapes.every(WORLD, label, targets=True, roles=[role], views=[view])


def expected(facts: list[dict[str, Any]], who: str | None, decided: int, target: int, window: f.Window) -> Any:
    value = window.value
    columns = ("who", "at", "id" if value is None else value)
    asked, target = target, target - (3 if window.ago else 0)
    belief = shapes.believed(facts, "id", columns, decided)
    begun = [row for row in belief if who is not None and row["who"] == who and row["at"] is not None]
    begun = [row for row in begun if row["at"] <= target]
    held = [row for row in begun if target < row["at"] + OVER[window.over]]
    if window.aggregate == "count":
        return len(held)
    held.sort(key=lambda row: (row["at"], shapes.known(row, columns), row["place"]))
    if window.aggregate.startswith("since"):
        told = [row["at"] for row in held if value is None or row[value] is not None]
        return (asked - told[0 if window.aggregate == "since_first" else -1]) / 72 if told else None
    told = [row[value] for row in held if row[value] is not None]
    if window.aggregate == "sum":
        return float(sum(map(Fraction, told))) if begun else None
    if window.aggregate == "distinct":
        return len(set(told))
    if not told:
        return None
    return {"quantile": statistics.median, "last": lambda all_: all_[-1], "max": max, "any": any}[window.aggregate](
        told
    )


def frame(asked: list[tuple[str | None, int, int]]) -> pl.DataFrame:
    rows = [(who, WORLD.instant(at), WORLD.instant(at + ahead)) for who, at, ahead in asked]
    types = {"who": pl.String, "decided_at": shapes.INSTANT, "target_at": shapes.INSTANT}
    return pl.DataFrame(rows, schema=types, orient="row")


def table(facts: list[dict[str, Any]]) -> TableFrame:
    bare = [{key: each for key, each in row.items() if key != "place"} for row in facts]
    return shapes.table(WORLD, "facts", bare, shapes.FACTS, "id")


facts = st.lists(shapes.fact, max_size=10).map(lambda rows: [row | {"place": place} for place, row in enumerate(rows)])
asks = st.lists(st.tuples(shapes.maybe(shapes.names), st.integers(5, 35), st.integers(0, 12)), min_size=1, max_size=6)


@pytest.mark.parametrize("view", [PLANS, BOUNDED], ids=["ever", "bounded"])
@given(facts=facts, asked=asks)
@settings(max_examples=20, deadline=None)
def test_windows_hold_the_target_and_knowledge_is_that_of_the_decision(
    view: FeatureView, facts: list[dict[str, Any]], asked: list[tuple[str | None, int, int]]
) -> None:
    joined = point_in_time(plan_of(view), frame(asked), {"facts": table(facts)})
    for place, (who, at, ahead) in enumerate(asked):
        for name, window in view.features.items():
            assert isinstance(window, f.Window)
            found, wanted = joined[f"plans.{name}"][place], expected(facts, who, at, at + ahead, window)
            assert found == (pytest.approx(wanted, rel=1e-12) if isinstance(wanted, float) else wanted), name


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbOnline]:
    made = LmdbOnline(tmp_path / "online", map_bytes=64 << 20)
    yield made
    made.close()


def mixed_plan() -> FeaturePlan:
    """What is planned beside what is there, and what is made of both: the model lists these last two first."""
    planned, now = BOUNDED.on({}, name="plans", at="target_at"), BOUNDED.on({}, name="now")
    made = {
        "more": "plans.n_2h - now.n_2h",
        "idle": "plans.since is null",
        "hour": "now.n_2h * hour(target_at at time zone 'UTC')",
    }
    mixed = FeatureView("mixed", of=f.Request(planned, now, target_at="timestamptz"), features=made)
    label = f.sum("x", of="facts", ahead="1h", at="target_at")
    return shapes.every(WORLD, label, targets=True, roles=[mixed, now, planned], views=[BOUNDED, mixed])


@given(facts=facts, asked=asks)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_planned_is_combined_with_what_is_there(
    store: LmdbOnline, facts: list[dict[str, Any]], asked: list[Any]
) -> None:
    plan, rows = mixed_plan(), table(facts)
    refresh(store, plan, rows, WORLD.instant(5), None)
    joined = point_in_time(plan, frame(asked), {"facts": rows})
    lookup = Lookup(plan, store)
    for row, (who, at, ahead) in zip(joined.to_dicts(), asked, strict=True):
        assert row["mixed.more"] == row["plans.n_2h"] - row["now.n_2h"]
        assert row["mixed.idle"] == (row["plans.since"] is None)
        assert row["mixed.hour"] == row["now.n_2h"] * WORLD.instant(at + ahead).hour
        served = lookup.lookup_one(
            {"who": who, "target_at": to_micros(WORLD.instant(at + ahead))}, to_micros(WORLD.instant(at))
        )
        assert [None if each != each else each for each in served] == [row[name] for name in plan.names]


@pytest.mark.parametrize("view", [PLANS, BOUNDED], ids=["ever", "bounded"])
@given(facts=facts, asked=asks, until=st.sampled_from([None, 60]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_served_is_what_a_point_in_time_read_finds(
    store: LmdbOnline, view: FeatureView, facts: list[dict[str, Any]], asked: list[Any], until: int | None
) -> None:
    plan, rows = plan_of(view), table(facts)
    refresh(store, plan, rows, WORLD.instant(5), until)
    joined = point_in_time(plan, frame(asked), {"facts": rows})
    lookup = Lookup(plan, store)
    for place, (who, at, ahead) in enumerate(asked):
        row = {"who": who, "target_at": to_micros(WORLD.instant(at + ahead))}
        served = lookup.lookup_one(row, to_micros(WORLD.instant(at)))
        assert repr(served) == repr(lookup.lookup_many([row], [to_micros(WORLD.instant(at))])[0])
        for name, value in zip(plan.names, served, strict=True):
            wanted = joined[name][place]
            assert (value != value and wanted is None) or value == pytest.approx(float(wanted), rel=1e-12), name


_versions = iter(range(1, 1_000_000))


def refresh(store: LmdbOnline, plan: Plan, rows: TableFrame, now: datetime, until: int | None) -> Any:
    version = next(_versions)

    def read(name: str, since: datetime | None) -> TableFrame:
        return TableFrame("facts", version, rows.frame, rows.schema, rows.key, rows.event_time, rows.known)

    ahead = None if until is None else WORLD.instant(until) - now
    return Writer(store).refresh([plan], read, pins={"facts": version}, now=now, ahead=ahead)


def test_a_refresh_that_changes_nothing_writes_nothing(store: LmdbOnline) -> None:
    fact = {"id": 1, "who": "ann", "at": 20, "x": 2.0, "n": 1, "flag": True, "k1": 3, "k2": 3}
    first = refresh(store, plan_of(), table([fact]), WORLD.instant(5), None)
    again = refresh(store, plan_of(), table([fact]), WORLD.instant(5), None)
    assert (first.written, again.written, again.unchanged) == (2, 0, 2)  # the view, and the rule of the last season


def test_a_view_about_targets_needs_a_horizon() -> None:
    role = PLANS.on({}, name="plans", at="target_at")
    with pytest.raises(DefinitionError, match="about target_at, and the rows of model m have no horizon"):
        shapes.every(WORLD, f.sum("x", of="facts", ahead="1h"), roles=[role], views=[PLANS])
    with pytest.raises(DefinitionError, match="begins at decided_at, and the rows have a horizon"):
        shapes.every(WORLD, f.sum("x", of="facts", ahead="1h"), targets=True, roles=[role], views=[PLANS])
    with pytest.raises(DefinitionError, match="begins at target_at, and the rows have no horizon"):
        shapes.plan(Every("1d", of="members"), f.sum("x", of="facts", ahead="1h", at="target_at"))
