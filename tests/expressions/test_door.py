"""The door: what foreign frames and scalars become, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.errors import BadData
from millstream.expressions import door

NEW_YORK = "America/New_York"


def admit(values: list[object], dtype: pl.DataType | None = None, timezone: str | None = None) -> list[object]:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype, strict=False)})
    return door.frame(frame, timezone=timezone, where="table t")["x"].to_list()


def test_numbers_become_int64_and_finite_float64() -> None:
    frame = pl.DataFrame(
        {"small": pl.Series([1, None], dtype=pl.Int8), "odd": [float("nan"), float("inf")], "fine": [1.5, None]}
    ).with_columns(pl.col("fine").cast(pl.Float32).alias("single"), pl.lit(None).alias("nothing"))
    made = door.frame(frame, timezone=None, where="table t")
    assert made.schema == {
        "small": pl.Int64,
        "odd": pl.Float64,
        "fine": pl.Float64,
        "single": pl.Float64,
        "nothing": pl.Float64,
    }
    assert made["odd"].to_list() == [None, None]
    assert made["single"].to_list() == [1.5, None]
    assert door.schema(made) == dict.fromkeys(["odd", "fine", "single", "nothing"], "double") | {"small": "bigint"}


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(BadData, match="table t"):
        admit([2**63], pl.UInt64())


def test_categories_become_text_and_dates_stay() -> None:
    assert admit(["a", None], pl.Categorical()) == ["a", None]
    assert admit([date(2013, 1, 2)]) == [date(2013, 1, 2)]


def test_naive_times_are_localised_the_earlier_of_two() -> None:
    twice = datetime(2013, 11, 3, 1, 30)
    assert admit([twice], timezone=NEW_YORK) == [datetime(2013, 11, 3, 5, 30, tzinfo=UTC)]
    assert admit([datetime(2013, 7, 1, 8)], pl.Datetime("ns"), NEW_YORK) == [datetime(2013, 7, 1, 12, tzinfo=UTC)]


def test_a_time_that_did_not_exist_is_refused_by_name() -> None:
    with pytest.raises(BadData, match=r"column 'x' holds 2013-03-10 02:30:00, a time that did not exist in America"):
        admit([datetime(2013, 3, 10, 2, 30), None], timezone=NEW_YORK)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2037, 1, 1)), st.sampled_from(["America/New_York", "Europe/Berlin"]))
@example(datetime(2013, 11, 3, 1, 59, 59, 999999), NEW_YORK)
@example(datetime(2013, 3, 10, 2), NEW_YORK)
@example(datetime(2013, 3, 31, 2, 59, 59), "Europe/Berlin")
@settings(deadline=None, max_examples=60)
def test_any_local_time_is_what_the_zone_says(local: datetime, zone: str) -> None:
    instant = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local:
        assert admit([local], timezone=zone) == [instant]
    else:
        with pytest.raises(BadData, match="did not exist"):
            admit([local], timezone=zone)


def test_naive_times_need_a_zone() -> None:
    with pytest.raises(BadData, match="column 'x' holds times without a zone"):
        admit([datetime(2013, 1, 1)])


def test_a_wrong_zone_lists_near_ones() -> None:
    with pytest.raises(BadData, match="Europe/Berlin"):
        admit([datetime(2013, 1, 1)], timezone="Europe/Berln")


def test_zoned_times_become_utc_microseconds() -> None:
    frame = pl.DataFrame({"x": [datetime(2013, 7, 1, 12, tzinfo=UTC)]}).select(
        pl.col("x").dt.cast_time_unit("ms").dt.convert_time_zone(NEW_YORK)
    )
    made = door.frame(frame, timezone=None, where="table t")
    assert made.schema["x"] == pl.Datetime("us", "UTC")
    assert made["x"].to_list() == [datetime(2013, 7, 1, 12, tzinfo=UTC)]


def test_types_the_language_does_not_have_are_refused_by_name() -> None:
    with pytest.raises(BadData, match="column 'x' has the type List"):
        admit([[1], [2]])


def test_instants_beyond_year_9999_are_refused() -> None:
    with pytest.raises(BadData, match="years 1 to 9999"):
        admit([253_402_300_800_000_000], pl.Datetime("us", "UTC"))


def test_a_frame_that_is_so_already_passes_through() -> None:
    frame = pl.DataFrame({"n": [1], "s": ["a"], "t": [datetime(2013, 1, 1, tzinfo=UTC)]})
    assert door.frame(frame, timezone=None, where="table t").equals(frame)


@pytest.mark.parametrize(
    ("raw", "dtype", "made"),
    [
        (None, "bigint", None), (True, "boolean", True), (7, "bigint", 7), (7, "double", 7.0), (7.5, "double", 7.5),
        ("a", "varchar", "a"), ("1970-01-01T00:00:01Z", "timestamptz", 1_000_000),
        ("1969-12-31T19:00:01.000002-05:00", "timestamptz", 1_000_002), ("1970-01-03", "date", 2),
        ("1970-01-01T00:00:01", "timestamp", 1_000_000), ("36h", "interval", 36 * 3_600_000_000),
        (datetime(1970, 1, 1, tzinfo=UTC), "timestamptz", 0), (date(1970, 1, 2), "date", 1),
        (timedelta(seconds=1), "interval", 1_000_000),
        (78.0, "bigint", 78),
    ],
)  # fmt: skip
def test_scalars(raw: object, dtype: str, made: object) -> None:
    found = door.value(raw, dtype, where="field x")  # type: ignore[arg-type]
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("raw", "dtype"),
    [
        ("1", "bigint"), (True, "bigint"), (1.5, "bigint"), (1e17, "bigint"), (2**63, "bigint"), ("1", "double"),
        (True, "double"),
        (float("nan"), "double"), (float("inf"), "double"), (10**400, "double"), (1, "boolean"), ("true", "boolean"),
        (1, "varchar"), ("\ud800", "varchar"), ("2013-01-01T00:00:00", "timestamptz"), ("2013-01-01", "timestamptz"),
        (1_000_000, "timestamptz"), ("soon", "timestamptz"), (datetime(2013, 1, 1), "timestamptz"),
        ("2013-02-30", "date"), (datetime(2013, 1, 1), "date"), ("1mo", "interval"), (5, "interval"), ([1], "bigint"),
        ("2013-01-01T00:00:00Z", "timestamp"),
        ("0001-01-01T00:00:00+05:00", "timestamptz"), ("9999-12-31T23:00:00-05:00", "timestamptz"),
    ],
)  # fmt: skip
def test_scalars_of_another_type_are_refused(raw: object, dtype: str) -> None:
    with pytest.raises(BadData, match=r"field x: .* is not a"):
        door.value(raw, dtype, where="field x")  # type: ignore[arg-type]


def test_the_scoring_side_imports_no_frames_and_no_parser() -> None:
    code = (
        "import sys, millstream.expressions, millstream.expressions.closure, millstream.expressions.door;"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'polars','numpy','sqlglot','duckdb','pandas'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
