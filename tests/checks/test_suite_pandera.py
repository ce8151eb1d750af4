"""Schemas of Pandera give, translated, what the library says of the same rows."""

from __future__ import annotations

import importlib
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.checks.outside import pandas_of
from millstream.definitions import checks
from millstream.definitions.checks import Imported, Own
from millstream.errors import DefinitionError
from tests.checks.scenes import run_on

SCHEMA = {"id": pl.Int64(), "n": pl.Int64(), "x": pl.Float64(), "s": pl.String()}
CODE = """
import {library} as pa
C = pa.Check
orders = pa.DataFrameSchema({{
    "id": pa.Column({int}, [C.in_range(0, 5), C.ne(3)], unique=True),
    "n": pa.Column({int}, [C.isin([1, 2]), C.notin([7]), C.le(2)], nullable={n_null}, unique={n_null}),
    "x": pa.Column(float, [C.gt(0), C.ge(0), C.lt(3), C.in_range(0, 3, include_min=False), C.eq(1.0)], nullable=True),
    "s": pa.Column({text}, [C.isin(["a", "ab"]), C.str_matches("a"), C.str_matches("^[a-z]$"), C.str_contains("b"),
                   C.str_startswith("a"), C.str_endswith("b"), C.str_length(1, 2)], nullable=True),
}}, unique=["x", "s"], name="orders")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two schemas in a project: of Polars and of pandas."""
    root = tmp_path_factory.mktemp("pandera")
    (root / "of_polars.py").write_text(CODE.format(library="pandera.polars", int="int", text="str", n_null=True))
    (root / "of_pandas.py").write_text(CODE.format(library="pandera.pandas", int='"int64"', text="str", n_null=False))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(root)
        patch.syspath_prepend(str(root))
        yield root
        for each in ("of_polars", "of_pandas"):
            sys.modules.pop(each, None)


def theirs(schema: Any, rows: pl.DataFrame) -> dict[str, int]:
    """Failing rows of each check that has any, as Pandera counts them, by column and check."""
    errors = importlib.import_module("pandera.errors")
    try:
        schema.validate(rows, lazy=True)
    except errors.SchemaErrors as wrong:
        at: dict[str, set[Any]] = {}
        cases = wrong.failure_cases
        for each in cases.to_dicts() if isinstance(cases, pl.DataFrame) else cases.to_dict("records"):
            name = "unique" if each["check"] == "multiple_fields_uniqueness" else f"{each['column']}.{each['check']}"
            at.setdefault(name, set()).add(each["index"])
        return {name: len(places) for name, places in at.items()}
    return {}


def ours(suite: list[Any], rows: pl.DataFrame, schema: Any) -> dict[str, int]:
    """Ours, under the names Pandera gives: its checks in their order."""
    names = []
    for name, column in schema.columns.items():
        names += [f"{name}.dtype"] + ([] if column.nullable else [f"{name}.not_nullable"])
        names += [f"{name}.field_uniqueness"] if column.unique else []
        names += [f"{name}.{each.error}" for each in column.checks]
    report = run_on(rows, *suite)
    assert len(report.results) == len(names) + 1
    return {
        name: each.failed_rows
        for name, each in zip([*names, "unique"], report.results, strict=True)
        if each.failed_rows or not each.ok
    }


ROW = st.tuples(
    st.none() | st.integers(-1, 7),
    st.sampled_from([None, 1, 2, 7]),
    st.sampled_from([None, -1.0, 0.0, 1.0, 2.5, 3.0]),
    st.sampled_from([None, "", "a", "ab", "b", "ba", "a\n", "ß"]),
)


ROWS = [
    (1, 1, 1.0, "a"),
    (3, 2, 0.0, "ab"),
    (3, 7, None, "a\n"),
    (9, 1, 3.0, None),
    (4, 2, -1.0, "ba"),
    (5, 2, 1.0, "a"),
    (0, 1, 2.5, ""),
    (2, 1, 1.0, "ß"),
]


def equal(rows: list[tuple[Any, ...]], library: str) -> bool:
    """Whether the translation and the library find the same failing rows of each check."""
    schema = importlib.import_module(f"of_{library}").orders
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    suite = checks.suite.pandera(f"of_{library}:orders")
    assert {type(each) for each in suite} == {Imported}
    found, said = ours(suite, frame, schema), theirs(schema, frame if library == "polars" else pandas_of(frame))
    assert found == said
    return bool(found)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_equal_to_the_library(folder: Path, library: str) -> None:
    assert equal(ROWS, library)
    assert not equal([], library)
    if library == "polars":
        assert equal([(None, None, None, None)] * 2 + ROWS, library)  # pandas has no integers with NULL


