"""Files into the lake: each content once, whatever its name, its time or how often the taking was killed."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Csv, Files, Json, Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, Refused
from millstream.lake import Lake
from millstream.lake.derived.steps import Meanwhile
from millstream.lake.faults import LANDED, VARIABLE
from millstream.sources import chunks, csv_parts, jsons
from millstream.state import taken
from tests.lake.house import House

REPOSITORY = Path(__file__).parents[2]


def put(house: House, name: str, *rows: int) -> Path:
    file = house.root / "files" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("n,t\n" + "".join(f"{each},x{each}\n" for each in rows))
    return file


def parts(source: Files | None = None, **words: object) -> Table:
    return Table("parts", source=source or Csv("files/p?.csv"), **words)  # type: ignore[arg-type]


def held(lake: Lake) -> list[int]:
    return sorted(lake.read("parts").frame["n"])


def refreshed(lake: Lake) -> list[str]:
    said: list[str] = []
    lake.refresh(actor="ann", meanwhile=Meanwhile(tell=said.append))
    return said


def data(house: House) -> set[str]:
    return {each.name for each in (house.places.lake / "parts").glob("*.parquet")}


def test_a_new_file_is_added_and_the_old_ones_are_not_read(house: House) -> None:
    lake = house.lake([parts()])
    first = put(house, "p1.csv", 1, 2)
    lake.refresh(actor="ann")
    before = data(house)
    os.utime(first, (1, 1))
    first.chmod(0o644)
    put(house, "p2.csv", 3)
    said = refreshed(lake)
    assert held(lake) == [1, 2, 3]
    assert before < data(house)
    assert "parts: 1 file new with 1 rows" in said
    taking = taken.taking(house.state, "parts", 1)
    assert taking is not None
    assert [each.path for each in taking.came] == ["files/p2.csv"]
    assert all(each.ok for each in lake.verify())


def test_a_project_that_was_moved_knows_its_files(house: House, tmp_path: Path) -> None:
    put(house, "p1.csv", 1, 2)
    put(house, "p2.csv", 3)
    house.lake([parts()]).refresh(actor="ann")
    house.state.close()
    there = House(house.root.rename(tmp_path / "elsewhere"))
    lake = there.lake([parts()])
    assert not lake.refresh(actor="ann")
    put(there, "p2.csv", 4)
    assert any("1 file changed" in each for each in refreshed(lake))
    assert held(lake) == [1, 2, 4]
    there.state.close()


def test_a_changed_file_replaces_exactly_what_it_brought(house: House) -> None:
    lake = house.lake([parts()])
    for number in range(4):
        put(house, f"p{number}.csv", 10 * number, 10 * number + 1)
    lake.refresh(actor="ann")
    put(house, "p2.csv", 77, 78, 79)
    said = refreshed(lake)
    assert held(lake) == [0, 1, 10, 11, 30, 31, 77, 78, 79]
    assert sorted(lake.read("parts", version=0).frame["n"]) == [0, 1, 10, 11, 20, 21, 30, 31]
    assert "parts: 1 file changed: 3 rows in place of 2, which earlier versions keep" in said
    put(house, "p0.csv", 5)
    put(house, "p3.csv", 6)
    lake.refresh(actor="ann")
    assert held(lake) == [5, 6, 10, 11, 77, 78, 79]
    assert refreshed(lake) == []
    assert all(each.ok for each in lake.verify())
    assert house.ledger.verify().ok


def test_a_file_that_is_gone_leaves_its_rows_unless_it_is_mirrored(house: House) -> None:
    lake = house.lake([parts()])
    put(house, "p1.csv", 1)
    gone = put(house, "p2.csv", 2)
    lake.refresh(actor="ann")
    gone.unlink()
    assert lake.refresh(actor="ann") == []
    put(house, "p3.csv", 3)
    assert "parts: 1 file gone, what they brought stays: p2.csv" in refreshed(lake)
    assert held(lake) == [1, 2, 3]
    with pytest.raises(Refused, match=r"1 of them are gone: .*p2\.csv"):
        house.lake([parts(Csv("files/p?.csv", null_values=("x",)))]).refresh(actor="ann")
    mirror = house.lake([parts(Csv("files/p?.csv", mirror=True))])
    mirror.refresh(actor="ann")
    assert held(mirror) == [1, 3]


def test_a_delivery_that_comes_twice_or_is_renamed_is_taken_once(house: House) -> None:
    lake = house.lake([parts()])
    first = put(house, "p1.csv", 1)
    lake.refresh(actor="ann")
    acts = house.acts("")
    shutil.copy(first, house.root / "files/p2.csv")
    assert refreshed(lake) == ["parts: 1 file delivered twice and taken once: p2.csv brings what p1.csv brings"]
    assert refreshed(lake) == []
    first.rename(house.root / "files/p0.csv")
    assert lake.refresh(actor="ann") == []
    assert house.acts("") == acts
    put(house, "p2.csv", 2)
    put(house, "p0.csv", 3)
    lake.refresh(actor="ann")
    assert held(lake) == [2, 3]


MOVES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([None, 1, 2, 3, 4])), min_size=1, max_size=5
)  # fmt: skip


@given(MOVES)
@settings(max_examples=6, deadline=None)
def test_law_4_a_mirror_holds_each_content_of_its_files_once(moves: list[tuple[str, int | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "project")
        put(house, "pz.csv", 0)
        lake = house.lake([parts(Csv("files/p?.csv", mirror=True))])
        there = {"": 0}
        for name, row in moves:
            if row is None:
                (house.root / f"files/p{name}.csv").unlink(missing_ok=True)
                there.pop(name, None)
            else:
                put(house, f"p{name}.csv", row)
                there[name] = row
            lake.refresh(actor="ann")
            assert held(lake) == sorted(set(there.values()))
            assert lake.refresh(actor="ann") == []
        house.state.close()


def test_folders_become_columns_and_the_same_bytes_on_two_days_are_two_deliveries(house: House) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        put(house, f"in/day={day}/p.csv", 1)
    source = Csv("files/in/**/*.csv", folders=("day",), times={"day": ("%Y-%m-%d",)}, columns=("n", "day"))
    lake = house.lake([parts(source, event_time="day", timezone="UTC")])
    lake.refresh(actor="ann")
    assert [str(each.date()) for each in sorted(lake.read("parts").frame["day"])] == ["2024-01-01", "2024-01-02"]
    assert list(lake.schema("parts")) == ["n", "day"]
    put(house, "in/p.csv", 4)
    with pytest.raises(BadData, match="lies in no folder day="):
        lake.refresh(actor="ann")


def test_a_late_file_is_known_from_when_it_came(house: House) -> None:
    source = Csv("files/p?.csv", arrived="arrived_at")
    words = {"event_time": "at", "timezone": "UTC", "known_at": "arrived_at"}
    lake = house.lake([parts(source, **words)])
    for name, day, came in (("p1", "2013-03-20", 1363824000), ("p0", "2013-02-01", 1363910400)):
        file = house.root / f"files/{name}.csv"
        file.write_text(f"n,at\n1,{day}T00:00:00\n")
        os.utime(file, (came, came))
        lake.refresh(actor="ann")
    found = lake.read("parts")
    known = dict(zip(found.frame["at"].dt.date(), found.frame[found.known["n"]].dt.date(), strict=True))
    assert {str(event): str(when) for event, when in known.items()} == {
        "2013-03-20": "2013-03-21", "2013-02-01": "2013-03-22",
    }  # fmt: skip


def test_late_files_without_a_known_at_and_events_after_now_are_said(house: House) -> None:
    lake = house.lake([parts(event_time="at", timezone="UTC")])
    (house.root / "files/p1.csv").write_text("n,at\n1,2013-03-20T00:00:00\n2,2014-03-20T00:00:00\n")
    said = refreshed(lake)
    assert any("1 rows have 'at' after now (2013-04-01" in each for each in said)
    (house.root / "files/p2.csv").write_text("n,at\n3,2013-02-20T00:00:00\n")
    assert any("1 rows came late, after rows of 2014-03-20" in each for each in refreshed(lake))


def test_a_killed_taking_goes_on_where_it_was(tmp_path: Path) -> None:
    house = House(tmp_path / "project")
    for number in range(3):
        (house.root / f"files/p{number}.csv").write_text("n\n" + f"{number}\n" * 500_001)
    code = (
        "import sys; from pathlib import Path; from tests.lake.house import House; "
        "from tests.lake.test_taking import parts; House(Path(sys.argv[1])).lake([parts()]).refresh(actor='child')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(house.root)], cwd=REPOSITORY, check=False,
        env=os.environ | {VARIABLE: f"{LANDED}:2"},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    lake = house.lake([parts()])
    assert "parts" not in lake.heads()
    said = refreshed(lake)
    assert said[0] == "parts: 2 of 3 files were read before, it goes on from there"
    assert lake.read("parts").frame["n"].value_counts(sort=True)["count"].to_list() == [500_001] * 3
    assert len(lake.history("parts")) == 1
    assert {each.path for each in lake.catalog.files(lake.catalog.table("parts"), 0)} == data(house)
    assert refreshed(lake) == []
    house.state.close()


def test_json_lines_are_laid_flat(house: House) -> None:
    file = house.root / "files/p.jsonl.gz"
    lines = b'{"n": 1, "at": {"lat": 1, "on": {"day": "x"}}, "tags": ["a", {"b": 2}]}\n\n{"n": 2, "at": {"lat": 1.5}}\n'
    file.write_bytes(gzip.compress(lines))
    lake = house.lake([parts(Json("files/*.jsonl.gz", rename={"at_lat": "lat"}))])
    lake.refresh(actor="ann")
    found = lake.read("parts").frame
    assert found.columns == ["n", "lat", "at_on_day", "tags"]
    assert found.rows()[1] == (2, 1.5, None, None)
    assert found["tags"][0].startswith('["a",')
    (house.root / "files/q.jsonl.gz").write_bytes(gzip.compress(b'{"n": 3}\n'))
    lake.refresh(actor="ann")
    assert held(lake) == [1, 2, 3]
    (house.root / "files/r.jsonl.gz").write_bytes(gzip.compress(b'{"n": 3, "new": 1}\n'))
    with pytest.raises(BadData, match=r"r\.jsonl\.gz .*has a field that was not there before: 'new'"):
        lake.refresh(actor="ann")


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz", ".zst"])
def test_packed_files(house: House, packed: str) -> None:
    import bz2
    import lzma

    text, file = b"n,t\n1,\xc3\xa4\n", house.root / f"files/p.csv{packed}"
    if packed == ".zst":
        pl.DataFrame({"n": [1], "t": ["ä"]}).lazy().sink_csv(file, compression="zstd")
    else:
        file.write_bytes({".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packed](text))
    lake = house.lake([parts(Csv("files/p.csv*"))])
    lake.refresh(actor="ann")
    assert lake.read("parts").frame.rows() == [(1, "ä")]


@given(st.lists(st.tuples(st.integers(0, 99), st.text('a\n",\r ', max_size=6)), min_size=1, max_size=40))
@settings(max_examples=20, deadline=None)
def test_a_file_in_parts_is_the_file(rows: list[tuple[int, str]]) -> None:
    import csv

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / "a.csv"
        with file.open("w", newline="") as opened:
            csv.writer(opened, lineterminator="\n").writerows([("n", "t"), *rows])
        whole = pl.concat(
            list(csv_parts.csv_frames(file, Csv("a.csv", null_values=()), kinds={"t": pl.String()}, where="t"))
        )
        patch.setattr(chunks.chunks, "__kwdefaults__", {"size": 16})
        small = list(csv_parts.csv_frames(file, Csv("a.csv", null_values=()), kinds={"t": pl.String()}, where="t"))
        assert pl.concat(small).rows() == whole.rows()


def test_types_that_only_later_parts_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path / "project")
    monkeypatch.setattr(chunks.chunks, "__kwdefaults__", {"size": 64})
    rows = "".join(f"{each},,{each}\n" for each in range(60)) + "1.5,2013-01-01,x\n"
    (house.root / "files/p1.csv").write_text("n,d,t\n" + rows)
    lake = house.lake([parts()])
    lake.refresh(actor="ann")
    frame = lake.read("parts").frame
    assert frame.row(-1)[0] == 1.5 or 1.5 in frame["n"]
    assert frame.height == 61 and frame["t"].dtype == pl.String and frame["d"].null_count() == 60
    assert jsons.joined({"a": pl.Int64()}, {"a": pl.Float64()}, where="t") == {"a": pl.Float64()}
    (house.root / "files/p2.csv").write_text("n,d,t\n" + rows.replace("1.5,", "many,"))
    with pytest.raises(BadData, match=r"line 62 of .*p2\.csv .*many"):
        lake.refresh(actor="ann")
    house.state.close()


def test_columns_of_parquet_are_pushed_down_and_nested_ones_are_refused(house: House) -> None:
    frame = pl.DataFrame({"n": [1], "l": [[1]], "m": [2]})
    frame.write_parquet(house.root / "files/p.parquet")
    lake = house.lake([parts(Parquet("files/*.parquet", columns=("n",)))])
    lake.refresh(actor="ann")
    assert lake.read("parts").frame.columns == ["n"]
    with pytest.raises(BadData, match=r"column 'l' of .* is a List"):
        house.lake([Table("other", source=Parquet("files/*.parquet"))]).refresh(actor="ann")
