"""A table in a notebook: versions, instants, both frames, the ledger, and words that are wrong."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import millstream
from millstream.errors import NotFound, UserError
from millstream.lake.bitemporal.asof import believed
from millstream.lake.frame import TableFrame
from millstream.project.notebook import frames


def reads(p):
    return [each for each in p.ledger.rows(act="table.read", limit=5) if each.actor == "nora"]


def test_sql_answers_with_rows_pins_and_a_table_of_itself(p):
    said = p.sql("select carrier, count(*) as n from flights group by 1 order by n desc")
    assert said.frame.columns == ["carrier", "n"] and said.frame["n"].is_sorted(descending=True)
    assert said.pins == {"flights": p.lake.head("flights").version}
    assert said.to_pandas()["n"].tolist() == said.frame["n"].to_list()
    assert "<th" in said._repr_html_() and f"flights@{said.pins['flights']}" in said._repr_html_()
    assert reads(p)[0].detail["sql"].startswith("select carrier")


def test_a_read_goes_on_the_ledger_with_table_version_and_columns(p):
    table = p.table("weather", version=30)
    rows = table.frame(columns=["origin", "temp"], between=("2013-01-05", "2013-01-06"))
    assert rows.columns == ["origin", "temp"] and 0 < rows.height <= 72
    row = reads(p)[0]
    assert (row.subject, row.detail["columns"], row.detail["rows"]) == ("weather@30", ["origin", "temp"], rows.height)
    assert row.detail["between"] == ["2013-01-05T00:00:00+00:00", "2013-01-06T00:00:00+00:00"]


def test_an_older_version_stays_what_it_was(p):
    assert p.table("movements", version=20).frame().height < p.table("movements").frame().height


def test_as_of_shows_what_was_known_and_nothing_else(p):
    at = datetime(2013, 1, 20, tzinfo=UTC)
    rows = p.table("flights").frame(as_of="2013-01-20")
    every = p.lake.read("flights")
    truth = every.frame.filter(pl.col(every.known["scheduled_departure"]) <= at)
    assert rows.height == truth.height > 0
    late = truth.select((pl.col(every.known["arr_delay"]) <= at).fill_null(False))
    assert rows["arr_delay"].is_not_null().sum() <= int(late.to_series().sum())
    assert (
        rows.filter(pl.col("scheduled_departure") > at)["arr_delay"].null_count()
        == rows.filter(pl.col("scheduled_departure") > at).height
    )


def test_a_table_shows_itself(p):
    shown = p.table("movements")
    assert "arrived_at" in shown._repr_html_() and "departed_at" in repr(shown)
    assert {"schedule", "flights"} <= set(p.tables()["table"])
    assert "<script" not in millstream.project.notebook.show.table(pl.DataFrame({"<script>": ["<script>"]}))


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        (lambda p: p.table("flihts"), NotFound, "did you mean 'flights'"),
        (lambda p: p.table("weather", version=999), NotFound, "no version 999"),
        (lambda p: p.table("weather").frame(columns=["tmp"]), NotFound, "did you mean 'temp'"),
        (lambda p: p.table("weather").frame(as_of="2013-01-20", columns=["tmp"]), NotFound, "did you mean 'temp'"),
        (lambda p: p.table("weather").frame(as_of="soon"), UserError, "is not an instant"),
        (lambda p: p.table("weather").frame(as_of=datetime(2013, 1, 1)), UserError, "no time zone"),
        (lambda p: p.table("weather").frame(between="2013"), UserError, "two instants"),
        (lambda p: p.table("planes").frame(between=("2013-01-01", None)), UserError, "no event time"),
        (lambda p: p.sql("select * from nothing"), NotFound, "there is no table"),
        (lambda p: p.sql("drop table flights"), UserError, ""),
        (lambda p: p.model("lat"), NotFound, "did you mean 'late'"),
        (lambda p: p.training_set(42), UserError, "is no model"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_answered_with_the_right_one(p, word, error, says):
    with pytest.raises(error) as wrong:
        word(p)
    assert says in str(wrong.value)


def test_a_folder_inside_the_project_opens_it(place):
    with millstream.open(place / "ops") as project:
        assert project.root == place
    with pytest.raises(NotFound):
        millstream.open(place / "nowhere")


INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
KINDS = {
    "n": (st.integers(-(2**53), 2**53), pl.Int64),
    "x": (st.floats(allow_nan=False, allow_infinity=False), pl.Float64),
    "b": (st.booleans(), pl.Boolean),
    "t": (st.text(), pl.String),
    "at": (INSTANTS, pl.Datetime("us", "UTC")),
    "day": (st.dates(), pl.Date),
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pandas_and_polars_hold_the_same(data):
    rows = data.draw(st.integers(0, 5))
    made = pl.DataFrame(
        {
            name: pl.Series(data.draw(st.lists(st.none() | kind, min_size=rows, max_size=rows)), dtype=dtype)
            for name, (kind, dtype) in KINDS.items()
        }
    )
    other = frames.to_pandas(made)
    assert list(other.columns) == made.columns and len(other) == made.height
    for name in made.columns:
        for ours, theirs in zip(made[name], other[name], strict=True):
            if ours is None:
                assert pd.isna(theirs)
            elif name == "day":
                assert pd.Timestamp(theirs) == pd.Timestamp(ours)
            else:
                assert theirs == ours and type(theirs) is not object


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=8))
def test_as_of_is_the_latest_that_was_known_of_each_key(revisions):
    """Oracle: for each key walk its revisions; a column is of the latest one whose own known-at has come."""

    def instants(values):
        return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))

    frame = pl.DataFrame({
        "id": pl.Series([each[0] for each in revisions], dtype=pl.Int64),
        "value": pl.Series(np.arange(len(revisions)), dtype=pl.Int64),
        "k_id": instants([each[1] for each in revisions]),
        "k_value": instants([each[2] for each in revisions]),
    })  # fmt: skip
    read = TableFrame(
        "t", 1, frame, {"id": "bigint", "value": "bigint"}, ("id",), None, {"id": "k_id", "value": "k_value"}
    )
    at = 5
    got = dict(believed(read, datetime.fromtimestamp(at / 1e6, UTC)).iter_rows())
    there = [(n, each) for n, each in enumerate(revisions) if each[1] is not None and each[1] <= at]
    want = {}
    for key in {each[0] for _, each in there}:
        told = [(each[2], each[1], n) for n, each in there if each[0] == key and each[2] is not None and each[2] <= at]
        want[key] = max(told)[2] if told else None
    assert got == want