@pytest.mark.nightly
@pytest.mark.parametrize("library", ["polars", "pandas"])
@settings(max_examples=100, deadline=None)
@given(rows=st.lists(ROW, max_size=8))
def test_equal_to_the_library_on_random_rows(folder: Path, library: str, rows: list[tuple[Any, ...]]) -> None:
    if library == "pandas":
        # No integers with NULL; and of rows that agree in NULL it fails the schema, but lists none of them.
        rows = [each for each in rows if None not in each[:2] and each[2:] != (None, None)]
    equal(rows, library)


def test_yaml_gives_the_same_checks_as_the_object(folder: Path) -> None:
    schema = importlib.import_module("of_pandas").orders
    schema.to_yaml(folder / "orders.yaml")
    both = [
        [each.check if isinstance(each, Imported) else each.test for each in checks.suite.pandera(said)]
        for said in ("of_pandas:orders", "orders.yaml")
    ]
    assert both[0] == both[1] and len(both[0]) == 25


def test_what_is_not_translated_is_run_by_the_library(folder: Path) -> None:
    (folder / "own.py").write_text(
        textwrap.dedent("""
        import pandera.polars as pa, polars as pl
        def of(limit):
            below = lambda given: given.lazyframe.select(pl.col(given.key) < limit)
            return pa.Check(below, name="small", raise_warning=limit > 98)
        x = [pa.Check.ge(0), of(90), of(99), of(100)]
        orders = pa.DataFrameSchema({"x": pa.Column(pl.Float64, x, nullable=True),
                                     "there": pa.Column(pl.Int64, required=False)},
                                    checks=pa.Check(lambda of: of.lazyframe.select(pl.col("x") != 7), name="seven"))
        """)
    )
    suite = checks.suite.pandera("own:orders")
    kept = [each.test for each in suite if isinstance(each, Own)]
    assert kept == ["small of x", "small of x", "small of x", "dtype of there", "not_nullable of there", "seven"]
    report = run_on(pl.DataFrame({"id": [1, 2, 3, 4], "x": [1.0, 99.0, None, 7.0]}), *suite)
    small = [each for each in report.results if each.subject == "things: small of x"]
    assert [(each.ok, each.severity, each.rows) for each in small] == [
        (False, "warn", ({"id": 2},)), (False, "note", ({"id": 2},)), (True, "note", ()),
    ]  # fmt: skip
    found = {each.subject: (each.ok, each.failed_rows, each.rows) for each in report.results}
    assert found["things: seven"] == (False, 1, ({"id": 4},))
    assert found["things: dtype of there"] == (True, 0, ())
    assert sorted(report.quarantine["id"]) == [2, 4]
    left = checks.suite.pandera("own:orders", without=["x.small", "there", "seven"])
    assert [type(each) for each in left] == [Imported, Imported]


def test_several_sets_of_unique_columns_are_checks_of_their_own(folder: Path) -> None:
    (folder / "sets.py").write_text(
        "import pandera.pandas as pa\n"
        "orders = pa.DataFrameSchema({'x': pa.Column(), 's': pa.Column()}, unique=[['x', 's'], ['s']])\n"
    )
    importlib.import_module("sets").orders.to_yaml(folder / "sets.yaml")
    for said in ("sets:orders", "sets.yaml"):
        made = [each.check.columns for each in checks.suite.pandera(said)[2:]]
        assert made == [("x", "s"), ("s",)]


def test_what_is_wrong_with_a_schema_is_said(folder: Path) -> None:
    (folder / "broken.yaml").write_text("columns: [")
    for said, words in (
        ("of_polars:order", "did you mean"),
        ("of_nothing:orders", "no module 'of_nothing'"),
        ("of_polars:C", "expected"),
        ("broken.yaml", "is no YAML"),
        ("absent.yaml", "cannot be read"),
    ):
        with pytest.raises(DefinitionError) as wrong:
            checks.suite.pandera(said)
        assert words in str(wrong.value).lower() or words in str(wrong.value)
