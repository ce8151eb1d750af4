"""Bad input, line by line: a clear error or a stated choice, nothing lost, and no dishonest guess."""

from __future__ import annotations

import gzip
import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream.cli.call import LONGEST, shown
from millstream.cli.starting import Wishes, begin, design
from millstream.cli.starting.given import take
from millstream.definitions.load import load
from millstream.definitions.sources import Csv, Parquet
from millstream.errors import BadData, Conflict, DefinitionError, MillstreamError, StorageFull, UserError
from millstream.project import Project
from millstream.sources import read
from millstream.sources.stores import files

ROWS = 120


@pytest.fixture(autouse=True)
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is another part's; without it a project is made quicker."""
    monkeypatch.setattr("millstream.cli.starting.beginning.commit", lambda *_: None)


def csv(make: Callable[[int], object], *, label: Callable[[int], object] | None = None, rows: int = ROWS) -> bytes:
    """A file with a key, a number, the column in question and a label."""
    draw = random.Random(5)
    body = ["id,x,v,y"]
    for each in range(rows):
        text = str(make(each)).replace('"', '""')
        said = label(each) if label else draw.choice(["yes", "no"])
        body.append(f'k{each},{draw.gauss(0, 1):.3f},"{text}",{said}')
    return "\n".join(body).encode() + b"\n"


def guessed(folder: Path, body: bytes, *, name: str = "rows.csv", label: str = "y", **words: Any) -> tuple[Any, str]:
    """What ``init`` would write: the record with its sentences, and the definitions."""
    (folder / name).write_bytes(body)
    made = design(Wishes(folder / "project", (folder / name,), label, **words))
    return made.record, next(text for file, text in made.files.items() if file.endswith(".py"))


def said(record: Any) -> str:
    """Everything that was said."""
    tables = [sentence for table in record["tables"] for sentence in table["says"]]
    left = [f"{each['column']}: {each['why']}" for each in record["left_out"]]
    return "\n".join([*tables, *record["said"], *left])


