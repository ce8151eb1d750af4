"""Files that arrive: found, recognised, read, refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.definitions.sources import Csv
from millstream.errors import BadData, NotFound
from millstream.sources import read, refuse_change
from millstream.sources.arrival import schema
from millstream.sources.stores import store

KINDS = st.sampled_from(["Int64", "Float64", "String"])
COLUMNS = st.dictionaries(st.sampled_from(["alpha", "beta", "gamma", "delta"]), KINDS)


def arrive(folder: Path, text: str | bytes, source: Csv | None = None, **words: object) -> pl.DataFrame:
    source = source or Csv("in.csv")
    (folder / "in.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read([folder / "in.csv"], source, expected=None, where="table 't'", **words)


@given(COLUMNS, COLUMNS)
def test_every_difference_of_columns_is_named_and_no_other(expected: dict[str, str], found: dict[str, str]) -> None:
    if expected == found:
        refuse_change(expected, found, where="t")
        return
    with pytest.raises(BadData) as raised:
        refuse_change(expected, found, where="t")
    said = raised.value.happened
    for name in expected.keys() | found.keys():
        differs = expected.get(name) != found.get(name)
        assert (f"'{name}' is missing" in said) == (differs and name not in found)
        assert (f"'{name}' is new" in said) == (differs and name not in expected)
        assert (f"'{name}' was" in said) == (differs and name in found and name in expected)


def test_types_are_inferred_and_null_words_are_null(tmp_path: Path) -> None:
    made = arrive(tmp_path, "a,b,c,d,e\n1,1.5,x,2013-01-02,2013-01-02T03:04:05\nNA,,y,NA,\n")
    assert schema(made) == {
        "a": "Int64", "b": "Float64", "c": "String", "d": "Date",
        "e": "Datetime(time_unit='us', time_zone=None)",
    }  # fmt: skip
    assert made.row(1) == (None, None, "y", None, None)


def test_other_separators_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    made = arrive(tmp_path, '\ufeff"a;b";c\n"x;y";2\n', Csv("in.csv", separator=";", null_values=("2",)))
    assert made.columns == ["a;b", "c"]
    assert made.rows() == [("x;y", None)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is empty"),
        (b"a,b\n", "is empty: in.csv holds no rows"),
        (b"a,a\n1,2\n", "two columns called 'a'"),
        (b"a,b\n1,2,3\n", "line 2 of .* has 3 fields, its header names 2"),
        (b"a,b\n\xff\xfe,2\n", "is not (CSV|utf-8)|cannot be read"),
        (b"\xff\xfe\x00,b\n1,2\n", "is not (CSV|utf-8)"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, text: bytes, says: str) -> None:
    with pytest.raises(BadData, match=says):
        arrive(tmp_path, text)


def test_files_are_found_by_glob_in_order_and_absolute_paths_work(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.parquet").write_bytes(b"")
    (tmp_path / "d.parquet").mkdir()
    assert [each.name for each in store("*.parquet", tmp_path).entries(where="t")] == [
        "a.parquet", "b.parquet", "c.parquet",
    ]  # fmt: skip
    assert len(store(str(tmp_path / "[ab].parquet"), Path("/")).entries(where="t")) == 2
    with pytest.raises(NotFound, match=r"did you mean 'a.parquet'|there is"):
        store("aa.parquet", tmp_path).entries(where="t")


def test_the_words_of_definitions_are_here_too() -> None:
    import millstream.sources as room

    assert room.Csv is Csv
    with pytest.raises(AttributeError, match="no attribute 'Excel'"):
        _ = room.Excel
