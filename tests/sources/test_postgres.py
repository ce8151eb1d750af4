"""Tables of a real PostgreSQL server become versions: whole, or by a cursor; nothing twice, nothing lost."""

from __future__ import annotations

import signal
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from millstream.definitions.sources import Postgres
from millstream.errors import BadData, DefinitionError, MillstreamError, NotFound, Refused, Unavailable, UserError
from millstream.project import Project
from millstream.sources.copied import Field, frames
from tests.postgres import Server, running

ORDERS = (
    "create table orders (id int primary key, at timestamptz not null, total numeric(8,2), changed timestamp not null)",
    "insert into orders select i, timestamptz '2024-01-01 00:00Z' + i * interval '1 hour', i * 1.25, "
    "timestamp '2024-02-01' from generate_series(1, 40) i",
)
WHOLE = 'sources.Postgres("orders")'
BY_CURSOR = 'sources.Postgres("public.orders", "shop", cursor="changed")'


class Shop:
    """A project over a database of its own."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root, self.server, self.database = root, server, server.database()
        self.address(server.url(self.database))

    def address(self, url: str) -> None:
        (self.root / "millstream.toml").write_text(f'name = "shop"\n[databases]\nshop = "{url}"\n')

    def run(self, *statements: str) -> None:
        self.server.run(self.database, *statements)

    def define(self, source: str, more: str = 'key="id", event_time="at", known_at="changed", timezone="UTC"') -> None:
        text = f'from millstream import Table, checks, sources\norders = Table("orders", source={source}, {more})\n'
        (self.root / "tables.py").write_text(text)

    def refresh(self) -> list[str]:
        with Project(self.root, lock=True) as project:
            return [each["why"] for each in project.run("refresh", {"actor": "ann"})["versions"]]

    def frame(self, version: int | None = None) -> pl.DataFrame:
        with Project(self.root) as project:
            return project.lake.read("orders", version=version).frame

    def refused(self) -> MillstreamError:
        with Project(self.root, lock=True) as project, pytest.raises(MillstreamError) as raised:
            project.lake.refresh(actor="ann")
        assert raised.value.expected or raised.value.do
        return raised.value


@pytest.fixture
def shop(tmp_path: Path, server: Server) -> Shop:
    return Shop(tmp_path, server)


def test_a_table_is_taken_in_as_it_stands_and_the_same_again_changes_nothing(shop: Shop) -> None:
    shop.run(*ORDERS)
    shop.define(WHOLE, 'key="id", event_time="at", timezone="UTC", checks=[checks.unique("id")]')
    assert shop.refresh() == ["read for the first time"]
    assert shop.refresh() == []
    assert shop.frame()["total"].sum() == sum(each * 1.25 for each in range(1, 41))
    # an update moves a row inside the server's files; what it says is what counts
    shop.run("update orders set total = total where id = 3", "vacuum full orders")
    assert shop.refresh() == []
    shop.run(
        "update orders set total = 99 where id = 3",
        "delete from orders where id in (7, 8)",
        "insert into orders values (41, '2024-03-01', null, '2024-03-01')",
    )
    assert shop.refresh() == ["1 row new, 1 changed, 2 gone from the database (earlier versions keep them)"]
    now = shop.frame()
    assert set(now["id"]) == {*range(1, 42)} - {7, 8} and now.filter(id=3)["total"].item() == 99
    before = shop.frame(0)
    assert before.height == 40 and before.filter(id=3)["total"].item() == 3.75
    with Project(shop.root, lock=True) as project:
        assert project.run("check", {})["exit_code"] == 0 and all(each.ok for each in project.lake.verify())


def test_a_cursor_brings_what_is_new_and_corrections_and_loses_no_late_row(shop: Shop) -> None:
    shop.run(*ORDERS)
    checks = 'key="id", event_time="at", known_at="changed", timezone="UTC", checks=[checks.unique("id")]'
    shop.define(BY_CURSOR, checks)
    assert shop.refresh() == ["read for the first time"]
    assert shop.refresh() == []
    # two rows of the same cursor value as the largest there was: late, yet not lost; the others are not taken twice
    shop.run("insert into orders select i, '2024-02-01', 5, '2024-02-01' from generate_series(41, 42) i")
    assert shop.refresh() == ["2 rows new, 0 changed"]
    assert shop.refresh() == []
    shop.run(
        "update orders set total = 500, changed = '2024-02-03' where id = 5",
        "insert into orders values (43, '2024-02-02', 7, '2024-02-02')",
    )
    assert shop.refresh() == ["1 row new, 1 changed"]
    assert shop.refresh() == []
    rows = shop.frame()
    assert rows.height == 44
    assert rows.filter(id=5).sort("changed")["total"].to_list() == [6.25, 500.0]
    with Project(shop.root, lock=True) as project:
        assert project.run("check", {})["exit_code"] == 0, "a later known row of the same key corrects, it repeats not"
        copied = [each.bytes_copied for each in project.lake.history("orders")]
    assert max(copied[1:]) < copied[0], "only what is new is written"


def test_late_looks_again_behind_the_largest_value(shop: Shop) -> None:
    shop.run(*ORDERS)
    late = "insert into orders values (50, '2024-02-01', 1, '2024-01-31 23:55'), (51, '2024-01-01', 1, '2024-01-01')"
    shop.define(BY_CURSOR[:-1] + ', late="10m")')
    shop.refresh()
    shop.run(late)
    assert shop.refresh() == ["1 row new, 0 changed"]
    assert shop.refresh() == []
    assert 50 in shop.frame()["id"] and 51 not in shop.frame()["id"]
    shop.define('sources.Postgres("orders", cursor="id", late="5")')
    assert shop.refresh() == ["1 row new, 0 changed, 0 gone from the database (earlier versions keep them)"]
    shop.run("delete from orders where id = 51", "insert into orders values (46, '2024-02-01', 1, '2024-02-01')")
    assert shop.refresh() == ["1 row new, 0 changed"]
    shop.define('sources.Postgres("orders", cursor="id", late="1h")')
    assert isinstance(shop.refused(), DefinitionError)


def test_columns_rows_and_queries_are_chosen_in_the_database(shop: Shop) -> None:
    shop.run(*ORDERS, "alter table orders add picture bytea")
    shop.define(WHOLE)
    said = shop.refused()
    assert "'picture' of table 'orders' is bytea" in said.happened
    assert "columns=['id', 'at', 'total', 'changed']" in said.do
    shop.define('sources.Postgres("orders", columns=("id", "at", "changed"), where="total > 10 and id % 2 = 0")')
    shop.refresh()
    assert shop.frame()["id"].to_list() == list(range(10, 41, 2))
    assert "total" not in shop.frame().columns
    with Project(shop.root, lock=True) as project:
        project.lake.accept_schema("orders", actor="ann")
    shop.define("sources.Postgres(query=\"select id, at, changed, total::text as \\\"The Total\\\" from orders;\", "
                "rename={'The Total': 'total'})")  # fmt: skip
    shop.refresh()
    assert shop.frame()["total"].to_list()[:2] == ["1.25", "2.50"]


def test_every_type_arrives_as_number_truth_value_time_or_text(shop: Shop) -> None:
    shop.run(
        "create type mood as enum ('sad', 'fine')",
        "create domain age as int check (value >= 0)",
        """create table orders (id int8, at timestamptz, naive timestamp, day date, clock time, took interval,
        small int2, price numeric, cash money, half real, full_ double precision, yes bool, word text, fixed char(5),
        who uuid, doc json, docb jsonb, many int[], words text[], feels mood, years age, place inet,
        "Odd Name" text)""",
        r"""insert into orders values (1, '2024-01-01 12:00+02', '2024-01-01 12:00:00.5', '2024-02-29', '12:30',
        '1 day 1h', -7, 12345678901234567890.125, 1234.5, 0.1, 0.1, true, E'tab\there \\N back\\slash "q" , \n new',
        'ab', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1}', '{"b":2}', '{1,NULL,3}', '{"x y",z}', 'fine', 7,
        '10.0.0.1', 'ö')""",
        r"""insert into orders values (2, 'infinity', '-infinity', 'infinity', null, null, null, 'NaN', null, 'NaN',
        'Infinity', false, '', '', null, null, null, '{}', null, null, null, null, '\N')""",
        "insert into orders (id, price) values (3, 'Infinity')",
    )
    more = 'key="id", timezone="Europe/Berlin"'
    shop.define("sources.Postgres('orders', rename={'Odd Name': 'odd'})", more)
    shop.refresh()
    one, two, three = shop.frame().sort("id").rows(named=True)
    assert one == {
        "id": 1,
        "at": datetime(2024, 1, 1, 10, tzinfo=UTC),
        "naive": datetime(2024, 1, 1, 11, 0, 0, 500_000, tzinfo=UTC),
        "day": date(2024, 2, 29),
        "clock": "12:30:00",
        "took": 90_000.0,
        "small": -7,
        "price": 12345678901234567890.125,
        "cash": 1234.5,
        "half": 0.1,
        "full_": 0.1,
        "yes": True,
        "word": 'tab\there \\N back\\slash "q" , \n new',
        "fixed": "ab",
        "who": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "doc": '{"a": 1}',
        "docb": '{"b": 2}',
        "many": "{1,NULL,3}",
        "words": '{"x y",z}',
        "feels": "fine",
        "years": 7,
        "place": "10.0.0.1/32",
        "odd": "ö",
    }
    there = {name: value for name, value in two.items() if value is not None}
    assert there == {"id": 2, "yes": False, "word": "", "fixed": "", "many": "{}", "odd": "\\N"}
    assert {name for name, value in three.items() if value is not None} == {"id"}
    shop.run("insert into orders (id, at) values (4, '12000-01-01')")
    assert "column 'at' of table 'orders' has 1 times that cannot be kept" in shop.refused().happened


def test_rows_are_read_in_pieces_of_any_size(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(b"1\ta\\nb\n2\t\\N\n30000\tlong text of one row\n4\t\n")
    fields = (Field("id", "int4"), Field("w", "text"))
    expected = [(1, "a\nb"), (2, None), (30_000, "long text of one row"), (4, "")]
    for size in range(1, 60):
        with file.open("rb") as opened:
            found = pl.concat(frames(opened, fields, where="t", chunk_bytes=size))
        assert found.rows() == expected, size


def test_changed_columns_are_refused_by_name_until_they_are_taken(shop: Shop) -> None:
    shop.run(*ORDERS)
    shop.define(WHOLE)
    shop.refresh()
    shop.run("alter table orders rename total to totel", "alter table orders alter id type bigint")
    said = shop.refused()
    assert isinstance(said, BadData) and "'total' is missing (did you mean 'totel'?)" in said.happened
    assert "'totel' is new (Float64)" in said.happened and "'id'" not in said.happened
    shop.run("alter table orders alter totel type text", "alter table orders rename totel to total")
    assert "'total' was Float64, is String" in shop.refused().happened
    assert shop.frame().height == 40, "what was taken before stays"
    with Project(shop.root, lock=True) as project:
        project.lake.accept_schema("orders", actor="ann")
    assert len(shop.refresh()) == 1 and shop.frame()["total"].dtype == pl.String


def test_what_is_not_there_is_named_with_what_is_near(shop: Shop) -> None:
    shop.run(*ORDERS, "create schema sales", "create view sales.totals as select id, total from orders")
    for source, says, do in (
        ("sources.Postgres('ordres')", "no table 'ordres'", "'orders'"),
        ("sources.Postgres('sales.total')", "no table 'sales.total'", "'sales.totals'"),
        ("sources.Postgres('nowhere.at_all')", "no table 'nowhere.at_all'", "public.orders"),
        ("sources.Postgres('orders', columns=('id', 'totl'))", "no column 'totl'", "'total'"),
        ("sources.Postgres('orders', cursor='chnged')", "no column 'chnged'", "'changed'"),
    ):
        shop.define(source)
        said = shop.refused()
        assert isinstance(said, NotFound) and says in said.happened and do in said.do
    for source, says in (
        ("sources.Postgres('orders', where='totl > 1')", 'column "totl" does not exist'),
        ("sources.Postgres(query='selekt 1')", "syntax error"),
        ("sources.Postgres(query='select 1 as id, 2 as id')", "two columns called 'id'"),
        ("sources.Postgres('orders', where='false')", "gives no rows"),
        ("sources.Postgres('orders', cursor='total')", "cursor 'total' of table 'orders' is numeric"),
        ("sources.Postgres('orders', 'shopp')", "no address of a database 'shopp'"),
        ("sources.Postgres(query='select 1 as id; delete from orders')", "syntax error"),
        ("sources.Postgres(query='select nextval(\\'counted\\') as id')", "read-only transaction"),
    ):
        shop.run("create sequence if not exists counted")
        shop.define(source)
        assert says in shop.refused().happened, source
    shop.run("alter table orders alter changed drop not null", "update orders set changed = null where id = 9")
    shop.define(BY_CURSOR)
    assert "cursor 'changed' of table 'orders' is NULL in some rows" in shop.refused().happened


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "neither a table nor a query"),
        ({"table": "a", "query": "select 1"}, "both a table and a query"),
        ({"table": "a", "late": "1d"}, "late without cursor"),
        ({"table": "a", "cursor": "b", "columns": ("c",)}, "cursor 'b' is not in columns"),
        ({"table": "a", "database": "postgresql://host/db"}, "an address in place of the name"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused(words: dict[str, str], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        Postgres(**words)


def test_passwords_stay_out_of_files_and_wrong_ones_are_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.run(*ORDERS, "create role grace login password 'p@ss:w/rd'")
    shop.define(WHOLE)
    shop.address(shop.server.url(shop.database, "grace", "written-down"))
    with pytest.raises(DefinitionError, match=r"databases\.shop holds a password") as written, Project(shop.root):
        pass
    assert "written-down" not in str(written.value)
    shop.address(shop.server.url(shop.database, "grace", "${SHOP_PASSWORD}"))
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    said = shop.refused()
    assert isinstance(said, UserError) and "SHOP_PASSWORD, which is not set" in said.happened
    monkeypatch.setenv("SHOP_PASSWORD", "guessed")
    said = shop.refused()
    assert isinstance(said, Refused) and "guessed" not in str(said) and "as grace" in said.happened
    monkeypatch.setenv("SHOP_PASSWORD", "p@ss:w/rd")
    said = shop.refused()
    assert isinstance(said, Refused) and "permission denied" in said.happened and "GRANT SELECT" in said.do
    shop.run("grant select on orders to grace")
    assert shop.refresh() == ["read for the first time"]
    shop.address(shop.server.url("nowhere"))
    assert isinstance(shop.refused(), NotFound)
    shop.run("drop owned by grace", "drop role grace")


def test_a_server_that_is_slow_or_goes_away_loses_nothing(tmp_path: Path) -> None:
    with running() as server:
        shop = Shop(tmp_path, server)
        shop.run(*ORDERS)
        shop.define(WHOLE)
        shop.refresh()
        shop.define("sources.Postgres(query='select *, pg_sleep(9)::text as w from orders', timeout='1s')")
        with Project(shop.root, lock=True) as project:
            project.lake.accept_schema("orders", actor="ann")
        said = shop.refused()
        assert isinstance(said, Unavailable) and "within 1s" in said.happened and "timeout=" in said.do
        shop.define("sources.Postgres(query='select *, pg_terminate_backend(pg_backend_pid()) as w from orders')")
        said = shop.refused()
        assert isinstance(said, Unavailable) and "refresh again" in said.do
        server.stop(signal.SIGQUIT)
        shop.define(WHOLE)
        said = shop.refused()
        assert isinstance(said, Unavailable) and f":{server.port}" in said.happened and not said.terminal
        assert shop.frame().height == 40
        server.start()
        assert shop.refresh() == []
