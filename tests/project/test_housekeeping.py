"""Housekeeping of a whole project: what is held and by what, what goes, who uses what, and how much there may be."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.errors import Conflict, DefinitionError, IntegrityError, NotFound
from millstream.lake.housekeeping.compact import compact
from millstream.project import Project
from millstream.project.backups import taking as backups
from millstream.project.housekeeping.holders import holders
from millstream.state import alarms
from millstream.tracking.kept import left_behind
from tests.lake.house import Still
from tests.server import example

SHOP = """
from millstream import Table, sources

orders = Table("orders", source=sources.Csv("orders-*.csv"), key="id", event_time="at", timezone="UTC")
idle = Table("idle", source=sources.Csv("idle.csv"), key="id")
big = Table("big", of=orders, sql="select * from orders where total > 1")
"""
TOML = 'name = "shop"\n[retention]\nversions = "30d"\ncache = "1h"\nlogs = "1h"\n'


def arrive(root: Path, number: int) -> None:
    (root / f"orders-{number}.csv").write_text(f"id,at,total\n{number},2024-01-01 10:00:00,{number}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("millstream.toml", TOML), ("shop.py", SHOP), ("idle.csv", "id\n1\n")):
        (folder / name).write_text(text)
    arrive(folder, 0)
    return folder


class Shop:
    """A project whose clock is told what time it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Still()
        self.clock.at = datetime(2024, 1, 2, tzinfo=UTC)

    def run(self, command: str, *, environment: str = "prod", **words: Any) -> Any:
        with Project(self.root, environment=environment) as project:
            project.clock = self.clock
            return project.run(command, words)

    def grow(self, count: int) -> None:
        for number in range(count):
            arrive(self.root, number)
            self.run("refresh")
            self.clock.at += timedelta(days=1)
        with Project(self.root) as project:
            project.clock = self.clock
            assert compact(project.lake, "orders", actor="ann") is not None
        self.run("refresh")


def table(record: Any, name: str) -> dict[str, Any]:
    return next(each for each in record["tables"] if each["table"] == name)


def test_a_plan_changes_nothing_and_says_what_holds_the_rest(root: Path) -> None:
    shop = Shop(root)
    shop.grow(5)
    shop.run("pin", version="orders@1", actor="ann")
    shop.run("pin", version="big@3", actor="ann")
    shop.run("refresh", environment="dev")
    shop.grow(6)
    shop.clock.at += timedelta(days=60)
    with Project(root) as project:
        project.ledger.record(actor="t", act="model.backtest", subject="late", detail={"pins": {"orders": 2}})
    files = set((root / ".millstream").rglob("*.parquet"))
    said = shop.run("gc")
    orders = table(said, "orders")
    held = {int(number): who for number, who in orders["held"].items()}
    assert held[1] == ["a pin of ann"] and held[2] == ["a backtest of late"]
    assert held[3] == ["big@3 (a pin of ann)"]
    assert held[5] == ["environment dev: the newest version"] or "dev" in " ".join(held[5])
    assert "the newest version" in held[max(held)]
    assert orders["versions"] and 4 in {n for first, last in orders["goes"] for n in range(first, last + 1)}
    assert not said["done"] and set((root / ".millstream").rglob("*.parquet")) == files
    done = shop.run("gc", yes=True, actor="bo")
    assert done["done"] and done["files"] == said["files"] > 0 and done["proof"]["wrong"] == []
    assert len(set((root / ".millstream").rglob("*.parquet"))) == len(files) - done["files"]
    assert shop.run("gc")["files"] == 0
    assert shop.run("verify")["ok"]
    with Project(root) as project:
        for number in held:
            assert project.lake.read("orders", version=number).frame.height
        assert project.lake.read("big", version=3).frame.height == 2
        with pytest.raises(NotFound, match="went with gc on 2024-"):
            project.lake.read("orders", version=4)
    with Project(root, environment="dev") as overlay:
        assert overlay.lake.read("orders").frame.height == 5
        with pytest.raises(NotFound, match="went with gc on 2024-"):
            overlay.lake.read("orders", version=4)


def test_what_production_names_is_held_in_an_overlay(root: Path) -> None:
    shop = Shop(root)
    (root / "millstream.toml").write_text(TOML)
    for number in range(3):
        arrive(root, number)
        shop.run("refresh", environment="dev")
        shop.clock.at += timedelta(days=1)
    with Project(root) as project:
        project.ledger.record(actor="t", act="release.build", subject="late@1", detail={"pins": {"orders": 1}})
    shop.clock.at += timedelta(days=60)
    held = table(shop.run("gc", environment="dev"), "orders")["held"]
    assert held["1"] == ["production: release.build late@1"] and "0" not in held


