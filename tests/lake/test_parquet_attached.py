"""Parquet files that are written once: attached as they lie."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import polars as pl
import pytest

from millstream.definitions.sources import Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, IntegrityError, MillstreamError, NotFound
from millstream.lake.attached.foreign import files_moved, moved
from millstream.lake.lake import Lake
from tests.lake.house import House, day, planes
from tests.lake.test_foreign import bytes_of


def trips(path: str = "ops/*.parquet", **source: object) -> Table:
    return Table(
        "trips", source=Parquet(path, attach=True, **source), key="id", event_time="leaves", timezone="America/New_York"
    )  # type: ignore[arg-type]


def write(house: House, number: int, frame: pl.DataFrame | None = None) -> None:
    (house.root / "ops").mkdir(exist_ok=True)
    (day(number) if frame is None else frame).write_parquet(house.root / f"ops/{number}.parquet")


def look(house: House, **source: object) -> Lake:
    lake = house.lake([trips(**source)])  # type: ignore[arg-type]
    lake.refresh(actor="ann")
    return lake


def test_law_13_files_are_read_where_they_lie_and_each_set_is_a_version(house: House) -> None:
    for number in range(2):
        write(house, number)
    before = bytes_of(house.root / "ops")
    lake = look(house)
    first = lake.head("trips")
    assert (first.kind, first.version, first.rows, first.bytes_copied, first.delta_version) == (
        "attached",
        0,
        40,
        0,
        None,
    )
    assert lake.refresh(actor="ann") == [] and look(house).head("trips").version == 0
    write(house, 2)
    assert lake.refresh(actor="ann")[0].version == 1
    assert lake.added("trips", since=0, version=1).frame["id"].min() == 2000
    low = datetime(2013, 3, 10, tzinfo=UTC)
    assert lake.read("trips", between=(low, None)).frame["id"].min() == 2000
    assert lake.read("trips", version=0).frame.height == 40
    assert {name: each for name, each in bytes_of(house.root / "ops").items() if name in before} == before
    assert [each for each in house.places.lake.rglob("*") if each.is_file() and each.name != ".lock"] == []
    assert all(each.ok for each in lake.verify(deep=True, actor="ann"))


def test_a_file_that_changed_is_refused_by_name_and_other_tables_go_on(house: House) -> None:
    write(house, 0)
    lake = look(house)
    write(house, 0, day(5))
    stopped: dict[str, MillstreamError] = {}
    again = house.lake([trips(), planes()])
    assert [each.table for each in again.refresh(actor="ann", stopped=stopped)] == ["planes"]
    assert isinstance(stopped["trips"], IntegrityError) and "0.parquet changed" in str(stopped["trips"])
    write(house, 0)
    assert lake.refresh(actor="ann") == []


def test_a_file_that_vanished_makes_a_version_without_it_and_is_named(house: House) -> None:
    for number in range(2):
        write(house, number)
    lake = look(house)
    (house.root / "ops/0.parquet").unlink()
    assert lake.refresh(actor="ann")[0].rows == 20
    assert files_moved(lake.catalog, "trips", 0, 1) == "0 files came, 1 gone (ops/0.parquet)"
    assert "20 rows taken away" in moved(lake.catalog, "trips", since=0, version=1)
    write(house, 0, day(9))
    with pytest.raises(IntegrityError, match="other bytes than when trips@0 was registered"):
        lake.refresh(actor="ann")
    for each in (house.root / "ops").iterdir():
        each.unlink()
    with pytest.raises(NotFound, match="nothing matches"):
        house.lake([trips()]).refresh(actor="ann")


def test_a_touched_file_is_the_same_file(house: House) -> None:
    write(house, 0)
    lake = look(house)
    os.utime(house.root / "ops/0.parquet", (1, 1))
    assert lake.refresh(actor="ann") == [] and house.lake([trips()]).refresh(actor="ann") == []


def test_half_a_file_takes_nothing_until_it_is_whole(house: House) -> None:
    write(house, 0)
    lake = look(house)
    write(house, 1)
    whole = (house.root / "ops/1.parquet").read_bytes()
    (house.root / "ops/1.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData, match=r"1\.parquet of table 'trips' is not a whole Parquet file"):
        lake.refresh(actor="ann")
    (house.root / "ops/1.parquet").write_bytes(whole)
    assert lake.refresh(actor="ann")[0].rows == 40


def test_columns_follow_the_same_policy_as_everywhere(house: House) -> None:
    write(house, 0, day(0).with_columns(pl.col("id").cast(pl.Int32), payload=pl.lit(b"x")))
    lake = look(house, without=("payload",))
    write(house, 1)
    assert lake.refresh(actor="ann")[0].version == 1
    write(house, 2, day(2).with_columns(pl.col("id").cast(pl.Int16)))
    assert lake.refresh(actor="ann")[0].columns["id"] == "long"
    assert lake.read("trips").frame.height == 60
    write(house, 3, day(3).drop("air"))
    with pytest.raises(BadData, match="'air' is missing"):
        lake.refresh(actor="ann")
    lake.accept_schema("trips", actor="eve")
    lake.refresh(actor="ann")
    assert "air" not in lake.head("trips").columns and lake.read("trips").frame.height == 80
    assert lake.read("trips", version=2).frame["air"].null_count() == 6


def test_files_that_come_together_must_be_alike(house: House) -> None:
    write(house, 0)
    write(house, 1, day(1).rename({"tail": "tails"}))
    with pytest.raises(BadData, match=r"file 1\.parquet changed: 'tail' is missing \(did you mean 'tails'"):
        look(house)


def test_times_with_a_zone_of_their_own_stay_the_instants_they_are(house: House) -> None:
    instant = datetime(2013, 7, 1, 12, tzinfo=UTC)
    rows = pl.DataFrame({"id": [1], "leaves": [instant]}).with_columns(
        pl.col("leaves").dt.convert_time_zone("Asia/Tokyo")
    )
    write(house, 0, rows)
    assert look(house).read("trips").frame["leaves"][0] == instant


def test_words_that_would_change_what_is_in_the_files_are_refused() -> None:
    with pytest.raises(DefinitionError, match="is attached, and has rename"):
        Parquet("x.parquet", rename={"a": "b"}, attach=True)
