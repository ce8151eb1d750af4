"""Features that cannot lie, in a whole project: planted leaks are refused or said, audits prove what is left."""

from __future__ import annotations

import copy
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from millstream.errors import DefinitionError, LeakError, NotFound, UserError
from millstream.features import facts as facts_module
from millstream.features import views as views_module
from millstream.project import Project
from tests.lake.house import Still

BEGIN, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 40
NOW = BEGIN + timedelta(days=30)
TOML = 'name = "parcels"\n'
DEFINITIONS = """
from sklearn.tree import DecisionTreeClassifier
from millstream import Each, FeatureView, Model, Table, features as f, sources, splits

parcels = Table("parcels", source=sources.Parquet("parcels-*.parquet"), key="id", event_time="sent",
    known_at={"*": "sent", "late": "arrived", "hours": "arrived"})
scans = Table("scans", source=sources.Parquet("scans-*.parquet"), key="scan", event_time="at", known_at="told")
depots = Table("depots", __DEPOTS__, key="depot")
form = FeatureView("form", of=parcels, entity="depot", features=dict(
    late_7d=f.mean("late", over="7d"), sent_2d=f.count(over="2d"), usual=f.target("late", over="14d", smooth=5)))
seen = FeatureView("seen", of=scans, entity="depot", features=dict(weight_3d=f.sum("weight", over="3d"),
    last=f.last("weight")))
share = FeatureView("share", of=depots, entity="depot", features=dict(late=f.last("late_share")))
asked = FeatureView("asked", of=f.Request(weight="double", promised="double", gained="double"),
    features=dict(weight="weight", heavy="weight > 5", promised="promised", gained="gained"))
tree = dict(rows=Each(parcels), label="late", estimator=DecisionTreeClassifier(max_depth=4, min_samples_leaf=20),
    metrics=["roc_auc"], goal="roc_auc", split=splits.Time(test="5d", folds=1))
late = Model("late", features=[form, seen, asked.on({}, name="asked")], **tree)
spoilt = Model("spoilt", features=[form, share], **tree)
"""
FILE = 'source=sources.Parquet("depots.parquet")'


def parcels(*, days: range, seed: int = 1, leak: bool = False) -> pl.DataFrame:
    """Sixty parcels a day from eight depots, some slow; a parcel's lateness is known when it arrives."""
    rng = np.random.default_rng([seed, days.start])
    count = 60 * len(days)
    depot = rng.integers(0, 8, count)
    hours = rng.gamma(4, 5 + depot) + 2
    sent = [BEGIN + timedelta(days=float(each)) for each in np.sort(rng.uniform(days.start, days.stop, count))]
    late = hours > 40
    promised = rng.normal(size=count)
    return pl.DataFrame(
        {
            "id": [f"{days.start}-{n}" for n in range(count)],
            "depot": [f"d{each}" for each in depot],
            "sent": sent,
            "arrived": [at + timedelta(hours=float(took)) for at, took in zip(sent, hours, strict=True)],
            "hours": hours,
            "late": late,
            "weight": rng.gamma(2, 2, count),
            "promised": promised,
            "gained": (hours - 40 - promised) if leak else rng.normal(size=count),
        }
    )


def scans(*, days: range, told: timedelta = timedelta(hours=1)) -> pl.DataFrame:
    rng = np.random.default_rng([2, days.start])
    count = 30 * len(days)
    at = [BEGIN + timedelta(days=float(each)) for each in np.sort(rng.uniform(days.start, days.stop, count))]
    depots = [f"d{each}" for each in rng.integers(0, 8, count)]
    return pl.DataFrame(
        {"scan": [f"{days.start}-{n}" for n in range(count)], "at": at, "depot": depots,
         "told": [each + told for each in at], "weight": np.round(rng.gamma(2, 2, count), 2)}
    )  # fmt: skip


class House:
    """A project whose clock is told what time it is."""

    def __init__(self, root: Path, *, leak: bool = False, depots: str = FILE) -> None:
        self.root, self.clock = root, Still()
        self.clock.at = NOW
        root.mkdir()
        (root / "millstream.toml").write_text(TOML)
        (root / "parcels.py").write_text(DEFINITIONS.replace("__DEPOTS__", depots))
        sent = parcels(days=range(30), leak=leak)
        sent.write_parquet(root / "parcels-1.parquet")
        sent.group_by("depot").agg(pl.col("late").mean().alias("late_share")).write_parquet(root / "depots.parquet")
        scans(days=range(30)).write_parquet(root / "scans-1.parquet")

    def copied(self, root: Path) -> House:
        """Return another of the same state."""
        shutil.copytree(self.root, root, symlinks=True)
        made = copy.copy(self)
        made.root, made.clock = root, Still()
        made.clock.at = NOW
        return made

    def run(self, command: str, **words: Any) -> Any:
        with Project(self.root, lock=True) as project:
            project.clock = self.clock
            self.said: list[str] = []
            project.progress = self.said.append
            return project.run(command, {"actor": "ann", **words})

    def ledger(self, act: str) -> list[Any]:
        with Project(self.root, lock=True) as project:
            return project.ledger.rows(act=act)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    made = House(tmp_path_factory.mktemp("parcels") / "house")
    made.run("refresh")
    made.trained = made.run("train", model="late")  # type: ignore[attr-defined]
    return made


