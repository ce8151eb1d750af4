"""Quarantine: a mask by key and version."""

from __future__ import annotations

import polars as pl
import pytest
from deltalake import write_deltalake

from millstream.errors import BadData, UserError
from tests.lake.house import House, day, flights, movements, schedule


def mask(house: House, lake: object, table: str, version: int, keys: pl.DataFrame) -> int:
    rows = keys.with_columns(check=pl.lit("unique(id)"), reason=pl.lit("twice"))
    with house.state.transact() as tx:
        return lake.quarantine(table, version, rows, tx=tx)  # type: ignore[attr-defined]


def test_trusted_reads_leave_the_masked_rows_out_and_nothing_is_dropped(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    assert mask(house, lake, "movements", 0, pl.DataFrame({"id": [3, 4]})) == 2
    for each in (lake, house.lake()):
        assert 3 not in each.read("movements").frame["id"]
        assert each.read("movements").frame.height == 18
        assert each.read("movements", trusted=False).frame.height == 20
        assert each.head("movements").quarantined == 2
    found = lake.quarantined("movements", 0)
    assert found.columns == ["id", "version", "check", "reason"]
    assert found.rows() == [(3, 0, "unique(id)", "twice"), (4, 0, "unique(id)", "twice")]
    assert lake.added("movements", since=None, version=0).frame.height == 20


def test_derived_rows_read_trusted_inputs(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    mask(house, lake, "movements", 0, pl.DataFrame({"id": [3]}))
    trusted, all_ = lake.read("flights").frame, lake.read("flights", trusted=False).frame
    assert trusted.height == all_.height == 20
    assert trusted.filter(id=3)["tail"][0] is None
    assert all_.filter(id=3)["tail"][0] == "N3"
    mask(house, lake, "flights", 0, pl.DataFrame({"id": [5]}))
    assert 5 not in lake.read("flights").frame["id"]


def test_a_mask_holds_for_later_versions_but_not_earlier_ones(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    house.publish(1)
    lake.refresh(actor="ann")
    mask(house, lake, "schedule", 1, pl.DataFrame({"id": [3, 1003]}))
    assert lake.read("schedule", version=0).frame.height == 20
    assert lake.read("schedule", version=1).frame.height == 38
    house.publish(2)
    lake.refresh(actor="ann")
    assert lake.read("schedule").frame.height == 58
    assert lake.quarantined("schedule", 0).height == 0


def test_a_corrected_row_of_a_later_version_is_a_new_row(house: House) -> None:
    house.publish(0)
    lake = house.lake([movements()])
    lake.refresh(actor="ann")
    mask(house, lake, "movements", 0, pl.DataFrame({"id": [3]}))
    write_deltalake(house.root / "ops/movements", day(0).filter(id=3).with_columns(delay=1.0), mode="append")
    lake.refresh(actor="ann")
    for each in (lake, house.lake([movements()])):
        assert each.read("movements").frame.filter(id=3)["delay"].to_list() == [1.0]
        assert each.read("movements", version=0).frame.filter(id=3).height == 0


def test_keys_of_several_columns_with_instants_and_nulls(house: House) -> None:
    rows = day(0).with_columns(tail=pl.when(pl.col("id") != 3).then("tail"))
    house.publish(0, rows)
    lake = house.lake([movements(key=("tail", "leaves"))])
    lake.refresh(actor="ann")
    found = lake.read("movements").frame.filter(pl.col("id").is_in([3, 8])).select("tail", "leaves")
    mask(house, lake, "movements", 0, found)
    assert lake.quarantined("movements", 0).select("tail", "leaves").sort("leaves").equals(found.sort("leaves"))
    left = lake.read("movements").frame["id"]
    assert 3 not in left
    assert 8 not in left
    assert len(left) == 18


def test_masking_again_changes_nothing_and_rolls_back_with_its_transaction(house: House) -> None:
    house.publish(0)
    lake = house.lake()
    lake.refresh(actor="ann")
    for _ in range(2):
        mask(house, lake, "schedule", 0, pl.DataFrame({"id": [3, 3]}))
    assert lake.quarantined("schedule", 0).height == 1
    with pytest.raises(RuntimeError), house.state.transact() as tx:
        lake.quarantine("schedule", 0, pl.DataFrame({"id": [4], "check": ["x"], "reason": ["y"]}), tx=tx)
        raise RuntimeError
    assert lake.read("schedule").frame.height == 19


def test_what_cannot_be_masked_is_said(house: House) -> None:
    house.publish(0)
    lake = house.lake([schedule(key=()), movements(), flights()])
    lake.refresh(actor="ann")
    with pytest.raises(UserError, match="it has no key"):
        mask(house, lake, "schedule", 0, pl.DataFrame({"id": [3]}))
    with house.state.transact() as tx, pytest.raises(BadData, match="lacks check, reason"):
        lake.quarantine("movements", 0, pl.DataFrame({"id": [3]}), tx=tx)
    assert mask(house, lake, "movements", 0, pl.DataFrame({"id": []}, schema={"id": pl.Int64})) == 0
