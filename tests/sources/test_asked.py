"""What every database does alike: PostgreSQL on a real server, and SQLite through SQLAlchemy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.errors import BadData, MillstreamError, NotFound, UserError
from millstream.lake.ingest.past import Past
from millstream.project import Project
from tests.postgres import Server

MORE = 'key="id", event_time="at", known_at="changed", timezone="UTC"'
CHANGED = "2024-02-01 00:00:00"


class Shop:
    """A project over a database of its own, with forty orders."""

    def __init__(self, root: Path, kind: str, address: str, execute: Callable[[str], object]) -> None:
        self.root, self.kind, self.execute = root, kind, execute
        (root / "millstream.toml").write_text(f'name = "shop"\n[databases]\nshop = "{address}"\n')
        self.run("create table orders (id integer primary key, at timestamp not null, total float, changed timestamp)")
        self.put(range(1, 41))

    def put(self, ids: Any, total: float = 1.25, changed: str = CHANGED) -> None:
        rows = ", ".join(f"({each}, '2024-01-01 00:00:00', {each * total}, '{changed}')" for each in ids)
        self.run(f"insert into orders values {rows}")

    def run(self, *statements: str) -> None:
        for each in statements:
            self.execute(each)

    def define(self, words: str = "'orders', cursor='changed'", more: str = MORE, rest: str = "") -> None:
        text = f'from millstream import Table, checks, sources\norders = Table("orders", source=sources.{self.kind}('
        (self.root / "tables.py").write_text(f"{text}{words}), {more})\n{rest}")

    def refresh(self) -> dict[str, Any]:
        self.told: list[str] = []
        with Project(self.root, lock=True) as project:
            project.progress = self.told.append
            return project.run("refresh", {"actor": "ann"})

    def why(self) -> list[str]:
        made = self.refresh()
        assert made["exit_code"] == 0, made["stopped"]
        return [each["why"] for each in made["versions"]]

    def frame(self, version: int | None = None) -> pl.DataFrame:
        with Project(self.root) as project:
            return project.lake.read("orders", version=version).frame

    def refused(self) -> MillstreamError:
        with Project(self.root, lock=True) as project, pytest.raises(MillstreamError) as raised:
            project.lake.refresh(actor="ann")
        return raised.value

    def taken(self) -> None:
        with Project(self.root, lock=True) as project:
            project.lake.accept_schema("orders", actor="ann")


@pytest.fixture(params=["Postgres", "Sql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "Sql":
        kept = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
        request.addfinalizer(kept.close)
        return Shop(tmp_path, "Sql", "sqlite:///shop.db", kept.execute)
    server: Server = request.getfixturevalue("server")
    name = server.database()
    return Shop(tmp_path, "Postgres", server.url(name), lambda each: server.run(name, each))


def test_a_snapshot_and_a_cursor_bring_what_is_new(shop: Shop) -> None:
    shop.define("'orders'", 'key="id", event_time="at", timezone="UTC"')
    assert shop.why() == ["read for the first time"] and shop.why() == []
    shop.run("update orders set total = 9 where id = 3", "delete from orders where id in (7, 8)")
    assert shop.why() == ["0 rows new, 1 changed, 2 gone from the database (earlier versions keep them)"]
    assert shop.frame(0).height == 40 and shop.frame().height == 38
    shop.define("'orders', cursor='changed', late='10m'")
    assert shop.why() == ["0 rows new, 0 changed, 0 gone from the database (earlier versions keep them)"]
    shop.put([41], changed="2024-01-31 23:55:00")
    shop.put([42], changed="2024-02-02 10:00:00")
    shop.run("update orders set total = 10, changed = '2024-02-02 09:00:00' where id = 3")
    assert shop.why() == ["2 rows new, 1 changed"] and shop.why() == []
    assert shop.frame().filter(id=3).sort("changed")["total"].to_list() == [9.0, 10.0]
    with Project(shop.root) as project:
        assert all(each.ok for each in project.lake.verify(deep=True))


def test_a_key_that_is_gone_is_gone_from_the_new_version_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Past.lose_others, "__kwdefaults__", {"bucket": 7})  # seven keys at a time
    shop.define("'orders', cursor='changed', deletes='0s'", MORE + ', checks=[checks.unique("id")]')
    assert shop.why() == ["read for the first time"] and shop.why() == []
    shop.run("update orders set total = 10, changed = '2024-02-02 09:00:00' where id = 3")
    assert shop.why() == ["0 rows new, 1 changed"]
    shop.run("delete from orders where id in (3, 11, 40)")
    shop.put([41, 42], changed="2024-02-03 00:00:00")
    gone = "3 gone from the database (earlier versions keep them)"
    assert shop.why() == [f"2 rows new, 0 changed, {gone}"] and shop.why() == []
    assert shop.frame().sort("id")["id"].to_list() == sorted({*range(1, 43)} - {3, 11, 40})
    assert shop.frame(1).filter(id=3).height == 2, "an earlier version keeps it, with what it was before"
    shop.run("delete from orders where id in (41, 42)")  # the newest of all: no backup was restored
    assert "2 gone from the database" in shop.why()[0]
    shop.put([3], changed="2024-02-04 00:00:00")
    assert shop.why() == ["1 row new, 0 changed"], "a key may come back"
    with Project(shop.root, lock=True) as project:
        assert project.run("check", {})["exit_code"] == 0 and all(each.ok for each in project.lake.verify(deep=True))


def test_keys_are_read_as_often_as_is_said(shop: Shop) -> None:
    shop.define("'orders', cursor='changed', deletes='1d'")
    shop.why()
    assert shop.why() == []
    shop.run("delete from orders where id = 5")
    assert shop.why() == [] and 5 in shop.frame()["id"], "they were read a moment ago"
    looked = shop.root / ".millstream/steps/orders.keys"
    looked.write_text(str(float(looked.read_text()) - timedelta(days=1, seconds=1).total_seconds()))
    assert "1 gone from the database" in shop.why()[0]
    shop.run("delete from orders")
    looked.unlink()
    assert "has no key left" in shop.refused().happened, "an empty table is not believed"
    assert shop.frame().height == 39


def test_a_row_that_is_marked_is_gone(shop: Shop) -> None:
    times = shop.kind == "Postgres"
    kind, no, yes = ("timestamp", "null", "'2024-02-02 00:00:00'") if times else ("boolean", "false", "true")
    shop.run(f"alter table orders add column deleted {kind}", f"update orders set deleted = {yes} where id = 1")
    shop.define("'orders', cursor='changed', deleted='deleted'")
    shop.why()
    assert shop.frame()["id"].to_list() == list(range(2, 41))
    shop.run(f"update orders set deleted = {yes}, changed = '2024-02-02 00:00:00' where id in (4, 5)")
    assert shop.why() == ["0 rows new, 0 changed, 2 gone from the database (earlier versions keep them)"]
    assert shop.why() == [] and not {1, 4, 5} & set(shop.frame()["id"]) and 4 in shop.frame(0)["id"]
    shop.run(f"update orders set deleted = {no}, changed = '2024-02-03 00:00:00' where id = 4")
    assert shop.why() == ["1 row new, 0 changed"]
    shop.define("'orders', deleted='deleted'")
    shop.why()
    assert set(shop.frame()["id"]) == {*range(2, 41)} - {5}
    shop.define("'orders', deleted='gone'")
    assert "no column 'gone', which its deleted names" in shop.refused().happened


def test_a_database_that_forgets_is_noticed(shop: Shop) -> None:
    shop.define()
    shop.why()
    shop.put([41], changed="2024-03-01 00:00:00")
    shop.why()
    shop.run("delete from orders where id > 30")
    said = shop.refused()
    assert (
        isinstance(said, BadData) and "forgot: 'changed' of table 'orders' was read up to 2024-03-01" in said.happened
    )
    assert "now the largest is 2024-02-01" in said.happened and "accept_schema('orders'" in said.do
    assert shop.frame().height == 41
    shop.taken()
    assert "11 gone from the database" in shop.why()[0] and shop.frame().height == 30
    shop.define("'orders', cursor='id'")
    shop.why()
    shop.run("delete from orders where id > 10")
    assert "was read up to 30, now the largest is 10" in shop.refused().happened
    shop.run("delete from orders")
    assert "there is none any more" in shop.refused().happened


def test_a_clock_in_the_future_hides_no_row(shop: Shop) -> None:
    shop.define()
    shop.put([41], changed="2099-01-01 00:00:00")
    shop.why()
    assert shop.why() == []
    assert any("1 row of 'changed' later than the database's own clock" in each for each in shop.told), shop.told
    shop.put([42], changed="2024-02-02 00:00:00")
    assert shop.why() == ["1 row new, 0 changed"] and shop.why() == []
    assert {41, 42} <= set(shop.frame()["id"])


def test_one_table_stops_and_the_others_go_on(shop: Shop) -> None:
    (shop.root / "days.csv").write_text("day\n1\n")
    rest = (
        'days = Table("days", source=sources.Csv("days.csv"), key="day")\n'
        f'others = Table("others", source=sources.{shop.kind}("others"), key="id")\n'
        'sums = Table("sums", of="others", sql="select count(*) as n from others")\n'
        'totals = Table("totals", of="orders", sql="select id, total from orders")\n'
    )
    shop.define(rest=rest)
    made = shop.refresh()
    assert {each["table"] for each in made["versions"]} == {"orders", "days", "totals"}
    assert [each["table"] for each in made["stopped"]] == ["others", "sums"] and made["exit_code"] != 0
    assert "no table 'others'" in made["stopped"][0]["detail"] and "'orders'" in made["stopped"][0]["do"]
    with Project(shop.root) as project:
        status = {each["name"]: each for each in project.run("status", {})["tables"]}
        assert "no table 'others'" in status["others"]["stopped"] and not status["orders"]["stopped"]
    shop.run("create table others (id integer primary key)", "insert into others values (1)")
    made = shop.refresh()
    assert {each["table"] for each in made["versions"]} == {"others", "sums"} and not made["stopped"]
    with Project(shop.root) as project:
        assert not any(each["stopped"] for each in project.run("status", {})["tables"])


def test_a_key_that_changes_its_type_is_refused_with_before_and_after(shop: Shop) -> None:
    shop.define()
    shop.why()
    shop.run(
        "alter table orders rename to before",
        "create table orders (id varchar(9), at timestamp, total float, changed timestamp, extra integer)",
        "insert into orders select cast(id as varchar(9)), at, total, changed, 1 from before",
    )
    said = shop.refused()
    assert "'id' was Int64, is String" in said.happened and "'extra' is new (Int64)" in said.happened
    assert "id Int64" in said.expected and shop.frame().height == 40


def test_what_is_no_query_or_names_what_is_not_there(shop: Shop) -> None:
    for words, says, do in (
        ("'ordres'", "no table 'ordres'", "'orders'"),
        ("query='select id from ordres'", "names a table 'ordres', which the database has not", "'orders'"),
        ("'orders', columns=('id', 'totl')", "no column 'totl', which its columns names", "'total'"),
        ("'orders', cursor='chnged'", "no column 'chnged', which its cursor names", "'changed'"),
    ):
        shop.define(words)
        said = shop.refused()
        assert isinstance(said, NotFound) and says in said.happened and do in said.do, words
    for words in ("query='selekt 1'", "query='delete from orders'", "'orders', where='1 = 1; drop table orders'"):
        shop.define(words)
        assert isinstance(shop.refused(), BadData), words
    shop.define("'orders', where='totl > 1'")
    assert "totl" in shop.refused().happened
    shop.define("'orders', 'shopp'")
    assert isinstance(shop.refused(), UserError)
    shop.define("'orders'")
    shop.why()
    assert shop.frame().height == 40, "nothing of that was carried out"
