"""Array columns of derived tables: taken apart where rows come in, the same in a query, a stored one and a step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions.sources import Parquet
from millstream.definitions.table import Table
from millstream.errors import BadData, DefinitionError, MillstreamError
from millstream.lake.derived.arrays import taken_apart
from millstream.lake.derived.steps import fit
from millstream.project import Project
from millstream.sources.parquets import parquet_frames

WORDS = """id,at,v,email
1,2024-01-01T00:00:00Z,"[1,2.5,3]",a@example.org
2,2024-01-02T00:00:00Z,"[4,null,6]",b@example.org
3,2024-01-03T00:00:00Z,,c@example.org
"""
TOML = 'name = "words"\ntimezone = "UTC"\n'
CODE = """
from millstream import Table, features as f, sources

words = Table("words", source=sources.Csv("words.csv"), key="id", event_time="at", sensitive={"v": "personal"})
said = dict(key="id", event_time="at", known_at="at")
read = Table("read", of=words, sql="select id, at, cast(v as float[3]) as e, [id, id * 2]::bigint[2] as n from words",
    **said)
kept = Table("kept", of=words, stored=True, **said, sql="select id, w.at, any_value(cast(v as float[3])) as e, "
    "[id, id * 2]::bigint[2] as n from words w group by all")
made = Table("made", of=words, step="vectors:made", **said)
filed = Table("filed", source=sources.Parquet("filed.parquet", texts=("e", "l")), key="id")
both = Table("both", of=filed, key="id", sql="select id, cast(e as float[2]) e, cast(l as double[2]) l from filed",
    sensitive=dict.fromkeys(f.elements("e", 2), "personal"))
tried = Table("tried", of=words, sql="select id, try_cast(v as double[2]) as e from words", key="id")
behind = Table("behind", of=read, sql="select id, e_1 + n_2 as s, [e_3, 1]::double[2] as again from read", key="id")
"""
STEP = """
import polars as pl

def made(words):
    e = pl.col("v").str.json_decode(pl.List(pl.Float32)).list.to_array(3)
    n = pl.concat_list("id", pl.col("id") * 2).list.to_array(2)
    return words.select("id", "at", e=e, n=n)
