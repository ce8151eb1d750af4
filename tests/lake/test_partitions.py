"""Tables in partitions: only what changed is made again, a kill undoes nothing that was finished, from scratch says the
same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.definitions.manifest import gather
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, NotFound, UserError
from millstream.lake import Lake
from millstream.lake.faults import VARIABLE
from millstream.state import runs
from tests.lake.house import House

REPOSITORY = Path(__file__).parents[2]
DAYS = """
import polars as pl
import helper

def daily(sales, since=None):
    with open("ran.txt", "a") as ran:
        ran.write(f"{since:%Y-%m-%d}\\n" if since else "all\\n")
    day = pl.col("sold_at").dt.truncate("1d").alias("day")
    return sales.group_by(day, "store").agg(revenue=pl.col("paid").sum(), sold=pl.len()).sort("day", "store")
"""
ROLLING = """
select store, sold_at, sum(paid) over (partition by store order by sold_at range interval '2 days' preceding) as lately
from sales"""
KPI = "select store, date_trunc('day', sold_at) as day, sum(paid) as revenue, count(*) as sold from sales group by all"


def sales(**words: object) -> Table:
    said = {"source": Csv("files/sales.csv"), "key": "id", "event_time": "sold_at", "timezone": "UTC"}
    return Table("sales", **(said | words))  # type: ignore[arg-type]


def daily(**words: object) -> Table:
    said = {"of": "sales", "key": ("day", "store"), "event_time": "day", "known_at": "day + interval '1 day'"}
    how = {"sql": KPI} if not {"step", "sql"} & set(words) else {}
    return Table("daily", **({"partition": "1d"} | said | how | words))  # type: ignore[arg-type]


def sold(house: House, rows: list[tuple[int, str, str, float]]) -> None:
    text = "".join(f"{number},{at},{store},{paid}\n" for number, at, store, paid in rows)
    (house.root / "files/sales.csv").write_text("id,sold_at,store,paid\n" + text)


def some(days: int = 4) -> list[tuple[int, str, str, float]]:
    return [
        (day * 10 + store, f"2024-01-{day + 1:02}T{9 + store:02}:00:00", f"s{store}", float(day + store))
        for day in range(days)
        for store in range(2)
    ]


def why(lake: Lake, table: str = "daily") -> dict[str, str]:
    making = lake.head(table).making
    assert making is not None
    return making.pieces


def paths(lake: Lake, table: str = "daily") -> dict[str, str]:
    head = lake.head(table)
    return {
        str(each.parts["__partition"]): each.path
        for each in lake.catalog.files(lake.catalog.table(table), head.version)
    }


@pytest.fixture
def shop(house: House) -> House:
    (house.root / "made.py").write_text(DAYS)
    (house.root / "helper.py").write_text("import numpy\n")
    sold(house, some())
    return house


def ran(house: House) -> list[str]:
    file = house.root / "ran.txt"
    return file.read_text().split() if file.exists() else []


def test_a_late_row_makes_its_partition_again_and_leaves_other_files(shop: House) -> None:
    lake = shop.lake([sales(), daily(step="made:daily")])
    lake.refresh(actor="ann")
    days = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    assert ran(shop) == days and list(why(lake)) == days
    first = paths(lake)
    assert lake.refresh(actor="ann") == []
    sold(shop, [*some(), (99, "2024-01-02T22:00:00", "s1", 5.0)])
    lake.refresh(actor="ann")
    assert why(lake) == {"2024-01-02": "1 more row of sales"} and ran(shop)[4:] == ["2024-01-02"]
    second = paths(lake)
    assert {each for each in days if first[each] != second[each]} == {"2024-01-02"}
    rows = lake.read("daily").frame.filter(pl.col("store") == "s1")
    assert rows["revenue"].to_list() == [1.0, 7.0, 3.0, 4.0] and "__partition" not in rows.columns
    assert lake.read("daily", version=0).frame.height == 8 and all(each.ok for each in lake.verify())
    assert next((each.piece, each.version) for each in runs.latest(shop.state, "daily")) == ("2024-01-02", 1)
    (told,) = shop.ledger.rows(act="table.version", subject="daily@1")
    assert told.detail["partitions"] == why(lake)


def test_rows_that_go_take_their_partition_along_and_a_rewritten_file_changes_nothing(shop: House) -> None:
    lake = shop.lake([sales(), daily()])
    lake.refresh(actor="ann")
    sold(shop, some()[::-1])
    lake.refresh(actor="ann")
    assert why(lake) == {} and lake.head("daily").inputs == {"sales": 1}, "the same rows in another order"
    before = paths(lake)
    sold(shop, some(3))
    lake.refresh(actor="ann")
    assert why(lake) == {"2024-01-04": "no rows of its inputs are left"}
    assert paths(lake) == {name: path for name, path in before.items() if name != "2024-01-04"}
    sold(shop, some(4))
    lake.refresh(actor="ann")
    assert why(lake) == {"2024-01-04": "its first rows came"} and lake.read("daily").frame.height == 8
    assert all(each.ok for each in lake.verify())


def test_code_and_environment_make_all_again(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = shop.lake([sales(), daily(step="made:daily", partition="1mo")])
    lake.refresh(actor="ann")
    making = lake.head("daily").making
    assert making is not None and {"python", "polars", "numpy"} == set(making.environment)
    (shop.root / "made.py").write_text(DAYS + "# said better\n")
    lake.refresh(actor="ann")
    assert why(lake) == {"2024-01": "made.py changed"}
    from millstream.lake.derived import environment

    monkeypatch.setattr(environment.platform, "python_version", lambda: "9.9.9")
    lake.refresh(actor="ann")
    assert why(lake)["2024-01"].startswith("python was 3.") and why(lake)["2024-01"].endswith("and is 9.9.9")
    assert lake.refresh(actor="ann") == [] and all(each.ok for each in lake.verify())


def test_a_lookback_reads_earlier_rows_and_keeps_only_its_own(shop: House) -> None:
    sold(shop, some(9))
    rolling = daily(sql=ROLLING, key=("sold_at", "store"), event_time="sold_at", known_at="sold_at", lookback="2d")
    whole = Table(
        "whole",
        of="sales",
        sql=ROLLING,
        stored=True,
        key=("sold_at", "store"),
        event_time="sold_at",
        known_at="sold_at",
    )
    lake = shop.lake([sales(), rolling, whole])
    lake.refresh(actor="ann")
    assert lake.read("daily").frame.sort("sold_at", "store").equals(lake.read("whole").frame.sort("sold_at", "store"))
    sold(shop, [*some(9), (500, "2024-01-03T05:00:00", "s0", 100.0)])
    lake.refresh(actor="ann")
    assert list(why(lake)) == ["2024-01-03", "2024-01-04", "2024-01-05"], "the days whose look-back holds the late row"
    assert lake.read("daily").frame.sort("sold_at", "store").equals(lake.read("whole").frame.sort("sold_at", "store"))


def test_asked_for_again_and_partitions_by_a_column(shop: House) -> None:
    by_store = "select store, max(sold_at) as sold_at, sum(paid) as revenue from sales group by store"
    lake = shop.lake(
        [sales(), daily(sql=by_store, partition="store", key="store", event_time="sold_at", known_at="sold_at")]
    )
    lake.refresh(actor="ann")
    assert list(why(lake)) == ["s0", "s1"] and lake.read("daily").frame["revenue"].to_list() == [6.0, 10.0]
    sold(shop, [*some(), (99, "2024-01-02T22:00:00", "s'; 1", 5.0)])
    lake.refresh(actor="ann")
    assert why(lake) == {"s'; 1": "its first rows came"}
    lake.refresh(["daily"], actor="ann", again={"daily": ["s0"]})
    assert why(lake) == {"s0": "asked for"} and lake.read("daily").frame.height == 3
    with pytest.raises(NotFound, match="no partition 's9'"):
        lake.refresh(["daily"], actor="ann", again={"daily": ["s9"]})
    lake.refresh(["daily"], actor="ann", again={"daily": []})
    assert len(why(lake)) == 3


def test_a_failed_partition_leaves_the_version_and_the_finished_ones_are_kept(shop: House) -> None:
    failing = DAYS.replace("    day =", "    assert not (since and since.day == 3), 'no such day'\n    day =")
    (shop.root / "made.py").write_text(failing)
    lake = shop.lake([sales(), daily(step="made:daily")])
    with pytest.raises(UserError, match=r"partition 2024-01-03: the step of table 'daily'.*no such day"):
        lake.refresh(actor="ann")
    assert "daily" not in lake.heads() and ran(shop) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    with pytest.raises(UserError, match="2024-01-03"):
        lake.refresh(actor="ann")
    assert ran(shop)[3:] == ["2024-01-03"], "what was finished is not run again"
    (shop.root / "made.py").write_text(DAYS)
    lake.refresh(actor="ann")
    assert ran(shop)[4:] == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "by other code it is"
    assert not (shop.places.state / "steps/daily.pieces").exists()


@pytest.mark.parametrize("point", ["step.kept:2", pytest.param("lake.committed:2", marks=pytest.mark.nightly)])
def test_law_6_a_kill_leaves_nothing_half_and_what_was_finished_is_not_run_again(shop: House, point: str) -> None:
    words = os.environ | {VARIABLE: point, "PYTHONPATH": f"{REPOSITORY}/src:{REPOSITORY}"}
    child = [sys.executable, "-m", "tests.lake.partition_child", str(shop.root)]
    done = subprocess.run(child, cwd=REPOSITORY, env=words, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    lake = shop.lake([sales(), daily(step="made:daily")])
    finished = ran(shop)
    assert len(finished) == (2 if point == "step.kept:2" else 4)
    lake.refresh(actor="ann")
    assert ran(shop) == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "each ran once"
    assert lake.head("daily").version == 0 and lake.read("daily").frame.height == 8
    assert lake.refresh(actor="ann") == [] and all(each.ok for each in [*lake.verify(), *lake.recover()])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "drop", "change", "sql", "same"]), st.integers(0, 8), st.integers(0, 3)),
        min_size=1,
        max_size=5,
    )
)
def test_property_partitions_say_what_from_scratch_says(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, int, int]]
) -> None:
    house = House(tmp_path_factory.mktemp("pieces") / "project", tables=[])
    rows = {number: (number, at, store, paid) for number, at, store, paid in some()}
    sql, next_id = KPI, 1000
    for kind, day, store in [("same", 0, 0), *edits]:
        some_row = sorted(rows)[(day + store) % len(rows)] if rows else None
        if kind == "add":
            rows[next_id] = (next_id, f"2024-01-{day + 1:02}T23:59:59", f"s{store}", 0.25 * next_id)
            next_id += 1
        elif kind == "drop" and some_row is not None and len(rows) > 1:
            del rows[some_row]
        elif kind == "change" and some_row is not None:
            rows[some_row] = (*rows[some_row][:3], rows[some_row][3] + 1)
        elif kind == "sql":
            sql = f"{KPI} having count(*) > {store % 2}"
        sold(house, list(rows.values()))
        lake = house.lake([sales(), daily(sql=sql)])
        lake.refresh(actor="ann")
        judge = lake.query(sql)[0].sort("day", "store")
        found = lake.read("daily").frame.select("store", "day", "revenue", "sold").sort("day", "store")
        assert found.rows() == judge.rows()
        assert lake.refresh(actor="ann") == []
    assert all(each.ok for each in lake.verify())
    house.state.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"partition": "2d!"}, "has partition '2d!'"),
        ({"event_time": None, "known_at": None}, "partitions by time and no event time"),
        ({"lookback": "soon"}, "lookback 'soon'"),
        ({"partition": "store", "lookback": "2d"}, "lookback and no partitions by time"),
        ({"valid_to": "day"}, "valid_to and no valid_from"),
        ({"valid_from": "at"}, "valid from 'at' and has event time 'day'"),
        ({"sql": None, "step": "made:daily", "stored": True}, "stored=True and a step"),
    ],
)
def test_what_contradicts_itself_is_refused(words: dict[str, object], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        daily(**words)


def test_rows_of_another_partition_and_joins_that_know_better_are_refused(shop: House) -> None:
    late = KPI.replace("date_trunc('day', sold_at)", "date_trunc('day', sold_at) + interval '1 day'")
    lake = shop.lake([sales(), daily(sql=late)])
    with pytest.raises(BadData, match="partition 2024-01-01: 2 of 2 rows belong to another partition"):
        lake.refresh(actor="ann")
    lake = shop.lake([sales(), daily(sql="select store, sold_at as day, paid from sales")])
    with pytest.raises(DefinitionError, match="would be lost"):
        lake.refresh(actor="ann")
    sold(shop, [])
    with pytest.raises((BadData, UserError)):
        shop.lake([sales(), daily()]).refresh(actor="ann")


def test_days_of_a_zone(shop: House) -> None:
    start = datetime(2024, 3, 30, 20, tzinfo=UTC)  # the clocks of Berlin go forward in the next night
    sold(shop, [(n, f"{start + timedelta(hours=n):%Y-%m-%dT%H:%M:%S}", "s0", 1.0) for n in range(50)])
    zone = "Europe/Berlin"
    day = f"date_trunc('day', sold_at at time zone '{zone}') at time zone '{zone}' as day"
    sql = f"select store, {day}, count(*) as sold from sales group by all"
    lake = shop.lake([sales(), daily(sql=sql, timezone=zone)])
    lake.refresh(actor="ann")
    assert list(why(lake)) == ["2024-03-30", "2024-03-31", "2024-04-01"]
    assert lake.read("daily").frame.sort("day")["sold"].to_list() == [3, 23, 24]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("delete from sales", "sql of daily is DELETE"),
        ("copy sales to 'x.csv'", "sql of daily is COPY"),
        ("select * from sale", r"reads 'sale', which is not among its inputs(.|\n)*did you mean|sales"),
        ("select count(*) as n from read_csv('/etc/passwd')", "which is not among its inputs"),
        ("select count(*) as n from 'https://example.com/x.csv'", "which is not among its inputs"),
    ],
)
def test_sql_that_is_no_query_over_its_inputs_is_refused(shop: House, sql: str, says: str) -> None:
    lake = shop.lake([sales(), daily(sql=sql), Table("last", of="sales", sql="select * from sales")])
    with pytest.raises(DefinitionError, match=says):
        lake.refresh(actor="ann")
    assert set(lake.heads()) == {"sales", "last"}, "others go on"


def test_tables_in_a_circle_are_named() -> None:
    tables = [Table(a, of=b, sql=f"select * from {b}", stored=True) for a, b in ("ab", "bc", "ca")]
    with pytest.raises(DefinitionError, match="in a circle: a -> b -> c -> a"):
        gather(tables)


@pytest.mark.nightly
def test_a_partition_that_hangs_is_ended_by_name_with_all_it_started(shop: House) -> None:
    hangs = """
