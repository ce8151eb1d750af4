"""Features of rows somebody has at hand, and why a filtered window is what it is."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest

from millstream import FeatureView
from millstream import features as f
from millstream.errors import MillstreamError, NotFound, UserError

NOON = datetime(2013, 1, 20, 12, tzinfo=UTC)


def test_they_are_those_of_a_training_set_at_the_same_instants(p):
    ts = p.training_set("late", since="2013-01-20", until="2013-01-22")
    names = [each for each in ts.features if each.startswith(("carrier_form.", "at_request."))]
    rows = ts.frame.select("carrier", "scheduled_departure", "distance", "decided_at").rename({"decided_at": "when"})
    said = []
    p.progress = said.append
    found = p.features(["carrier_form", p.manifest.view("at_request")], rows=rows, at="when")
    assert found.frame.select(names).equals(ts.frame.select(names))
    assert found.frame.columns[:4] == rows.columns and found.pins == {"flights": 0}
    again = p.features(["carrier_form", "at_request"], rows=found.to_pandas()[rows.columns], at="when")
    assert again.frame.select(names).equals(found.frame.select(names))
    assert not said, "the training set computed them, of the same entities and instants"
    last, before = p.ledger.rows(act="table.read", limit=2)
    assert last.detail["prep"]["kept"] == before.detail["prep"]["kept"] > 0, "each was one read"
    assert last.detail["prep"]["computed"] == 0


def test_at_one_instant_and_now_and_by_a_role(p):
    rows = pl.DataFrame({"airline": ["UA", "B6", "nobody", None]})
    role = p.manifest.view("carrier_form").on({"carrier": "airline"}, name="theirs")
    early, now = (p.features([role], rows=rows, at=at)["theirs.late_share_7d"] for at in ("2013-01-05", None))
    assert early[0] is not None and early.to_list() != now.to_list() and early[2] is None and early[3] is None


def test_rows_without_an_instant_are_said(p):
    rows = pl.DataFrame({"carrier": ["UA", "B6"], "when": ["2013-01-20T06:00Z", None]})
    rows = rows.with_columns(pl.col("when").str.to_datetime(time_zone="UTC", time_unit="us"))
    assert "1 of 2 rows have no instant, so nothing is known of them" in repr(
        p.features(["carrier_form"], rows=rows, at="when")
    )
    now = repr(p.features(["carrier_form"], rows=rows.head(1), at="when"))
    assert "no instant" not in now and "ahead of now" not in now
    then = p.features(["carrier_form"], rows=rows.head(1).select("carrier"), at="2113-01-01")
    assert "1 of 1 rows are ahead of now: what becomes known until then is not in them" in repr(then)


@pytest.mark.parametrize(
    ("features", "rows", "at", "error", "says"),
    [
        (["carier_form"], {"carrier": ["UA"]}, None, NotFound, "did you mean 'carrier_form'"),
        (["carrier_form"], {"carier": ["UA"]}, None, MillstreamError, "carrier"),
        (["carrier_form"], {"carrier": [7]}, None, MillstreamError, "carrier"),
        (["at_request"], {"carrier": ["UA"]}, None, MillstreamError, "scheduled_departure"),
        (["carrier_form"], {"carrier": ["UA"]}, "wen", UserError, "neither an instant nor a column"),
        (["carrier_form"], {"carrier": ["UA"]}, "carrier", UserError, "a column of instants"),
        (["carrier_form"], {"carrier": []}, None, UserError, "rows is empty"),
        ([], {"carrier": ["UA"]}, None, UserError, "no feature view was named"),
        ([3], {"carrier": ["UA"]}, None, UserError, "3 is no feature view"),
        (["carrier_form"], {"carrier": ["UA"], "carrier_form.late_share_7d": [1]}, None, UserError, "7d already"),
        (["carrier_form"], {"carrier": ["UA"], "decided_at": [NOON]}, None, UserError, "at= says nothing"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_answered_in_words(p, features, rows, at, error, says):
    with pytest.raises(error) as wrong:
        p.features(features, rows=pl.DataFrame(rows), at=at)
    assert says in str(wrong.value) and "__row" not in str(wrong.value) and "rows_at_hand" not in str(wrong.value)
    with pytest.raises(UserError, match="a frame of Polars or pandas"):
        p.features(["carrier_form"], rows=[1])
    with pytest.raises(UserError, match=r"rows\.collect\(\)"):
        p.features(["carrier_form"], rows=pl.LazyFrame({"carrier": ["UA"]}))


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ([NOON, NOON.replace(tzinfo=None)], "times with a zone, times without a zone"),
        (["UA", 5], "int, str"),
        ([True, 5], "bool, int"),
    ],
)
def test_a_column_of_pandas_that_mixes_types_is_refused_and_not_guessed(p, when, says):
    rows = pd.DataFrame({"carrier": ["UA", "B6"], "when": pd.Series(when, dtype=object)})
    with pytest.raises(UserError, match=f"the column 'when' of rows holds values that are no column together: {says}"):
        p.features(["carrier_form"], rows=rows, at="when")


def test_what_pandas_holds_apart_from_that_is_taken(p):
    precise = pd.DataFrame(
        {"carrier": ["UA", None], "when": [pd.Timestamp(NOON).as_unit("ns") + pd.Timedelta(1), pd.NaT]}
    )
    precise["n"] = pd.Series([1, 2.5], dtype=object)
    found = p.features(["carrier_form"], rows=precise, at="when").frame
    assert found["decided_at"].to_list() == [NOON, None] and found["n"].to_list() == [1.0, 2.5]
    with pytest.raises(UserError, match="two columns called 'carrier'"):
        p.features(["carrier_form"], rows=pd.DataFrame([["UA", "UA"]], columns=["carrier", "carrier"]))


def test_why_shows_the_facts_of_a_filtered_window_alone(p):
    view = FeatureView(
        "far_form", of="flights", entity="carrier",
        features={"late_far_7d": f.mean("arr_delay > 15", over="7d", where="distance > 1500")},
    )  # fmt: skip
    late = p.model("late")
    ts = p.training_set(late.but(features=[*late.features, view]), since="2013-01-20", until="2013-01-22")
    why = ts.why("far_form.late_far_7d", row=100)
    far = p.table("flights").frame(columns=["flight_id", "distance"]).filter(pl.col("distance") > 1500)["flight_id"]
    assert why.facts.height and set(why.facts["flight_id"]) | set(why.too_late["flight_id"]) <= set(far)
    values = why.facts["value"].drop_nulls()
    assert values.cast(pl.Float64).mean() == pytest.approx(why.value)
    assert "mean(arr_delay > 15 where distance > 1500) over 7 d" in why.says


def test_shares_lags_and_times_since_are_asked_and_explained(p):
    before = FeatureView(
        "before", of="flights", entity="carrier",
        features={"n_1d": f.count(over="1d"), "n_1d_week_ago": f.count(over="1d", ago="7d"),
                  "dests": f.distinct("dest", over="1d"), "p90": f.quantile("arr_delay", 0.9, over="7d"),
                  "idle": f.since_last(over="3d"), "worse": f.trend("arr_delay", over="7d")},
    )  # fmt: skip
    all_of = FeatureView("all_of", of="flights", entity="origin", features={"n_1d": f.count(over="1d")})
    growth = FeatureView("growth", of=f.Request(before), features={"n": "before.n_1d - before.n_1d_week_ago"})
    shares = FeatureView(
        "shares", of=f.Request(before, all_of, growth),
        features={"of_origin": "before.n_1d / all_of.n_1d", "growth": "growth.n / 2.0"},
    )  # fmt: skip
    late = p.model("late").but(features=[shares, growth, before, all_of])
    ts = p.training_set(late, since="2013-01-20", until="2013-01-21")
    row = ts.frame.row(len(ts) // 2, named=True)
    assert row["shares.of_origin"] == row["before.n_1d"] / row["all_of.n_1d"]
    assert row["shares.growth"] == (row["before.n_1d"] - row["before.n_1d_week_ago"]) / 2
    lagged = ts.why("before.n_1d_week_ago", row=len(ts) // 2)
    assert lagged.facts.height == lagged.value > 0 and "over 1 d, ended 7 d before" in lagged.says
    ended = row["decided_at"] - timedelta(days=7)
    assert lagged.facts["event_time"].is_between(ended - timedelta(days=1), ended, closed="right").all()
    why = ts.why("before.p90", row=len(ts) // 2)
    assert why.value == why.facts["value"].quantile(0.9, "linear") and "quantile(arr_delay) at 0.9 over 7 d" in why.says
    assert ts.why("before.dests", row=len(ts) // 2).facts["value"].n_unique() == row["before.dests"]
    idle = ts.why("before.idle", row=len(ts) // 2)
    since = row["decided_at"] - idle.facts["event_time"].max()
    assert idle.value == pytest.approx(since / timedelta(days=1)) and "since last(facts)" in idle.says
    share = ts.why("shares.of_origin", row=len(ts) // 2)
    assert share.value == row["shares.of_origin"] and f"before.n_1d {row['before.n_1d']}" in share.says
    rows = ts.frame.select("carrier", "origin", "decided_at")
    asked = p.features([before, all_of, growth, shares], rows=rows, at="decided_at").frame
    names = [each for each in ts.features if each != "label"]
    assert asked.select(names).equals(ts.frame.select(names))
