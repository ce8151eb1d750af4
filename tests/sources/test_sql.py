"""SQLite and other databases through SQLAlchemy: types at one door, drivers, files and passwords that are not there."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from millstream.definitions.sources import Sql
from millstream.errors import BadData, DefinitionError, MillstreamError, NotFound, Unavailable, UserError
from millstream.sources.reading import reading

TYPES = """create table types (id integer primary key, small smallint, price decimal(8,2), half real, yes boolean,
    word varchar(9), day date, at datetime, with_zone timestamp, bare, who uuid)"""
ROWS = """insert into types values
    (1, 7, 2.5, 0.1, 1, 'a:b%c "d" ö', '2024-02-29', '2024-01-01T12:00:00.5', '2024-01-01 12:00:00+02:00', 5, 'u-1'),
    (2, null, 3, 1, 0, '', null, '2024-01-02 00:00:00', '2024-01-01T10:00:00Z', null, null)"""


class Till:
    """One SQLite file, read as a table's source would be."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.addresses = {"till": "sqlite:///till.db"}
        self.run(TYPES, ROWS)

    def run(self, *statements: str) -> None:
        with sqlite3.connect(self.root / "till.db") as kept:
            for each in statements:
                kept.execute(each)
        kept.close()

    def read(self, source: Sql) -> pl.DataFrame:
        with reading(source, self.addresses, root=self.root, where="table 'types'") as found:
            copied = found.copy(order=("id",), since=None, folder=self.root, tell=lambda line: None)
        made = pl.concat(copied.frames())
        assert dict(made.schema) == copied.schema and made.height == copied.rows
        copied.close()
        return made

    def refused(self, source: Sql) -> MillstreamError:
        with pytest.raises(MillstreamError) as raised:
            self.read(source)
        assert raised.value.expected or raised.value.do
        return raised.value


@pytest.fixture
def till(tmp_path: Path) -> Till:
    return Till(tmp_path)


def test_every_type_arrives_as_number_truth_value_time_or_text(till: Till) -> None:
    one, two = till.read(Sql("types")).rows(named=True)
    assert one == {
        "id": 1,
        "small": 7,
        "price": 2.5,
        "half": 0.1,
        "yes": True,
        "word": 'a:b%c "d" ö',
        "day": date(2024, 2, 29),
        "at": datetime(2024, 1, 1, 12, 0, 0, 500_000),
        "with_zone": datetime(2024, 1, 1, 10, tzinfo=UTC),
        "bare": 5,
        "who": "u-1",
    }
    there = {name: value for name, value in two.items() if value is not None}
    assert there == {"id": 2, "price": 3.0, "half": 1.0, "yes": False, "word": "",
                     "at": datetime(2024, 1, 2), "with_zone": datetime(2024, 1, 1, 10, tzinfo=UTC)}  # fmt: skip
    asked = till.read(
        Sql(query="select id, price * 2 as twice, '12:30' as word, null as none from types where id > 1;")
    )
    assert asked.rows(named=True) == [{"id": 2, "twice": 6, "word": "12:30", "none": None}]
    times = till.read(Sql("types", columns=("id", "word"), where="word <> ''", rename={"word": "text"}))
    assert times.columns == ["id", "text"] and times.height == 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update types set small = 'seven' where id = 2", "table 'types', rows 1 to 2 is Int64, and holds 'seven'"),
        ("update types set yes = 2 where id = 2", "holds 2"),
        ("update types set day = '29.2.2024' where id = 2", "holds '29.2.2024'"),
        ("update types set at = '2024-01-01T12:00:00+01:00' where id = 2", "holds '2024-01-01T12:00:00+01:00'"),
        ("update types set word = x'00ff' where id = 2", "column 'word' of table 'types' holds bytes"),
        ("update types set half = 'much'", "holds 'much'"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_of_its_columns_type_is_told_and_not_guessed(till: Till, statement: str, says: str) -> None:
    till.run(statement)
    said = till.refused(Sql("types"))
    assert isinstance(said, BadData) and says in said.happened


def test_a_cursor_of_texts_is_compared_as_they_are_written(till: Till) -> None:
    till.run("delete from types", "create table seen (id integer primary key, at timestamp)")
    for form in ("2024-01-0{}T00:00:00Z", "2024-01-0{} 00:00:00", "2024-01-0{} 00:00:00.000000"):
        till.run("delete from seen", *(f"insert into seen values ({n}, '{form.format(n)}')" for n in range(1, 6)))
        source = Sql("seen", cursor="at")
        with reading(source, till.addresses, root=till.root, where="table 'seen'") as found:
            zone = UTC if form.endswith("Z") else None
            assert found.newest(found.now(None)) == datetime(2024, 1, 5, tzinfo=zone)
            assert found.newest(datetime(2024, 1, 3, tzinfo=zone)) == datetime(2024, 1, 3, tzinfo=zone)
            since = datetime(2024, 1, 4, tzinfo=zone)
            copied = found.copy(order=("at",), since=since, folder=till.root, tell=lambda line: None)
        assert pl.concat(copied.frames())["id"].to_list()[-2:] == [4, 5] and copied.rows == 2
        copied.close()
    till.run("insert into seen values (9, null)")
    with reading(source, till.addresses, root=till.root, where="table 'seen'") as found, pytest.raises(BadData) as said:
        found.refuse_empty_cursor()
    assert "'at is not null'" in said.value.do
    assert isinstance(till.refused(Sql("types", cursor="word")), DefinitionError)


def test_what_is_not_there_or_not_installed_is_named(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "tell-nobody-9")
    till.addresses = {"till": "sqlite:///tilll.db"}
    said = till.refused(Sql("types"))
    assert isinstance(said, NotFound) and "no SQLite file" in said.happened and "'till.db'" in said.do
    (till.root / "noise.db").write_bytes(b"no database, but long enough to be looked at" * 50)
    for address, kind, says in (
        ("sqlite:///noise.db", BadData, "not a database"),
        ("mysql+pymysql://me:${PASSWORD}@127.0.0.1:1/shop", UserError, "pymysql is not installed"),
        ("nothing+known://me:${PASSWORD}@host/shop", UserError, "nothing"),
        ("${UNSET_ADDRESS}", UserError, "UNSET_ADDRESS, which is not set"),
        ("not an address", UserError, "cannot be read"),
        ("postgresql+psycopg://me:${PASSWORD}@127.0.0.1:1/shop", Unavailable, "127.0.0.1"),
    ):
        till.addresses = {"till": address}
        said = till.refused(Sql("types"))
        assert isinstance(said, kind) and says in said.happened, (address, said)
        assert "tell-nobody-9" not in str(said)


def test_a_query_that_takes_too_long_is_ended_and_nothing_can_be_written(till: Till) -> None:
    slow = "with recursive s(i) as (select 1 union all select i + 1 from s) select count(*) as id from s"
    said = till.refused(Sql(query=slow, timeout="1s"))
    assert isinstance(said, Unavailable) and "within its timeout" in said.happened
    for query in ("delete from types", "select 1 as id; delete from types", "pragma journal_mode = wal", "selekt 1"):
        assert isinstance(till.refused(Sql(query=query)), BadData), query
    assert till.read(Sql("types")).height == 2
