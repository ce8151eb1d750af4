"""Lineage and masks follow features through the features that are made of them."""

import shutil

import pytest

import millstream
from millstream.project import Project
from millstream.project.models.learn import plan
from millstream.project.people import Person
from tests.catalog.conftest import DEFINITIONS

MORE = """
mixed = FeatureView("mixed", of=f.Request(spend, double_amount="double"),
    features=dict(share="double_amount / spend.total", many="spend.orders > 3", own="double_amount > 5",
        mostly="mixed.share > 0.5 and mixed.own"))
deep = FeatureView("deep", of=f.Request(mixed), features=dict(doubled="mixed.share * 2"))
twice = Model("twice", rows=Each(wide), label="region = 'EU'", features=[deep], estimator=LogisticRegression(),
    metrics=["roc_auc"], goal="roc_auc")
"""


@pytest.fixture(scope="module")
def place(shop, tmp_path_factory):
    root = shutil.copytree(shop, tmp_path_factory.mktemp("more") / "shop")
    (root / "shop.py").write_text(DEFINITIONS + MORE)
    return root


def test_lineage_leads_through_features_of_features(place):
    with Project(place) as project:
        up = project.run("lineage", {"name": "mixed.share"})
        assert {("spend.total", "feature"), ("wide.double_amount", "column")} <= {
            (each["name"], each["kind"]) for each in up["upstream"]
        }
        assert "spend.orders" not in {each["name"] for each in up["upstream"]}
        assert "orders.amount" in project.run("lineage", {"name": "twice"})["sources"]
        own = project.run("lineage", {"name": "mixed.mostly"})
        assert {each["name"] for each in own["upstream"]} == {"mixed.share", "mixed.own"}
        assert "mixed.mostly" in {each["name"] for each in project.run("lineage", {"name": "mixed.own"})["downstream"]}
        down = project.run("lineage", {"name": "orders.amount"})
        assert down["models"] == ["buys", "twice"]


def test_what_is_made_of_masked_features_is_masked(place, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_USER", "tina")
    with millstream.open(place) as project:
        masks = Person(project, "tina").masks_of_plan(plan(project, "twice"))
        assert masks["deep.doubled"] == masks["spend.total"] != "show"
