"""A PostgreSQL server that is down, dies in the midst of a read, or keeps a log of what it was asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from millstream.project import Project
from millstream.sources import postgres, reading
from tests.postgres import Server

ORDERS = (
    "create table orders (id int primary key, at timestamptz not null, total float8, secret text, changed timestamptz)",
    "insert into orders select i, timestamptz '2024-01-01 00:00Z', i, repeat('x', 500), "
    "timestamptz '2024-02-01Z' + i * interval '1 s' from generate_series(1, 9000) i",
)
TABLE = """from millstream import Table, sources
orders = Table("orders", source=sources.Postgres(database="shop", {more}), key="id", event_time="at")
sums = Table("sums", of="orders", sql="select id, total from orders")
away = Table("away", source=sources.Postgres("orders", "away"), key="id", event_time="at")
behind = Table("behind", of="away", sql="select id from away")
days = Table("days", source=sources.Csv("days.csv"), key="day")
"""


class Shop:
    """A project of a database that is there, and of one whose server is not."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root, self.server, self.database = root, server, server.database()
        self.define(
            "table='orders', columns=('id', 'at', 'total', 'changed'), "
            "where='total > 10', cursor='changed', deletes='0s'"
        )
        server.run(self.database, *ORDERS, f"create role {self.database} login superuser password 'tell-nobody-9'")
        (root / "days.csv").write_text("day\n1\n")
        (root / "millstream.toml").write_text(
            f'name = "shop"\n[databases]\nshop = "{server.url(self.database, self.database, "${SHOP_PASSWORD}")}"\n'
            'away = "postgresql://grace:${SHOP_PASSWORD}@127.0.0.1:1/shop"\n'
        )

    def define(self, more: str) -> None:
        (self.root / "tables.py").write_text(TABLE.format(more=more))

    def refresh(self, *tables: str) -> dict[str, Any]:
        self.told: list[str] = []
        with Project(self.root, lock=True) as project:
            project.progress = self.told.append
            return project.run("refresh", {"actor": "ann", **({"tables": tables} if tables else {})})


@pytest.fixture
def shop(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("SHOP_PASSWORD", "tell-nobody-9")
    return Shop(tmp_path, server)


def test_a_server_that_is_down_stops_its_table_and_what_is_behind(shop: Shop) -> None:
    made = shop.refresh()
    assert {each["table"] for each in made["versions"]} == {"orders", "sums", "days"}
    away, behind = made["stopped"]
    assert away["table"] == "away" and "127.0.0.1:1 as grace" in away["detail"] and "start it" in away["do"]
    assert behind["table"] == "behind" and "'away', of which it is computed" in behind["detail"]
    assert made["exit_code"] != 0
    with Project(shop.root) as project:
        status = {each["name"]: each for each in project.run("status", {})["tables"]}
    assert "127.0.0.1:1" in status["away"]["stopped"] and not status["days"]["stopped"]
    for file in shop.root.rglob("*"):
        if file.is_file():
            assert b"tell-nobody-9" not in file.read_bytes(), f"a password in {file}"
    assert "tell-nobody-9" not in str(made)


def test_only_the_columns_and_rows_that_are_wanted_leave_the_server(shop: Shop) -> None:
    shop.server.run("postgres", f"alter database {shop.database} set log_statement = 'all'")
    log = shop.server.folder / "log"
    begin = log.stat().st_size
    shop.refresh("orders")
    shop.server.run(shop.database, "insert into orders values (9001, '2024-01-02Z', 99, 'x', '2024-03-01Z')")
    shop.refresh("orders")
    copies = re.findall(r"copy \((.*)\) to stdout", log.read_bytes()[begin:].decode())
    first, keys, new = copies
    assert all("where total > 10" in each and "secret" not in each for each in copies)
    assert "2024-02-01 02:30:00" in new and '"changed" >=' in new and "limit" not in first
    assert keys.split(" from ")[1].endswith('select "id"') and "changed" not in keys.split("order by")[0]


def test_a_read_that_is_cut_leaves_nothing_and_is_told_as_it_goes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = "select id, at, total, repeat(secret, 8) as secret from orders"  # 36 MB, more than what is under way
    shop.define(f"query='{wide}'")
    monkeypatch.setattr(postgres, "_TOGETHER", 50)
    monkeypatch.setattr(reading, "_EVERY_S", 0.0)
    cut = (
        "select pg_terminate_backend(pid) from pg_stat_activity "
        f"where application_name = 'millstream' and datname = '{shop.database}'"
    )
    told: list[str] = []

    def progress(line: str) -> None:
        told.append(line)
        shop.server.run("postgres", *([cut] if len(told) == 3 else []))

    with Project(shop.root, lock=True) as project:
        project.progress = progress
        made = project.run("refresh", {"actor": "ann", "tables": ["orders"]})
    assert made["versions"] == [] and made["stopped"][0]["table"] == "orders" and made["exit_code"] != 0
    assert "administrator command" in made["stopped"][0]["detail"] or "went away" in made["stopped"][0]["detail"]
    assert told[:2] == ["orders: 50 rows read", "orders: 100 rows read"] and len(told) < 150
    assert not list((shop.root / ".millstream/lake/orders").glob("*.parquet"))
    shop.define("table='orders', where='id < 100'")
    assert [each["rows"] for each in shop.refresh("orders")["versions"]] == [99]
