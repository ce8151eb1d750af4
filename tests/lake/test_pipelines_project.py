"""Pipelines in a project: what a refresh would do, asked for again, habits, who waits for whom, KPI tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millstream.cli import render
from millstream.errors import NotFound, UserError
from millstream.project import Project
from millstream.project.tables import habits
from millstream.state import alarms, runs
from millstream.state.runs import Run

SHOP = """
from millstream import Table, checks, sources

sales = Table("sales", source=sources.Csv("sales.csv"), key="id", event_time="sold_at", timezone="UTC",
    checks=[checks.between("paid", 0, 1000, severity="stop")])
targets = Table("targets", source=sources.Csv("targets.csv"), key=("store", "day"), event_time="day", timezone="UTC",
    known_at="day - interval '30 days'")
daily = Table("daily", of=[sales, targets], partition="1mo", key=("store", "day"), event_time="day",
    known_at="day + interval '1 day'", checks=[checks.unique("store", "day")], sql=\"\"\"
    with sold as (select store, date_trunc('day', sold_at) as day, sum(paid) as revenue from sales group by all)
    select store, day, coalesce(revenue, 0) as revenue, target, coalesce(revenue, 0) / target as reached
    from sold full join targets using (store, day)\"\"\")
monthly = Table("monthly", of=daily, stored=True, key="store", known_at="until + interval '1 day'",
    sql="select store, sum(revenue) as revenue, max(day) as until from daily group by store")
lines = Table("lines", of=daily, step=["sh", "lines.sh"], partition="1mo", event_time="day", known_at="day")
best = Table("best", of=monthly, sql="select * from monthly where revenue > 10", known_at="until")
"""
LINES = """set -e
echo $MILLSTREAM_PARTITION >> ran.txt
{ echo day,text; echo ${MILLSTREAM_SINCE%%+*}Z,$MILLSTREAM_PARTITION; } > $MILLSTREAM_OUT
"""


def sell(root: Path, more: str = "", paid: float = 5.0) -> None:
    rows = "".join(f"{n},2024-0{1 + n % 3}-05T10:00:00,s{n % 2},{paid}\n" for n in range(12))
    (root / "sales.csv").write_text("id,sold_at,store,paid\n" + rows + more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("millstream.toml", 'name = "shop"\n'), ("shop.py", SHOP), ("lines.sh", LINES)):
        (folder / name).write_text(text)
    days = "".join(f"s{store},2024-0{month}-05T00:00:00,8\n" for store in range(2) for month in range(1, 4))
    (folder / "targets.csv").write_text("store,day,target\n" + days)
    sell(folder)
    return folder


def run(root: Path, command: str, **words: Any) -> Any:
    with Project(root, lock=True) as project:
        return project.run(command, words)


def plan(root: Path, **words: Any) -> dict[str, tuple[str, str]]:
    found = run(root, "refresh", plan=True, **words)["plan"]
    return {each["table"]: (each["does"], each["why"]) for each in found}


def test_a_plan_runs_nothing_and_says_what_a_refresh_then_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = plan(root)
    assert first["sales"] == ("ingest", "it was not read yet") and first["daily"][0] == "run"
    assert run(root, "status")["tables"][0]["version"] is None and not (root / "ran.txt").exists()
    made = run(root, "refresh")
    assert made["exit_code"] == 0, made["stopped"]
    assert {each["does"] for each in run(root, "refresh", plan=True)["plan"]} == {"nothing"}
    months = ["2024-01", "2024-02", "2024-03"]
    assert (root / "ran.txt").read_text().split() == months
    assert run(root, "sql", query="select sum(revenue), min(reached) from daily")["rows"] == [[60.0, 1.25]]

    sell(root, "90,2024-02-06T00:00:00,s0,1.0\n")
    assert plan(root)["daily"] == ("maybe", "sales would move")
    again = {each["table"]: each for each in run(root, "refresh")["versions"]}
    assert again["daily"]["why"] == "2024-02: 1 more row of sales" and "took" in again["daily"]["took"]
    assert again["monthly"]["why"] == "daily@1 came" and again["lines"]["why"] == "2024-02: 1 more row of daily"
    assert run(root, "sql", query="select revenue from best where store = 's0'")["rows"] == [[31.0]]

    (root / "lines.sh").write_text(LINES + "# more\n")
    forced = plan(root, tables=["monthly"], again=True)
    assert forced["monthly"] == ("run", "asked for") and "lines" not in forced
    record = run(root, "refresh", plan=True, tables=["lines"])
    (told,) = [each for each in record["plan"] if each["does"] != "nothing"]
    assert told["pieces"] == dict.fromkeys(months, "lines.sh changed") and told["unchanged"] == 0
    render.refresh(record)
    assert "nothing was run" in capsys.readouterr().out
    forced = run(root, "refresh", tables=["daily"], again=True, partitions=["2024-03"])["versions"]
    assert [(each["table"], each["why"]) for each in forced] == [("daily", "2024-03: asked for")]
    with pytest.raises(NotFound, match="no partition '2024-3'"):
        run(root, "refresh", tables=["daily"], again=True, partitions=["2024-3"])
    assert not any(each["stopped"] for each in run(root, "status")["tables"]), "a slip of the pen is no alarm"
    with pytest.raises(UserError, match="not made by a step"):
        run(root, "refresh", tables=["sales"], again=True)
    assert run(root, "verify")["ok"] and run(root, "check")["exit_code"] == 0


def test_what_waits_for_a_broken_contract_is_named_down_the_chain(root: Path) -> None:
    run(root, "refresh")
    sell(root, paid=5000.0)
    stopped = {each["table"]: each["detail"] for each in run(root, "refresh")["stopped"]}
    assert list(stopped) == ["daily", "monthly", "lines", "best"]
    assert "sales@1 broke its contract" in stopped["daily"]
    assert "it waits for 'daily', of which it is computed: sales@1 broke" in stopped["monthly"]
    assert "it waits for 'monthly', which waits for 'daily', of which it is computed: sales@1" in stopped["best"]
    assert run(root, "sql", query="select sum(revenue) from daily")["rows"] == [[60.0]], "the version before stays"


def test_a_run_far_outside_its_habit_is_an_alarm_and_a_slow_one_a_note(root: Path) -> None:
    usual = [Run("", seconds, 1, "x") for seconds in (5.0, 6.0, 6.0, 7.0, 6.0)]
    said = {seconds: habits.habit(usual, seconds) for seconds in (7.0, 13.0, 40.0)}
    assert [(each["slow"], each["far"]) for each in said.values() if each] == [
        (False, False),
        (True, True),
        (True, True),
    ]
    assert habits.habit(usual[:4], 40.0) is None
    wide = [Run("", seconds, 1, "x") for seconds in (1.0, 4.0, 6.0, 8.0, 11.0)]
    found = habits.habit(wide, 13.0)
    assert found is not None and found["slow"] and not found["far"]
    run(root, "refresh")
    with Project(root, lock=True) as project:
        made = project.lake.head("monthly")
        for number in range(1, 7):
            with project.state.transact() as tx:
                runs.put(tx, "monthly", -number, [Run("", 0.01, 1, "x")], at="2024-01-01")
                runs.put(tx, "monthly", made.version, [Run("", 40.0, 2, "x")], at="2024-01-02")
        habits.tell_slow(project, [made])
        (alarm,) = [each for each in alarms.opened(project.state) if each.kind == "slow"]
        assert alarm.says == "monthly took 40.0 s to be made, usual 0.0 s" and alarm.severity == "warn"
        with project.state.transact() as tx:
            runs.put(tx, "monthly", made.version, [Run("", 0.01, 2, "x")], at="2024-01-02")
        habits.tell_slow(project, [made])
        assert not [each for each in alarms.opened(project.state) if each.kind == "slow"]
        shown = next(each for each in project.run("status")["tables"] if each["name"] == "monthly")
        assert shown["lately"]["usual"] == 0.01
