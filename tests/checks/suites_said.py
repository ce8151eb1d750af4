"""Expectations, and frames they are asked of; what the library said is in ``great_expectations_said.json``."""

from __future__ import annotations

from typing import Any

import polars as pl

SCHEMA: dict[str, Any] = {
    "id": pl.Int64(), "n": pl.Int64(), "x": pl.Float64(), "y": pl.Float64(), "s": pl.String(),
}  # fmt: skip
FRAMES: dict[str, list[tuple[Any, ...]]] = {
    "mixed": [
        (1, 1, 0.0, 1.0, "a"), (2, 2, 3.0, None, "ab"), (3, None, None, 2.0, None), (4, 2, -1.5, -1.5, "b\n"),
        (4, 7, 9.0, 9.0, "A9"), (6, 7, None, None, ""),
    ],
    "fine": [(1, 1, 1.0, 0.5, "a"), (2, 2, 2.0, 1.5, "b"), (3, 3, 3.0, 2.5, "a")],
    "nothing but NULL": [(1, None, None, None, None), (2, None, None, None, None)],
    "empty": [],
    "one": [(1, 1, 1.0, 1.0, "a")],
}  # fmt: skip


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _of(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


EXPECTATIONS: list[dict[str, Any]] = [
    _of("expect_column_values_to_not_be_null", column="x"),
    _of("expect_column_values_to_not_be_null", column="x", mostly=0.6),
    _of("expect_column_values_to_not_be_null", column="y", row_condition="n == 7", condition_parser="pandas"),
    _of("expect_column_values_to_be_null", column="x"),
    _of("expect_column_values_to_be_unique", column="id"),
    _of("expect_column_values_to_be_unique", column="n"),
    _of("expect_column_values_to_be_unique", column="n", mostly=0.5),
    _of("expect_column_values_to_be_unique", column="n", row_condition="x > 0", condition_parser="pandas"),
    _of("expect_compound_columns_to_be_unique", column_list=["n", "s"]),
    _of("expect_compound_columns_to_be_unique", column_list=["n", "x"], ignore_row_if="any_value_is_missing"),
    _of("expect_compound_columns_to_be_unique", column_list=["x", "y"], ignore_row_if="never"),
    _of("expect_column_values_to_be_between", column="x", min_value=0, max_value=3),
    _of("expect_column_values_to_be_between", column="x", min_value=0, max_value=3, mostly=0.5),
    _of("expect_column_values_to_be_between", column="x", min_value=0, strict_min=True),
    _of("expect_column_values_to_be_between", column="n", max_value=7, strict_max=True),
    _of("expect_column_values_to_be_between", column="x", max_value=3,
        row_condition="n != 7", condition_parser="pandas"),
    _of("expect_column_values_to_be_in_set", column="s", value_set=["a", "b"]),
    _of("expect_column_values_to_be_in_set", column="n", value_set=[1, 2, 3]),
    _of("expect_column_values_to_be_in_set", column="s", value_set=["a"], mostly=0.4),
    _of("expect_column_values_to_be_in_set", column="s", value_set=["a"],
        row_condition='s == "a"', condition_parser="pandas"),
    _of("expect_column_values_to_not_be_in_set", column="s", value_set=["a", "ab"]),
    _of("expect_column_value_lengths_to_be_between", column="s", min_value=1, max_value=1),
    _of("expect_column_value_lengths_to_equal", column="s", value=1),
    _of("expect_column_values_to_match_regex", column="s", regex="b"),
    _of("expect_column_values_to_match_regex", column="s", regex="^[a-z]$"),
    _of("expect_column_values_to_match_regex", column="s", regex="^[A-Z]\\d"),
    _of("expect_column_pair_values_a_to_be_greater_than_b", column_A="x", column_B="y"),
    _of("expect_column_pair_values_a_to_be_greater_than_b", column_A="x", column_B="y", or_equal=True,
        ignore_row_if="either_value_is_missing"),
    _of("expect_column_pair_values_to_be_equal", column_A="x", column_B="y"),
    _of("expect_column_to_exist", column="x"),
    _of("expect_column_to_exist", column="absent"),
    _of("expect_table_row_count_to_be_between", min_value=2, max_value=5),
    _of("expect_table_row_count_to_equal", value=3),
    _of("expect_column_min_to_be_between", column="x", min_value=0),
    _of("expect_column_max_to_be_between", column="x", min_value=0, max_value=3),
    _of("expect_column_mean_to_be_between", column="x", min_value=1, max_value=3),
    _of("expect_column_median_to_be_between", column="n", min_value=2, max_value=2),
    _of("expect_column_sum_to_be_between", column="x", min_value=6, max_value=10.5),
    _of("expect_column_stdev_to_be_between", column="x", min_value=0.5, max_value=1),
    _of("expect_column_unique_value_count_to_be_between", column="s", min_value=2, max_value=4),
]  # fmt: skip
