"""Tables made by a step, in a project: contracts before, pins after, an overlay of its own."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.project import Project
from millstream.state import versions

SHOP = """
from millstream import Table, checks, sources
from made import spent

orders = Table("orders", source=sources.Csv("orders.csv"), key="id", event_time="at", timezone="UTC",
    checks=[checks.unique("id"), checks.nulls("total", at_most=0.2, severity="stop")])
baskets = Table("baskets", of=orders, step=spent, key="id", event_time="at", known_at="at",
    checks=[checks.unique("id")])
big = Table("big", of=baskets, sql="select * from baskets where spent > 10")
"""
MADE = "def spent(orders):\n    return orders.select('id', 'at', spent=orders['total'].fill_null(0))\n"


def arrive(root: Path, *, empty: int = 0, count: int = 10) -> None:
    start = datetime(2024, 1, 1)
    rows = [f"{n},{start + timedelta(hours=n)},{'' if n < empty else n + 0.5}" for n in range(count)]
    (root / "orders.csv").write_text("\n".join(["id,at,total", *rows]) + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("millstream.toml", 'name = "shop"\n'), ("shop.py", SHOP), ("made.py", MADE)):
        (folder / name).write_text(text)
    arrive(folder)
    return folder


def run(root: Path, command: str, *, environment: str = "prod", **words: Any) -> Any:
    with Project(root, lock=True, environment=environment) as project:
        return project.run(command, words)


def why(record: Any) -> dict[str, str]:
    return {each["table"]: each["why"] for each in record["versions"]}


def test_a_step_runs_on_checked_rows_and_says_why(root: Path) -> None:
    first = run(root, "refresh")
    assert why(first) == dict.fromkeys(["orders", "baskets", "big"], "read for the first time")
    assert [each["table"] for each in first["reports"]] == ["orders"] and first["exit_code"] == 0
    assert first["versions"][1]["making"]["seconds"] > 0
    assert run(root, "refresh")["versions"] == []
    (root / "made.py").write_text(MADE.replace("fill_null(0)", "fill_null(1)"))
    assert why(run(root, "refresh")) == {"baskets": "made.py changed", "big": "baskets@1 came"}

    arrive(root, empty=5)
    stopped = run(root, "refresh")
    assert list(why(stopped)) == ["orders"] and stopped["exit_code"] == 6
    assert [each["table"] for each in stopped["stopped"]] == ["baskets", "big"]
    assert "orders@1 broke its contract" in stopped["stopped"][0]["detail"]
    (root / "shop.py").write_text(SHOP.replace('severity="stop"', 'severity="note"'))
    again = run(root, "refresh")
    assert why(again) == {"baskets": "orders@1 came", "big": "baskets@2 came"} and again["exit_code"] == 0
    assert [each["table"] for each in again["reports"]] == ["orders"], "a changed contract is asked again"
    report = next(each for each in run(root, "check")["reports"] if each["table"] == "baskets")
    assert report["quarantined"] == 0, "a version that brings all rows anew repeats no key"
    assert run(root, "sql", query="select count(*) from baskets")["rows"] == [[10]]
    assert run(root, "verify")["ok"]


def test_status_names_a_step_that_failed_until_it_is_mended(root: Path) -> None:
    (root / "made.py").write_text("def spent(orders):\n    return orders.lazy()\n")
    failed = run(root, "refresh")
    assert failed["exit_code"] == 2 and list(why(failed)) == ["orders"]
    says = {each["name"]: each["stopped"] for each in run(root, "status")["tables"]}
    assert "gave a polars" in says["baskets"] and not says["orders"]
    assert run(root, "check")["exit_code"] == 2
    (root / "made.py").write_text(MADE)
    assert list(why(run(root, "refresh"))) == ["baskets", "big"]
    assert not any(each["stopped"] for each in run(root, "status")["tables"])


def test_an_overlay_makes_its_own_from_productions_inputs(root: Path) -> None:
    run(root, "refresh")
    (root / "made.py").write_text(MADE.replace("orders['total']", "-orders['total']"))
    mine = run(root, "refresh", environment="dev")
    assert why(mine)["orders"] == "taken over from production"
    assert run(root, "sql", environment="dev", query="select max(spent) < 0 from baskets")["rows"] == [[True]]
    assert run(root, "sql", query="select max(spent) > 0 from baskets")["rows"] == [[True]]
    assert run(root, "verify", environment="dev")["ok"]
    with Project(root, environment="dev") as project:
        made = versions.head(project.state, "baskets")
        assert made is not None and made.inputs == {"orders": 0} and made.version == 0
        assert not (project.places.lake / "orders").exists(), "what is shared is read where it is"


COUNTED = MADE.replace("    return", "    open('ran', 'a').write('x')\n    return") + (
    "def twice(baskets):\n    open('ran', 'a').write('y')\n"
    "    return baskets.select('id', 'at', double=baskets['spent'] * 2)\n"
)
CHAIN = """
from made import twice
doubles = Table("doubles", of=baskets, step=twice, key="id", event_time="at", known_at="at")
"""


def test_an_overlay_takes_over_what_rests_on_the_same_and_makes_the_rest(root: Path) -> None:
    (root / "shop.py").write_text(SHOP + CHAIN)
    (root / "made.py").write_text(COUNTED)
    run(root, "refresh")
    arrive(root, count=12)
    run(root, "refresh")
    ran = (root / "ran").read_text()
    assert ran == "xyxy"
    mine = run(root, "refresh", environment="dev")
    assert why(mine)["baskets"] == "production's baskets@1 rests on the same" and "doubles@1" in why(mine)["doubles"]
    assert (root / "ran").read_text() == ran, "no step ran again"
    query = "select sum(double) from doubles"
    assert run(root, "sql", environment="dev", query=query)["rows"] == run(root, "sql", query=query)["rows"]
    assert why(run(root, "refresh", environment="dev")) == {} and run(root, "verify", environment="dev")["ok"]
    with Project(root, environment="dev") as project, project.state.transact() as tx:
        tx.execute("UPDATE table_files SET rows = 5 WHERE name = 'orders' AND since = 0")
    (said,) = [each for each in run(root, "verify", environment="dev")["findings"] if not each["ok"]]
    assert said["subject"] == "orders@1" and "taken over from production" in said["says"]
    (root / "made.py").write_text(COUNTED.replace("* 2", "* 3"))
    assert set(why(run(root, "refresh", environment="dev"))) >= {"doubles"}
    assert (root / "ran").read_text()[len(ran) :] == "xy", "changed code runs"


def test_an_overlay_takes_over_no_file_that_was_altered(root: Path) -> None:
    (root / "made.py").write_text(COUNTED)
    run(root, "refresh")
    for each in (root / ".millstream/lake/baskets").glob("*.parquet"):
        each.write_bytes(each.read_bytes()[:-1] + b"x")
    run(root, "refresh", environment="dev")
    assert (root / "ran").read_text() == "xx"