def test_what_a_branch_rests_on_stays(root: Path) -> None:
    shop = Shop(root)
    shop.grow(4)
    edit = {"table": "orders", "set": ["total = total + 100"], "where": "id = 1", "actor": "tina"}
    made = shop.run("edit", environment="storm", **edit)
    arrive(root, 0)
    (root / "orders-1.csv").write_text("id,at,total\n1,2024-01-01 10:00:00,7\n")
    shop.grow(6)
    shop.clock.at += timedelta(days=60)
    done = shop.run("gc", yes=True, actor="bo")
    assert done["done"] and done["files"] > 0 and done["proof"]["wrong"] == []
    assert any("storm" in who for who in table(done, "orders")["held"][str(made["base"])])
    with Project(root, environment="storm") as project:
        assert project.lake.read("orders").frame.sort("id")["total"].to_list() == [0, 101, 2, 3]
        assert [each for each in project.lake.verify() if not each.ok] == []
    shop.run("discard", name="storm", actor="tina")
    shop.clock.at += timedelta(days=60)
    assert shop.run("gc", yes=True, actor="bo")["files"] > 0


def test_nothing_goes_by_a_ledger_that_was_changed(root: Path) -> None:
    shop = Shop(root)
    shop.grow(3)
    shop.clock.at += timedelta(days=60)
    with closing(sqlite3.connect(root / ".millstream/state.db")) as database:
        database.execute("DROP TRIGGER ledger_never_changes")
        database.execute("UPDATE ledger SET body = ? WHERE sequence = 2", (b"spoilt",))
        database.commit()
    files = set((root / ".millstream").rglob("*.parquet"))
    with pytest.raises(IntegrityError, match="it cannot be said which versions it names"):
        shop.run("gc", yes=True)
    assert set((root / ".millstream").rglob("*.parquet")) == files


def test_nothing_goes_while_a_backup_is_taken(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(root)
    shop.grow(3)
    shop.clock.at += timedelta(days=60)
    inner, told = backups.git.commit, []

    def meanwhile(folder: Path) -> str | None:
        with pytest.raises(Conflict, match="a training, a backup or a pin holds all versions"):
            shop.run("gc", yes=True)
        told.append(folder)
        return inner(folder)

    with monkeypatch.context() as patch:
        patch.setattr(backups.git, "commit", meanwhile)
        shop.run("backup", to=str(tmp_path / "bak"))
    assert told and shop.run("gc", yes=True)["versions"] == 3
    assert shop.run("backup", to=str(tmp_path / "bak"))["copied_files"] > 0


def test_everything_is_kept_where_nothing_is_said(root: Path) -> None:
    (root / "millstream.toml").write_text('name = "shop"\n')
    shop = Shop(root)
    shop.grow(3)
    (root / ".millstream/cache").mkdir()
    (root / ".millstream/cache/set").write_text("again")
    shop.clock.at += timedelta(days=4000)
    said = shop.run("gc", yes=True)
    assert said["files"] == said["versions"] == 0 and said["others"] == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('[retention]\nversions = "soon"', "no|is not a length of time"),
        ('[retention.tables]\norders = "5m"', "what goes so soon may still be read"),
        ('[quota]\nlake = "much"', "quota.lake is 'much'"),
        ('[quota.tables]\nordres = "1GB"', "quota.tables names 'ordres', and there is no such table"),
        ('[retention.tables]\nordres = "1d"', "retention.tables names 'ordres', and there is no such table"),
    ],
)
def test_lengths_sizes_and_tables_that_are_none_are_refused(root: Path, said: str, expected: str) -> None:
    (root / "millstream.toml").write_text(f'name = "shop"\n{said}\n')
    with pytest.raises(DefinitionError, match=expected), Project(root) as project:
        project.run("gc", {})


def test_old_caches_and_logs_go_by_their_own_time(root: Path) -> None:
    shop = Shop(root)
    shop.run("refresh")
    for name in ("cache/old", "cache/young", "steps/old.log", "steps/busy.log", "steps/busy.running"):
        path = root / ".millstream" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        if "young" not in name:
            os.utime(path, (1e9, 1e9))
    said = shop.run("gc", yes=True)
    assert {(each["kind"], each["files"]) for each in said["others"]} == {("cache", 1), ("log", 1)}
    left = {each.name for each in (root / ".millstream").rglob("*") if each.parent.name in ("cache", "steps")}
    assert {"young", "busy.log", "busy.running"} <= left and not {"old", "old.log"} & left


def test_usage_names_what_nobody_reads_and_nothing_uses(root: Path) -> None:
    shop = Shop(root)
    shop.run("refresh")
    shop.run("sql", query="select * from orders", actor="ann")
    shop.clock.at += timedelta(days=100)
    said = shop.run("usage")
    assert [each["table"] for each in said["tables"] if each["unused"]] == ["big", "idle"]
    orders = table(said, "orders")
    assert orders["last_read"]["by"] == "ann" and orders["uses"] == ["table big"]
    assert orders["bytes"] > 0 and said["folders"]["lake"] >= orders["bytes"]
    assert [each["table"] for each in shop.run("usage", days=200)["tables"] if each["unused"]] == []


