# ruff: noqa: E501 - one way to go bad a line
"""Every way input is known to go bad: a clear error or a degradation that is said, nothing lost, nothing half-taken.

A line has what is good, what goes bad, what is said, what is then there, and what is there once it was mended.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from millstream.definitions.manifest import gather
from millstream.definitions.sources import Csv, Json, Parquet, Source, Sql
from millstream.definitions.table import Table
from millstream.errors import MillstreamError
from millstream.lake.derived.steps import Bench as StepBench
from millstream.lake.derived.steps import Meanwhile, StepFailed, run_step
from millstream.lake.faults import interrupted
from millstream.project import Project
from millstream.testing import Bench

Make = Callable[[Path], object]
OVERFLOW = "abs(-9223372036854775808)"


def text(name: str, body: str | bytes) -> Make:
    return lambda root: (root / name).write_bytes(body if isinstance(body, bytes) else body.encode())


def parquet(name: str, frame: pl.DataFrame, *, cut: int = 0) -> Make:
    def make(root: Path) -> None:
        frame.write_parquet(root / name)
        body = (root / name).read_bytes()
        (root / name).write_bytes(body[: len(body) - cut])

    return make


def sql(*statements: str) -> Make:
    def make(root: Path) -> None:
        with closing(sqlite3.connect(root / "shop.db", isolation_level=None)) as kept:
            for each in statements:
                kept.execute(each)

    return make


def gone(name: str) -> Make:
    return lambda root: (root / name).unlink()


def ids(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"id": numbers, "at": [datetime(2024, 1, 1)] * len(numbers)})


TABLE = "create table t (id integer primary key, n integer, at timestamp)"
FIRST = "insert into t values (1, 1, '2024-01-01 00:00:00'), (2, 2, '2024-01-02 00:00:00')"
GOOD = text("in/a.csv", "id,at,word\n1,2024-01-01T00:00:00,ä\n2,2024-01-02T00:00:00,b\n")
HEAD = "id,at,word\n"


@dataclass(frozen=True)
class Line:
    """One way to go bad; ``then`` None where it is refused and the rows before stay, ids in ``mended`` at the end."""

    source: Source
    good: Make
    bad: Make
    says: str
    mended: list[int]
    mend: Make = lambda root: None
    then: list[int] | None = None
    before: tuple[int, ...] = (1, 2)


CSV = Csv("in/*.csv")
LINES = {
    "truncated Parquet": Line(
        Parquet("in/*.parquet"), parquet("in/a.parquet", ids(1, 2)), parquet("in/b.parquet", ids(3, 4), cut=9),
        r"in/b.parquet .* is not Parquet, or cut short", [1, 2, 3, 4], parquet("in/b.parquet", ids(3, 4)),
    ),
    "CSV, a field too many": Line(
        CSV, GOOD, text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,x,y\n"),
        r"line 2 of .*b.csv .* has 4 fields, its header names 3", [1, 2, 3], text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,x\n"),
    ),
    "CSV, a column shifted": Line(
        CSV, GOOD, text("in/b.csv", HEAD + "2024-01-03T00:00:00,x,3\n"),
        r"line 2 of .*b.csv .*could not parse .*'?2024-01-03", [1, 2, 3], text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,x\n"),
    ),
    "CSV, headers swapped": Line(
        CSV, GOOD, text("in/b.csv", "at,id,word\n2024-01-03T00:00:00,3,x\n"), "1 file new", [1, 2, 3], then=[1, 2, 3],
    ),
    "two encodings": Line(
        CSV, GOOD, text("in/b.csv", (HEAD + "3,2024-01-03T00:00:00,ü\n").encode() + b"4,2024-01-04T00:00:00,caf\xe9\n"),
        r"line 3 of .*b.csv .* is not utf-8: it looks like cp1252", [1, 2, 3],
        text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,ü\n"),
    ),
    "dies mid-read": Line(
        Sql("t", "shop"), sql(TABLE, FIRST),
        sql("alter table t rename to w", "insert into w values (3, 3, null), (4, 4, null)",
            f"create view t as select * from w where case id when 4 then {OVERFLOW} else 1 end"),
        "integer overflow", [1, 2, 3, 4], sql("drop view t", "alter table w rename to t"),
    ),
    "a key that changes its type": Line(
        CSV, GOOD, text("in/b.csv", HEAD + "A3,2024-01-03T00:00:00,x\n"),
        r"line 2 of .*b.csv .*could not parse .*'?A3", [1, 2, 3], text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,x\n"),
    ),
    "a key that changes its type, in Parquet": Line(
        Parquet("in/*.parquet"), parquet("in/a.parquet", ids(1, 2)),
        parquet("in/b.parquet", ids(3).with_columns(pl.col("id").cast(pl.String))),
        r"b.parquet changed: 'id' was Int64, is String; it is of the key", [1, 2, 3], parquet("in/b.parquet", ids(3)),
    ),
    "a clock in the future": Line(
        CSV, GOOD, text("in/b.csv", HEAD + "3,2031-01-01T00:00:00,x\n"),
        r"1 rows have 'at' after now .* a plan, or a clock that is wrong; they are kept", [1, 2, 3], then=[1, 2, 3],
    ),
    "a cursor from the future": Line(
        Sql("t", "shop", cursor="at"), sql(TABLE, FIRST), sql("insert into t values (3, 3, '2999-01-01 00:00:00')"),
        r"1 row of 'at' later than the database's own clock", [1, 2, 3, 4],
        sql("insert into t values (4, 4, '2024-01-05 00:00:00')"), then=[1, 2, 3],
    ),
    "a time zone that comes": Line(
        Parquet("in/*.parquet"), parquet("in/a.parquet", ids(1, 2)),
        parquet("in/b.parquet", ids(3).with_columns(pl.col("at").dt.replace_time_zone("Europe/Berlin"))),
        r"'at' was Datetime.* it has a time zone now; its times were read in UTC before; it is the event time", [1, 2, 3],
        parquet("in/b.parquet", ids(3)),
    ),
    "times with an offset where they had none": Line(
        CSV, GOOD, text("in/b.csv", HEAD + "3,2024-01-03T00:00:00+02:00,x\n"), r"'at' was Datetime.* it has a time zone now; its times were read in UTC before", [1, 2, 3],
        text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,x\n"),
    ),
    "delivered twice": Line(
        CSV, GOOD, lambda root: (root / "in/copy.csv").write_bytes((root / "in/a.csv").read_bytes()),
        r"1 file delivered twice and taken once: copy.csv brings what a.csv brings", [1, 2], then=[1, 2],
    ),
    "a file for last month": Line(
        CSV, text("in/a.csv", HEAD + "1,2024-02-01T00:00:00,a\n2,2024-02-02T00:00:00,b\n"),
        text("in/b.csv", HEAD + "3,2024-01-03T00:00:00,x\n"),
        r"1 rows came late, after rows of 2024-02-02; by the definition they were known at their event: arrived=",
        [1, 2, 3], then=[1, 2, 3],
    ),
    "no rows at first": Line(
        CSV, text("in/a.csv", HEAD), lambda root: None, r"is empty: a\.csv holds no rows", [1, 2], GOOD, before=(),
    ),
    "no bytes": Line(
        CSV, GOOD, text("in/b.csv", b""), r"b\.csv .* is empty: it has no bytes", [1, 2], gone("in/b.csv"),
    ),
    "no rows any more": Line(
        Sql("t", "shop"), sql(TABLE, FIRST), sql("delete from t"), "is empty: its source gives no rows", [1, 2], sql(FIRST),
    ),
    "no rows, in JSON lines": Line(
        Json("in/*.jsonl"), text("in/a.jsonl", '{"id": 1, "at": "x"}\n{"id": 2, "at": "y"}\n'),
        text("in/b.jsonl", "\n\n"), r"b\.jsonl|1 file", [1, 2, 3], text("in/b.jsonl", '{"id": 3, "at": "z"}\n'),
        then=[1, 2],
    ),
    "a database that forgets its cursor": Line(
        Sql("t", "shop", cursor="n"), sql(TABLE, FIRST), sql("delete from t where id = 2"),
        r"forgot: 'n' of table 't' was read up to 2, now the largest is 1", [1, 2], sql("insert into t values (2, 2, '2024-01-02 00:00:00')"),
    ),
    "a query that is none": Line(
        Sql(query="selekt id from t", database="shop"), sql(TABLE, FIRST), lambda root: None, "is no query", [], before=(),
    ),
    "a query that names an unknown table": Line(
        Sql(query="select id, at from tt", database="shop"), sql(TABLE, FIRST), lambda root: None,
        r"(?s)names a table 'tt', which the database has not.*'t'", [], before=(),
    ),
    "a glob that names nothing": Line(
        Csv("in/ab.csv"), text("in/abc.csv", HEAD), lambda root: None, r"(?s)nothing matches .*ab\.csv.*abc\.csv", [], before=(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_bad_input(name: str, tmp_path: Path) -> None:
    line = LINES[name]
    (tmp_path / "in").mkdir()
    event = None if "JSON" in name else "at"
    table = Table("t", source=line.source, key="id", event_time=event, timezone="UTC")
    bench = Bench(tmp_path, [table], databases={"shop": "sqlite:///shop.db"})

    def refresh() -> str:
        said: list[str] = []
        with bench as lake:
            try:
                lake.refresh(actor="ann", meanwhile=Meanwhile(tell=said.append))
            except MillstreamError as wrong:
                assert wrong.expected or wrong.do, f"an error that does not help: {wrong}"
                said.append(str(wrong))
        return "\n".join(said)

    def there() -> list[int]:
        with bench as lake:
            assert all(each.ok for each in lake.verify(deep=True))
            return sorted(lake.read("t").frame["id"]) if lake.heads() else []

    line.good(tmp_path)
    if line.before:
        refresh()
        assert there() == list(line.before)
    line.bad(tmp_path)
    said = "\n".join((refresh(), refresh()))  # what a cursor finds odd is said when it is read from
    assert re.search(line.says, said), said
    assert there() == (list(line.before) if line.then is None else line.then), "lost, or half-taken"
    line.mend(tmp_path)
    refresh()
    assert there() == line.mended
    assert not line.mended or not line.then or there() == line.mended, "the same again changes nothing"


def wide(count: int) -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2], **{f"c{each}": [each, None] for each in range(count)}})


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_many_columns_are_taken_read_and_queried(tmp_path: Path, count: int) -> None:
    (tmp_path / "in").mkdir()
    wide(count).write_parquet(tmp_path / "in/a.parquet")
    with Bench(tmp_path, [Table("t", source=Parquet("in/*.parquet"), key="id")]) as lake:
        lake.refresh(actor="ann")
        assert lake.read("t", columns=["id", f"c{count - 1}"]).frame[f"c{count - 1}"].to_list() == [count - 1, None]
        assert lake.query(f"select sum(c{count - 1}) as s from t")[0].item() == count - 1
        assert all(each.ok for each in lake.verify())


def test_one_giant_group(tmp_path: Path) -> None:
    """All rows of one entity, of one partition and at one instant."""
    count = 300_000
    (tmp_path / "in").mkdir()
    one = pl.datetime(2024, 1, 1)
    pl.select(id=pl.int_range(count), who=pl.lit("everybody"), since=one).write_parquet(tmp_path / "in/a.parquet")
    tables = [
        Table("t", source=Parquet("in/*.parquet"), key="id", event_time="since", timezone="UTC"),
        Table(
            "each", of="t", sql="select who, count(*) as n, max(since) as since from t group by who", partition="who",
            key="who", event_time="since", known_at="since",
        ),
    ]  # fmt: skip
    with Bench(tmp_path, tables) as lake:
        lake.refresh(actor="ann")
        assert lake.read("each").frame.select("who", "n").rows() == [("everybody", count)]


def test_tables_in_a_circle_and_unknown_ones_are_named(tmp_path: Path) -> None:
    one, two = (Table(a, of=b, sql=f"select * from {b}", key="id") for a, b in (("one", "two"), ("two", "one")))
    with pytest.raises(MillstreamError, match=r"(?s)(one|two).*(one|two)"):
        gather([one, two])
    with pytest.raises(MillstreamError, match=r"(?s)'sale'.*sales"):
        gather([Table("sales", source=CSV, key="id"), Table("more", of="sale", sql="select * from sale", key="id")])


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("selekt 1", "(?s)selekt"),
        ("delete from t", "(?s)SELECT"),
        ("select * from tt", r"(?s)'tt'.*\bt\b"),
        ("select idd from t", "(?s)idd.*id"),
        ("", "(?s)SELECT|empty|nothing"),
        ("select 1; select 2", "(?s)one"),
    ],
)
def test_a_question_that_is_none(tmp_path: Path, query: str, says: str) -> None:
    (tmp_path / "in").mkdir()
    GOOD(tmp_path)
    with Bench(tmp_path, [Table("t", source=CSV, key="id", timezone="UTC")]) as lake:
        lake.refresh(actor="ann")
        with pytest.raises(MillstreamError, match=says) as wrong:
            lake.query(query)
        assert wrong.value.expected or wrong.value.do
        assert lake.read("t").frame.height == 2


def test_a_step_that_fills_the_disk_is_ended_before_it_is_full(tmp_path: Path) -> None:
    import shutil

    at = StepBench(root=tmp_path, folder=tmp_path / "steps", memory_bytes=1 << 40, free_bytes=0)
    room = shutil.disk_usage(tmp_path).free - (40 << 20)
    small = StepBench(root=tmp_path, folder=at.folder, memory_bytes=at.memory_bytes, free_bytes=room)
    (tmp_path / "made.py").write_text(
        "import os, time\ndef fill(t):\n    with open('filling', 'wb') as out:\n"
        "        while True:\n            out.write(bytes(8 << 20)); out.flush(); os.fsync(out.fileno()); time.sleep(0.02)\n"
    )
    step = Table("s", of="t", step="made:fill", key="id", event_time="at", known_at="at", timeout="60s")
    with pytest.raises(StepFailed) as wrong:
        run_step(step, {"t": pl.DataFrame({"id": [1]})}, at=small, expected=None)
    assert re.search(r"left .* free on the disk, less than the .* a step has to leave", str(wrong.value.error))
    (tmp_path / "filling").unlink()


def test_a_table_behind_one_whose_columns_changed_says_so(tmp_path: Path) -> None:
    sql(TABLE, FIRST)(tmp_path)
    (tmp_path / "millstream.toml").write_text('name = "shop"\n[databases]\nshop = "sqlite:///shop.db"\n')
    (tmp_path / "tables.py").write_text(
        "from millstream import Table, sources\n"
        "t = Table('t', source=sources.Sql('t', 'shop'), key='id', timezone='UTC')\n"
        "less = Table('less', of='t', sql='select id, n from t', key='id')\n"
        "least = Table('least', of='less', sql='select id from less', key='id')\n"
    )
    with Project(tmp_path, lock=True) as project:
        project.run("refresh", {"actor": "ann"})
        sql("alter table t add column extra integer", "insert into t values (3, 3, null, 1)")(tmp_path)
        stopped = {each["table"]: each["detail"] for each in project.run("refresh", {"actor": "ann"})["stopped"]}
    assert "'extra' is new" in stopped["t"]
    assert "waits for 't'" in stopped["less"] and "waits for 'less', which waits for 't'" in stopped["least"]


def test_rows_a_definition_cannot_use_are_refused_before_they_are_written(tmp_path: Path) -> None:
    """They used to be committed, and no command could open the project until the definition fitted them."""
    (tmp_path / "in").mkdir()
    GOOD(tmp_path)
    (tmp_path / "b.csv").write_text("id\n1\n")
    other = Table("other", source=Csv("b.csv"), key="id")
    naive = Bench(tmp_path, [other, Table("t", source=CSV, key="id", event_time="at")])
    with naive as lake, pytest.raises(MillstreamError, match="'at' holds times without a zone"):
        lake.refresh(actor="ann")
    with Bench(tmp_path, [other, Table("t", source=CSV, key="id", event_time="word")]) as lake:
        assert lake.recover() == [] and not (tmp_path / ".millstream/lake/t/_delta_log").exists()
    with Bench(tmp_path, [other, Table("t", source=CSV, key="id", event_time="at", timezone="UTC")]) as lake:
        lake.refresh(actor="ann")
        assert lake.read("t").frame.height == 2 and all(each.ok for each in lake.verify())


def test_a_commit_that_no_definition_fits_any_more_stops_its_own_table_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    GOOD(tmp_path)
    (tmp_path / "b.csv").write_text("id\n1\n")
    other = Table("other", source=Csv("b.csv"), key="id")
    whole = Table("t", source=CSV, key="id", event_time="at", timezone="UTC")
    with Bench(tmp_path, [other, whole]) as lake, interrupted("lake.committed"):
        lake.refresh(["t"], actor="ann")
    with Bench(tmp_path, [other, Table("t", source=CSV, key="id", event_time="at")]) as lake:
        assert [each.ok for each in lake.recover()] == [False]
        assert [each.table for each in lake.refresh(["other"], actor="ann")] == ["other"]
        with pytest.raises(MillstreamError, match="'at' holds times without a zone"):
            lake.refresh(["t"], actor="ann")
    with Bench(tmp_path, [other, whole]) as lake:
        lake.refresh(actor="ann")
        assert lake.read("t").frame.height == 2 and all(each.ok for each in [*lake.recover(), *lake.verify()])
