"""What could go wrong for a model, and a table over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

from millstream.console.profiled import page
from millstream.profiling import profile
from millstream.profiling.timeline import MOST

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 600


def frame(**columns):
    at = pl.Series([START + timedelta(hours=each) for each in range(ROWS)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"at": at, **columns}, strict=False)


def told(**columns):
    return [(each.what, each.column) for each in profile(frame(**columns), event_time="at").pitfalls]


late = range(ROWS)


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("missing", [None if each > 400 else each % 7 for each in late]),
        ("stand_in", [0 if each % 9 == 0 else 900 + each % 130 for each in late]),
        ("stand_in", [-999.0 if each % 50 == 0 else each % 37 / 7 for each in late]),
        ("spelling", [("yes", "no", "Yes ")[each % 3] for each in late]),
        ("text", [str(each % 97) for each in late]),
        ("text", [f"2024-01-{1 + each % 28:02}" for each in late]),
        ("moved", [each % 41 * (1000 if each > 390 else 1) for each in late]),
        ("category", ["old" if each < 450 else "new" for each in late]),
        ("wide", [f"note {each * 7 % 500}" for each in late]),
    ],
)
def test_what_could_mislead_is_named(what, values):
    assert (what, "thing") in told(thing=values)


@pytest.mark.parametrize(
    "values",
    [
        [each % 130 for each in late],
        [0 if each % 2 else each % 37 for each in late],
        [("yes", "no")[each % 2] for each in late],
        [None if each % 5 == 0 else each % 7 for each in late],
        [each % 41 + each / 300 for each in late],
        [None] * ROWS,
        ["x"] * ROWS,
    ],
)
def test_what_is_as_it_should_be_is_not_named(values):
    assert told(thing=values) == []


def test_the_same_column_twice_is_named_once():
    assert told(a=[each % 31 for each in late], b=[each % 31 for each in late]) == [("twin", "b")]


@pytest.mark.parametrize("hours", [1, 24, 24 * 20, 24 * 300])
def test_periods_add_up_and_are_few(hours):
    made = frame(n=[None if each % 4 == 0 else each for each in late]).with_columns(
        at=pl.Series([START + timedelta(hours=each * hours) for each in late], dtype=pl.Datetime("us", "UTC"))
    )
    timeline = profile(made, event_time="at").timeline
    assert len(timeline.starts) == len(timeline.rows) and sum(timeline.rows) == ROWS
    assert len(timeline.starts) <= MOST + 2 or timeline.every == "1y"
    missing = sum((share or 0) * rows for share, rows in zip(timeline.nulls["n"], timeline.rows, strict=True))
    assert round(missing) == ROWS / 4


def test_one_instant_and_no_rows_have_no_timeline():
    assert profile(frame().with_columns(at=pl.lit(START)), event_time="at").timeline is None
    assert profile(frame().clear(), event_time="at").timeline is None


def test_a_key_that_several_rows_have_is_shown():
    found = profile(frame(id=[max(3, each) for each in late]), key=["id"], event_time="at")
    assert [(each.key, each.rows) for each in found.repeats] == [("3", 4)]


def test_the_page_shows_time_and_pitfalls_and_escapes():
    values = ["<b>old" if each < 450 else "new" for each in late]
    found = profile(frame(thing=values, n=[None if each % 4 == 0 else each for each in late]), event_time="at")
    record = {
        "table": "things", "version": 1, "version_count": 1, "description": "", "key": [], "event_time": "at",
        "key_holds": True, "profile": msgspec.to_builtins(found), "label": "", "suspects": [], "assumptions": [],
    }  # fmt: skip
    html = page(record)
    assert "Over time" in html and "What could go wrong for a model" in html and "Missing values of n by time" in html
    assert "<b>old" not in html and "&lt;b&gt;old" in html
