"""Attached tables: read where they lie, pinned, nothing copied."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Delta
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, IntegrityError, NotFound, UserError
from tests.lake.house import START, House, day, movements, schedule


def size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) if folder.exists() else 0


def test_law_13_attaching_copies_no_data(house: House) -> None:
    for number in range(3):
        house.publish(number, day(number, count=2000))
    made = house.lake([schedule(), movements()]).refresh(actor="ann")
    assert [(each.table, each.version, each.rows, each.kind) for each in made] == [
        ("schedule", 2, 6000, "attached"),
        ("movements", 2, 6000, "attached"),
    ]
    assert [each.bytes_copied for each in made] == [0, 0]
    assert size(house.places.lake) == 0


def test_a_refresh_without_news_changes_nothing(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    assert len(lake.refresh(actor="ann")) == 4
    rows = house.acts("")
    assert lake.refresh(actor="ann") == []
    assert house.lake().refresh(actor="ann") == []
    assert house.acts("") == rows


def test_every_new_version_has_one_ledger_row_by_its_actor(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    house.publish(1)
    lake.refresh(["schedule"], actor="bob")
    newest = house.ledger.rows(act="table.version", limit=1)[0]
    assert (newest.actor, newest.subject, newest.detail["rows"]) == ("bob", "schedule@1", 40)
    assert house.acts("table.version") == 5


def test_naive_times_are_localised_and_numbers_widened(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    found = lake.read("movements")
    assert found.schema == {
        "id": "bigint", "leaves": "timestamptz", "tail": "varchar", "delay": "double", "air": "double",
        "left_at": "timestamptz", "landed_at": "timestamptz",
    }  # fmt: skip
    assert found.frame["leaves"][0] == datetime(2013, 3, 8, 11, tzinfo=UTC)


def test_known_at_holds_per_column_with_lag(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    found = lake.read("movements", columns=["id", "delay", "landed_at", "left_at"])
    frame = found.frame
    landed, left = frame["landed_at"] + timedelta(days=1), frame["left_at"] + timedelta(days=1)
    assert frame[found.known["id"]].equals(landed, null_equal=True, check_names=False)
    assert frame[found.known["delay"]].equals(left, null_equal=True, check_names=False)
    later = pl.select(
        pl.when(landed.is_not_null() & left.is_not_null()).then(pl.max_horizontal(landed, left))
    ).to_series()
    assert frame[found.known["left_at"]].equals(later, null_equal=True, check_names=False)
    cancelled = frame.filter(pl.col("landed_at").is_null())
    assert cancelled.height == 2
    assert cancelled[found.known["id"]].null_count() == 2, "a NULL known-at is never known"


def test_a_computed_column_is_not_known_before_its_inputs(house: House) -> None:
    table = movements(
        columns={"left_at": "leaves + delay * interval '1 minute'", "landed_at": "left_at + air * interval '1 minute'"},
        known_at={"*": "leaves", "air": "landed_at", "delay": "left_at"},
    )
    house.publish(0)
    lake = house.lake([table])
    lake.refresh(actor="ann")
    found = lake.read("movements")
    late = found.frame.filter(pl.col("landed_at").is_not_null())
    for computed, needs in (("left_at", ["leaves", "delay"]), ("landed_at", ["left_at", "air"])):
        for each in needs:
            assert (late[found.known[computed]] >= late[found.known[each]]).all()


def test_undeclared_known_at_is_event_time_and_said_so(house: House) -> None:
    house.publish(0)
    lake = house.lake([schedule(known_at=None, lag="2h"), movements()])
    lake.refresh(actor="ann")
    found = lake.read("schedule")
    assert found.frame[found.known["id"]].equals(found.frame["leaves"] + timedelta(hours=2), check_names=False)
    said = lake.assumptions("schedule")
    assert said[0] == "schedule does not say when its rows became known: taken as leaves"
    assert "2h" in said[1]
    assert any("left_at + air" in each for each in lake.assumptions("movements"))


def test_a_static_table_is_always_known(house: House) -> None:
    lake = house.lake()
    house.publish(0)
    lake.refresh(actor="ann")
    assert lake.read("planes").known == {}
    assert lake.read("planes").frame["seats"].to_list() == [100, None]
    assert lake.assumptions("planes") == ["planes has no event time: its rows are taken as always known"]
    with pytest.raises(UserError, match="no event time"):
        lake.read("planes", between=(datetime(2013, 1, 1, tzinfo=UTC), None))


def test_a_pinned_version_reads_the_same_after_later_commits_and_without_its_log(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    before = lake.read("movements", version=0).frame
    write_deltalake(house.root / "ops/movements", day(5), mode="overwrite")
    lake.refresh(actor="ann")
    assert lake.read("movements").frame["id"].min() == 5000
    assert lake.read("movements", version=0).frame.equals(before)
    assert house.lake().read("movements", pins={"movements": 0}).frame.equals(before)
    shutil.rmtree(house.root / "ops/movements/_delta_log")
    assert house.lake().read("movements", version=0).frame.equals(before)


def test_the_first_sight_registers_the_head_and_an_older_version_on_demand(house: House) -> None:
    for number in range(4):
        house.publish(number)
    lake = house.lake()
    lake.refresh(actor="ann")
    assert [each.version for each in lake.history("schedule")] == [3]
    assert lake.version("schedule", 1).rows == 40
    assert lake.read("schedule", version=1).frame.height == 40
    assert [each.version for each in lake.history("schedule")] == [1, 3]
    assert lake.head("schedule").version == 3
    with pytest.raises(NotFound, match="no version 9"):
        lake.version("schedule", 9)
    assert all(each.ok for each in lake.verify())


def test_a_checkpoint_and_a_cleaned_log_do_not_disturb(house: House) -> None:
    house.publish(0)
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    for number in range(1, 4):
        house.publish(number)
    DeltaTable(house.root / "ops/schedule").create_checkpoint()
    for number in range(3):
        (house.root / f"ops/schedule/_delta_log/{number:020d}.json").unlink()
    assert lake.refresh(actor="ann")[0].rows == 80
    assert lake.read("schedule", version=0).frame.height == 20


def test_partition_columns_and_odd_names_are_read(house: House) -> None:
    rows = day(0).with_columns(part=pl.when(pl.col("id") < 10).then(pl.lit("a b:c/d%")).otherwise(None))
    write_deltalake(house.root / "ops/schedule", rows.select("id", "leaves", "part"), partition_by=["part"])
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    more = day(1).select("id", "leaves", part=pl.lit("a b:c/d%"))
    write_deltalake(house.root / "ops/schedule", more, mode="append")
    lake.refresh(actor="ann")
    for each in (lake, house.lake([schedule()])):
        found = each.read("schedule").frame.group_by("part").len().sort("part", nulls_last=True)
        assert found.rows() == [("a b:c/d%", 30), (None, 10)]


@pytest.mark.parametrize("names", [["id"], ["id", "id"], ["leaves"]])
def test_columns_can_be_chosen(house: House, names: list[str]) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    found = lake.read("schedule", columns=names)
    assert list(found.schema) == list(dict.fromkeys(names))
    assert set(found.frame.columns) == {*names, *found.known.values()}
    with pytest.raises(NotFound, match="did you mean 'leaves'"):
        lake.read("schedule", columns=["leavs"])


@given(start=st.integers(-30, 8 * 24), hours=st.integers(0, 90), bounded=st.sampled_from(["both", "low", "high"]))
@settings(max_examples=40, deadline=None)
def test_a_range_reads_exactly_the_rows_inside(start: int, hours: int, bounded: str) -> None:
    lake = _week()
    low = START.replace(tzinfo=UTC) + timedelta(hours=start)
    between = (None if bounded == "high" else low, None if bounded == "low" else low + timedelta(hours=hours))
    whole = lake.read("movements").frame
    wanted = whole.filter(
        (pl.lit(between[0] is None) | (pl.col("leaves") >= (between[0] or low)))
        & (pl.lit(between[1] is None) | (pl.col("leaves") < (between[1] or low)))
    )
    assert lake.read("movements", between=between).frame.equals(wanted)


_made: list[object] = []


def _week() -> object:
    if not _made:
        import tempfile

        folder = tempfile.TemporaryDirectory()
        house = House(Path(folder.name) / "project")
        for number in range(7):
            house.publish(number)
        lake = house.lake()
        lake.refresh(actor="ann")
        _made.extend([lake, house, folder])
    return _made[0]


def test_a_range_decodes_only_the_files_it_needs(house: House) -> None:
    for number in range(9):
        house.publish(number)
    lake = house.lake()
    lake.refresh(actor="ann")
    low = datetime(2013, 3, 12, tzinfo=UTC)
    found = lake.read("schedule", between=(low, low + timedelta(days=1)))
    assert found.frame.height == 20
    for each in (house.root / "ops/schedule").glob("*.parquet"):
        if pl.read_parquet(each)["leaves"].min().day not in (11, 12, 13):  # type: ignore[union-attr]
            each.unlink()
    again = house.lake().read("schedule", between=(low, low + timedelta(days=1)))
    assert again.frame.equals(found.frame)


def test_a_missing_file_is_named(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    gone = next((house.root / "ops/schedule").glob("*.parquet"))
    gone.unlink()
    with pytest.raises(IntegrityError, match=gone.name):
        lake.read("schedule")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop("air"), "'air' is missing"),
        (lambda rows: rows.with_columns(new=pl.lit(1)), "'new' is new"),
        (lambda rows: rows.with_columns(pl.col("delay").cast(pl.String)), "'delay' was double, is string"),
    ],
)
def test_changed_columns_are_refused_until_accepted(house: House, change: object, says: str) -> None:
    house.publish(0)
    tables = [movements(columns={}, known_at=None)]
    lake = house.lake(tables)
    lake.refresh(actor="ann")
    rows = change(day(1))  # type: ignore[operator]
    write_deltalake(house.root / "ops/movements", rows, mode="overwrite", schema_mode="overwrite")
    with pytest.raises(BadData, match=says):
        lake.refresh(actor="ann")
    assert lake.head("movements").version == 0
    lake.accept_schema("movements", actor="ann")
    assert lake.refresh(actor="ann")[0].version == 1
    assert lake.read("movements").frame.height == 20


def test_a_table_that_went_back_is_refused(house: House) -> None:
    house.publish(0)
    house.publish(1)
    house.lake().refresh(actor="ann")
    shutil.rmtree(house.root / "ops/schedule")
    house.publish(0)
    with pytest.raises(IntegrityError, match="a log that only grows"):
        house.lake().refresh(actor="ann")


def test_what_is_no_delta_table_is_said_so(house: House) -> None:
    with pytest.raises(NotFound, match="is not a Delta table"):
        house.lake().refresh(actor="ann")
    lake = house.lake()
    with pytest.raises(NotFound, match="did you mean 'schedule'"):
        lake.refresh(["schedul"], actor="ann")
    with pytest.raises(NotFound, match="no version yet"):
        lake.head("schedule")
    with pytest.raises(NotFound, match="there is no table 'nothing'"):
        lake.read("nothing")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"key": "idd"}, "did you mean 'id'"),
        ({"event_time": "leave"}, "did you mean 'leaves'"),
        ({"event_time": "id", "known_at": None}, "is a bigint"),
        ({"known_at": {"lands": "leaves"}}, "'lands', which is not a column"),
        ({"known_at": "id + 1"}, "expected: an instant"),
        ({"columns": {"id": "1"}}, "is a column already"),
        ({"columns": {"x": "idd + 1"}}, "did you mean"),
    ],
)
def test_definitions_that_do_not_fit_are_refused(house: House, words: dict[str, object], says: str) -> None:
    house.publish(0)
    with pytest.raises(DefinitionError, match=says):
        house.lake([schedule(**words)]).refresh(actor="ann")


def test_naive_times_without_a_zone_are_refused(house: House) -> None:
    house.publish(0)
    with pytest.raises(BadData, match="leaves"):
        house.lake([schedule(timezone=None)]).refresh(actor="ann")


def test_columns_that_are_no_value_of_a_row_are_named_and_left_out(house: House) -> None:
    odd = pl.DataFrame({"a": [1], "b": [[1, 2]], "c": [{"x": 1}], "d": [b"x"], "e": ["text"]})
    write_deltalake(house.root / "ops/odd", odd)
    with pytest.raises(BadData, match=r"'b' \(array\), 'c' \(struct\), 'd' \(binary\)") as wrong:
        house.lake([Table("odd", source=Delta("ops/odd"))]).refresh(actor="ann")
    assert "sources.Delta(..., without=('b', 'c', 'd'))" in str(wrong.value)
    left = Table("odd", source=Delta("ops/odd", without=("b", "c", "d")), key="a")
    house.lake([left]).refresh(actor="ann")
    assert house.lake([left]).read("odd").frame.to_dicts() == [{"a": 1, "e": "text"}]
    write_deltalake(house.root / "ops/odd", odd.with_columns(pl.lit(2).cast(pl.Int64).alias("a")), mode="append")
    house.lake([left]).refresh(actor="ann")
    read = house.lake([left]).read("odd")
    assert (read.version, read.frame["a"].sort().to_list(), read.frame.columns) == (1, [1, 2], ["a", "e"])
    assert house.lake([left]).read("odd", version=0).frame.height == 1
    assert all(each.ok for each in house.lake([left]).verify(deep=True))


@pytest.mark.parametrize(("without", "says"), [(("bb",), "did you mean 'b'"), ("b", r"\('b',\)")])
def test_columns_left_out_that_are_not_there_are_refused(house: House, without: Any, says: str) -> None:
    write_deltalake(house.root / "ops/odd", pl.DataFrame({"a": [1], "b": [[1, 2]]}))
    with pytest.raises(DefinitionError, match=says):
        house.lake([Table("odd", source=Delta("ops/odd", without=without))]).refresh(actor="ann")


def test_columns_of_a_table_are_name_to_expression() -> None:
    with pytest.raises(DefinitionError, match=r"without=\(\.\.\.\) of the source"):
        Table("odd", source=Delta("ops/odd"), columns=["a", "b"])  # type: ignore[arg-type]


def test_deletion_vectors_and_column_mapping_are_refused(house: House) -> None:
    house.publish(0)
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    log = house.root / "ops/schedule/_delta_log"
    body = (log / f"{0:020d}.json").read_text()
    add = next(line for line in body.splitlines() if line.startswith('{"add"'))
    vector = '"deletionVector":{"storageType":"u","pathOrInlineDv":"x","offset":1,"sizeInBytes":1,"cardinality":1},'
    (log / f"{1:020d}.json").write_text(add.replace('{"add":{', '{"add":{' + vector))
    with pytest.raises(BadData, match="deletion vectors"):
        lake.refresh(actor="ann")
    meta = next(line for line in body.splitlines() if line.startswith('{"metaData"'))
    mapped = meta.replace('"configuration":{', '"configuration":{"delta.columnMapping.mode":"name"')
    (log / f"{1:020d}.json").write_text(mapped)
    with pytest.raises(BadData, match="column mapping"):
        lake.refresh(actor="ann")
    (log / f"{1:020d}.json").write_text(
        '{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["moonlight"]}}'
    )
    with pytest.raises(BadData, match="moonlight"):
        lake.refresh(actor="ann")


def test_an_empty_last_commit_is_noticed_and_not_a_version(house: House) -> None:
    house.publish(0)
    lake = house.lake([schedule()])
    lake.refresh(actor="ann")
    (house.root / f"ops/schedule/_delta_log/{1:020d}.json").write_bytes(b"")
    for each in (lake, house.lake([schedule()])):
        assert each.refresh(actor="ann") == []
        assert [(found.subject, found.ok) for found in each.recover()] == [("schedule@1", False)]
        assert "empty or cut" in each.recover()[0].says
    assert lake.read("schedule").frame.height == 20


def test_the_batch_of_a_version_is_what_it_added(house: House) -> None:
    for number in range(3):
        house.publish(number)
        lake = house.lake()
        lake.refresh(actor="ann")
    assert sorted(lake.added("schedule", since=1, version=2).frame["id"]) == sorted(day(2)["id"])
    assert lake.added("schedule", since=None, version=1).frame.height == 40
    assert lake.added("schedule", since=2, version=2).frame.height == 0
    assert sorted(lake.added("flights", since=0, version=2).frame["id"]) == sorted([*day(1)["id"], *day(2)["id"]])
