"""Files of other houses: how they are written is found out, said, and read back."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Csv, Parquet
from millstream.errors import BadData, NotFound
from millstream.sources import read
from millstream.sources.sniff import sniff
from millstream.sources.stores import files


def taken(folder: Path, body: str | bytes, *, name: str = "in.csv") -> tuple[Csv, pl.DataFrame, tuple[str, ...]]:
    (folder / name).write_bytes(body if isinstance(body, bytes) else body.encode())
    found = sniff(folder / name, path=name)
    return found.source, back(folder, found.source), found.says


def back(folder: Path, source: Csv | Parquet) -> pl.DataFrame:
    return read(files(source.path, folder, where="t"), source, expected=None, where="t")


def test_a_european_file_of_an_old_system(tmp_path):
    body = "id;preis;menge;wann;ort\n1;1.234,50;1.200;05.01.2024 10:00;Köln\n2;12,5;999;31.01.2024 11:30;Füssen\n"
    source, frame, says = taken(tmp_path, body.encode("cp1252"))
    assert (source.encoding, source.separator, source.decimal, source.thousands) == ("cp1252", ";", ",", ".")
    assert frame["preis"].to_list() == [1234.5, 12.5]
    assert frame["menge"].to_list() == [1200.0, 999.0]
    assert frame["wann"].to_list() == [datetime(2024, 1, 5, 10), datetime(2024, 1, 31, 11, 30)]
    assert frame["ort"].to_list() == ["Köln", "Füssen"]
    assert [each for each in ("cp1252", "';'", "preis, menge") if each not in " ".join(says)] == []


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,234", "12", "1,000,000.5"], [1234.0, 12.0, 1000000.5]),
        (["1'234.5", "7", "-3"], [1234.5, 7.0, -3.0]),
        (["1 234,5", "7", "12"], [1234.5, 7.0, 12.0]),
        (["1\u00a0234", "5\u00a0000", "12"], [1234.0, 5000.0, 12.0]),
        (["1,5", "2,25", "3"], [1.5, 2.25, 3.0]),
    ],
)
def test_numbers_with_separators(tmp_path, texts, numbers):
    _, frame, says = taken(tmp_path, "k,n\n" + "".join(f'r{each},"{text}"\n' for each, text in enumerate(texts)))
    assert frame["n"].to_list() == numbers
    assert any("numbers with" in each for each in says)


@pytest.mark.parametrize(
    "texts", [["1.234", "12.5", "3"], ["1,2,3", "4,5", "6"], ["192.168.1.1", "10.0.0.1", "8.8.8.8"]]
)
def test_what_is_no_such_number_stays(tmp_path, texts):
    source, _, _ = taken(tmp_path, "k,n\n" + "".join(f'r{each},"{text}"\n' for each, text in enumerate(texts)))
    assert source.numbers == ()


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["2024-01-31", "2024-02-01"], ("%Y-%m-%d",)),
        (["31/01/2024", "01/02/2024"], ("%d/%m/%Y",)),
        (["01/31/2024 03:00 PM", "02/01/2024 11:30 AM"], ("%m/%d/%Y %I:%M %p",)),
        (["2024-01-31T10:00:00Z", "2024-02-01T10:00:00+02:00"], ("%Y-%m-%dT%H:%M:%S%z",)),
        (["20240131", "20240201"], ("%Y%m%d",)),
        (["2024-01-31", "05.02.2024 10:00"], ("%Y-%m-%d", "%d.%m.%Y %H:%M")),
        (["31 Jan 2024", "1 Feb 2024"], ("%d %b %Y",)),
    ],
)
def test_times_in_text(tmp_path, texts, formats):
    source, frame, _ = taken(tmp_path, "k,t\n" + "".join(f"r{each},{text}\n" for each, text in enumerate(texts)))
    assert set(source.times["t"]) == set(formats)
    assert frame["t"].null_count() == 0
    assert isinstance(frame.schema["t"], pl.Datetime)


def test_days_that_cannot_be_told_from_months_are_said_and_not_guessed(tmp_path):
    body = "k,t\na,01/02/2024\nb,03/04/2024\n"
    source, frame, says = taken(tmp_path, body)
    assert source.times == {}
    assert frame["t"].to_list() == ["01/02/2024", "03/04/2024"]
    assert any("days and months cannot be told apart, such as '01/02/2024'; kept as text" in each for each in says)
    assert sniff(tmp_path / "in.csv", path="in.csv").uncertain == ("t",)
    said = sniff(tmp_path / "in.csv", path="in.csv", ways={"t": "%m/%d/%Y"}).source
    assert back(tmp_path, said)["t"].to_list() == [datetime(2024, 1, 2), datetime(2024, 3, 4)]
    other, _, says = taken(tmp_path, "k,t,u\na,01/02/2024,01/31/2024\nb,03/04/2024,02/03/2024\n")
    assert other.times == {"u": ("%m/%d/%Y",), "t": ("%m/%d/%Y",)}
    assert any("read as other dates of the file" in each for each in says)
    mixed, _, says = taken(tmp_path, "k,t\na,31/01/2024\nb,01/31/2024\n")
    assert mixed.times == {}
    assert any("kept as text" in each for each in says)


def test_times_with_and_without_a_zone_are_not_mixed(tmp_path):
    source, _, says = taken(tmp_path, "k,t\na,2024-01-31T10:00:00Z\nb,2024-01-31T10:00:00\n")
    assert source.times == {}
    assert any("some of its times have a zone" in each for each in says)


def test_numbers_are_times_only_where_they_are_named_so(tmp_path):
    source, frame, _ = taken(
        tmp_path, "created_ts,price,ms_at\n1700000000,1700000000,1700000000123\n1700000060,1,1700000000124\n"
    )
    assert source.times == {"created_ts": ("epoch_s",), "ms_at": ("epoch_ms",)}
    assert frame["created_ts"][1] == datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)


def test_a_value_that_is_not_as_said_is_refused_by_row(tmp_path):
    (tmp_path / "in.csv").write_text("k,t,n\na,31.01.2024,1\nb,yesterday,2\n")
    with pytest.raises(BadData, match="'t' of t has 1 values that cannot be read, the first is 'yesterday' in row 2"):
        back(tmp_path, Csv("in.csv", times={"t": ("%d.%m.%Y",)}))
    with pytest.raises(BadData, match="names"):
        back(tmp_path, Csv("in.csv", numbers=("m",)))


def test_gzip_quotes_in_names_renames_and_row_numbers(tmp_path):
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(b'"a ""b""",c d\n1,x\n2,y\n'))
    found = sniff(tmp_path / "in.csv.gz", path="in.csv.gz").source
    assert back(tmp_path, found).columns == ['a "b"', "c d"]
    frame = back(tmp_path, Csv("in.csv.gz", rename={'a "b"': "a_b"}, row_number="row"))
    assert frame.to_dicts()[1] == {"row": 2, "a_b": 2, "c d": "y"}