set -e
yes | head -c 3000000
if [ $MILLSTREAM_PARTITION = 2024-01-02 ]; then sleep 300 & sleep 300; fi
{ echo day,store,sold; echo ${MILLSTREAM_SINCE%%+*}Z,s0,1; } > $MILLSTREAM_OUT
"""
    (shop.root / "made.sh").write_text(hangs)
    lake = shop.lake([sales(), daily(step=["sh", "made.sh"], timeout="4s")])
    with pytest.raises(UserError, match=r"partition 2024-01-02: .* was not done after 4s"):
        lake.refresh(actor="ann")
    assert len(list((shop.places.state / "steps/daily.pieces").glob("*.json"))) == 1 and "daily" not in lake.heads()


def test_a_kpi_table_with_targets_and_the_week_before(house: House) -> None:
    """The example of docs/pipelines.md, against the same query over everything."""
    rows = [(n, f"2024-01-{1 + n % 28:02}T10:00:00", f"s{n % 3}", float(n)) for n in range(90)]
    sold(house, rows)
    days = "".join(
        f"s{store},2024-0{1 + n // 28}-{1 + n % 28:02}T00:00:00,50\n" for n in range(35) for store in range(3)
    )
    (house.root / "files/targets.csv").write_text("store,day,target\n" + days)
    text = (REPOSITORY / "docs/pipelines.md").read_text()
    sql = text[text.index("    with sold as") : text.index('""",\n    lookback="7d"')]
    targets = Table(
        "targets",
        source=Csv("files/targets.csv"),
        key=("store", "day"),
        event_time="day",
        timezone="UTC",
        known_at="day - interval '30 days'",
    )
    kpi = daily(of=["sales", "targets"], sql=sql, partition="1w", lookback="7d")
    whole = daily(of=["sales", "targets"], sql=sql, partition="", stored=True)
    object.__setattr__(whole, "name", "whole")
    lake = house.lake([sales(), targets, kpi, whole])
    for more in [[], [(900, "2024-01-03T01:00:00", "s1", 1000.0)]]:
        sold(house, [*rows, *more])
        lake.refresh(actor="ann")
        assert lake.read("daily").frame.sort("day", "store").equals(lake.read("whole").frame.sort("day", "store"))
    assert list(why(lake)) == ["2024-W01", "2024-W02"] and lake.read("daily").frame["week_before"].max() > 1000
    assert lake.query("select max(reached) from daily")[0].item() > 20
