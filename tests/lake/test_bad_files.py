# ruff: noqa: E501 - one bad file a line
"""Files that are not what they should be: named, with the line where there is one; nothing half-taken."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from millstream.definitions.sources import Csv, Files, Json, Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, Conflict, Refused
from millstream.lake.derived.steps import Meanwhile
from millstream.lake.ingest import receiving
from tests.lake.house import House

GOOD = "n,t,m\n" + "".join(f"{each},ä{each},{each}\n" for each in range(50))


def cut(file: Path) -> None:
    pl.DataFrame({"n": range(9_000)}).write_parquet(file)
    file.write_bytes(file.read_bytes()[:-200])


def text(body: str | bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(body if isinstance(body, bytes) else body.encode())


@pytest.mark.parametrize(
    ("source", "good", "bad", "says"),
    [
        (Parquet("in/*"), lambda file: pl.DataFrame({"n": range(9_000)}).write_parquet(file), cut, "b.* is not Parquet"),
        (Csv("in/*"), text(GOOD), text(""), "b.* is empty: it has no bytes"),
        (Parquet("in/*"), lambda file: pl.DataFrame({"n": [1]}).write_parquet(file), text(""), "b.* is empty: it has no bytes"),
        (Csv("in/*"), text(GOOD), text(GOOD + "51,x,y,z\n"), "line 52 of .*b of table 't' has 4 fields, its header names 3"),
        (Csv("in/*"), text(GOOD), text(GOOD + "x,51,x\n"), "line 52 of .*b .*could not parse"),
        (Csv("in/*"), text(GOOD), text(GOOD.encode() + b"51,caf\xe9,1\n"), r"line 52 of .*b of table 't' is not utf-8: it looks like cp1252, '51,café,1..?n' \(1 lines are not, 50 are: two encodings"),
        (Csv("in/*"), text("n,m\n1,2\n"), text("n,M\n1,2\n"), r"file b changed: 'm' is missing .*; 'M' is new"),
        (Csv("in/*"), text("n\n1\n"), text("n\nx\n"), "line 2 of .*b .*could not parse"),
        (Json("in/*"), text('{"n": 1}\n'), text('{"n": 1}\n{"n": \n'), "line 2 of .*b .* is not JSON"),
        (Json("in/*"), text('{"n": 1}\n'), text("[1]\n"), "line 1 of .*b .* is no JSON object"),
        (Json("in/*"), text('{"n": 1}\n'), text('{"n": "x"}\n'), "file b changed: 'n' was Int64, is String"),
    ],
    ids=["truncated", "zero-csv", "zero-parquet", "shifted", "shifted-types", "encodings", "schemas", "types", "json", "json-list", "json-type"],
)  # fmt: skip
def test_a_bad_file_among_good_ones_is_named_and_nothing_is_taken(
    house: House, source: Files, good: Callable[[Path], object], bad: Callable[[Path], object], says: str
) -> None:
    (house.root / "in").mkdir()
    good(house.root / "in/a")
    bad(house.root / "in/b")
    lake = house.lake([Table("t", source=source)])
    with pytest.raises(BadData) as raised:
        lake.refresh(actor="ann")
    assert re.search(says, str(raised.value)), str(raised.value)
    assert "t" not in lake.heads()
    (house.root / "in/b").unlink()
    lake.refresh(actor="ann")
    bad(house.root / "in/b")
    with pytest.raises(BadData):
        lake.refresh(actor="ann")
    assert lake.head("t").version == 0
    assert all(each.ok for each in lake.verify())


def test_gzip_that_is_cut_short(house: House) -> None:
    body = gzip.compress(os.urandom(4_000).hex().encode() + b"\n1\n" * 100)
    (house.root / "files/a.csv.gz").write_bytes(body[:-300])
    with pytest.raises(BadData, match=r"a\.csv\.gz of .*(cut short|is not CSV)"):
        house.lake([Table("t", source=Csv("files/a.csv.gz"))]).refresh(actor="ann")


def test_lines_with_fewer_fields_are_said(house: House) -> None:
    (house.root / "files/a.csv").write_text("n,t,m\n1,x,2\n3,y\n4,z,5\n")
    said: list[str] = []
    house.lake([Table("t", source=Csv("files/a.csv"))]).refresh(actor="ann", meanwhile=Meanwhile(tell=said.append))
    assert any("1 line has fewer fields than the header, the first is line 3" in each for each in said)


def test_no_rows_are_refused_and_a_file_without_rows_among_others_is_taken(house: House) -> None:
    (house.root / "files/a.csv").write_text("n\n")
    lake = house.lake([Table("t", source=Csv("files/[ab].csv"))])
    with pytest.raises(BadData, match=r"is empty: a\.csv holds no rows"):
        lake.refresh(actor="ann")
    (house.root / "files/b.csv").write_text("n\n1\n")
    assert lake.refresh(actor="ann")[0].rows == 1
    assert lake.refresh(actor="ann") == []


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_as_many_columns_as_there_are(house: House, count: int) -> None:
    names = [f"c{each}" for each in range(count)]
    body = ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"
    (house.root / "files/a.csv").write_text(body)
    made = house.lake([Table("t", source=Csv("files/a.csv"))]).refresh(actor="ann")[0]
    assert (made.rows, len(made.schema)) == (1, count)


@pytest.mark.parametrize(
    ("meanwhile", "says"),
    [
        (lambda file: file.write_text("n\n1\n2\n"), "changed from 4 to 6 bytes while it was read"),
        (lambda file: file.unlink(), "was taken away while it was read"),
    ],
)
def test_a_file_that_moves_while_it_is_read(
    house: House, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], object], says: str
) -> None:
    file = house.root / "files/a.csv"
    file.write_text("n\n1\n")
    whole = receiving.frames

    def slow(*given: object, **words: object) -> object:
        yield from whole(*given, **words)  # type: ignore[arg-type]
        meanwhile(file)

    monkeypatch.setattr(receiving, "frames", slow)
    lake = house.lake([Table("t", source=Csv("files/a.csv"))])
    with pytest.raises(Conflict, match=says):
        lake.refresh(actor="ann")
    assert "t" not in lake.heads()
    monkeypatch.undo()
    file.write_text("n\n1\n3\n")
    lake.refresh(actor="ann")
    assert lake.read("t").frame["n"].to_list() == [1, 3]


def test_folders_that_link_into_themselves_are_walked_once(house: House) -> None:
    (house.root / "files/in/deep").mkdir(parents=True)
    (house.root / "files/in/deep/a.csv").write_text("n\n1\n")
    for name in ("one", "two"):
        (house.root / f"files/in/deep/{name}").symlink_to(house.root / "files/in")
    lake = house.lake([Table("t", source=Csv("files/**/a.csv"))])
    assert lake.refresh(actor="ann")[0].rows == 1


def test_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """As a user without rights; root may read everything, so a process of its own gives root away."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from millstream.sources.stores import store\n"
        "from millstream.errors import Refused\n"
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "try: store('in/*/a.csv', Path(sys.argv[1])).entries(where='t')\n"
        "except Refused as wrong: print(wrong.happened)\n"
    )
    (tmp_path / "in/shut").mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 1 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (tmp_path / "in/shut").chmod(0)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    (tmp_path / "in/shut").chmod(0o755)
    assert "in/shut cannot be read: Permission denied" in done.stdout, done.stderr


def test_a_file_that_may_not_be_read_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(receiving.hashlib, "file_digest", refuse)
    (house.root / "files/a.csv").write_text("n\n1\n")
    with pytest.raises(Refused, match=r"a\.csv of table 't' may not be read"):
        house.lake([Table("t", source=Csv("files/a.csv"))]).refresh(actor="ann")
