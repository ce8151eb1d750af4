"""What goes on beside a running step: others work, its lines are told, and an alarm says when it could not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from millstream.project import Project
from millstream.server.conductor import Conductor
from millstream.state import alarms, versions
from tests.awaited import until
from tests.lake.test_steps_project import MADE, SHOP, arrive, run

SLOW = """
import pathlib, time
def spent(orders):
    print("reading", orders.height, "orders", flush=True)
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    print("done", flush=True)
    return orders.select('id', 'at', spent=orders['total'].fill_null(0))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("millstream.toml", 'name = "shop"\n'), ("shop.py", SHOP), ("made.py", SLOW)):
        (folder / name).write_text(text)
    arrive(folder)
    return folder


def test_others_read_and_move_tables_while_a_step_runs_and_status_shows_its_words(root: Path) -> None:
    lines: list[str] = []
    with Project(root, lock=True) as project:
        project.run("ingest", {"tables": ["orders"]})
        conductor = Conductor(project)
        try:
            project.said = lines.append
            made: list[Any] = []
            both = [
                threading.Thread(target=lambda: made.append(conductor.command("refresh", {"actor": "ann"})))
                for _ in range(2)
            ]
            for each in both:
                each.start()

            def told() -> Any:
                tables = {each["name"]: each for each in project.run("status")["tables"]}
                return tables["baskets"]["running"]

            shown = until(lambda: (now := told()) and now["last"] and now, within_s=20.0)
            assert shown["last"] == "reading 10 orders" and shown["since"]
            asked = conductor.command("sql", {"query": "select count(*) from orders"})
            assert asked["rows"] == [[10]] and all(each.is_alive() for each in both)
            (root / "go").touch()
            for each in both:
                each.join(30)
        finally:
            conductor.stop()
        assert sorted(len([e for e in each["versions"] if e["table"] == "baskets"]) for each in made) == [0, 1]
        assert not any(each["stopped"] for each in made) and told() is None
        assert versions.heads(project.state)["baskets"] == 0
    assert lines == ["baskets: reading 10 orders", "baskets: done"]


def opened(root: Path) -> list[alarms.Alarm]:
    with Project(root) as project:
        return [each for each in alarms.opened(project.state) if each.kind == "stopped"]


def test_a_table_that_stopped_opens_one_alarm_that_closes_when_it_is_made(root: Path) -> None:
    (root / "made.py").write_text("def spent(orders):\n    raise ValueError('no more baskets')\n")
    for _ in range(2):
        assert run(root, "refresh")["exit_code"]
        first, second = opened(root)
        assert (first.subject, second.subject) == ("baskets", "big") and first.severity == "stop"
        assert "no more baskets" in first.says and "look at" in first.next
        assert "'baskets', of which it is computed" in second.says
    assert {each["subject"] for each in run(root, "status")["alarms"]} == {"baskets", "big"}
    (root / "made.py").write_text(MADE)
    run(root, "refresh", tables=["orders"])
    assert len(opened(root)) == 2
    run(root, "refresh")
    assert opened(root) == []
    with Project(root) as project:
        told = [each.act for each in project.ledger.rows(acts=("alarm.open", "alarm.close"), newest=False)]
    assert told == ["alarm.open", "alarm.open", "alarm.close", "alarm.close"]


def test_a_broken_contract_of_an_input_opens_an_alarm_too(root: Path) -> None:
    (root / "made.py").write_text(MADE)
    run(root, "refresh")
    arrive(root, empty=5)
    run(root, "refresh")
    assert "orders@1 broke its contract" in opened(root)[0].says
    arrive(root)
    run(root, "refresh")
    assert opened(root) == []
