"""Tables the lake itself writes, verification, SQL and the cache."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from millstream.errors import BadData, NotFound, StorageFull, UserError
from millstream.lake.cache import FileCache
from tests.lake.house import House, planes, schedule

ROWS = pl.DataFrame({"id": ["a", "b"], "value": [0.5, None], "at": [datetime(2013, 1, 1, tzinfo=UTC)] * 2})


def test_an_append_is_a_version_and_the_same_identity_again_is_the_same_version(house: House) -> None:
    lake = house.lake([planes()])
    first = lake.append("answers", ROWS, app_id="s", app_version=4, actor="ann")
    assert (first.version, first.rows, first.kind, first.bytes_copied) == (0, 2, "own", 0)
    assert lake.append("answers", ROWS, app_id="s", app_version=4, actor="ann") == first
    assert house.lake([planes()]).append("answers", ROWS, app_id="s", app_version=4, actor="ann") == first
    second = lake.append("answers", ROWS, app_id="s", app_version=3, actor="ann")
    assert second.version == 1, "identities need not grow"
    found = lake.read("answers")
    assert found.frame.height == 4
    assert found.schema == {"id": "varchar", "value": "double", "at": "timestamptz"}
    assert lake.added("answers", since=0, version=1).frame.height == 2
    assert house.acts("table.version") == 2


def test_the_log_of_our_own_tables_is_kept(house: House) -> None:
    lake = house.lake([planes()])
    lake.append("answers", ROWS, app_id="s", app_version=1, actor="ann")
    said = DeltaTable(house.places.lake / "answers").metadata().configuration
    assert said["delta.logRetentionDuration"] == "interval 36500 days"


def test_wrong_appends_are_refused_and_leave_no_trace(house: House) -> None:
    lake = house.lake([planes()])
    lake.append("answers", ROWS, app_id="s", app_version=1, actor="ann")
    with pytest.raises(BadData, match="'value' was Float64, is String"):
        lake.append("answers", ROWS.with_columns(value=pl.lit("x")), app_id="s", app_version=2, actor="ann")
    with pytest.raises(UserError, match="come from its source"):
        lake.append("planes", ROWS, app_id="s", app_version=2, actor="ann")
    with pytest.raises(UserError, match="is not a name"):
        lake.append("../up", ROWS, app_id="s", app_version=2, actor="ann")
    with pytest.raises(BadData, match="at"):
        lake.append("answers", ROWS.with_columns(at=datetime(2013, 1, 1)), app_id="s", app_version=2, actor="ann")
    assert [each.version for each in lake.history("answers")] == [0]
    assert lake.recover() == []


def test_threads_that_append_at_once_lose_and_double_nothing(house: House) -> None:
    lake, other = house.lake([planes()]), house.lake([planes()])
    lake.append("answers", ROWS, app_id="s", app_version=0, actor="ann")

    def work(which: object, numbers: range) -> None:
        for number in numbers:
            which.append("answers", ROWS, app_id="s", app_version=number, actor="ann")  # type: ignore[attr-defined]

    threads = [threading.Thread(target=work, args=(each, range(1, 6))) for each in (lake, other)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert lake.read("answers").frame.height == 12
    assert len(lake.history("answers")) == 6
    assert all(each.ok for each in lake.verify())


def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_space(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = house.lake([planes()])
    lake.append("answers", ROWS, app_id="s", app_version=0, actor="ann")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StorageFull, match="No space left"):
            lake.append("answers", ROWS, app_id="s", app_version=1, actor="ann")
        assert lake.read("answers").frame.height == 2
    assert lake.append("answers", ROWS, app_id="s", app_version=1, actor="ann").version == 1
    assert lake.read("answers").frame.height == 4


def spoil(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(bytes(body))


def test_verify_names_the_first_bad_version(house: House) -> None:
    for number in range(3):
        house.publish(number)
        lake = house.lake()
        lake.refresh(actor="ann")
    for number in range(3):
        lake.append("answers", ROWS, app_id="s", app_version=number, actor="ann")
    assert [each.subject for each in lake.verify()] == ["answers", "flights", "movements", "planes", "schedule"]
    assert all(each.ok for each in lake.verify())
    held = lake.read("answers", version=1).frame.height
    assert held == 4
    files = sorted((house.places.lake / "answers").glob("*.parquet"), key=lambda each: each.stat().st_mtime_ns)
    spoil(files[1])
    bad = [each for each in lake.verify() if not each.ok]
    assert [each.subject for each in bad] == ["answers@1"]
    assert files[1].name in bad[0].says
    theirs = sorted((house.root / "ops/schedule").glob("*.parquet"), key=lambda each: each.stat().st_mtime_ns)
    theirs[2].write_bytes(theirs[2].read_bytes() + b"x")
    theirs[1].unlink()
    bad = [each for each in lake.verify() if not each.ok]
    assert [each.subject for each in bad] == ["answers@1", "schedule@1"]
    assert "missing" in bad[1].says


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE table_files SET bytes = bytes + 1 WHERE name = 'schedule'",
        "UPDATE table_files SET path = path || 'x' WHERE name = 'schedule' AND since = 1",
        "DELETE FROM table_files WHERE name = 'schedule' AND since = 1",
        "UPDATE table_files SET until = 1 WHERE name = 'schedule' AND since = 0",
    ],
)
def test_verify_notices_a_changed_file_list(house: House, change: str) -> None:
    for number in range(2):
        house.publish(number)
        lake = house.lake()
        lake.refresh(actor="ann")
    with house.state.transact() as tx:
        tx.execute(change)
    bad = [each for each in lake.verify() if not each.ok]
    assert [each.subject.partition("@")[0] for each in bad] == ["schedule"]


def test_query_reads_pinned_trusted_rows_and_says_which(house: House) -> None:
    for number in range(2):
        house.publish(number)
        lake = house.lake()
        lake.refresh(actor="ann")
    found, pins = lake.query("select count(*) as n from schedule join movements using (id)")
    assert found.rows() == [(40,)]
    assert pins == {"movements": 1, "schedule": 1}
    found, pins = lake.query("with s as (select * from schedule) select count(*) n from s", pins={"schedule": 0})
    assert (found.rows(), pins) == ([(20,)], {"schedule": 0})
    assert lake.query("select 1 as one")[1] == {}
    stars = lake.query("select * from flights")[0]
    assert stars.columns == list(lake.schema("flights")), "known-at columns stay inside"


@pytest.mark.parametrize(
    "sql",
    [
        "delete from schedule", "create table x as select 1", "copy schedule to '/tmp/x.csv'", "attach 'x.db'",
        "select * from read_csv('/etc/passwd')", "select * from read_text('/etc/passwd')", "select 1; select 2", "",
        "install httpfs", "set memory_limit = '1GB'", "select nothing from schedule", "pragma database_list",
    ],
)  # fmt: skip
def test_query_does_nothing_but_select(house: House, sql: str) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    with pytest.raises(UserError):
        lake.query(sql)


def test_query_names_near_tables_and_never_a_file(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    with pytest.raises(NotFound, match="did you mean 'schedule'"):
        lake.query("select * from schedul")
    with pytest.raises(NotFound, match="there is no table"):
        lake.query("select * from '/etc/passwd'")


def test_the_cache_keeps_to_its_bound_and_forgets_the_least_used() -> None:
    frame = pl.DataFrame({"x": range(1000)})
    cache = FileCache(limit_bytes=int(frame.estimated_size() * 2.5))
    for name in "ab":
        cache.put(("t", name), frame)
    assert cache.get(("t", "a")) is not None
    cache.put(("t", "c"), frame)
    assert [cache.get(("t", name)) is not None for name in "abc"] == [True, False, True]
    assert cache.bytes <= cache.limit_bytes
    cache.put(("t", "c"), frame)
    assert cache.bytes == 2 * int(frame.estimated_size())


def test_a_small_cache_changes_no_answer(house: House) -> None:
    for number in range(4):
        house.publish(number)
    lake = house.lake()
    lake.refresh(actor="ann")
    from millstream.definitions.manifest import gather
    from millstream.lake import Lake

    small = Lake(
        gather(house.tables), house.places, state=house.state, ledger=house.ledger, clock=house.clock, cache_bytes=1
    )
    for _ in range(2):
        assert small.read("flights").frame.equals(lake.read("flights").frame)


def test_rows_come_in_one_order_however_versions_were_registered(house: House) -> None:
    for number in (2, 0, 1):
        house.publish(number)
        step = house.lake()
        step.refresh(actor="ann")
    whole = step.read("schedule").frame
    with house.state.transact() as tx:
        for table in ("table_versions", "table_files", "table_schemas"):
            tx.execute(f"DELETE FROM {table}")
    fresh = house.lake([schedule()])
    fresh.refresh(actor="ann")
    assert fresh.read("schedule").frame.equals(whole)
    assert whole["leaves"].is_sorted()


@pytest.mark.parametrize(
    "change", ["UPDATE table_versions SET body = CAST(replace(CAST(body AS TEXT), '\"rows\":', '\"rows\":9') AS BLOB)"]
)
def test_verify_names_a_version_the_ledger_tells_otherwise(house: House, change: str) -> None:
    lake = house.lake([])
    lake.append("answers", pl.DataFrame({"n": [1]}), app_id="log.a", app_version=1, actor="ann")
    assert all(each.ok for each in lake.verify())
    with house.state.transact() as tx:
        assert tx.execute(change)
    (bad,) = house.lake([]).verify()
    assert not bad.ok and bad.subject == "answers@0" and "of the ledger says 1" in bad.says
