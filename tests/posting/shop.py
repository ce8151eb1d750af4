"""A small project whose facts come from a file and by post, with one release live; made once, tests work on copies."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from millstream.features import FeaturePlan
from millstream.features.online import Lookup
from millstream.project import Project
from millstream.project.models.ship import live_plans
from millstream.types import to_micros

TOML = 'name = "shop"\ntimezone = "UTC"\n'
CODE = """
from lightgbm import LGBMClassifier

from millstream import Each, FeatureView, Model, Table, checks, features as f, sources

orders = Table("orders", source=sources.Csv("orders.csv"), key="id", event_time="at", known_at="known",
    columns={"dear": "amount > 50"}, checks=[checks.between("amount", 0, 1000)])
visits = Table("visits", source=sources.Posted(
    {"id": "bigint", "shop": "varchar", "at": "timestamptz"}, arrived="came"),
    key="id", event_time="at", known_at="came")
whole = Table("whole", of=[orders], sql="select * from orders", key="id", event_time="at")

form = FeatureView("form", of=orders, entity="shop", features=dict(
    n_1h=f.count(over="1h"), n=f.count(), total=f.sum("amount"), last=f.last("amount"), top=f.max("amount", over="2h"),
    word=f.last("note")))
seen = FeatureView("seen", of=visits, entity="shop", features=dict(visits_1h=f.count(over="1h")))
unseen = FeatureView("unseen", of=orders, entity="shop", features=dict(
    low=f.min("amount", over="50h"), middle=f.quantile("amount", 0.5, over="90h"), notes=f.distinct("note")))
made = FeatureView("made", of=f.Request(form, seen, unseen), features=dict(
    share="form.n_1h / form.n", above="form.last - unseen.middle", low="coalesce(unseen.low, 0) + unseen.notes",
    both="seen.visits_1h + form.n_1h"))

late = Model("late", rows=Each(orders, decide_at="known"), label="late", features=[form, seen, made], goal="log_loss",
    estimator=LGBMClassifier(n_estimators=3, min_child_samples=5, verbose=-1))
"""
_MADE: dict[str, tuple[Path, datetime]] = {}
_MOMENT = {"now": datetime.now(UTC).replace(microsecond=0)}


def now() -> datetime:
    """Return the moment of the test that runs, to the second: that at which it got its copy of the project.

    What is served answers for some minutes before its refresh and not for longer, so that a moment which all tests
    of a process shared would be past for the later ones.
    """
    return _MOMENT["now"]


def made(folders: Any) -> Path:
    """Return the project: 200 orders of two shops in a file, a model trained and live.

    Its newest order is two hours old and the next leaves a window two hours later: it is made anew before that.
    """
    began = datetime.now(UTC).replace(microsecond=0)
    if "shop" not in _MADE or began - _MADE["shop"][1] > timedelta(hours=1):
        root = folders.mktemp("shop") / "shop"
        root.mkdir()
        (root / "millstream.toml").write_text(TOML)
        (root / "shop.py").write_text(CODE)
        lines = ["id,shop,at,known,amount,note,late"]
        for each in range(200):
            at = began - timedelta(hours=400 - 2 * each)
            known = at + timedelta(minutes=5)
            lines.append(
                f"{each},{'ab'[each % 2]},{at:%FT%TZ},{known:%FT%TZ},{each % 90}.5,n{each % 7},{each % 3 == 0}"
            )
        (root / "orders.csv").write_text("\n".join(lines))
        with Project(root, lock=True) as project:
            project.run("check", {"actor": "tina"})
            project.run("train", {"model": "late", "actor": "tina"})
            project.run("release", {"model": "late", "actor": "tina", "dirty": True})
            project.run("approve", {"actor": "ada", "reason": "better"})
        _MADE["shop"] = root, began
    return _MADE["shop"][0]


def copy(origin: Path, to: Path) -> Path:
    """Copy the project for a test, whose moment is now."""
    shutil.copytree(origin, to, symlinks=True)
    _MOMENT["now"] = datetime.now(UTC).replace(microsecond=0)
    return to


def order(
    number: int,
    *,
    minutes: float = 0,
    shop: str | None = "a",
    amount: float | None = 7.0,
    known: float | None = None,
    note: str = "hi",
) -> dict[str, Any]:
    """Return an order that happened some minutes before ``now`` and was known then, or when said."""
    at, told = now() - timedelta(minutes=minutes), now() - timedelta(minutes=minutes if known is None else known)
    return {"id": number, "shop": shop, "at": f"{at:%FT%TZ}", "known": f"{told:%FT%TZ}", "amount": amount, "note": note,
            "late": None}  # fmt: skip


def plan(project: Project) -> FeaturePlan:
    return live_plans(project)[0]


def served(project: Project, shop: str = "a", at: datetime | None = None) -> dict[str, Any]:
    """Return what is served of a shop, now unless said."""
    said = plan(project)
    values = Lookup(said, project.online).lookup_one({"shop": shop}, to_micros(at or datetime.now(UTC)))
    return {name: None if each != each else each for name, each in zip(said.names, values, strict=True)}


def computed(project: Project, shop: str = "a", at: datetime | None = None) -> dict[str, Any]:
    """Return what a point-in-time read of the newest versions computes."""
    import polars as pl

    from millstream.features import point_in_time

    said = plan(project)
    instant = at or datetime.now(UTC)
    rows = pl.DataFrame({"shop": [shop], "id": [0], "decided_at": [instant]}).with_columns(
        pl.col("decided_at").cast(pl.Datetime("us", "UTC"))
    )
    tables = {each: project.lake.read(each) for each in said.tables}
    found = point_in_time(said, rows, tables).row(0, named=True)
    return {name: float(found[name]) if isinstance(found[name], int | float) else found[name] for name in said.names}
