"""Columns that change: taken silently, waiting for somebody, or not to be accepted; each with its history."""

from __future__ import annotations

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from millstream.definitions.sources import Delta
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, MillstreamError
from millstream.lake.ingest.schema_history import schema_history
from millstream.sources.drift import differences, wider
from millstream.state import schemas
from tests.lake.house import House, day, planes, schedule


def trips(**words: object) -> Table:
    said: dict[str, object] = {"key": "id", "event_time": "leaves", "timezone": "America/New_York"}
    return Table("trips", source=Delta("ops/trips"), **(said | words))  # type: ignore[arg-type]


def publish(house: House, frame: pl.DataFrame) -> None:
    write_deltalake(house.root / "ops/trips", frame, mode="overwrite", schema_mode="overwrite")


@pytest.mark.parametrize(
    ("before", "after", "silent"),
    [
        ("integer", "long", True), ("long", "integer", False), ("float", "double", True), ("double", "float", False),
        ("decimal(10,2)", "decimal(12,2)", True), ("decimal(10,2)", "decimal(10,4)", False), ("long", "double", False),
        ("timestamp", "timestamp_ntz", False), ("string", "long", False),
    ],
)  # fmt: skip
def test_a_wider_type_of_the_same_kind_is_taken_silently(before: str, after: str, silent: bool) -> None:
    assert wider(before, after) is silent
    assert differences({"a": before}, {"a": after}) != []
    assert (differences({"a": before}, {"a": after}, silent=False) == []) is silent


_COLUMNS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["long", "string", "integer"]), max_size=4)


@given(before=_COLUMNS, after=_COLUMNS)
def test_every_difference_is_said_and_nothing_else(before: dict[str, str], after: dict[str, str]) -> None:
    said = differences(before, after)
    changed = [each for each in {**before, **after} if before.get(each) != after.get(each)]
    assert len(said) == len(changed)
    assert all(any(f"'{each}'" in line for line in said) for each in changed)


def test_a_wider_number_is_taken_and_stands_in_the_history(house: House) -> None:
    rows = day(0).with_columns(pl.col("id").cast(pl.Int32))
    publish(house, rows)
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    publish(house, day(1))
    assert lake.refresh(actor="bob")[0].version == 1
    first, second = schema_history(lake.catalog, "trips")
    assert (first.version, first.before, first.after["id"], first.actor, first.says) == (0, {}, "integer", "ann", ())
    assert (second.version, second.actor, second.accepted_by) == (1, "bob", "")
    assert second.says == ("'id' was integer, is long",)
    told = house.ledger.rows(acts=("table.schema",))[0]
    assert (told.subject, told.detail["before"], told.detail["after"]) == (
        "trips@1", {"id": "integer"}, {"id": "long"}
    )  # fmt: skip


def test_other_columns_wait_are_accepted_exactly_and_each_version_is_read_with_its_own(house: House) -> None:
    publish(house, day(0))
    lake = house.lake([trips(), planes()])
    lake.refresh(actor="ann")
    publish(house, day(1).rename({"tail": "tails"}).with_columns(pl.col("delay").cast(pl.String)))
    stopped: dict[str, MillstreamError] = {}
    (house.root / "files/planes.csv").write_text("tail,seats\nN1,100\n")
    made = lake.refresh(actor="ann", stopped=stopped)
    assert [each.table for each in made] == ["planes"], "other tables go on"
    said = str(stopped["trips"])
    for word in ("'tail' is missing (did you mean 'tails'?)", "'tails' is new", "'delay' was double, is string"):
        assert word in said
    assert "--accept-schema trips" in said
    lake.refresh(actor="ann", stopped={})
    assert house.acts("table.schema_waits") == 1, "noted once"
    lake.accept_schema("trips", actor="eve")
    publish(house, day(2).rename({"tail": "tailed"}))
    stopped = {}
    assert lake.refresh(actor="ann", stopped=stopped) == []
    assert "'tailed'" in stopped["trips"].happened, "what nobody has seen was not accepted"
    lake.accept_schema("trips", actor="eve")
    assert lake.refresh(actor="ann")[0].version == 2
    for each in (lake, house.lake([trips(), planes()])):
        old = each.read("trips", version=0)
        assert old.schema["tail"] == "varchar" and old.frame["tail"].null_count() == 0
        assert each.read("trips").schema["tailed"] == "varchar"
    (last,) = schema_history(lake.catalog, "trips")[1:]
    assert (last.version, last.accepted_by, last.actor) == (2, "eve", "ann")
    assert "did you mean 'tailed'" in last.says[0]
    assert schemas.waiting(house.state, "trips") is None
    assert all(each.ok for each in lake.verify())


