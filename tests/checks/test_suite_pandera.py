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
        found: dict[str, int] = {}
        for each in wrong.failure_cases.to_dicts():
            name = "unique" if each["check"] == "multiple_fields_uniqueness" else f"{each['column']}.{each['check']}"
            found[name] = found.get(name, 0) + 1
        return found
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


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=8))
def test_equal_to_the_library_on_random_rows(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    schema = importlib.import_module("of_polars").orders
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    suite = checks.suite.pandera("of_polars:orders")
    assert {type(each) for each in suite} == {Imported}
    assert ours(suite, frame, schema) == theirs(schema, frame)


def test_yaml_gives_the_same_checks_as_the_object(folder: Path) -> None:
    schema = importlib.import_module("of_pandas").orders
    schema.to_yaml(folder / "orders.yaml")
    both = [
        [each.check if isinstance(each, Imported) else each.test for each in checks.suite.pandera(said)]
        for said in ("of_pandas:orders", "orders.yaml")
    ]
    assert both[0] == both[1] and len(both[0]) == 22


def test_what_is_not_translated_is_run_by_the_library(folder: Path) -> None:
    (folder / "own.py").write_text(
        textwrap.dedent("""
        import pandera.polars as pa, polars as pl
        small = pa.Check(lambda given: given.lazyframe.select(pl.col(given.key) < 90), name="small")
        orders = pa.DataFrameSchema({"x": pa.Column(pl.Float64, [pa.Check.ge(0), small], nullable=True),
                                     "there": pa.Column(pl.Int64, required=False)},
                                    checks=pa.Check(lambda given: given.lazyframe.select(pl.col("x") != 7), name="seven"))
        """)
    )
    suite = checks.suite.pandera("own:orders")
    kept = [each.test for each in suite if isinstance(each, Own)]
    assert kept == ["small of x", "dtype of there", "not_nullable of there", "seven"]
    report = run_on(pl.DataFrame({"id": [1, 2, 3, 4], "x": [1.0, 95.0, None, 7.0]}), *suite)
    found = {each.subject: (each.ok, each.failed_rows, each.rows) for each in report.results}
    assert found["things: small of x"] == (False, 1, ({"id": 2},))
    assert found["things: seven"] == (False, 1, ({"id": 4},))
    assert found["things: dtype of there"] == (True, 0, ())
    assert sorted(report.quarantine["id"]) == [2, 4]
    left = checks.suite.pandera("own:orders", without=["x.small", "there", "seven"])
    assert [type(each) for each in left] == [Imported, Imported]


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
