"""Compaction: fewer files, the same rows, and it is still known which version brought which row."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest
from deltalake import DeltaTable

from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.errors import StorageFull, UserError
from millstream.lake import Lake
from millstream.lake.housekeeping.compact import compact
from millstream.state import taken
from tests.lake.house import House, planes, schedule


def rows(number: int) -> pl.DataFrame:
    return pl.DataFrame({"batch": [number] * 3, "row": [0, 1, 2]})


def appended(house: House, count: int, *, first: int = 0) -> Lake:
    lake = house.lake([planes()])
    for number in range(first, first + count):
        lake.append("answers", rows(number), app_id="s", app_version=number, actor="ann")
    return lake


def batches(lake: Lake, **words: object) -> list[int]:
    return sorted(lake.added("answers", **words).frame["batch"].unique())  # type: ignore[arg-type]


def test_many_files_become_one_and_every_batch_is_still_told_apart(house: House) -> None:
    lake = appended(house, 8)
    before = lake.read("answers").frame
    made = compact(lake, "answers", actor="ann")
    assert made is not None and (made.version, made.rows) == (8, 24)
    assert len(lake.catalog.files(lake.catalog.table("answers"), 8)) == 1
    assert lake.read("answers").frame.equals(before)
    for older in range(8):
        assert lake.read("answers", version=older).frame.height == 3 * (older + 1)
    lake.append("answers", rows(8), app_id="s", app_version=8, actor="ann")
    assert batches(lake, since=None, version=9) == list(range(9))
    for since in range(8):
        assert batches(lake, since=since, version=9) == list(range(since + 1, 9))
        assert batches(lake, since=since, version=8) == list(range(since + 1, 8))
        kept = lake.kept("answers", since=since, version=9).frame["batch"].unique().sort().to_list()
        assert kept == list(range(since + 1))
    assert lake.added("answers", since=7, version=8).frame.is_empty(), "a compaction is no batch"
    again = compact(lake, "answers", actor="ann")
    assert again is not None
    assert batches(lake, since=3, version=10) == [4, 5, 6, 7, 8], "a compacted file is compacted again"
    assert compact(lake, "answers", actor="ann") is None
    assert all(each.ok for each in lake.verify())


def test_the_log_says_that_no_data_changed_and_the_ledger_who_asked(house: House) -> None:
    lake = appended(house, 4)
    compact(lake, "answers", actor="bo")
    folder = house.places.lake / "answers"
    said = [json.loads(each) for each in (folder / "_delta_log" / f"{4:020d}.json").read_text().splitlines()]
    flags = [(each.get("add") or each["remove"])["dataChange"] for each in said if {"add", "remove"} & set(each)]
    assert flags == [False] * 5
    assert DeltaTable(folder).version() == 4 and len(DeltaTable(folder).file_uris()) == 1
    row = house.ledger.rows(act="table.compact")[0]
    assert (row.actor, row.subject, row.detail["files"]) == ("bo", "answers@4", 4)
    assert len(row.detail["into"]) == 1


def test_quarantine_holds_for_the_bad_row_and_not_for_its_correction(house: House) -> None:
    table = Table("bikes", source=Csv("files/bikes-*.csv"), key="id")
    lake = house.lake([table])
    (house.root / "files/bikes-1.csv").write_text("id,seats\n1,100\n2,-5\n")
    lake.refresh(actor="ann")
    with house.state.transact() as tx:
        bad = pl.DataFrame({"id": [2], "check": ["between"], "reason": ["negative"]})
        lake.quarantine("bikes", 0, bad, tx=tx)
    (house.root / "files/bikes-2.csv").write_text("id,seats\n2,5\n3,7\n")
    lake.refresh(actor="ann")
    expected = lake.read("bikes").frame.sort("id", "seats")
    assert expected.rows() == [(1, 100), (2, 5), (3, 7)]
    compact(lake, "bikes", actor="ann")
    assert lake.read("bikes").frame.sort("id", "seats").equals(expected)
    assert house.lake([table]).read("bikes").frame.sort("id", "seats").equals(expected)


def test_the_map_of_delivered_contents_moves_along(house: House) -> None:
    table = Table("bikes", source=Csv("files/bikes-*.csv"), key="id")
    lake = house.lake([table])
    for number in range(4):
        (house.root / f"files/bikes-{number}.csv").write_text(f"id,seats\n{number},{number * 10}\n")
        lake.refresh(actor="ann")
    made = compact(lake, "bikes", actor="ann")
    assert made is not None and made.version == 4
    path = lake.catalog.files(table, 4)[0].path
    assert {piece.data for each in taken.contents(house.state, "bikes").values() for piece in each.pieces} == {path}
    assert house.lake([table]).refresh(actor="ann") == [], "nothing is read anew"
    (house.root / "files/bikes-2.csv").write_text("id,seats\n2,99\n")
    changed = house.lake([table]).refresh(actor="ann")[0]
    said = taken.taking(house.state, "bikes", changed.version)
    assert said is not None and not said.anew and len(said.came) == 1 and len(said.moved) == 3
    found = house.lake([table]).read("bikes").frame.sort("id").rows()
    assert found == [(0, 0), (1, 10), (2, 99), (3, 30)]
    assert house.lake([table]).read("bikes", version=4).frame.sort("id").rows()[2] == (2, 20)
    assert all(each.ok for each in lake.verify())


def test_only_the_lakes_own_files_are_written_anew(house: House) -> None:
    house.publish(0)
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    with pytest.raises(UserError, match="its owner writes its files"):
        compact(lake, "schedule", actor="ann")


def test_a_full_disk_leaves_everything_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = appended(house, 4)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(StorageFull, match="nothing was compacted"):
            compact(lake, "answers", actor="ann")
    assert not list((house.places.lake / "answers").glob("compact-*"))
    assert lake.head("answers").version == 3
    assert compact(lake, "answers", actor="ann") is not None


def test_a_changed_record_of_what_was_compacted_is_found(house: House) -> None:
    lake = appended(house, 3)
    compact(lake, "answers", actor="ann")
    with house.state.transact() as tx:
        tx.execute("UPDATE compacted_files SET body = ?", (b"[[0,9]]",))
    assert ["compacted rows" in each.says for each in lake.verify() if not each.ok] == [True]


def test_what_a_table_with_history_believes_stays(house: House) -> None:
    table = Table("bikes", source=Csv("files/bikes.csv"), key="id", event_time="at", timezone="UTC", history=True)
    lake = house.lake([table])
    for number in range(4):
        text = f"id,at,seats\n1,2013-01-01 10:00:00,{number}\n2,2013-01-01 10:00:00,{number // 2}\n"
        (house.root / "files/bikes.csv").write_text(text)
        lake.refresh(actor="ann")
        house.clock.at += timedelta(days=1)
    head = lake.head("bikes").version
    before = lake.read("bikes").frame
    assert compact(lake, "bikes", actor="ann") is not None
    assert len(lake.catalog.files(table, head + 1)) == 1
    assert house.lake([table]).read("bikes").frame.equals(before)
    last = house.lake([table]).query("select id, seats from bikes order by id")[0].rows()
    assert last == [(1, 3), (2, 1)]
    assert house.lake([table]).refresh(actor="ann") == []
    (house.root / "files/bikes.csv").write_text("id,at,seats\n1,2013-01-01 10:00:00,9\n2,2013-01-01 10:00:00,1\n")
    assert house.lake([table]).refresh(actor="ann")[0].rows == before.height + 1
    assert all(each.ok for each in lake.verify())