"""
FILED = pl.DataFrame(
    {"id": [1, 2, 3], "e": [[0.1, 2.0], None, [None, float("nan")]], "l": [[0.1, 1 / 3], [1e-300, -0.0], None]},
    schema_overrides={"e": pl.Array(pl.Float32, 2)},
)
ROWS = [(1, 1.0, 2.5, 3.0, 1, 2), (2, 4.0, None, 6.0, 2, 4), (3, None, None, None, 3, 6)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "words"
    folder.mkdir()
    files = {"millstream.toml": TOML, "tables.py": CODE, "vectors.py": STEP, "words.csv": WORDS}
    for name, text in files.items():
        (folder / name).write_text(text)
    FILED.write_parquet(folder / "filed.parquet")
    return folder


@pytest.fixture(scope="module")
def project(root: Path) -> Iterator[Project]:
    with Project(root, lock=True) as opened:
        assert opened.run("refresh", {})["stopped"] == []
        yield opened


@pytest.mark.parametrize("table", ["read", "kept", "made"])
def test_a_query_a_stored_one_and_a_step_give_the_same_columns(project: Project, table: str) -> None:
    found = project.lake.read(table)
    assert list(found.schema.items())[2:] == [
        *((f"e_{each}", "double") for each in (1, 2, 3)),
        *((f"n_{each}", "bigint") for each in (1, 2)),
    ]
    assert found.frame.sort("id").select(each for each in found.schema if each != "at").rows() == ROWS
    assert {found.known[f"e_{each}"] for each in (1, 2, 3)} == {found.known["id"]}
    assert project.lake.head(table).schema == found.schema


def test_other_tables_and_people_see_ordinary_columns(project: Project) -> None:
    assert project.lake.read("behind").frame.select("id", "s", "again_1", "again_2").rows() == [
        (1, 3.0, 3.0, 1.0), (2, 8.0, 6.0, 1.0), (3, None, None, 1.0),
    ]  # fmt: skip
    asked = project.run("sql", {"query": "select m.e_3 from made m join kept k using (id) where k.e_2 > 2"})
    assert asked["rows"] == [[3.0]]


def test_lists_of_parquet_files_are_kept_as_text_and_become_arrays(project: Project) -> None:
    tenth = 0.10000000149011612  # of single precision
    assert project.lake.read("filed").frame["e"].to_list() == ["[0.1,2.0]", None, "[null,null]"]
    assert project.lake.read("both").frame.select("id", "e_1", "e_2", "l_1", "l_2").rows() == [
        (1, tenth, 2.0, 0.1, 1 / 3), (2, None, None, 1e-300, -0.0), (3, None, None, None, None),
    ]  # fmt: skip


def test_a_list_of_a_parquet_file_that_nobody_spoke_of_is_refused(root: Path) -> None:
    says = r"'e'.* is a Array(.|\n)*without=\('e',\).*texts=\('e',\).*cast\(e as float\[2\]\)"
    with pytest.raises(BadData, match=says):
        next(parquet_frames(root / "filed.parquet", Parquet("filed.parquet"), where="table 'filed'"))


def test_an_element_comes_from_what_the_array_comes_from_and_is_as_sensitive(project: Project) -> None:
    columns = {each["name"]: each for each in project.run("catalog", {"table": "read"})["column_list"]}
    for place in (1, 2, 3):
        said = columns[f"e_{place}"]
        assert said["from"] == ["words.v"] and said["sensitive"] == {"personal": "words.v"}
        assert said["how"].endswith(f"[{place}]") and "REAL[3]" in said["how"]
    assert columns["n_2"]["from"] == ["words.id"] and columns["n_2"]["sensitive"] == {}
    assert columns["id"]["from"] == ["words.id"]
    (above,) = project.run("lineage", {"name": "behind.again_1"})["upstream"]
    assert above["name"] == "read.e_3" and above["children"][0]["name"] == "words.v"


def test_a_definition_says_what_each_element_is(project: Project) -> None:
    columns = project.run("catalog", {"table": "both"})["column_list"]
    assert [each["name"] for each in columns if each["sensitive"] == {"personal": f"both.{each['name']}"}] == [
        "e_1",
        "e_2",
    ]


def test_an_array_of_another_size_can_be_none(project: Project) -> None:
    assert project.lake.read("tried").frame.select("id", "e_1", "e_2").rows() == [(n, None, None) for n in (1, 2, 3)]


def test_another_size_is_another_schema_and_waits(root: Path, tmp_path: Path) -> None:
    words = CODE.partition("read =")[0]
    made = 'made = Table("made", of=words, step="sized:e", key="id", known_at="timestamptz \'2024-01-01 00:00:00+00\'")'
    step = """import polars as pl

def e(words):
    return words.select('id', e=pl.lit([0.5] * {0}).cast(pl.Array(pl.Float32, {0})))