NUMBERS: dict[str, tuple[Callable[[int], object], object, str]] = {
    "percent": (lambda n: f"{n % 90}%", 29, "% is left out"),
    "currency": (lambda n: f"${n % 90}.50", 29.5, "$ is left out"),
    "minus of typesetters": (lambda n: f"−{n % 90}" if n % 2 else n % 90, -29, ""),
    "Swiss, typeset": (lambda n: f"{1 + n % 9}’{100 + n}.5", 3219.5, "between thousands"),
    "no fraction of a thousand": (lambda n: f"0,{100 + n}", 0.219, "',' before the fraction"),
    "null words": (
        lambda n: ["-", "n/a", "?", "null"][n % 4] if n % 7 == 1 else n,
        119,
        "'-', '?', 'n/a', 'null' among",
    ),
    "one word": (
        lambda n: "unknown" if n % 40 == 0 else n % 90,
        29,
        "'unknown' among its numbers is taken as no value",
    ),
    "beyond doubles": (lambda n: "1e400" if n % 10 == 0 else n % 90, 29, "12 values are no finite numbers"),
    "NaN and inf": (lambda n: ["NaN", "inf", "-inf"][n % 3] if n % 10 == 0 else n % 90, 29, "12 values are no finite"),
    "negative zero": (lambda n: "-0.0" if n % 2 == 0 else n % 90, 29, ""),
    "ambiguous, a comma file": (
        lambda n: f"{1 + n % 9},{100 + n}",
        3219,
        "can be read in two ways; taken for thousands",
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_however_written_are_numbers_and_that_is_said(tmp_path: Path, name: str) -> None:
    make, last, says = NUMBERS[name]
    record, _ = guessed(tmp_path, csv(make))
    assert record["sample"]["v"] == pytest.approx(last)
    assert says in said(record)


def test_a_comma_is_a_fraction_where_semicolons_part_fields(tmp_path: Path) -> None:
    body = "id;v;y\n" + "".join(f"k{n};{1 + n % 9},{100 + n};{'yn'[n % 2]}\n" for n in range(ROWS))
    record, written = guessed(tmp_path, body.encode())
    assert record["sample"]["v"] == 3.219
    assert "can be read in two ways" in said(record) and "taken for one and a fraction" in written.replace(
        "\n    #", ""
    )


TEXTS: dict[str, tuple[Callable[[int], object], str]] = {
    "numbers and other words": (lambda n: "closed" if n % 40 == 0 else n % 90, "the others are not, such as 'closed'"),
    "two currencies": (lambda n: f"{'$€'[n % 2]}{n % 90}", "different signs"),
    "some percent": (lambda n: f"{n % 90}{'%' if n % 2 else ''}", "different signs or none"),
    "grouped another way": (lambda n: f"1,{10 + n % 80},{100 + n}", "look like numbers"),
    "a code with zeros": (lambda n: f"{n % 30:05d}", "are names; kept as text"),
    "beyond 64 bits": (lambda n: 2**63 + n % 30, "beyond 64 bits"),
    "days and months mixed": (
        lambda n: f"{13 + n % 9}/01/2024" if n % 2 else f"01/{13 + n % 9}/2024",
        "day first and month",
    ),
    "a named zone": (lambda n: f"2024-03-{1 + n % 20:02d} 10:00:00 CET", "look like times"),
    "a day that is none": (lambda n: ["2024-02-30", "2024-01-05"][n % 2], "such as '2024-02-30'"),
    "no zero date": (lambda n: ["0000-00-00", "2024-01-05"][n % 2], "such as '0000-00-00'"),
    "with and without a zone": (
        lambda n: f"2024-03-{1 + n % 20:02d}T10:00:00{'Z' if n % 2 else ''}",
        "have a zone and others",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_cannot_be_told_stays_text_and_that_is_said(tmp_path: Path, name: str) -> None:
    make, says = TEXTS[name]
    record, _ = guessed(tmp_path, csv(make))
    assert isinstance(record["sample"].get("v", ""), str)
    assert record["tables"][0]["event_time"] is None
    assert says in said(record)


def test_days_and_months_that_cannot_be_told_apart_are_asked_for(tmp_path: Path) -> None:
    body = csv(lambda n: f"{1 + n % 12:02d}/{5 + n % 2:02d}/2024")
    with pytest.raises(BadData, match="days and months of 'v' cannot be told apart") as asked:
        guessed(tmp_path, body)
    assert "--time 'v=%d/%m/%Y'" in asked.value.do
    days, _ = guessed(tmp_path, body, time="v=%d/%m/%Y")
    months, _ = guessed(tmp_path, body, time="v=%m/%d/%Y")
    assert days["tables"][0]["event_time"] == months["tables"][0]["event_time"] == "v"
    assert days["sample"]["v"][:10] == "2024-06-12" and months["sample"]["v"][:10] == "2024-12-06"


def test_no_table_takes_a_date_by_a_guess_of_its_order(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("k,t,clock,iso\n1,01/02/2024,10:05,2024-01-02\n2,03/04/2024,11:05,2024-03-04\n")
    source = Csv("in.csv")
    frame = read(files(source.path, tmp_path, where="t"), source, expected=None, where="t")
    assert frame.schema["t"] == frame.schema["clock"] == pl.String
    assert frame.schema["iso"] == pl.Date


@pytest.mark.parametrize(
    ("times", "event_time"),
    [
        (["1803-03-05", "1899-12-30"], True),
        (["2024-01-05", "9999-12-31"], False),
        (["2024-01-05", "0150-01-01"], False),
        (["2200-03-01", "2201-03-01"], False),
    ],
)
def test_times_far_away(tmp_path: Path, times: list[str], event_time: bool) -> None:
    record, _ = guessed(tmp_path, csv(lambda n: times[n % 2]))
    assert (record["tables"][0]["event_time"] == "v") is event_time
    assert event_time or "rows without time" in said(record)


def test_years_of_two_digits_are_no_years_of_the_first_century(tmp_path: Path) -> None:
    record, _ = guessed(tmp_path, csv(lambda n: f"{1 + n % 12}/{13 + n % 9}/24"))
    assert record["sample"]["v"].startswith("2024")
    assert "years of two digits" in said(record)


def hourly(start: datetime) -> bytes:
    return csv(lambda n: (start + timedelta(hours=n)).strftime("%Y-%m-%d %H:%M"))


def test_a_gap_of_the_clock_is_refused_and_a_fold_is_the_earlier(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="2024-03-31 02:00:00, a time that did not exist in Europe/Berlin"):
        guessed(tmp_path, hourly(datetime(2024, 3, 30)), timezone="Europe/Berlin")
    record, _ = guessed(tmp_path, hourly(datetime(2024, 10, 26)), timezone="Europe/Berlin")
    assert record["tables"][0]["event_time"] == "v"


def good(*, separator: str = ",") -> bytes:
    return csv(lambda n: n % 9).replace(b",", separator.encode())


PARQUET = io.BytesIO()
pl.DataFrame({"id": range(ROWS), "y": ["a", "b"] * (ROWS // 2)}).write_parquet(PARQUET)
PACKED = gzip.compress(good())
FILES: dict[str, tuple[str, bytes, str]] = {
    "title": ("rows.csv", b"Report of May\n" + good(), "line 2 begins with 'id,x,v,y'"),
    "sep=": ("rows.csv", b"sep=;\n" + good(separator=";"), "take out what stands above"),
    "blank first line": ("rows.csv", b"\n" + good(), "begins with an empty line"),
    "long line": ("rows.csv", good() + b"k,1,2,yes,more\n", "line 122 of rows.csv has 5 fields, its header names 4"),
    "open quote": ("rows.csv", good() + b'"k,1,2,yes\nk9,1,2,no\n', "a quote that opens in line 122"),
    "cut off": ("rows.csv", good() + b"k777,0.1", "is cut off"),
    "zero bytes": ("rows.csv", good() + b"k\0,1,2,yes\n", "zero bytes"),
    "late zero bytes": ("rows.csv", good() * 400 + b"k\0,1,2,yes\n", "zero bytes"),
    "CR alone": ("rows.csv", good().replace(b"\n", b"\r"), "CR alone"),
    "no names": ("rows.csv", b"id,,,y\n" + good(), "2 columns without a name"),
    "workbook": ("rows.csv", b"PK\x03\x04" + bytes(99), "save the sheet as CSV"),
    "workbook by name": ("rows.xlsx", b"PK\x03\x04" + bytes(99), "save the sheet as CSV"),
    "Parquet called CSV": ("rows.csv", PARQUET.getvalue(), "ends in .parquet"),
    "CSV called Parquet": ("rows.parquet", good(), "ends in .csv"),
    "cut Parquet": ("rows.parquet", PARQUET.getvalue()[:300], "copy or export it again"),
    "gzip called CSV": ("rows.csv", PACKED, "ends in .csv.gz"),
    "cut gzip": ("rows.csv.gz", PACKED[: len(PACKED) // 2], "copy or export it again"),
    "spoilt gzip": ("rows.csv.gz", PACKED[:100] + b"\xff" * 20 + PACKED[120:], "copy or export it again"),
    "no ending": ("rows", good(), "give it such a name"),
    "numbering as label": ("rows.csv", csv(lambda n: n % 9, label=lambda n: n), "numbers the rows"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_read_say_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    file, body, says = FILES[name]
    with pytest.raises(MillstreamError) as refused:
        guessed(tmp_path, body, name=file)
    assert says in str(refused.value)
    assert refused.value.exit_code == 2 and refused.value.expected
    assert not (tmp_path / "project").exists()


def test_odd_files_are_read_and_nothing_is_lost(tmp_path: Path) -> None:
    quoted = good().replace(b'"3"', b'5" pipe')
    record, _ = guessed(tmp_path, quoted)
    assert record["tables"][0]["rows"] == ROWS
    record, _ = guessed(tmp_path, good().replace(b"\n", b"\n\n"))
    assert (record["tables"][0]["rows"], record["tables"][0]["key"]) == (ROWS, ["id"])
    record, _ = guessed(tmp_path, good() + b"k777,0.1\n")
    assert "1 line has fewer fields than the header, the first is line 122" in said(record)
    record, _ = guessed(tmp_path, good(), name="a [0-9]* 🎉.csv")
    assert record["tables"][0]["rows"] == ROWS
    record, _ = guessed(tmp_path, good().decode().encode("utf-32"))
    assert "read as utf-32" in said(record)
    record, _ = guessed(tmp_path, csv(lambda n: ["Köln", "Füssen"][n % 2]).decode().encode("cp1252"))
    assert "read as cp1252, for instance 'Köln': if that is not right, name the encoding" in said(record)


def test_columns_of_parquet_that_no_row_can_hold(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": range(ROWS),
            "tags": [["a"]] * ROWS,
            "raw": [b"x"] * ROWS,
            "hash": pl.Series([2**63 + each % 9 for each in range(ROWS)], dtype=pl.UInt64),
            "y": [each % 7 > 2 for each in range(ROWS)],
            "x": [each * 7 % 31 for each in range(ROWS)],
        }
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    (given,) = take((tmp_path / "rows.parquet",), folder=tmp_path, timezone="UTC")
    assert any("'tags': a list is no value of one row; not taken in" in each for each in given.says)
    source = given.source
    assert isinstance(source, Parquet) and source.without == ("tags", "raw")
    kept = read(files(source.path, tmp_path, where="t"), source, expected=None, where="t")
    assert kept.columns == ["id", "hash", "y", "x"]
    assert kept["hash"][0] == str(2**63)


@pytest.mark.parametrize(
    ("label", "expression"),
    [
        (lambda n: ["0.0", "1.0", "1.0"][n % 3], "y = 1.0"),
        (lambda n: ["Yes", "no", "YES ", "N"][n % 4], "lower(trim(y)) in ('yes')"),
        (lambda n: ["1", "0", "true", "no", "Y"][n % 5], "lower(trim(y)) in ('1', 'true', 'y')"),
    ],
)
def test_a_label_of_yes_and_no_however_spelt(tmp_path: Path, label: Callable[[int], object], expression: str) -> None:
    record, _ = guessed(tmp_path, csv(lambda n: n % 9, label=label))
    assert (record["label"], record["task"]) == (expression, "binary")


def test_classes_that_differ_in_case_only_are_said(tmp_path: Path) -> None:
    record, _ = guessed(tmp_path, csv(lambda n: n % 9, label=lambda n: ["red", "Red", "blue"][n % 3]))
    assert record["task"] == "multiclass"
    assert "classes that differ in case or spaces only: 'Red' and 'red'" in said(record)


@pytest.mark.parametrize("leak", [lambda y: y * y, lambda y: y**0.5, lambda y: -3 * y + 7])
def test_a_label_under_another_name_of_few_rows(tmp_path: Path, leak: Callable[[float], float]) -> None:
    draw = random.Random(7)
    values = [draw.uniform(1, 1000) for _ in range(ROWS)]
    record, _ = guessed(tmp_path, csv(lambda n: leak(values[n]), label=lambda n: values[n]))
    assert [each["column"] for each in record["left_out"] if "LEAK?" in each["why"]] == ["v"]


def test_names_that_are_words_of_python_and_sql_make_a_project_that_loads(tmp_path: Path) -> None:
    names = ["class", "from", "lambda", "None", "self", "select", "current_date", "n" * 300]
    draw = random.Random(3)
    body = ",".join(["id", *names, "y" * 300]) + "\n"
    for each in range(ROWS):
        body += ",".join([f"k{each}", *(f"{draw.gauss(0, 1):.2f}" for _ in names), draw.choice(["a", "b"])]) + "\n"
    (tmp_path / "rows.csv").write_text(body)
    record = begin(Wishes(tmp_path / "project", (tmp_path / "rows.csv",), "y" * 300))
    assert record["features"] == len(names)


BROKEN = {
    "syntax": ("x = (1,", "a.py, line 7: '(' was never closed", "x = (1,", ""),
    "name": ("x = Tabel('t')", "a.py, line 7:", "    ^^^^^", "did you mean 'Table'"),
    "import": ("from millstream import Modl", "a.py, line 7:", "cannot import name 'Modl'", "'Model'"),
    "word": ("Table('t', sorce=1)", "a.py, line 7:", "'sorce'", "did you mean 'source'"),
    "exit": ("import sys; sys.exit(3)", "a.py, line 7:", "it ended Python (SystemExit: 3)", "__main__"),
    "crash": ("import os; os._exit(3)", "exit code 3", "", "python a.py"),
    "circle": ("from b import y", "a.py, line 7:", "circular import", "put what both files need"),
    "twice": (
        "Table('t', source=S, key='a')\nu = Table('t', source=S, key='b')",
        "line 8",
        "two different tables",
        "another name",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_error_on_line_7_of_the_definitions_is_shown_there(tmp_path: Path, name: str) -> None:
    line, where, says, do = BROKEN[name]
    head = "from millstream import Table, sources\nS = sources.Csv('a.csv')\n" + "\n" * 4
    (tmp_path / "a.py").write_text(f"{head}{'t = ' if name == 'twice' else ''}{line}\nx = 1\n")
    if name == "circle":
        (tmp_path / "b.py").write_text("from a import x\ny = 1\n")
    with pytest.raises(DefinitionError) as wrong:
        load(tmp_path, cache=tmp_path / "cache")
    assert where in wrong.value.happened and says in wrong.value.happened
    assert do in wrong.value.do


def test_an_unknown_column_of_an_expression_is_shown_with_file_line_and_caret(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(good())
    begin(Wishes(tmp_path / "project", (tmp_path / "rows.csv",), "y"))
    file = tmp_path / "project" / "y.py"
    lines = file.read_text().splitlines()
    place = next(number for number, each in enumerate(lines, start=1) if '"x": "x"' in each)
    file.write_text("\n".join(each.replace('"x": "x"', '"x": "xx + 1"') for each in lines))
    with Project(tmp_path / "project", lock=True) as project, pytest.raises(DefinitionError) as wrong:
        project.run("train", {"model": "y", "actor": "me"})
    assert wrong.value.happened.startswith(
        f"y.py, line {place}: feature at_request.x: there is no column 'xx'\n    xx + 1\n"
    )


def test_init_that_was_killed_is_cleared_by_the_next_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(good())
    words = [sys.executable, "-m", "millstream.cli", "init", "project", "--from", "rows.csv", "--label", "y"]
    begun = tmp_path / "project" / ".millstream" / "init"
    killed = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not begun.exists() and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert begun.exists()
    record = begin(Wishes(tmp_path / "project", (tmp_path / "rows.csv",), "y"))
    assert record["features"] == 2 and not begun.exists()
    with pytest.raises(Conflict, match="not empty"):
        begin(Wishes(tmp_path / "project", (tmp_path / "rows.csv",), "y"))


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), OSError(28, "No space left on device"), StorageFull("full")])
def test_init_that_stops_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    def stop(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("millstream.project.Project", stop)
    (tmp_path / "rows.csv").write_bytes(good())
    with pytest.raises(type(raised)):
        begin(Wishes(tmp_path / "project", (tmp_path / "rows.csv",), "y"))
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]


def test_a_very_long_or_binary_argument_is_shown_in_part() -> None:
    long = shown(str(UserError("x" * 900_000, do="look")))
    assert len(long) < LONGEST + 10 and long.endswith("do next: look")
    assert shown("a\udcff") == "a\\udcff"


def test_bad_input_at_the_command_is_words_and_valid_json(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(good() + b"k,1,2,yes,more\n")
    words = [sys.executable, "-m", "millstream.cli", "init", "p", "--from", "rows.csv", "--label", "y", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    problem = json.loads(done.stdout)
    assert problem["title"] == "BadData" and "line 122" in problem["detail"] and problem["do"]
    assert "Traceback" not in done.stderr
