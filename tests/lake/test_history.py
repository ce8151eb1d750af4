"""Tables with history, on a disk and by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from millstream.definitions.sources import Csv, Delta
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError
from millstream.lake import Lake
from millstream.lake.bitemporal.asof import believed
from millstream.lake.frame import GONE, PREFIX
from millstream.lake.ingest.upsert import Delivery
from tests.lake.histories import SCHEMA, Stored, frame, second, table
from tests.lake.house import House

DAY = timedelta(days=1)


class Desk:
    """A file that its owner overwrites, and a lake that looks at it."""

    def __init__(self, house: House, **words: object) -> None:
        said: dict[str, object] = {"source": Csv("files/c.csv"), "key": "id", "history": True}
        self.house = house
        self.table = Table("customers", **(said | words))  # type: ignore[arg-type]
        self.lake: Lake = house.lake([self.table])

    def put(self, text: str, *, after: timedelta = DAY) -> list[int]:
        (self.house.root / "files/c.csv").write_text(text)
        self.house.clock.at += after
        return [each.version for each in self.lake.refresh(actor="ann")]

    def rows(self, at: datetime) -> list[tuple[object, ...]]:
        return sorted(believed(self.lake.read("customers"), at).rows(), key=str)


def test_a_file_that_is_overwritten_keeps_what_was_believed_when(house: House) -> None:
    desk = Desk(house)
    start = house.clock.at
    assert desk.put("id,plan,seats\n1,free,1\n2,free,2\n") == [0]
    assert desk.put("id,plan,seats\n2,free,2\n1,free,1\n") == []  # other bytes, the same rows
    assert desk.put("id,plan,seats\n1,pro,1\n2,free,2\n3,free,3\n") == [1]
    assert desk.put("id,plan,seats\n1,pro,5\n3,free,3\n") == [2]
    assert desk.rows(start) == [(1, "free", 1), (2, "free", 2)]  # a first load without times is always known
    assert desk.rows(start + 3 * DAY) == [(1, "pro", 1), (2, "free", 2), (3, "free", 3)]
    assert desk.rows(start + 3 * DAY - timedelta(microseconds=1)) == [(1, "free", 1), (2, "free", 2)]
    assert desk.rows(start + 4 * DAY) == [(1, "pro", 5), (3, "free", 3)]
    read = desk.lake.read("customers")
    last = read.frame.filter(pl.col("id") == 1).row(-1, named=True)
    assert last[read.known["plan"]] == start + 3 * DAY  # it kept its known-at when the seats changed
    assert last[read.known["seats"]] == start + 4 * DAY
    assert desk.lake.query("select * from customers order by id")[0].rows() == [(1, "pro", 5), (3, "free", 3)]
    assert desk.lake.head("customers").rows == 6  # one row for each piece of news
    assert house.lake([desk.table]).read("customers").frame.rows() == read.frame.rows()
    assert all(each.ok for each in desk.lake.verify())
    assert "corrections of customers are taken as known when they were seen" in desk.lake.assumptions("customers")[1]


def test_a_clock_that_runs_backwards_does_not_turn_beliefs_round(house: House) -> None:
    desk = Desk(house)
    desk.put("id,plan\n1,free\n")
    desk.put("id,plan\n1,pro\n", after=-5 * DAY)
    desk.put("id,plan\n1,team\n", after=-DAY)
    seen = desk.lake.read("customers").frame[f"{PREFIX}seen"].to_list()
    assert seen == sorted(set(seen))
    assert [each[0][1] for each in map(desk.rows, seen)] == ["free", "pro", "team"]
    registered = [each.registered_at for each in desk.lake.history("customers")]
    assert registered == sorted(registered)


def test_an_event_that_moves_out_of_a_range_is_not_in_the_range_any_more(house: House) -> None:
    desk = Desk(house, event_time="at", timezone="Europe/Berlin")
    desk.put("id,at\n1,2013-01-05T10:00:00\n2,2013-01-06T10:00:00\n")
    desk.put("id,at\n1,2013-02-05T10:00:00\n2,2013-01-06T10:00:00\n")
    january = (datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC))
    for span, ids in ((january, [2]), ((january[1], None), [1]), (None, [1, 2])):
        read = desk.lake.read("customers", between=span)
        assert sorted(believed(read, house.clock.at)["id"]) == ids
    assert desk.lake.query("select count(*) from customers")[0].item() == 2


def test_a_crash_between_commit_and_register_keeps_one_correction(house: House) -> None:
    desk = Desk(house)
    desk.put("id,plan\n1,free\n")
    desk.put("id,plan\n1,pro\n")
    with house.state.transact() as tx:  # as if the process had died before it wrote the version down
        tx.execute("DELETE FROM table_versions WHERE version = 1", ())
        tx.execute("DELETE FROM table_files WHERE since = 1", ())
        tx.execute("UPDATE lake_intents SET version = NULL WHERE app_version = 1", ())
    desk.lake = house.lake([desk.table])
    assert desk.lake.head("customers").version == 1
    assert desk.lake.refresh(actor="ann") == []
    assert desk.lake.read("customers").frame["plan"].to_list() == ["free", "pro"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,plan\n1,free\n1,pro\n", "1 keys twice with different values, such as id=1"),
        ("id,plan\n,free\n1,pro\n", "1 rows of table 'customers' have no key"),
        ("id,plan\n", "holds no rows"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_and_nothing_is_taken(house: House, text: str, says: str) -> None:
    desk = Desk(house)
    desk.put("id,plan\n1,free\n")
    with pytest.raises(BadData, match=says):
        desk.put(text)
    assert desk.lake.head("customers").version == 0


def test_contradictions_are_refused_when_definitions_load() -> None:
    for words, says in (
        ({"source": Delta("ops/t"), "key": "id", "history": True}, "is attached"),
        ({"of": ["t"], "sql": "select 1", "key": "id", "history": True}, "is computed from others"),
        ({"source": Csv("t.csv"), "history": True}, "no key"),
        ({"source": Csv("t.csv"), "key": "id", "changed_at": "at"}, "changed_at without history"),
    ):
        with pytest.raises(DefinitionError, match=says):
            Table("t2", **words)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="'chnged', which is not a column"):
        Stored(table(changed_at="chnged")).take(Delivery(lambda: (frame([]),), SCHEMA, whole=True), second(0))  # type: ignore[arg-type]


def put(stored: Stored, rows: list[tuple[int, float, int]], seen: float, *, whole: bool = False) -> bool:
    """Deliver (key, x, changed at) rows; say whether something was new."""
    made = [{"id": key, "who": "u", "at": 0, "x": x, "y": 1, "changed": at} for key, x, at in rows]
    return not stored.take(Delivery(lambda: (frame(made),), SCHEMA, whole=whole), second(seen)).empty  # type: ignore[arg-type]


def test_late_deliveries_are_put_where_the_source_says_they_belong() -> None:
    news = [(1, 10.0, 2), (1, 20.0, 5), (1, 30.0, 9), (1, 20.0, 12)]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 0, 1], [1, 0, 3, 2]):
        stored = Stored(table(changed_at="changed"))
        for place, number in enumerate(order):
            assert put(stored, [news[number]], 100 + place)
            assert not put(stored, [news[each] for each in order[: place + 1]], 200 + place)
        read = stored.read()
        said = [believed(read, second(at))["x"].to_list() for at in (1, 2, 4, 5, 8, 9, 11, 12, 99)]  # type: ignore[arg-type]
        assert said == [[None], [10.0], [10.0], [20.0], [20.0], [30.0], [30.0], [20.0], [20.0]], order


def test_a_row_overwritten_without_saying_so_is_known_when_it_was_seen() -> None:
    stored = Stored(table(changed_at="changed"))
    put(stored, [(1, 10.0, 2)], 3, whole=True)
    put(stored, [(1, 20.0, 2)], 7, whole=True)
    read = stored.read()
    assert [believed(read, second(at))["x"].to_list() for at in (2, 6, 7)] == [[10.0], [10.0], [20.0]]  # type: ignore[arg-type]
    put(stored, [(2, 1.0, 1)], 8, whole=True)
    assert believed(stored.read(), second(8))["id"].to_list() == [2]  # type: ignore[arg-type]
    assert stored.read().frame[GONE].to_list().count(1) == 1