"""
    for name, text in (("millstream.toml", TOML), ("tables.py", words + made), ("words.csv", WORDS)):
        (tmp_path / name).write_text(text)
    with Project(tmp_path, lock=True) as project:
        (tmp_path / "sized.py").write_text(step.format(2))
        assert project.run("refresh", {})["stopped"] == []
        (tmp_path / "sized.py").write_text(step.format(3))
        (stopped,) = project.run("refresh", {})["stopped"]
        assert "e_3" in stopped["detail"] and "--accept-schema made" in stopped["do"]
        assert list(project.lake.read("made").schema) == ["id", "e_1", "e_2"]
        assert project.run("refresh", {"accept_schema": ["made"]})["stopped"] == []
        assert list(project.lake.read("made").schema) == ["id", "e_1", "e_2", "e_3"]


STORED = Table("t", of=["a"], sql="select 1", stored=True)
FUNCTION = Table("t", of=["a"], step="made:it")
COMMAND = Table("t", of=["a"], step=["sh", "it.sh"])
F32 = pl.Float32
REFUSED: list[tuple[Table, dict[str, Any], str]] = [
    (STORED, {"e": pl.List(F32)}, r"'e' is a list.*\n.*\n.*cast\(e as float\[N\]\); N is how many"),
    (FUNCTION, {"e": pl.List(F32)}, r'pl.col\("e"\).list.to_array\(N\); N is how many'),
    (COMMAND, {"e": pl.List(F32)}, "fixed_size_list of Arrow, or a column for each number: e_1, e_2"),
    (STORED, {"e": pl.List(pl.String)}, "'e' is a list of String"),
    (STORED, {"e": pl.List(pl.List(F32))}, "'e' is a list of lists"),
    (STORED, {"e": pl.Array(pl.String, 2)}, "'e' is an array of String(.|\n)*take e apart"),
    (STORED, {"e": pl.Array(pl.Boolean, 2)}, "'e' is an array of Boolean"),
    (STORED, {"e": pl.Array(F32, (2, 2))}, "'e' is an array of arrays"),
    (STORED, {"e": pl.Array(F32, 129)}, "'e' has 129 elements(.|\n)*1 to 128"),
    (STORED, {"e": pl.Array(F32, 0)}, "'e' has 0 elements"),
    (STORED, {"e_2": pl.Int64, "e": pl.Array(F32, 2)}, "elements become e_1 to e_2, and there is a column 'e_2'"),
    (STORED, {"e": pl.Array(F32, 2), "E_2": pl.Int64}, "there is a column 'E_2'"),
    (STORED, {"E": pl.Array(F32, 2), "e": pl.Array(F32, 2)}, "there is a column 'E_1'"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "schema", "says"), REFUSED)
def test_what_is_no_array_of_numbers_is_refused_in_words(table: Table, schema: dict[str, Any], says: str) -> None:
    with pytest.raises(MillstreamError, match=says):
        taken_apart(pl.DataFrame(schema=schema), table)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], r"\(here 2\)(.|\n)*to_array\(2\)$"),
        ([[1.0], None, [3.0, 4.0]], r"\(here 1 to 2\)(.|\n)*to_array\(N\); N is"),
    ],
)
def test_a_list_says_how_long_it_is_and_how_it_becomes_an_array(rows: list[list[float]], says: str) -> None:
    with pytest.raises(BadData, match=says):
        taken_apart(pl.DataFrame({"e": rows}), FUNCTION)


@pytest.mark.parametrize("word", ["key", "event_time", "about", "sensitive"])
def test_a_definition_names_elements_not_the_array(word: str) -> None:
    said: Any = {"e": "personal"} if word in ("about", "sensitive") else "e"
    table = Table("t", of=["a"], step="made:it", **{word: said})
    rows = pl.DataFrame({"e": [[1.0, 2.0]]}, schema={"e": pl.Array(pl.Float64, 2)})
    with pytest.raises(DefinitionError, match=rf"{word} of table 't' names 'e'(.|\n)*name its elements: e_1 to e_2"):
        fit(table, rows)


numbers = st.none() | st.floats(width=32) | st.integers(-9, 9).map(float)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.none() | st.lists(numbers, min_size=n, max_size=n), min_size=1)))
def test_property_elements_are_those_of_the_array_and_null_is_null(rows: list[list[float | None] | None]) -> None:
    size = next((len(each) for each in rows if each is not None), 3)
    made = fit(
        FUNCTION, pl.DataFrame({"a": range(len(rows)), "e": rows}, schema={"a": pl.UInt8, "e": pl.Array(F32, size)})
    )
    assert made.columns == ["a", *(f"e_{each}" for each in range(1, size + 1))]
    finite = [[None if x is None or x - x != 0 else x for x in each or [None] * size] for each in rows]
    assert [list(each) for each in made.drop("a").rows()] == finite


def test_rows_without_arrays_are_passed_on_as_they_are() -> None:
    rows = pl.DataFrame({"a": [1]})
    assert taken_apart(rows, FUNCTION) is rows