FORM = (
    SHOP
    + """
from millstream import FeatureView
from millstream import features as f

spent = FeatureView("spent", of=orders, entity="shop", features={"orders": f.count(over="7d"), "mean": f.mean("total")})
"""
)


def test_usage_names_columns_and_features_that_nobody_reads(root: Path) -> None:
    (root / "shop.py").write_text(FORM)
    (root / "orders-0.csv").write_text("id,at,total,shop,note,fax\n0,2024-01-01 10:00:00,5,a,,1\n")
    shop = Shop(root)
    shop.run("refresh")
    shop.clock.at += timedelta(days=100)
    said = shop.run("usage")
    assert said["features"] == ["spent.orders", "spent.mean"]
    assert table(said, "orders")["unread"] == ["note", "fax"], "a key, a time, a feature and a filter are needed"
    assert table(said, "idle")["unread"] == [], "it is named as a whole"
    shop.run("sql", query="select fax from big", actor="ann")
    assert table(shop.run("usage"), "orders")["unread"] == ["note"], "what is computed from it is read"
    shop.run("profile", table="orders", actor="ann")
    assert table(shop.run("usage"), "orders")["unread"] == ["note"], "a profile looks at everything"
    shop.run("sql", query="select * from orders", actor="ann")
    assert table(shop.run("usage"), "orders")["unread"] == []
    shop.clock.at += timedelta(days=91)
    assert table(shop.run("usage"), "orders")["unread"] == ["note", "fax"]


def test_a_quota_is_told_once_and_then_refused(root: Path) -> None:
    shop = Shop(root)
    shop.run("refresh")
    used = sum(each.stat().st_size for each in (root / ".millstream/lake/orders").rglob("*") if each.is_file())
    (root / "millstream.toml").write_text(f'name = "shop"\n[quota.tables]\norders = "{int(used * 1.1)}B"\n')
    for _ in range(2):
        assert shop.run("refresh")["stopped"] == []
    with Project(root) as project:
        told = [each for each in alarms.opened(project.state) if each.kind == "quota"]
    assert len(told) == 1 and "table orders holds" in told[0].says and told[0].next == "millstream gc"
    assert shop.run("status")["quota"][0]["near"] and not shop.run("status")["quota"][0]["full"]
    (root / "millstream.toml").write_text('name = "shop"\n[quota.tables]\norders = "1KB"\n')
    arrive(root, 1)
    (root / "idle.csv").write_text("id\n1\n2\n")
    said = shop.run("refresh")
    assert {each["table"]: each["title"] for each in said["stopped"]}["orders"] == "StorageFull"
    assert said["exit_code"] == 9 and [each["table"] for each in said["versions"]] == ["idle"]
    assert "gc would give back" in said["stopped"][0]["detail"]
    (root / "millstream.toml").write_text('name = "shop"\n[quota]\nlake = "1GB"\n')
    assert [each["table"] for each in shop.run("refresh")["versions"]] == ["orders", "big"]
    with Project(root) as project:
        assert not [each for each in alarms.opened(project.state) if each.kind == "quota"]


def test_compact_without_a_name_leaves_tables_of_few_files(root: Path) -> None:
    shop = Shop(root)
    for number in range(3):
        arrive(root, number)
        shop.run("refresh")
    said = shop.run("compact")
    assert {each["table"]: each["version"] for each in said["tables"]} == {"orders": None, "idle": None}
    one = shop.run("compact", table="orders", actor="ann")["tables"][0]
    assert (one["version"], one["files"], one["into"], one["rows"]) == (3, 3, 1, 3)
    assert [each["table"] for each in shop.run("refresh")["versions"]] == ["big"]


def test_releases_hold_their_data_and_deleted_runs_leave_their_artifacts(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    root = example.copy(example.waiting(tmp_path_factory), tmp_path / "flights")
    with Project(root) as project:
        held = holders(project)
        named = {who for each in held.values() for who in each}
        assert {"release late@1", "release late@2", "model version late@3"} <= named
        assert any(each.startswith("run ") for each in named)
        assert not left_behind(project.places)
        run = project.ledger.rows(act="model.register")[0].detail["run"]
        with closing(sqlite3.connect(project.places.tracking_db)) as database:
            database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", (run,))
            database.commit()
        assert not left_behind(project.places), "a registered version needs them"
        with closing(sqlite3.connect(project.places.tracking_db)) as database:
            database.execute("DELETE FROM model_versions WHERE run_id = ?", (run,))
            database.commit()
        folders = left_behind(project.places)
        assert folders and all(run in str(each) or "models" in each.parts for each in folders)
        said = project.run("gc", {"yes": True})
        assert [each["kind"] for each in said["others"]] == ["artifact"]
        assert not any(each.is_file() for folder in folders for each in folder.rglob("*"))
        assert isinstance(project.lake.read("flights").frame, pl.DataFrame)