def test_an_audit_proves_every_value_and_is_written_down(house: House) -> None:
    found = house.run("features_audit", model="late", rows=40)
    assert found["ok"] and found["exit_code"] == 0
    assert found["rows"] == 40 and found["kept"] > 20
    assert found["equal"] == found["all"] > 9 * (found["rows"] + found["kept"])
    assert {each["feature"] for each in found["features"]} >= {"form.usual", "seen.last", "asked.heavy", "label"}
    assert "are what raw facts known by then give" in found["says"]
    assert "taken at its word" in found["seen"]["says"]
    row = house.ledger("features.audit")[0]
    assert (row.subject, row.actor, row.detail["equal"]) == ("late@1", "ann", found["equal"])
    assert house.run("look", model="late")["features"]["audit"]["says"] == found["says"]
    json.dumps(found)


def test_what_nobody_can_audit_is_told(house: House) -> None:
    with pytest.raises(NotFound, match="was never trained"):
        house.run("features_audit", model="spoilt")
    with pytest.raises(NotFound):
        house.run("features_audit", model="late", version=9)
    with pytest.raises(UserError, match="0 rows"):
        house.run("features_audit", model="late", rows=0)


def test_training_says_what_features_are_worth_and_cost(house: House) -> None:
    lift = house.trained["lift"]  # type: ignore[attr-defined]
    assert {each["name"] for each in lift["views"]} == {"form", "seen", "asked"}
    assert lift["views"][0]["name"] == "form"
    assert all(each["compute_ms"] is not None for each in lift["views"] if each["name"] != "asked")
    assert house.trained["leaks"] == []  # type: ignore[attr-defined]
    page = house.run("look", model="late")["features"]
    assert page["lift"]["says"] == lift["says"]


def test_a_join_that_ignores_when_facts_were_known_is_caught(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts of the future and late corrections reach a training; the audit names the cell and the fact behind it."""
    honest = facts_module.read_facts

    def careless(table: Any, entity: Any, *, waits_for: tuple[str, ...], **words: Any) -> Any:
        return honest(table, entity, waits_for=waits_for[:0] if table.table == "scans" else waits_for, **words)

    monkeypatch.setattr(views_module, "read_facts", careless)
    trained = house.run("train", model="late")
    monkeypatch.undo()
    found = house.run("features_audit", model="late", version=trained["version"], rows=100)
    assert not found["ok"] and found["exit_code"] == 8
    differ = {each["feature"] for each in found["features"] if each["equal"] != each["all"]}
    assert differ and differ <= {"seen.weight_3d", "seen.last"}
    first = found["differences"][0]
    assert first["source"] == "kept with the model"
    named = [each for each in found["differences"] if each["fact"]]
    assert named
    assert named[0]["fact"]["table"] == "scans" and named[0]["fact"]["kind"].startswith("known only later")
    assert named[0]["fact"]["known_at"] > named[0]["decided_at"][:10]
    assert named[0]["fact"]["key"]["scan"] in named[0]["says"]


def test_a_label_in_two_parts_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    house = House(tmp_path / "house", leak=True)
    house.run("refresh")
    with pytest.raises(LeakError, match=r"asked\.promised \+ asked\.gained tells the label") as said:
        house.run("train", model="late")
    assert "vouched=['asked.promised', 'asked.gained']" in said.value.do
    assert not house.ledger("model.register")


def test_a_statistic_over_the_test_period_is_refused(house: House, tmp_path: Path) -> None:
    """Whether it came in a file that somebody made of all rows, or the project's own sql makes it."""
    with pytest.raises(LeakError, match=r"feature share\.late: each of its 8 values is the mean label") as said:
        house.run("train", model="spoilt")
    assert "vouched=['share.late']" in said.value.do
    merged = House(
        tmp_path / "house", depots='of=parcels, sql="select depot, avg(late::int) s from parcels group by 1"'
    )
    with pytest.raises(DefinitionError, match="merges rows of parcels"):
        merged.run("refresh")


def test_a_known_at_that_lies_is_caught_by_the_versions_of_that_time(house: House, tmp_path: Path) -> None:
    house = house.copied(tmp_path / "house")
    house.clock.at = NOW + timedelta(days=5)
    parcels(days=range(30, 35)).write_parquet(house.root / "parcels-2.parquet")
    scans(days=range(30, 33)).write_parquet(house.root / "scans-2.parquet")
    house.run("refresh")
    house.clock.at = NOW + timedelta(days=10)
    parcels(days=range(35, 40)).write_parquet(house.root / "parcels-3.parquet")
    scans(days=range(33, 36)).write_parquet(house.root / "scans-3.parquet")  # five days late, and says an hour
    house.run("refresh")
    house.run("train", model="late")
    found = house.run("features_audit", model="late", rows=20)
    assert found["equal"] == found["all"]
    assert not found["ok"] and found["exit_code"] == 8
    assert found["seen"]["later"] > 0
    assert (
        f"late@{found['version']}: {found['seen']['later']} values were not known when their known-at says"
        in found["says"]
    )
    says = [each["says"] for each in found["seen"]["findings"] if each["feature"].startswith("seen.")]
    assert "of scans says it was known" in says[0] and "came later than version" in says[0]
    roles = '[roles.analyst]\npeople = ["tina"]\nmask = { personal = "redact" }\n[roles.owner]\npeople = ["ann"]\n'
    (house.root / "millstream.toml").write_text(TOML + roles + 'mask = { "*" = "show" }\n')
    hidden = house.run("features_audit", model="late", rows=20, actor="tina")
    assert (hidden["seen"]["later"], hidden["ok"]) == (found["seen"]["later"], False)
    assert not any("of scans" in each["says"] or "then" in each for each in hidden["seen"]["findings"])
    shown = house.run("features_audit", model="late", rows=20)["seen"]["findings"]
    assert all("says it was known" in each["says"] for each in shown)
