"""Lineage of columns follows from the definitions; the catalog tells it, and who read what."""

import time

import pytest

from millstream.definitions.manifest import gather
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import NotFound, UserError
from millstream.lake.derived.columns import Query
from millstream.project import Project

ORDERS = {"id": "bigint", "email": "varchar", "amount": "double", "who": "bigint"}
PEOPLE = {"id": "bigint", "name": "varchar", "region": "varchar"}


@pytest.mark.parametrize(
    ("sql", "values", "rows"),
    [
        ("select email as e from o where amount > 3", {"e": "o.email"}, "o.amount"),
        ("select sum(amount) as s from o group by who", {"s": "o.amount"}, "o.who"),
        ("with t as (select email as e from o) select e || 'x' as f from t", {"f": "o.email"}, ""),
        ("select o.email, c.name from o join c on o.who = c.id", {"email": "o.email", "name": "c.name"}, "c.id o.who"),
        ("select email from o union all select name from c", {"email": "c.name o.email"}, ""),
        ("select (select max(name) from c) as m from o", {"m": "c.name"}, ""),
        ("select case when region = 'EU' then 1 end as r from c", {"r": "c.region"}, ""),
        ("select row_number() over (partition by who order by amount) as n from o", {"n": "o.amount o.who"}, ""),
        ("select count(*) as n from o", {"n": ""}, ""),
        ("select l.v from o, lateral (select amount + 1 as v) l", {"v": "o.amount"}, "o.amount"),
    ],
)
def test_a_query_is_followed_column_by_column(sql, values, rows):
    found = Query(sql, {"o": ORDERS, "c": PEOPLE}, where="t").origins()
    assert {name: " ".join(".".join(each) for each in bases) for name, bases in found.values.items()} == values
    assert " ".join(".".join(each) for each in found.rows) == rows


@pytest.mark.parametrize("sql", ["select o from o", "select columns('e.*') from o", "select nothing from o"])
def test_what_cannot_be_followed_is_not_guessed(sql):
    with pytest.raises(Exception, match=r"stands for columns|nothing|could not be resolved"):
        Query(sql, {"o": ORDERS}, where="t").origins()


def run(shop, command, **given):
    with Project(shop) as project:
        return project.run(command, given)


def test_lineage_goes_both_ways(shop):
    said = run(shop, "lineage", name="buys")
    assert {"orders.amount", "orders.customer", "customers.region"} <= set(said["sources"])
    down = run(shop, "lineage", name="orders.amount")
    assert down["models"] == ["buys"] and down["below"]["feature"] == 2
    assert {each["name"] for each in down["breaks"]} == {"orders", "wide", "spend", "buys"}
    assert run(shop, "lineage", name="customers.born")["breaks"][0]["why"] == "its definition names born"
    assert run(shop, "lineage", name="orders.region_of")["breaks"] == []
    assert run(shop, "lineage", name="customers.region")["breaks"][0]["why"].endswith("customers.region")
    feature = run(shop, "lineage", name="spend.total")
    assert ("orders.amount", ["value"]) in [(each["name"], each["how"]) for each in feature["upstream"]]


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("orders.amuont", NotFound, "did you mean 'orders.amount'"),
        ("buy", NotFound, "did you mean 'buys'"),
        ("buys@7", NotFound, "buys"),
        ("nothing-7", NotFound, "nothing-7"),
    ],
)
def test_names_that_nothing_has_are_told(shop, name, kind, says):
    with pytest.raises(kind, match=says):
        run(shop, "lineage", name=name)


def test_the_catalog_tells_what_there_is(shop):
    said = {each["name"]: each for each in run(shop, "catalog")["tables"]}
    assert said["customers"]["owner"] == "sales" and said["customers"]["sensitive"] == ["identity", "personal"]
    assert said["counted"]["sensitive"] == ["personal"] and said["wide"]["hops"] == 2
    found = run(shop, "catalog", find="write to")["tables"]
    assert [(each["name"], each["found_in"]) for each in found] == [("customers", ["email"])]
    whole = run(shop, "catalog", table="wide")
    columns = {each["name"]: each for each in whole["column_list"]}
    assert columns["shout"]["sensitive"] == {"personal": "customers.email"} and "UPPER" in columns["shout"]["how"]
    assert whole["used_by"]["models"] == ["buys"] and "key: order_id" in whole["contract_lines"]
    assert "@example.org" not in str(run(shop, "catalog", table="customers"))
    with pytest.raises(NotFound, match="did you mean 'orders'"):
        run(shop, "catalog", table="order")


def test_reads_say_who_read_which_columns(shop, opened):
    opened("ann").sql("select amount from orders where customer = 1")
    opened("ann").table("orders").frame()
    said = run(shop, "reads", table="orders", by="ann")
    assert [each["columns"] for each in said["reads"][:2]] == ["all", ["amount", "customer"]]
    assert said["people"]["ann"] == said["count"] >= 2 and said["reads"][0]["version"] == 0
    assert run(shop, "reads", table="orders", since="2999-01-01")["count"] == 0
    tina = opened("tina")
    tina.sql("select email from customers")
    assert run(shop, "reads", table="customers", by="tina")["reads"][0]["masked"] == ["born", "email", "id"]
    with pytest.raises(UserError, match="soon"):
        run(shop, "reads", table="orders", since="soon")


def test_many_tables_and_columns_are_told_fast(tmp_path):
    """Five hundred tables of fifty columns and one of five thousand: no page waits, none draws them all."""
    from millstream.console.cataloged import COLUMNS, TABLES, catalog_page, table_page
    from millstream.console.pages import _environment
    from millstream.state import versions

    (tmp_path / "millstream.toml").write_text('name = "many"')
    tables = [Table(f"t{n}", source=Csv("a.csv"), sensitive={"c1": "personal"}) for n in range(250)]
    tables += [Table(f"d{n}", of=[f"t{n}"], sql=f"select *, c2 + 1 as e from t{n}") for n in range(250)]
    tables.append(Table("w", source=Csv("a.csv")))
    with Project(tmp_path, lock=True) as project:
        project.__dict__["manifest"] = gather(tables)
        few = {f"c{n}": "double" for n in range(50)}
        with project.state.transact() as tx:
            for each in tables:
                schema = {f"c{n}": "double" for n in range(5000)} if each.name == "w" else few
                schema = schema | ({"e": "double"} if each.of else {})
                kind = "derived" if each.of else "ingested"
                at = "2026-01-01T00:00:00+00:00"
                made = versions.TableVersion(each.name, 0, 1, kind, 0, "", schema, {}, "", 0, at, None, None)
                versions.insert(tx, made, listed=True)
        begun = time.process_time()
        record = project.run("catalog")
        assert record["all"] == 501 and record["tables"][250]["sensitive"] == ["personal"]
        took = time.process_time() - begun
        wide = project.run("catalog", {"table": "w"})
        said = project.run("lineage", {"name": "t7.c1"})
        assert said["below"] == {"column": 1}
    assert took < 8.0  # measured: 1.1 s of processor time, 0.1 s the second time
    page = _environment().get_template("catalog.html").render(page=catalog_page(record))
    assert page.count("<tr role=") == TABLES + 1 and "401 more" in page
    page = _environment().get_template("table.html").render(page=table_page(wide))
    assert page.count('href="/lineage/w.') == COLUMNS and "4,800 more" in page
