"""The 31 checks as other libraries say them: ``python -m benchmarks.peers.checks LIBRARY FOLDER``.

The folder holds ``flights.parquet`` and ``given.json`` with the sets that ``references`` compare with. For each line it
is sent it runs all once and prints, as JSON: the seconds, the most memory so far, and what each check found: failing
rows, or whether it holds where that is a matter of the batch. Reading the rows, and turning them into what the library
wants, is not timed.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.checks import KEY, NOW, NULLS, RANGES, REFERENCES
from benchmarks.peers.asked import serve

Found = dict[str, int | bool]


def great_expectations(rows: Any, known: dict[str, list[str]]) -> Callable[[], Found]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import pandas as pd

    frame = pd.DataFrame(
        {each.name: each.to_list() if each.dtype == rows["origin"].dtype else each.to_numpy() for each in _naive(rows)}
    )
    frame["gain"] = frame["arr_delay"] - frame["dep_delay"]  # it has no check of a difference: the column is given
    e = gx.expectations
    named = {
        "unique": e.ExpectCompoundColumnsToBeUnique(column_list=list(KEY)),
        "fresh": e.ExpectColumnMaxToBeBetween(column="time_hour", min_value=_fresh().replace(tzinfo=None)),
        **{
            f"between {name}": e.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high)
            for name, (low, high) in RANGES.items()
        },
        **{
            f"nulls {name}": e.ExpectColumnValuesToNotBeNull(column=name, mostly=1 - share)
            for name, share in NULLS.items()
        },
        "holds 1": e.ExpectColumnValuesToBeBetween(column="air_time", min_value=0, strict_min=True),
        "holds 2": e.ExpectColumnValuesToBeBetween(column="distance", min_value=0, strict_min=True),
        "holds 3": e.ExpectColumnValuesToBeBetween(column="gain", max_value=240, strict_max=True),
        "holds 4": e.ExpectColumnValueLengthsToEqual(column="origin", value=3),
        **{f"in {name}": e.ExpectColumnValuesToBeInSet(column=name, value_set=known[to]) for name, to in _referenced()},
    }
    assert len(named) == 31
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    whole = asset.add_batch_definition_whole_dataframe("rows")
    place = {each: (type(one).__name__, str(one)) for each, one in named.items()}
    assert len(set(place.values())) >= 29  # holds 1 and 2 repeat a range with another bound

    def run() -> Found:
        suite = gx.ExpectationSuite(name="flights", expectations=list(named.values()))
        made = whole.get_batch({"dataframe": frame}).validate(suite, result_format="SUMMARY")
        found: Found = {}
        for said in made.results:
            name = _name_of(said.expectation_config, named)
            count = said.result.get("unexpected_count")
            assert not said.exception_info.get("raised_exception"), said.exception_info
            found[name] = bool(said.success) if count is None else int(count)
        return found

    return run


def _name_of(config: Any, named: dict[str, Any]) -> str:
    def plain(kwargs: dict[str, Any]) -> dict[str, Any]:
        return {key: each for key, each in kwargs.items() if key != "batch_id" and each is not None}

    for name, one in named.items():
        mine = one.configuration
        if mine.type == config.type and plain(mine.kwargs) == plain(config.kwargs):
            return name
    raise AssertionError(config)


def pandera(rows: Any, known: dict[str, list[str]]) -> Callable[[], Found]:
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    of: dict[str, list[Any]] = {name: [] for name in rows.columns}
    for name, (low, high) in RANGES.items():
        of[name].append(pa.Check.in_range(low, high, error=f"between {name}"))
    for name, to in _referenced():
        of[name].append(pa.Check.isin(known[to], error=f"in {name}"))
    of["air_time"].append(pa.Check.gt(0, error="holds 1"))
    of["distance"].append(pa.Check.gt(0, error="holds 2"))
    of["origin"].append(pa.Check.str_length(3, 3, error="holds 4"))

    def few(name: str, share: float) -> Any:
        return pa.Check(
            lambda given: bool(given.lazyframe.select(pl.col(name).is_null().mean() <= share).collect().item()),
            error=f"nulls {name}",
        )

    short = (pl.col("arr_delay") - pl.col("dep_delay") < 240).fill_null(True)
    whole = [
        *(few(name, share) for name, share in NULLS.items()),
        pa.Check(lambda given: bool(given.lazyframe.select(pl.col("time_hour").max() >= _fresh()).collect().item()),
                 error="fresh"),
        pa.Check(lambda given: given.lazyframe.select(short), error="holds 3"),
    ]  # fmt: skip
    columns = {name: pa.Column(checks=checks, nullable=True) for name, checks in of.items()}
    schema = pa.DataFrameSchema(columns, checks=whole, unique=list(KEY))
    rows_of = [*(f"between {each}" for each in RANGES), *(f"in {each}" for each in REFERENCES),
               "unique", "holds 1", "holds 2", "holds 3", "holds 4"]  # fmt: skip

    def run() -> Found:
        found: Found = {**dict.fromkeys(rows_of, 0), **{f"nulls {each}": True for each in NULLS}, "fresh": True}
        try:
            schema.validate(rows, lazy=True)
        except SchemaErrors as wrong:
            for (name,), cases in wrong.failure_cases.group_by("check"):
                called = "unique" if name == "multiple_fields_uniqueness" else str(name)
                found[called] = cases.height if called in rows_of else False
        assert len(found) == 31, sorted(found)
        return found

    return run


def pointblank(rows: Any, known: dict[str, list[str]]) -> Callable[[], Found]:
    import pointblank as pb
    import polars as pl

    def run() -> Found:
        asked = pb.Validate(rows).rows_distinct(columns_subset=list(KEY))
        names = ["unique"]
        for name, (low, high) in RANGES.items():
            asked = asked.col_vals_between(columns=name, left=low, right=high, na_pass=True)
            names.append(f"between {name}")
        for name in NULLS:
            asked = asked.col_vals_not_null(columns=name)
            names.append(f"nulls {name}")
        for name, to in _referenced():
            asked = asked.col_vals_in_set(columns=name, set=known[to])
            names.append(f"in {name}")
        for expression in (
            pl.col("air_time").gt(0).fill_null(True),
            pl.col("distance").gt(0).fill_null(True),
            (pl.col("arr_delay") - pl.col("dep_delay")).lt(240).fill_null(True),
            pl.col("origin").str.len_chars().eq(3).fill_null(True),
        ):
            asked = asked.col_vals_expr(expr=expression)
            names.append(f"holds {sum(each.startswith('holds') for each in names) + 1}")
        asked = asked.specially(expr=lambda given: given["time_hour"].max() >= _fresh())
        names.append("fresh")
        made = asked.interrogate(collect_extracts=False)
        assert len(made.validation_info) == 31
        return {
            name: each.n_failed == 0 if name == "fresh"
            else each.n_failed <= NULLS[name.removeprefix("nulls ")] * each.n if name.startswith("nulls")
            else int(each.n_failed)
            for name, each in zip(names, made.validation_info, strict=True)
        }  # fmt: skip

    return run


def _fresh() -> Any:
    from datetime import timedelta

    return NOW - timedelta(days=1)


def _referenced() -> list[tuple[str, str]]:
    return list(REFERENCES.items())


def _naive(rows: Any) -> Any:
    import polars as pl

    return rows.with_columns(pl.col("time_hour").dt.replace_time_zone(None))


def main() -> None:
    import polars as pl

    warnings.simplefilter("ignore")
    library, folder = sys.argv[1], Path(sys.argv[2])
    rows = pl.read_parquet(folder / "flights.parquet")
    run = globals()[library](rows, json.loads((folder / "given.json").read_text()))
    serve(run)


if __name__ == "__main__":
    main()
