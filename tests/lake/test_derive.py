"""Derived tables: computed from pinned inputs, no column known before what it is computed from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.table import Table
from millstream.errors import DefinitionError, UserError
from millstream.lake import duck
from millstream.lake.derived.lineage import Input, trace
from tests.lake.house import House, day, flights, movements, planes, schedule

LATE = timedelta(days=1)


def opened(house: House, *tables: Table, days: int = 2) -> object:
    for number in range(days):
        house.publish(number)
    lake = house.lake([schedule(), movements(), planes(), *tables])
    lake.refresh(actor="ann")
    return lake


def test_a_join_inherits_knowledge_per_column(house: House) -> None:
    lake = opened(house, flights())
    found = lake.read("flights")
    frame = found.frame
    planned = frame["leaves"] - timedelta(days=30)
    assert frame[found.known["leaves"]].equals(planned, check_names=False)
    assert frame[found.known["id"]].equals(planned, check_names=False)
    flown = frame.filter(pl.col("landed_at").is_not_null())
    assert flown[found.known["tail"]].equals(flown["landed_at"] + LATE, check_names=False)
    left = flown["leaves"] + pl.Series([timedelta(minutes=each) for each in flown["delay"]])
    assert flown[found.known["delay"]].equals(left + LATE, check_names=False)
    assert frame.filter(pl.col("landed_at").is_null())[found.known["tail"]].null_count() == 4


def test_rows_come_by_event_time_and_every_scheduled_row_survives(house: House) -> None:
    house.publish(0)
    house.publish(1)
    more = day(2).select("id", "leaves")
    from deltalake import write_deltalake

    write_deltalake(house.root / "ops/schedule", more, mode="append")
    lake = house.lake()
    lake.refresh(actor="ann")
    found = lake.read("flights")
    assert found.frame["id"].to_list() == [*day(0)["id"], *day(1)["id"], *day(2)["id"]]
    assert found.frame.filter(pl.col("id") >= 2000)["tail"].null_count() == 20


def test_a_version_is_a_record_of_its_inputs(house: House) -> None:
    lake = opened(house, flights())
    first = lake.head("flights")
    assert (first.version, first.inputs, first.bytes_copied, first.rows) == (
        0,
        {"movements": 1, "schedule": 1},
        0,
        None,
    )
    house.publish(2)
    lake.refresh(["schedule"], actor="ann")
    assert lake.head("flights").version == 0, "only what was asked for"
    lake.refresh(actor="ann")
    assert lake.head("flights").inputs == {"movements": 2, "schedule": 2}
    assert lake.read("flights", version=0).frame.height == 40
    assert lake.read("flights").frame.height == 60
    assert lake.refresh(actor="ann") == []


def test_a_changed_definition_is_a_new_version_also_one_of_an_input(house: House) -> None:
    opened(house, flights())
    wider = flights("select s.*, m.tail from schedule s left join movements m using (id)")
    made = house.lake([schedule(), movements(), planes(), wider]).refresh(actor="ann")
    assert [(each.table, each.version) for each in made] == [("flights", 1)]
    slower = house.lake([schedule(lag="1h"), movements(), planes(), wider]).refresh(actor="ann")
    assert [(each.table, each.version) for each in slower] == [("flights", 2)]
    told = house.lake([schedule(lag="1h", owner="ann"), movements(), planes(), wider]).refresh(actor="ann")
    assert told == [], "an owner says nothing about rows"


def test_derived_tables_of_derived_tables_and_their_lag(house: House) -> None:
    more = Table(
        "seated", of=["flights", "planes"], key="id", event_time="leaves", lag="2h",
        sql="select f.*, p.seats from flights f left join planes p on p.tail = f.tail", columns={"twice": "seats * 2"},
    )  # fmt: skip
    lake = opened(house, flights(), more)
    inner, outer = lake.read("flights"), lake.read("seated")
    for column in inner.schema:
        waits = inner.frame[inner.known[column]] + timedelta(hours=2)
        assert outer.frame[outer.known[column]].equals(waits, check_names=False, null_equal=True), column
    for column in ("seats", "twice"):
        assert outer.known[column] == outer.known["tail"], "a static table's row is found by a column not known before"


def test_what_a_row_rests_on_delays_all_its_columns(house: House) -> None:
    joined = flights("select s.* from schedule s join movements m using (id) where m.delay > 0")
    lake = opened(house, joined)
    found = lake.read("flights")
    base = lake.read("movements").frame
    for column in found.schema:
        both = found.frame.select("id", at=found.known[column]).join(base, on="id")
        assert (both["at"] >= both["landed_at"] + LATE).all()


@pytest.mark.parametrize(
    "sql",
    [
        "select leaves, count(*) n from schedule group by leaves",
        "select distinct leaves, id from schedule",
        "select leaves, id from schedule union all select leaves, id from movements",
        "select leaves, id, row_number() over (order by id) n from schedule",
        "select leaves, id from schedule limit 3",
        "select leaves, id from schedule where id in (select id from movements)",
        "with x as (select * from schedule) select leaves, id from x",
        "select s.leaves, s.id from schedule s full join movements m using (id)",
        "select s.leaves, s.id from schedule s asof join movements m on s.id = m.id and s.leaves >= m.leaves",
    ],
)
def test_sql_that_merges_rows_must_declare_known_at(house: House, sql: str) -> None:
    with pytest.raises(DefinitionError, match="merges rows of movements, schedule"):
        opened(house, flights(sql, key=()))
    lake = house.lake([schedule(), movements(), flights(sql, key=(), known_at="leaves + interval '1 day'")])
    lake.refresh(actor="ann")
    found = lake.read("flights")
    assert found.frame[found.known["leaves"]].equals(found.frame["leaves"] + LATE, check_names=False)


def test_static_tables_may_be_merged_freely(house: House) -> None:
    counted = Table(
        "counted", of=["planes"], sql="select seats, count(*) as n, sum(seats) as total from planes group by 1"
    )
    lake = opened(house, counted)
    found = lake.read("counted")
    assert found.schema == {"seats": "bigint", "n": "bigint", "total": "bigint"}
    assert found.known == {}


def test_a_declaration_only_delays(house: House) -> None:
    lake = opened(house, flights(known_at="leaves - interval '90 days'"))
    found, plain = lake.read("flights"), house.lake().read("movements")
    flown = found.frame.join(plain.frame, on="id").filter(pl.col("landed_at").is_not_null())
    assert (flown[found.known["tail"]] >= flown["landed_at"] + LATE).all()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select * from schedul", "did you mean 'schedule'"),
        ("select idd from schedule", "did you mean 'id'"),
        ("select s.id, m.id from schedule s, movements m", "two columns called 'id'"),
        ("delete from schedule", "expected: one SELECT"),
        ("select from where", "sql of"),
        ("select 1; select 2", "SELECT and SELECT"),
        ("select id as x from schedule", "event_time of table 'flights' names 'leaves'"),
        ("select id, leaves, leaves + leaves as x from schedule", "sql of table 'flights'"),
        ("select * from read_csv('/etc/passwd')", "sql of table 'flights'"),
    ],
)
def test_wrong_sql_is_refused_by_name(house: House, sql: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        opened(house, flights(sql, key=()))


@given(
    first=st.integers(0, 6),
    length=st.integers(1, 100),
    side=st.sampled_from(["left join", "join"]),
    driver=st.sampled_from(["s", "m"]),
)
@settings(max_examples=40, deadline=None)
def test_a_range_of_a_join_is_the_whole_join_cut(first: int, length: int, side: str, driver: str) -> None:
    lake = _lakes(side, driver)
    low = datetime(2013, 3, 8, 7, tzinfo=UTC) + timedelta(days=first)
    between = (low, low + timedelta(hours=length))
    whole = lake.read("flights").frame
    assert lake.read("flights", between=between).frame.equals(
        whole.filter((pl.col("leaves") >= between[0]) & (pl.col("leaves") < between[1]))
    )


_kept: dict[tuple[str, str], object] = {}


def _lakes(side: str, driver: str) -> object:
    """A week in which every third movement comes a day later than its schedule, and one comes twice."""
    if (side, driver) not in _kept:
        import tempfile
        from pathlib import Path

        from deltalake import write_deltalake

        folder = tempfile.TemporaryDirectory()
        house = House(Path(folder.name) / "project")
        held = day(0).head(0)
        for number in range(7):
            rows = day(number)
            write_deltalake(house.root / "ops/schedule", rows.select("id", "leaves"), mode="append")
            late = rows.filter(pl.col("id") % 3 == 0)
            write_deltalake(
                house.root / "ops/movements",
                pl.concat([rows.filter(pl.col("id") % 3 != 0), held, rows.filter(pl.col("id") % 1000 == 1)]),
                mode="append",
            )
            held = late
        other = "m" if driver == "s" else "s"
        columns = f"s.id, {driver}.leaves, m.tail, m.delay, {other}.leaves as other"
        sql = f"select {columns} from schedule s {side} movements m using (id)"
        lake = house.lake([schedule(), movements(), flights(sql, key=("id", "delay", "other"))])
        lake.refresh(actor="ann")
        _kept[(side, driver)] = lake
        _kept[(side, driver + "-kept")] = (folder, house)
    return _kept[(side, driver)]


INPUTS = {
    "a": Input({"k": "bigint", "x": "double", "t": "timestamptz"}, {"k": "ka", "x": "kx", "t": "ka"}, ("k",), "t"),
    "b": Input({"k": "bigint", "y": "double", "j": "bigint"}, {"k": "kb", "y": "ky", "j": "kj"}, ("k",), None),
    "c": Input({"j": "bigint", "z": "varchar"}, {}, ("j",), None),
}


@pytest.mark.parametrize(
    ("sql", "waits"),
    [
        ("select a.x + a.k as v from a", {"v": {"a.kx", "a.ka"}}),
        ("select x, 1 as one from a", {"x": {"a.kx"}, "one": set()}),
        ("select a.x, b.y from a left join b using (k)", {"x": {"a.kx"}, "y": {"b.ky", "a.ka"}}),
        ("select b.y from a left join b on a.k = b.j", {"y": {"b.ky", "b.kj", "a.ka"}}),
        ("select a.x from a join b using (k)", {"x": {"a.kx", "a.ka", "b.kb"}}),
        ("select a.x from a, b", {"x": {"a.kx", "b.kb"}}),
        ("select a.t from a where x > 3 order by x", {"t": {"a.ka", "a.kx"}}),
        ("select c.z from a left join b using (k) left join c using (j)", {"z": {"b.kj", "a.ka"}}),
        ("select p.x, q.x as w from a p left join a q on p.k = q.k", {"x": {"p.kx"}, "w": {"q.kx", "p.ka"}}),
        ("select * from a left join b using (k)", {"k": {"a.ka", "b.kb"}, "x": {"a.kx"}, "y": {"b.ky", "a.ka"}}),
        ("select case when x > 0 then k end as v from a", {"v": {"a.kx", "a.ka"}}),
    ],
)
def test_lineage_by_hand(sql: str, waits: dict[str, set[str]]) -> None:
    found = trace("v", sql, INPUTS)
    names = {}
    for position, part in enumerate(found.sql.split(" FROM ")[0].split(", ")):
        text, _, alias = part.removeprefix("SELECT ").rpartition(" AS ")
        if alias.strip('"') in found.hidden:
            names[alias.strip('"')] = text.replace('"', "")
        assert position >= 0
    assert found.plain
    for column, expected in waits.items():
        assert {names[each] for each in found.inherited[column]} == expected, column


def test_a_query_that_never_ends_is_stopped_and_the_next_one_answers() -> None:
    frames = {"t": pl.DataFrame({"n": range(3000)})}
    endless = "select count(*) from t a, t b, t c, t d where a.n + b.n + c.n + d.n = 7"
    with pytest.raises(UserError, match=r"stopped after 0\.2 s"):
        duck.run(endless, frames, limit_s=0.2)
    assert duck.run("select count(*) from t", frames, limit_s=30).item() == 3000