def test_columns_that_came_back_wait_no_more(house: House) -> None:
    publish(house, day(0))
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    publish(house, day(1).drop("air"))
    lake.refresh(actor="ann", stopped={})
    assert schemas.all_waiting(house.state).keys() == {"trips"}
    publish(house, day(2))
    lake.refresh(actor="ann")
    assert schemas.all_waiting(house.state) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (pl.col("id").cast(pl.String), "'id' was long, is string; it is of the key"),
        (
            pl.col("leaves").dt.replace_time_zone("UTC"),
            "it has a time zone now; its times were read in America/New_York",
        ),
    ],
)
def test_a_key_that_changes_type_and_a_zone_that_moves_are_named(house: House, change: pl.Expr, says: str) -> None:
    publish(house, day(0))
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    bad = pl.DataFrame({"id": [3], "check": ["c"], "reason": ["r"]})
    with house.state.transact() as tx:
        lake.quarantine("trips", 0, bad, tx=tx)
    publish(house, day(0).with_columns(change))
    with pytest.raises(BadData, match=says):
        lake.refresh(actor="ann")
    lake.accept_schema("trips", actor="eve")
    lake.refresh(actor="ann")
    assert lake.read("trips").frame.height == 20
    assert lake.read("trips", version=0).frame.height == 19


def test_a_lost_zone_says_how_its_times_would_be_read(house: House) -> None:
    publish(house, day(0).with_columns(pl.col("leaves").dt.replace_time_zone("UTC")))
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    publish(house, day(1))
    with pytest.raises(BadData, match="lost its time zone, its times would be read in America/New_York"):
        lake.refresh(actor="ann")


def test_what_the_definition_needs_cannot_be_accepted_away(house: House) -> None:
    publish(house, day(0))
    lake = house.lake([trips()])
    lake.refresh(actor="ann")
    publish(house, day(1).rename({"id": "ident"}))
    with pytest.raises(BadData, match="accepting them will not do: key of table 'trips' names 'id'"):
        lake.refresh(actor="ann")
    assert schemas.all_waiting(house.state) == {}
    moved = house.lake([trips(key="ident")])
    with pytest.raises(BadData, match="--accept-schema trips"):
        moved.refresh(actor="ann")
    moved.accept_schema("trips", actor="eve")
    moved.refresh(actor="ann")
    assert moved.read("trips").frame.height == 20
    with pytest.raises(BadData, match="trips@0 has no column 'ident'"):
        moved.read("trips", version=0)


def test_a_table_that_grows_takes_new_columns_and_nothing_else(house: House) -> None:
    publish(house, day(0))
    lake = house.lake([trips(grows=True)])
    lake.refresh(actor="ann")
    write_deltalake(
        house.root / "ops/trips", day(1).with_columns(extra=pl.lit("x")), mode="append", schema_mode="merge"
    )
    assert lake.refresh(actor="ann")[0].version == 1
    assert lake.read("trips").frame["extra"].null_count() == 20
    assert schema_history(lake.catalog, "trips")[1].says == ("'extra' is new (string)",)
    publish(house, day(2))
    with pytest.raises(BadData, match="'extra' is missing"):
        lake.refresh(actor="ann")
    with pytest.raises(DefinitionError, match="computed, and grows"):
        Table("t", of=["trips"], sql="select 1", grows=True)


def test_a_derived_table_at_an_old_version_reads_the_columns_of_then(house: House) -> None:
    publish(house, day(0))
    of = Table("late", of=["trips"], sql="select id, leaves, delay from trips", key="id", event_time="leaves")
    lake = house.lake([trips(), of])
    lake.refresh(actor="ann")
    publish(house, day(1).with_columns(pl.col("delay").cast(pl.String)))
    lake.refresh(actor="ann", stopped={})
    lake.accept_schema("trips", actor="eve")
    lake.refresh(actor="ann")
    assert lake.read("late", version=0).schema["delay"] == "double"
    assert lake.read("late", version=1).schema["delay"] == "varchar"
    assert [each.says for each in schema_history(lake.catalog, "late")] == [(), ("'delay' was double, is varchar",)]


def test_an_ingested_table_follows_the_same_policy(house: House) -> None:
    lake = house.lake([planes(), schedule()])
    lake.refresh(["planes"], actor="ann")
    (house.root / "files/planes.csv").write_text("tail,seats,maker\nN1,100,x\n")
    with pytest.raises(BadData, match="'maker' is new"):
        lake.refresh(["planes"], actor="ann")
    lake.accept_schema("planes", actor="eve")
    lake.refresh(["planes"], actor="ann")
    change = schema_history(lake.catalog, "planes")[1]
    assert (change.accepted_by, change.after) == ("eve", {"tail": "string", "seats": "long", "maker": "string"})
