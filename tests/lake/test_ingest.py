"""Ingested files: copied once, recognised again, refused when they are not what was agreed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Csv, Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, NotFound
from tests.lake.house import House, planes


def test_ingesting_makes_a_version_with_the_bytes_it_copied(house: House) -> None:
    lake = house.lake([planes()])
    made = lake.refresh(actor="ann")[0]
    assert (made.kind, made.version, made.rows) == ("ingested", 0, 2)
    written = [each.stat().st_size for each in (house.places.lake / "planes").glob("*.parquet")]
    assert made.bytes_copied == sum(written) > 0
    assert lake.read("planes").frame.rows() == [("N1", 100), ("N2", None)]


def test_law_4_the_same_input_twice_changes_nothing(house: House) -> None:
    file = house.root / "files/planes.csv"
    house.lake([planes()]).refresh(actor="ann")
    before = sorted((house.places.lake / "planes").rglob("*"))
    rows = house.acts("")
    for lake in (house.lake([planes()]), house.lake([planes()])):
        assert lake.refresh(actor="bob") == []
        os.utime(file)
        assert lake.refresh(actor="bob") == []
        shutil.copy(file, file.with_suffix(".new"))
        file.with_suffix(".new").replace(file)
        assert lake.refresh(actor="bob") == []
    assert sorted((house.places.lake / "planes").rglob("*")) == before
    assert house.acts("") == rows


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6))
@settings(max_examples=8, deadline=None)
def test_law_4_a_version_for_each_change_and_no_other(contents: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "project")
        lake = house.lake([planes()])
        changes, last = 0, None
        for each in contents:
            (house.root / "files/planes.csv").write_text(f"tail,seats\n{each},1\n")
            made = lake.refresh(actor="ann")
            assert len(made) == (each != last)
            changes, last = changes + (each != last), each
            assert lake.read("planes").frame["tail"].to_list() == [each]
        assert len(lake.history("planes")) == changes
        house.state.close()


def test_a_changed_file_is_a_new_version_and_the_old_one_stays_readable(house: House) -> None:
    lake = house.lake([planes()])
    lake.refresh(actor="ann")
    (house.root / "files/planes.csv").write_text("tail,seats\nN9,7\n")
    assert lake.refresh(actor="ann")[0].version == 1
    assert lake.read("planes").frame["tail"].to_list() == ["N9"]
    assert lake.read("planes", version=0).frame["tail"].to_list() == ["N1", "N2"]


def test_a_number_column_that_holds_whole_numbers_today_stays_a_number(house: House) -> None:
    file = house.root / "files/planes.csv"
    file.write_text("tail,seats\nN1,1.5\n")
    lake = house.lake([planes()])
    lake.refresh(actor="ann")
    file.write_text("tail,seats\n12,2\n")
    lake.refresh(actor="ann")
    assert lake.read("planes").frame.rows() == [("12", 2.0)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tail,seats,age\nN1,1,2\n", "'age' is new"),
        ("tail\nN1\n", "'seats' is missing"),
        ("tail,seets\nN1,1\n", r"'seats' is missing \(did you mean 'seets'\?\); 'seets' is new"),
        ("tail,seats\nN1,many\n", "cannot be read.*many"),
        ("tail,seats\n", "is empty"),
        ("", "is empty"),
        ("tail,tail\n1,2\n", "two columns called 'tail'"),
        ("tail,seats\nN1,1,2,3\n", "line 2 of .* has 4 fields"),
    ],
)
def test_what_is_not_as_agreed_is_refused_and_leaves_no_trace(house: House, text: str, says: str) -> None:
    lake = house.lake([planes()])
    lake.refresh(actor="ann")
    before = sorted((house.places.lake / "planes").rglob("*"))
    (house.root / "files/planes.csv").write_text(text)
    with pytest.raises(BadData, match=says):
        lake.refresh(actor="ann")
    assert lake.head("planes").version == 0
    assert sorted((house.places.lake / "planes").rglob("*")) == before
    assert house.lake([planes()]).recover() == []


def test_other_columns_are_taken_when_accepted(house: House) -> None:
    lake = house.lake([planes()])
    lake.refresh(actor="ann")
    (house.root / "files/planes.csv").write_text("tail,seats,age\nN1,1,2\n")
    lake.accept_schema("planes", actor="ann")
    lake.refresh(actor="ann")
    assert list(lake.schema("planes")) == ["tail", "seats", "age"]
    assert lake.read("planes", version=0).frame["age"].null_count() == 2
    assert house.acts("table.accept_schema") == 1


def test_a_missing_file_names_what_lies_near(house: House) -> None:
    with pytest.raises(NotFound, match=r"did you mean 'planes\.csv'"):
        house.lake([Table("p", source=Csv("files/plane.csv"))]).refresh(actor="ann")
    with pytest.raises(NotFound, match="nothing matches"):
        house.lake([Table("p", source=Csv("nowhere/*.csv"))]).refresh(actor="ann")


def test_globs_of_parquet_and_naive_times(house: House) -> None:
    for number in range(3):
        rows = pl.DataFrame({"n": [number], "at": ["2013-07-01T12:00:00"]}).with_columns(pl.col("at").str.to_datetime())
        rows.cast({"n": pl.Int16}).write_parquet(house.root / f"files/part-{number}.parquet")
    table = Table(
        "parts", source=Parquet("files/part-*.parquet", mirror=True), timezone="America/New_York", event_time="at"
    )
    lake = house.lake([table])
    lake.refresh(actor="ann")
    found = lake.read("parts")
    assert found.frame["n"].to_list() == [0, 1, 2]
    assert found.frame["at"][0].isoformat() == "2013-07-01T16:00:00+00:00"
    (house.root / "files/part-1.parquet").unlink()
    lake.refresh(actor="ann")
    assert lake.read("parts").frame["n"].to_list() == [0, 2]
    pl.DataFrame({"m": [1]}).write_parquet(house.root / "files/part-9.parquet")
    with pytest.raises(BadData, match=r"part-9\.parquet"):
        lake.refresh(actor="ann")
    (house.root / "files/part-9.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadData, match="is not Parquet"):
        lake.refresh(actor="ann")
