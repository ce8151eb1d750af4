"""What a profile says of a table."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.profiling import TableProfile, profile
from millstream.profiling.columns import named_like_id, words_of

START = datetime(2024, 1, 1, tzinfo=UTC)


def hours(count: int, *, every: int = 1) -> list[datetime]:
    return [START + timedelta(hours=every * each) for each in range(count)]


def test_numbers_texts_and_gaps_are_counted():
    found = profile(pl.DataFrame({"n": [1.0, 2.0, None, float("nan"), 5.0], "t": ["a", "b", "a", None, "a"]}))
    n, t = found.columns
    assert (n.kind, n.nulls, n.distinct, n.low, n.high) == ("number", 2, 3, "1", "5")
    assert n.mean == pytest.approx(8 / 3)
    assert n.quantiles["0.5"] == 2.0
    assert sum(each.rows for each in n.bars) == 3
    assert [(each.value, each.rows) for each in t.top] == [("a", 3), ("b", 1)]


def test_whole_numbers_get_bars_of_whole_width():
    (column,) = profile(pl.DataFrame({"month": [1 + each % 12 for each in range(120)]})).columns
    assert [(each.value, each.rows) for each in column.bars] == [(str(each), 10) for each in range(1, 13)]


@pytest.mark.parametrize(
    ("values", "role"),
    [
        ([None] * 30, "empty"),
        (["x"] * 30, "constant"),
        ([0] * 999 + [1], "near_constant"),
        (list(range(7, 107)), "id"),
        ([f"user {each}" for each in range(100)], "id"),
        ([f"note {each % 70}" for each in range(100)], "near_unique"),
        ([each % 3 for each in range(100)], "usable"),
        ([math.sin(each) for each in range(100)], "usable"),
        ([each * each for each in range(100)], "usable"),
    ],
)
def test_what_a_column_is_good_for(values, role):
    (column,) = profile(pl.DataFrame({"thing": values})).columns
    assert column.role == role
    assert column.says or role == "usable"


def test_names_are_read_as_people_write_them():
    assert words_of("customerID") == ["customer", "id"]
    assert [each for each in ("id", "Customer Id", "order_no", "uuid") if not named_like_id(each)] == []
    assert [each for each in ("idle", "width", "paid", "node") if named_like_id(each)] == []


def test_a_key_is_a_column_named_so_else_a_pair_else_none():
    frame = pl.DataFrame({"lucky": [each * 37 % 101 for each in range(100)], "order_id": range(100)})
    assert profile(frame).keys[0] == ("order_id",)
    pair = pl.DataFrame(
        {
            "shop": ["a", "b"] * 30,
            "day": [date(2024, 1, 1) + timedelta(days=each // 2) for each in range(60)],
            "sales": [each % 7 for each in range(60)],
        }
    )
    assert profile(pair).keys == (("shop", "day"),)
    assert profile(pl.DataFrame({"x": [1, 1, 2], "y": [0.1, 0.2, 0.3]})).keys == ()


def test_times_that_sound_late_come_last_and_gaps_are_named():
    times = hours(60)
    times[30:] = [each + timedelta(days=9) for each in times[30:]]
    found = profile(pl.DataFrame({"closed_at": times, "created": times}))
    assert found.times == ("created", "closed_at")
    (gap,) = found.gaps
    assert (gap.since, gap.until) == ("2024-01-02 05:00:00", "2024-01-11 06:00:00")


def test_repeated_rows_and_far_values_are_said():
    found = profile(pl.DataFrame({"a": [1.0] * 3 + [float(each) for each in range(2, 100)] + [1e6]}))
    assert found.duplicates == 2
    assert found.says == ("2 rows are equal to an earlier one in every column",)
    assert "its largest value, 1000000, lies far beyond" in found.columns[0].says[0]


VALUES = {
    pl.Int64: st.integers(-(2**40), 2**40),
    pl.Float64: st.floats(),
    pl.String: st.text(max_size=8),
    pl.Boolean: st.booleans(),
    pl.Date: st.dates(date(1, 1, 1), date(9999, 1, 1)),
    pl.Datetime("us", "UTC"): st.datetimes(datetime(1, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC)),
}


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 30))
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5))
    series = [
        pl.Series(f"c{place}", draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)), dtype=kind)
        for place, kind in enumerate(kinds)
    ]
    return pl.DataFrame(series)


@given(frames())
@settings(max_examples=60, deadline=None)
def test_any_frame_has_a_profile_that_adds_up(frame):
    found = profile(frame)
    assert found.rows == frame.height
    for each, name in zip(found.columns, frame.columns, strict=True):
        assert each.name == name
        assert 0 <= each.nulls <= each.rows and each.distinct <= each.rows - each.nulls
        assert not each.bars or sum(bar.rows for bar in each.bars) == each.rows - each.nulls
        assert sum(top.rows for top in each.top) <= each.rows - each.nulls
    for key in found.keys:
        assert frame.select(key).n_unique() == frame.height
        assert sum(frame.select(key).null_count().row(0)) == 0
    assert msgspec.json.decode(msgspec.json.encode(found), type=TableProfile) == found
