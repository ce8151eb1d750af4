"""Measured lag, instants of the past, and what is read at them, in a project."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.errors import MillstreamError, NotFound, UserError
from millstream.lake.bitemporal.lag import short, written
from millstream.lake.bitemporal.moment import instant
from millstream.project import Project
from millstream.state import alarms

NOW = datetime(2024, 3, 20, 12, tzinfo=UTC)
DEFINITIONS = """
from millstream import Table, checks, sources

orders = Table("orders", source=sources.Csv("orders.csv"), key="id", event_time="at", timezone="UTC", lag="1d")
plans = Table("plans", source=sources.Csv("plans.csv"), key="who", history=True,
    checks=[checks.unique("who"), checks.nulls("plan")])
paying = Table("paying", of=plans, key="who", sql="select who, plan from plans where plan = 'pro'")
"""


class Shop:
    """A project with two files, and a clock that is moved by hand."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        (root / "millstream.toml").write_text(
            'name = "shop"\n[replay]\nstart = "2024-03-10T00:00:00Z"\nlabel = "replay"\n'
        )
        (root / "shop.py").write_text(DEFINITIONS)
        self.root, self.lines = root, ["id,at,total"]
        self.order(*(f"2024-03-0{day}T12:00:00Z" for day in range(1, 9)))
        self.plan("ann,free\nbob,free\n")
        self.project = Project(root)

    def order(self, *times: str) -> None:
        self.lines += [f"{len(self.lines) + place},{at},5" for place, at in enumerate(times)]
        (self.root / "orders.csv").write_text("\n".join(self.lines) + "\n")

    def plan(self, text: str) -> None:
        (self.root / "plans.csv").write_text(f"who,plan\n{text}")

    def refresh(self, at: str) -> Any:
        self.project.clock.advance(datetime.fromisoformat(at).replace(tzinfo=UTC))  # type: ignore[attr-defined]
        return self.project.run("refresh", {"actor": "ann"})

    def status(self, table: str) -> dict[str, Any]:
        found = next(each for each in self.project.run("status")["tables"] if each["name"] == table)
        assert isinstance(found, dict)
        return found

    def open_alarms(self) -> list[str]:
        return [each.says for each in alarms.opened(self.project.state) if each.kind == "lag"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop")
    yield made
    made.project.close()


def test_lag_beyond_what_is_declared_is_one_alarm_until_it_is_over(shop: Shop) -> None:
    shop.refresh("2024-03-10T00:00:00")
    assert shop.status("orders")["lag"] is None  # a first load is history, not lag
    shop.order("2024-03-10T06:00:00Z", "2024-03-10T07:00:00Z")
    shop.refresh("2024-03-10T18:00:00")
    assert shop.status("orders")["lag"]["p95"] == 12 * 3600
    assert shop.status("orders")["lag"]["rows"] == 2  # the rows that were delivered again are not new
    assert shop.open_alarms() == []
    for day in (13, 14):
        shop.order(f"2024-03-{day - 3}T09:00:00Z")
        shop.refresh(f"2024-03-{day}T12:00:00")
    assert shop.open_alarms() == [
        "orders: declared lag=1d, measured p95 3d 3h in version 3: features would have been trained on facts"
        " that were not there yet"
    ]
    assert "lag='3d3h'" in alarms.opened(shop.project.state)[0].next
    assert any("lag='3d3h' covers 99 of 100" in each for each in remarks(shop))
    shop.order("2024-03-15T09:00:00Z")
    shop.refresh("2024-03-15T12:00:00")
    assert shop.open_alarms() == []
    acts = [each.act for each in shop.project.ledger.rows(acts=("alarm.open", "alarm.close"), newest=False)]
    assert acts == ["alarm.open", "alarm.close"]


def remarks(shop: Shop) -> list[str]:
    from millstream.console.profiled import remarks as said

    return said(shop.project.run("profile", {"table": "orders"}))


def test_facts_of_the_future_are_noticed(shop: Shop) -> None:
    shop.refresh("2024-03-10T00:00:00")
    shop.order("2024-03-11T06:00:00Z", "2025-03-11T06:00:00Z")
    shop.refresh("2024-03-11T12:00:00")
    found = shop.status("orders")["lag"]
    assert (found["future"], found["rows"]) == (1, 1)
    assert "1 facts are here and known only in the future" in found["says"]


def test_a_question_is_asked_as_known_and_as_seen(shop: Shop) -> None:
    shop.refresh("2024-03-10T00:00:00")
    shop.plan("ann,pro\nbob,free\n")
    shop.refresh("2024-03-12T00:00:00")
    shop.plan("ann,pro\n")
    shop.refresh("2024-03-14T00:00:00")

    def ask(**words: Any) -> Any:
        return shop.project.run("sql", {"query": "select * from plans order by who", **words})

    assert ask()["rows"] == [["ann", "pro"]]
    assert ask(as_of="2024-03-13")["rows"] == [["ann", "pro"], ["bob", "free"]]
    assert ask(as_of="2024-03-11")["rows"] == [["ann", "free"], ["bob", "free"]]
    assert ask(as_of="2024-03-11")["pins"] == {"plans": 2}  # what is here now, less what was known later
    assert ask(as_seen="2024-03-13")["pins"] == {"plans": 1}
    assert ask(at={"plans": 0})["rows"] == [["ann", "free"], ["bob", "free"]]
    table = shop.project.table("plans", as_seen="2024-03-12 01:00 Europe/Berlin")
    assert (table.version, table.frame().height) == (1, 2)
    assert shop.project.table("plans").frame(as_of="2024-03-11", columns="plan")["plan"].to_list() == ["free", "free"]
    told = shop.project.table("plans").history()
    assert told.select("who", "plan", "gone").rows()[-1] == ("bob", "free", True)
    with pytest.raises(UserError, match="keeps no history"):
        shop.project.table("orders").history()
    for words, says in (
        ({"as_seen": "2024-03-09"}, "had no version at 2024-03-09"),
        ({"as_of": "2031-01-01"}, "is in the future"),
        ({"at": {"plans": 9}}, "has no version 9"),
        ({"at": {"plan": 0}}, "did you mean 'plans'"),
    ):
        with pytest.raises(MillstreamError) as wrong:
            ask(**words)
        assert says in " ".join((wrong.value.happened, wrong.value.expected, wrong.value.do))
    with pytest.raises(NotFound, match="nothing of table 'orders' was known"):
        shop.project.run("sql", {"query": "select * from orders", "as_of": "2020-01-01"})


def test_contracts_and_derived_tables_see_what_is_believed_last(shop: Shop) -> None:
    shop.refresh("2024-03-10T00:00:00")
    for day, text in (
        (11, "ann,pro\nbob,pro\n"),
        (12, "ann,free\nbob,pro\n"),
        (13, "bob,pro\n"),
        (14, "ann,pro\nbob,pro\n"),
    ):
        shop.plan(text)
        shop.refresh(f"2024-03-{day}T00:00:00")
        report = shop.project.run("check", {"tables": ["plans"], "actor": "ann"})
        assert report["exit_code"] == 0
        found = {each["check"]: each["ok"] for each in report["reports"][-1]["results"]}
        assert found.items() >= {"unique": True, "nulls": True}.items() and all(found.values())
    assert shop.status("plans")["quarantined"] == 0
    ask = shop.project.run("sql", {"query": "select who from paying order by who"})
    assert ask["rows"] == [["ann"], ["bob"]]
    assert shop.project.run("sql", {"query": "select who from paying", "at": {"paying": 3}})["rows"] == [["bob"]]
    assert shop.project.run("refresh", {"tables": ["paying"]})["versions"] == []


def test_an_instant_that_is_none_or_two_is_refused() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert instant("2024-02-29", now=now) == datetime(2024, 2, 29, tzinfo=UTC)
    assert instant("2024-03-10 03:30 America/New_York", now=now) == datetime(2024, 3, 10, 7, 30, tzinfo=UTC)
    assert instant("2024-03", now=now) == datetime(2024, 3, 1, tzinfo=UTC)
    for text, says in (
        ("2024-11-03 01:30 America/New_York", "was there twice"),
        ("2024-03-10 02:30 America/New_York", "was never"),
        ("2023-02-29", "is not an instant"),
        ("2024-03-10 02:30 Amerika/New_York", "is no time zone"),
        ("2024-03-10T02:30+01:00 Europe/Berlin", "names two time zones"),
        ("yesterday", "is not an instant"),
    ):
        with pytest.raises(UserError, match=says):
            instant(text, now=now)
    with pytest.raises(UserError, match="has no time zone"):
        instant(datetime(2024, 1, 1), now=now)
    # Samoa went from one side of the date line to the other: the 30th of December 2011 was never.
    with pytest.raises(UserError, match="was never"):
        instant("2011-12-30 12:00 Pacific/Apia", now=now)


def test_lengths_of_time_are_written_to_the_second() -> None:
    assert [written(each) for each in (0, 59, 3661, 183_600)] == ["0s", "59s", "1h 1m", "2d 3h"]
    assert [short(timedelta(**each).total_seconds()) for each in ({"days": 1}, {"minutes": 90})] == ["1d", "1h30m"]
