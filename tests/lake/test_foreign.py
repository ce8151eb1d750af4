"""Attached Delta tables whose owner goes on writing, from a process of its own."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Delta
from millstream.definitions.table import Table
from millstream.lake.attached.foreign import moved, retention
from millstream.lake.delta import DeltaLog
from tests.lake.house import House
from tests.lake.owner import Owner


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    owner = Owner(tmp_path_factory.mktemp("nowhere"))
    yield owner
    owner.close()


@pytest.fixture
def owner(other: Owner, house: House) -> Owner:
    other.path = house.root / "ops/trips"
    return other


def trips(**words: object) -> Table:
    said: dict[str, object] = {"key": "id", "event_time": "leaves", "timezone": "UTC"}
    return Table("trips", source=Delta("ops/trips"), **(said | words))  # type: ignore[arg-type]


def bytes_of(folder: Path) -> dict[str, str]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    return {str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def said(lake: object, since: int, version: int) -> str:
    return moved(lake.catalog, "trips", since=since, version=version)  # type: ignore[attr-defined]


def test_each_act_of_the_owner_is_told_in_rows(house: House, owner: Owner) -> None:
    owner.do("append", first=0, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    told = []
    for act, words in (
        ("append", {"first": 10, "count": 5}),
        ("delete", {"where": "id < 3"}),
        ("update", {"set": {"delay": "9.0"}, "where": "id = 12"}),
        ("overwrite", {"first": 10, "count": 7, "where": "id >= 10", "delay": 2.0}),
        ("overwrite", {"first": 100, "count": 4}),
    ):
        owner.do(act, **words)
        made = lake.refresh(actor="ann")
        assert len(made) == 1
        told.append(said(lake, made[0].version - 1, made[0].version))
    assert told[0] == "5 rows new"
    assert told[1] == "0 rows came, 0 changed, 3 vanished; earlier versions keep what is gone"
    assert told[2] == "0 rows came, 1 changed, 0 vanished"
    assert told[3] == "2 rows came, 5 changed, 0 vanished"
    assert told[4].startswith("4 rows came, 0 changed, 14 vanished")
    assert [lake.read("trips", version=each).frame.height for each in range(6)] == [10, 15, 12, 12, 14, 4]
    assert all(each.ok for each in lake.verify())


def test_without_a_key_rows_are_compared_whole(house: House, owner: Owner) -> None:
    owner.do("append", first=0, count=10)
    lake = house.lake([trips(key=())])
    lake.refresh(actor="ann")
    owner.do("delete", where="id = 4")
    lake.refresh(actor="ann")
    assert said(lake, 0, 1) == "0 rows came, 1 vanished"


@pytest.mark.parametrize("act", ["compact", "cluster"])
def test_a_compaction_is_no_new_batch_and_frees_nothing_from_quarantine(house: House, owner: Owner, act: str) -> None:
    for number in range(3):
        owner.do("append", first=number * 10, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    bad = pl.DataFrame({"id": [3, 21], "check": ["c", "c"], "reason": ["r", "r"]})
    with house.state.transact() as tx:
        lake.quarantine("trips", 2, bad, tx=tx)
    before = lake.read("trips").frame.sort("id")
    owner.do(act)
    (made,) = lake.refresh(actor="ann")
    assert made.rows == 30
    assert lake.added("trips", since=2, version=made.version).frame.height == 0
    assert lake.kept("trips", since=2, version=made.version).frame.height == 30
    for each in (lake, house.lake([trips()])):
        assert each.read("trips").frame.sort("id").equals(before)
    assert "no row came or went" in said(lake, 2, made.version)
    assert all(each.ok for each in lake.verify())


def test_rows_that_came_and_were_compacted_between_two_looks_are_still_a_batch(house: House, owner: Owner) -> None:
    owner.do("append", first=0, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    owner.do("append", first=10, count=5)
    owner.do("compact")
    owner.do("append", first=15, count=1)
    made = lake.refresh(actor="ann")
    assert [each.version for each in made] == [1, 3]
    assert sorted(lake.added("trips", since=0, version=1).frame["id"]) == [10, 11, 12, 13, 14]
    assert sorted(lake.added("trips", since=1, version=3).frame["id"]) == [15]
    assert lake.refresh(actor="ann") == []
    assert all(each.ok for each in house.lake([trips()]).verify())


def test_what_was_compacted_and_vacuumed_unseen_counts_as_new(house: House, owner: Owner) -> None:
    owner.do("append", first=0, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    owner.do("append", first=10, count=5)
    owner.do("compact")
    owner.do("vacuum")
    made = lake.refresh(actor="ann")[-1]
    assert lake.added("trips", since=0, version=made.version).frame.height == 15, "its rows could not be told apart"


def test_a_cleaned_log_is_no_obstacle(house: House, owner: Owner) -> None:
    owner.do("append", first=0, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    owner.do("append", first=10, count=5)
    owner.do("compact")
    owner.do("checkpoint")
    for number in range(2):
        (owner.path / f"_delta_log/{number:020d}.json").unlink()
    made = house.lake([trips()]).refresh(actor="ann")[-1]
    assert (made.version, made.rows) == (2, 15)
    assert lake.read("trips", version=0).frame.height == 10


def test_reading_while_the_owner_writes_sees_whole_versions_only(house: House, owner: Owner) -> None:
    owner.do("append", first=0, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    owner.ask("storm", first=10, commits=20)
    seen = []
    while owner.heard() != "done":
        seen += lake.refresh(actor="ann")
        frame = lake.read("trips").frame
        assert sorted(frame["id"]) == list(range(frame.height))
        assert frame.height == lake.head("trips").rows
    lake.refresh(actor="ann")
    assert lake.read("trips").frame.height == 30
    batches = [each.version for each in lake.history("trips")]
    came = [lake.added("trips", since=a, version=b).frame["id"].to_list() for a, b in itertools.pairwise(batches)]
    assert sorted(each for batch in came for each in batch) == list(range(10, 30)), "each row is new exactly once"
    assert all(each.ok for each in lake.verify())


ACTS = st.sampled_from(["append", "delete", "overwrite", "compact", "refresh"])


@given(acts=st.lists(ACTS, min_size=1, max_size=5))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_law_13_whatever_the_owner_does_no_data_is_copied_or_touched(
    house: House, owner: Owner, acts: list[str]
) -> None:
    import shutil

    shutil.rmtree(house.root, ignore_errors=True)
    fresh = House(house.root)
    owner.do("append", first=0, count=4)
    lake = fresh.lake([trips()])
    for number, act in enumerate([*acts, "refresh"], 1):
        if act == "refresh":
            before = bytes_of(owner.path)
            assert all(each.bytes_copied == 0 for each in lake.refresh(actor="ann"))
            lake.read("trips")
            assert bytes_of(owner.path) == before
        elif act == "delete":
            owner.do(act, where=f"id = {number}")
        elif act == "compact":
            owner.do(act)
        else:
            owner.do(act, first=number * 10, count=3)
    lakeside = [each for each in fresh.places.lake.rglob("*") if each.is_file() and each.name != ".lock"]
    assert lakeside == []
    fresh.state.close()


def test_a_compaction_that_changes_the_number_of_rows_is_not_believed(house: House, owner: Owner) -> None:
    for number in range(2):
        owner.do("append", first=number * 10, count=10)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    owner.do("delete", where="id = 1")
    commit = owner.path / f"_delta_log/{2:020d}.json"
    commit.write_text(commit.read_text().replace('"dataChange":true', '"dataChange":false'))
    made = house.lake([trips()]).refresh(actor="ann")[-1]
    assert lake.added("trips", since=1, version=made.version).frame.height == 9


def test_the_retention_is_read_as_delta_writes_it() -> None:
    assert retention("") == timedelta(days=7)
    assert retention("interval 30 days") == timedelta(days=30)
    assert retention("interval 1 week 12 hours") == timedelta(days=7, hours=12)


def test_commits_are_told_apart(house: House, owner: Owner) -> None:
    for number in range(2):
        owner.do("append", first=number, count=1)
    owner.do("compact")
    commits = DeltaLog(owner.path).commits(0, 2)
    assert commits is not None
    assert [each.anew for each in commits] == [False, False, True]
    assert DeltaLog(owner.path).commits(0, 9) is None
