"""Embeddings the whole way: arrays of derived tables, features of two, training rows and what is served."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import millstream
from millstream.features.online import Lookup
from millstream.project import Project
from millstream.project.models.learn import plan
from millstream.types import to_micros

CODE = """
from sklearn.dummy import DummyClassifier

from millstream import Each, FeatureView, Model, Table, features as f, sources

clicks = Table("clicks", source=sources.Csv("clicks.csv"), key="id", event_time="at")
tastes = Table("tastes", source=sources.Csv("tastes.csv"), key="id", event_time="at")
things = Table("things", source=sources.Csv("things.csv"), key="item")
tasted = Table("tasted", of=tastes, key="id", event_time="at",
    sql="select id, who, at, cast(v as float[4]) as e from tastes")
shaped = Table("shaped", of=things, key="item", step="shapes:shaped")

user = FeatureView("user", of=tasted, entity="who", features=f.elements("e", 4))
item = FeatureView("item", of=shaped, entity="item", features=f.elements("e", 4))
near = FeatureView("near", of=f.Request(user, item), features={"alike": f.cosine("user.e", "item.e", 4)})
buys = Model("buys", rows=Each(clicks), label="bought", features=[user, item, near], goal="roc_auc",
    estimator=DummyClassifier())
"""
STEP = """
import polars as pl

def shaped(things):
    return things.select("item", e=pl.concat_list("a", "b", "c", "d").list.to_array(4))
"""
TASTES = [
    ("ann", 1, "[1,2,3,4]"),
    ("ann", 3, "[0,1,0,-1]"),
    ("bob", 1, "[2,0.5,0,0]"),
    ("bob", 2, ""),
    ("ann", 5, "[null,7,0,0]"),
]
"""Who, from which day on, and what."""
THINGS = {"x": (4.0, 3.0, 2.0, 1.0), "y": (0.5, 0.0, 0.0, -0.5)}
CLICKS = [("ann", 2, "x"), ("ann", 4, "x"), ("ann", 4, "y"), ("bob", 4, "y"), ("ann", 6, "x"), ("eve", 6, "x")]
HELD = {("ann", 2): (1, 2, 3, 4), ("ann", 4): (0, 1, 0, -1), ("bob", 4): (2, 0.5, 0, 0), ("ann", 6): (0, 7, 0, 0)}
"""What was known last of each element: an array that is NULL says nothing new, nor does an element."""


def cosine(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    dot = sum(x * y for x, y in zip(one, two, strict=True))
    return dot / math.sqrt(sum(x * x for x in one)) / math.sqrt(sum(x * x for x in two))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tastes = [f'{n},{who},2024-01-0{day}T00:00:00Z,"{v}"' for n, (who, day, v) in enumerate(TASTES)]
    things = [f"{name},{','.join(map(str, v))}" for name, v in THINGS.items()]
    clicks = [f"{n},{who},{item},2024-01-0{day}T00:00:00Z,true" for n, (who, day, item) in enumerate(CLICKS)]
    files = {
        "millstream.toml": 'name = "shop"\ntimezone = "UTC"\n',
        "shop.py": CODE,
        "shapes.py": STEP,
        "tastes.csv": "\n".join(["id,who,at,v", *tastes]),
        "things.csv": "\n".join(["item,a,b,c,d", *things]),
        "clicks.csv": "\n".join(["id,who,item,at,bought", *clicks]),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    return tmp_path


def test_an_array_becomes_features_that_are_trained_on_and_served(root: Path) -> None:
    with Project(root, lock=True) as project:
        project.run("refresh", {})
        rows = millstream.open(root).training_set("buys").frame.sort("id")
        elements = rows.select(f"user.e_{each}" for each in range(1, 5)).rows()
        for (who, day, item), found, alike in zip(CLICKS, elements, rows["near.alike"], strict=True):
            held = HELD.get((who, day))
            assert found == (held or (None,) * 4)
            assert alike == (None if held is None else pytest.approx(cosine(held, THINGS[item]), rel=1e-12))
        said = plan(project, "buys")
        pins = {name: project.lake.head(name).version for name in said.tables}
        project.writer.refresh([said], lambda name, _: project.lake.read(name), pins=pins, now=rows["decided_at"].min())
        lookup = Lookup(said, project.online)
        for row in rows.to_dicts():
            served = lookup.lookup_one({"who": row["who"], "item": row["item"]}, to_micros(row["decided_at"]))
            assert [None if each != each else each for each in served] == [row[name] for name in said.names]