def test_parquet_dates_become_instants(tmp_path):
    pl.DataFrame({"d": ["2024-01-05"], "n": [1]}).with_columns(pl.col("d").str.to_date()).write_parquet(
        tmp_path / "in.pq"
    )
    frame = back(tmp_path, Parquet("in.pq", times={"d": ("date",)}, rename={"n": "number"}))
    assert frame.to_dicts() == [{"d": datetime(2024, 1, 5), "number": 1}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"1,2.5\n3,4\n", "looks like data, not names"),
        (b"a,a\n1,2\n", "two columns called 'a'"),
        (b"PK\x03\x04\0\0", "not a text file"),
        (b"a,b\n1,2\n1,2,3,4\n", "line 3 of in.csv has 4 fields, its header names 2"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, body, says):
    with pytest.raises(BadData, match=says):
        taken(tmp_path, body)


def test_a_file_that_is_not_there_names_what_is(tmp_path):
    (tmp_path / "orders.csv").write_text("a\n1\n")
    with pytest.raises(NotFound, match=r"did you mean 'orders\.csv'"):
        sniff(tmp_path / "order.csv", path="order.csv")


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6).map(lambda each: round(each, 2)), st.booleans()), min_size=2, max_size=20)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_european_numbers_come_back_as_they_were(tmp_path, rows):
    def write(value: float, grouped: bool) -> str:
        text = f"{value:,.2f}" if grouped else f"{value:.2f}"
        return text.translate(str.maketrans(",.", ".,"))

    body = "k;n\n" + "".join(f"{each};{write(*row)}\n" for each, row in enumerate(rows))
    _, frame, _ = taken(tmp_path, body)
    assert frame["n"].to_list() == [value for value, _ in rows]
