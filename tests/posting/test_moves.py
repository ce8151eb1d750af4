"""A revision that moves an event beyond what a refresh reads still takes the fact along: in files and in posts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest

from millstream.features import FeaturePlan, point_in_time
from millstream.features.online import Lookup
from millstream.features.plan import FeatureColumn
from millstream.project import Project
from millstream.project.tables.data import serve_plans
from millstream.project.tables.posting import post
from millstream.types import to_micros

from . import shop
from .shop import order


def windows(project: Project) -> FeaturePlan:
    """Return a plan of windows alone, so that not the whole table is read."""
    whole = shop.plan(project)
    view = next(each for each in whole.views if each.name == "unseen")
    kept = {name: each for name, each in view.features.items() if each.over_us is not None}
    view = msgspec.structs.replace(view, features=kept)
    assert view.horizon_us is not None
    columns = tuple(FeatureColumn(f"unseen.{name}", each.dtype) for name, each in kept.items())
    return msgspec.structs.replace(whole, views=(view,), columns=columns, combined={})


def apply(project: Project, plan: FeaturePlan) -> None:
    """Bring what is posted into what is served, for one plan."""
    if project.live.catch_up([plan], now=project.clock.now()).behind:
        serve_plans(project, [plan])
        project.live.catch_up([plan], now=project.clock.now())


def both(project: Project, plan: FeaturePlan, at: datetime | None = None) -> tuple[list[Any], list[Any]]:
    """Return what is served of shop a, and what a read of whole tables computes."""
    now = at or datetime.now(UTC)
    found = Lookup(plan, project.online).lookup_one({"shop": "a"}, to_micros(now))
    rows = pl.DataFrame({"shop": ["a"], "id": [0], "decided_at": [now]}).with_columns(
        pl.col("decided_at").cast(pl.Datetime("us", "UTC"))
    )
    truth = point_in_time(plan, rows, {"orders": project.lake.read("orders")}).row(0, named=True)
    return [None if each != each else each for each in found], [truth[each] for each in plan.names]


def line(number: int, *, minutes: float, known: float, amount: float = 0.25) -> str:
    at, told = shop.now() - timedelta(minutes=minutes), shop.now() - timedelta(minutes=known)
    return f"\n{number},a,{at:%FT%TZ},{told:%FT%TZ},{amount},zz,true"


DAYS = 60 * 24


@pytest.mark.parametrize("moved", [100 * DAYS, -100 * DAYS], ids=["to-the-past", "to-the-future"])
@pytest.mark.parametrize("told", [60, 1], ids=["at-one-instant", "later"])
def test_a_file_moves_a_fact_out_of_every_window(project: Project, moved: int, told: int) -> None:
    plan = windows(project)
    with (project.root / "orders.csv").open("a") as file:
        file.write(line(900, minutes=90, known=60) + line(900, minutes=moved, known=told))
    project.run("ingest", {})
    serve_plans(project, [plan])
    said, truth = both(project, plan)
    assert said == truth
    before, then = both(project, plan, shop.now() - timedelta(minutes=5))
    assert before == then


def test_a_file_moves_a_fact_to_another_entity_and_out_of_time(project: Project) -> None:
    plan = windows(project)
    with (project.root / "orders.csv").open("a") as file:
        file.write(line(900, minutes=90, known=60) + line(900, minutes=100 * DAYS, known=5).replace(",a,", ",b,"))
    project.run("ingest", {})
    serve_plans(project, [plan])
    said, truth = both(project, plan)
    assert said == truth


@pytest.mark.parametrize("moved", [100 * DAYS, -100 * DAYS], ids=["to-the-past", "to-the-future"])
def test_of_two_posted_beliefs_of_one_instant_the_later_holds(project: Project, moved: int) -> None:
    plan = windows(project)
    rows = [
        order(900, minutes=90, known=60, amount=0.25),
        order(900, minutes=moved, known=60),
        order(901, minutes=moved, known=60),
        order(901, minutes=90, known=60, amount=0.125),
    ]
    post(project, table="orders", rows=rows)
    project.run("ingest", {})
    serve_plans(project, [plan])
    said, truth = both(project, plan)
    assert said == truth and said[0] == 0.125
    assert project.writer.applied()[plan.views[0].id].posted == 4


def test_a_fact_that_comes_after_what_corrects_it(project: Project) -> None:
    plan = windows(project)
    post(project, table="orders", rows=[order(900, minutes=100 * DAYS, known=5)])  # moved, before it came
    project.run("ingest", {})
    serve_plans(project, [plan])
    before, _ = both(project, plan)
    post(project, table="orders", rows=[order(900, minutes=90, known=60, amount=0.125)])
    apply(project, plan)
    after, _ = both(project, plan)
    project.run("ingest", {})
    serve_plans(project, [plan])
    said, truth = both(project, plan)
    assert before == after == said == truth
