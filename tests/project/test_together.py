"""Where the parts of the foundation meet: one wrong table among many, files and their words, quarantine and steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from millstream.errors import DefinitionError
from millstream.lake.housekeeping.compact import compact
from millstream.project import Project
from millstream.project.backups.restoring import restore
from millstream.state import alarms

SHOP = """
from millstream import Table, checks, sources

orders = Table("orders", source=sources.Delta("ops/orders"), key="id", event_time="day", timezone="UTC",
    checks=[checks.between("paid", 0, 50, severity="stop")])
sums = Table("sums", of=orders, sql="select store, sum(paid) as paid from orders group by all", stored=True,
    key="store", known_at="timestamptz '2024-01-01T00:00:00Z'")
more = Table("more", of=sums, sql="select store, max(paid) as paid from sums group by all", stored=True, key="store",
    known_at="timestamptz '2024-01-01T00:00:00Z'")
sales = Table("sales", source=sources.Csv("sales/*.csv"), key="id")
plans = Table("plans", source=sources.Csv("plans.csv"), key="who")
"""
PARTED = """
from millstream import Table
from shop import orders

parted = Table("parted", of=orders, step="made:pick", partition="store", key="id", event_time="day", known_at="day")
"""
MADE = "def pick(orders):\n    return orders.select('id', 'day', 'store')\n"


def orders(root: Path, first: int, *, mode: Any = "append", **also: Any) -> None:
    rows = pl.DataFrame({"id": range(first, first + 4), "store": ["a", "b"] * 2, "paid": [1.0, 2.0, 3.0, 4.0]})
    rows = rows.with_columns(pl.datetime(2024, 1, 1, time_unit="us", time_zone="UTC").alias("day"))
    rows = rows.with_columns(**{name: pl.lit(value) for name, value in also.items()})
    write_deltalake(root / "ops/orders", rows, mode=mode, schema_mode="merge" if mode == "append" else "overwrite")


def run(root: Path, command: str, *, env: str = "prod", **words: Any) -> Any:
    with Project(root, lock=True, environment=env) as project:
        return project.run(command, {"actor": "ann", **words})


def reasons(record: Any) -> dict[str, str]:
    return {each["table"]: each["detail"] for each in record["stopped"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "sales").mkdir(parents=True)
    for name, text in (("millstream.toml", 'name = "shop"\n'), ("shop.py", SHOP), ("plans.csv", "who\nann\n")):
        (folder / name).write_text(text)
    (folder / "sales/b.csv").write_text("id,units\n1,2\n")
    orders(folder, 0)
    return folder


def test_one_bad_file_stops_its_own_table_and_is_told_until_it_is_repaired(root: Path) -> None:
    run(root, "refresh")
    (root / "sales/c.csv").write_text("id,units\n2,many\n")
    (root / "plans.csv").write_text("who\nann\nbob\n")
    record = run(root, "refresh")
    assert list(reasons(record)) == ["sales"] and record["exit_code"] == 2
    assert [each["table"] for each in record["versions"]] == ["plans"], "others go on"
    assert [each["subject"] for each in run(root, "status")["alarms"] if each["kind"] == "stopped"] == ["sales"]
    (root / "sales/c.csv").write_text("id,units\n2,3\n")
    assert run(root, "refresh")["stopped"] == []
    (root / "sales/d.csv").write_text("id,units\n2,many\n")
    run(root, "refresh")
    (root / "shop.py").write_text("\n".join(each for each in SHOP.splitlines() if not each.startswith("sales")))
    run(root, "refresh")
    with Project(root) as project:
        assert alarms.of_tables(project.state, "stopped") == {}, "of a table that nobody defines any more"


def test_words_that_cannot_read_what_came_commit_nothing_and_can_be_changed(root: Path) -> None:
    (root / "plans.csv").write_text("who,since\nann,2024-01-01\n")
    wrong = SHOP.replace('key="who")', 'key="who", event_time="since", timezone="UTC")')
    (root / "shop.py").write_text(wrong)
    with pytest.raises(DefinitionError, match="'since' of table 'plans' is a date") as said:
        run(root, "refresh")
    assert said.value.do.startswith("times={'since': ('%Y-%m-%d',)} in its source")
    assert run(root, "verify")["ok"], "no command is kept from working"
    (root / "shop.py").write_text(wrong.replace('"plans.csv"', '"plans.csv", times={"since": ("%Y-%m-%d",)}'))
    assert "plans" in {each["table"] for each in run(root, "refresh")["versions"]}


def test_what_is_made_of_a_table_that_waits_for_its_columns_waits_too(root: Path) -> None:
    run(root, "refresh")
    orders(root, 10, note="x")
    said = reasons(run(root, "refresh"))
    assert "'note' is new" in said["orders"] and "waits for 'orders'" in said["sums"]
    assert "waits for 'sums', which waits for 'orders'" in said["more"]
    run(root, "refresh", accept_schema=["orders"])
    assert run(root, "refresh")["stopped"] == []


def test_rows_that_are_let_back_hold_up_nothing_any_more(root: Path) -> None:
    run(root, "refresh")
    DeltaTable(root / "ops/orders").update(predicate="id in (1, 2)", updates={"paid": "99.0"})
    assert "broke its contract" in reasons(run(root, "refresh"))["sums"]
    run(root, "let_back", table="orders", keys=["1"], reason="a large order")
    assert "broke its contract" in reasons(run(root, "refresh"))["sums"], "one is still in doubt"
    run(root, "let_back", table="orders", keys=["2"], reason="another")
    record = run(root, "refresh")
    assert record["stopped"] == [] and "sums" in {each["table"] for each in record["versions"]}
    assert run(root, "verify")["ok"]


def test_what_an_owner_vacuumed_is_counted_and_no_fault_unless_something_rests_on_it(root: Path) -> None:
    run(root, "refresh")
    orders(root, 20, mode="overwrite")
    run(root, "refresh")
    DeltaTable(root / "ops/orders").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    for deep in (False, True):
        record = run(root, "verify", deep=deep)
        (said,) = [each["says"] for each in record["findings"] if each["subject"] == "orders"]
        assert record["ok"] and "its owner deleted 1 file" in said
    run(root, "pin", version="orders@0")
    assert not run(root, "verify")["ok"]
    run(root, "pin", version="orders@0", drop=True)
    next((root / "ops/orders").glob("*.parquet")).unlink()
    assert not run(root, "verify")["ok"], "a file of the newest version is missing"


def test_a_second_delivery_is_said_when_it_comes_and_not_again(root: Path) -> None:
    run(root, "refresh")
    (root / "sales/a.csv").write_text("id,units\n1,2\n")
    (root / "sales/c.csv").write_text("id,units\n3,4\n")
    assert "a.csv brings what b.csv brings" in run(root, "refresh", tables=["sales"])["versions"][0]["why"]
    (root / "sales/d.csv").write_text("id,units\n5,6\n")
    assert "twice" not in run(root, "refresh", tables=["sales"])["versions"][0]["why"]


def test_new_columns_of_a_step_in_partitions_are_accepted_for_all_of_them(root: Path) -> None:
    (root / "parted.py").write_text(PARTED)
    (root / "made.py").write_text(MADE)
    run(root, "refresh")
    (root / "made.py").write_text(MADE.replace("'store')", "'store', 'paid')"))
    (said,) = run(root, "refresh")["stopped"]
    assert "'paid' is new" in said["detail"] and "--accept-schema parted" in said["do"]
    run(root, "refresh", accept_schema=["parted"])
    with Project(root) as project:
        assert project.lake.read("parted").frame["paid"].to_list() != []
    assert run(root, "refresh")["versions"] == []


def test_a_backup_leaves_attached_tables_whole_to_their_owners(root: Path, tmp_path: Path) -> None:
    (root / "kept").mkdir()
    pl.DataFrame({"id": [1]}).write_parquet(root / "kept/1.parquet")
    more = 'trips = Table("trips", source=sources.Parquet("kept/*.parquet", attach=True), key="id")\n'
    (root / "shop.py").write_text(SHOP + more)
    run(root, "refresh")
    assert run(root, "backup", to=str(tmp_path / "kept"))["attached"] == {
        "orders": "ops/orders",
        "trips": "kept/*.parquet",
    }
    restore(tmp_path / "kept", tmp_path / "again", actor="ann")
    assert not (tmp_path / "again/ops").exists() and (tmp_path / "again/shop.py").exists()


def test_a_branch_of_a_compacted_table_is_verified_after_a_rebase(root: Path) -> None:
    for number in range(3):
        (root / f"sales/{number}.csv").write_text(f"id,units\n{10 + number},1\n")
        run(root, "refresh")
    with Project(root, lock=True) as project:
        assert compact(project.lake, "sales", actor="ann") is not None
    run(root, "edit", env="exp", table="sales", set=["units = 7"], where="id = 10")
    (root / "sales/9.csv").write_text("id,units\n19,1\n")
    run(root, "refresh")
    run(root, "rebase", env="exp")
    record = run(root, "verify", env="exp")
    assert record["ok"], [each for each in record["findings"] if not each["ok"]]
