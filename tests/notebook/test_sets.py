"""A training set in a notebook: the same as training builds, kept by what it follows from, and able to say why."""

import dataclasses
from datetime import timedelta

import polars as pl
import pytest

import millstream
from millstream import FeatureView, training
from millstream import features as f
from millstream.errors import LeakError, NotFound, UserError
from millstream.project.models.learn import plan
from millstream.project.notebook.cache import Cache
from millstream.types import parse_instant

SINCE, UNTIL = "2013-01-10", "2013-01-28"


@pytest.fixture
def late(p):
    return p.model("late")


def untouched(p, monkeypatch):
    """From here on any read of a table fails the test."""

    def refuse(*_, **__):
        raise AssertionError("a table was read")

    monkeypatch.setattr(type(p.lake), "read", refuse)


def test_it_is_what_training_builds(p, late):
    ts = p.training_set(late, since=SINCE, until=UNTIL)
    since, until = parse_instant(SINCE), parse_instant(UNTIL)
    built = training.build_set(plan(p, "late"), p.lake.read, since=since, until=until, static_at=until)
    assert ts.frame.equals(built.frame.select(ts.frame.columns), null_equal=True)
    assert ts.features == built.plan.names and ts.pins == built.pins
    assert set(ts.frame.columns) == set(built.frame.columns)


def test_a_second_call_reads_no_table_and_says_the_same(p, late, monkeypatch):
    first = p.training_set(late, since=SINCE, until=UNTIL)
    untouched(p, monkeypatch)
    second = p.training_set("late", since=SINCE, until=UNTIL)
    assert second.frame.equals(first.frame, null_equal=True) and second.counts == first.counts
    other = millstream.open(p.root)
    with other:
        again = other.training_set("late", since=SINCE, until=UNTIL)
    assert again.frame.equals(first.frame, null_equal=True) and other.cache.misses == 0
    row = p.ledger.rows(act="table.read", limit=1)[0]
    assert row.detail["training_set"] == "late" and "arr_delay" in row.detail["columns"]["flights"]
    assert row.subject == " ".join(f"{name}@{at}" for name, at in sorted(first.pins.items()))


def test_another_feature_computes_that_feature_and_nothing_else(p, late):
    p.training_set(late, since=SINCE, until=UNTIL)
    said = []
    p.progress = said.append
    form = FeatureView("dest_form", of="flights", entity="dest", features={"flights_2d": f.count(over="2d")})
    before = p.cache.misses
    ts = p.training_set(late.but(features=[*late.features, form.on({"dest": "dest"}, name="dest_form")]), since=SINCE,
                        until=UNTIL)  # fmt: skip
    kept = sum("at_request." not in each for each in ts.features) - 1
    assert p.cache.misses == before + 1
    assert said == [f"computing dest_form.flights_2d; {kept} features kept from before"]
    assert ts.features[-1] == "dest_form.flights_2d" and ts.frame["dest_form.flights_2d"].min() >= 0


def test_without_an_end_it_ends_at_the_clock_and_stays_so_for_an_hour(p, late, monkeypatch):
    ts = p.training_set(late, since=SINCE)
    assert ts.until == p.clock.now()
    cache, now = Cache(p.places.cache / "alone"), p.clock.now()
    assert cache.first_asked({"t": 1}, now) == now
    assert cache.first_asked({"t": 1}, now + timedelta(minutes=59)) == now
    assert cache.first_asked({"t": 2}, now + timedelta(minutes=59)) == now + timedelta(minutes=59)
    assert cache.first_asked({"t": 1}, now + timedelta(minutes=61)) == now + timedelta(minutes=61)


def test_a_mask_of_quarantine_is_part_of_the_key(own):
    before = own.training_set("late", since=SINCE, until=UNTIL)
    key = before.frame.filter(pl.col("decided_at") > parse_instant(SINCE))["flight_id"][0]
    head = own.lake.head("movements").version
    masked = pl.DataFrame({"flight_id": [key], "check": ["by hand"], "reason": ["test"]})
    with own.state.transact() as tx:
        own.lake.quarantine("movements", head, masked, tx=tx)
    after = own.training_set("late", since=SINCE, until=UNTIL)
    (row,) = after.frame.filter(pl.col("flight_id") == key).iter_rows(named=True)
    assert row["label"] is None
    assert before.frame.filter(pl.col("flight_id") == key)["label"][0] is not None


def test_counts_are_those_of_the_hold_out(p):
    counts = p.training_set("late").counts
    assert (
        counts["total"]
        == counts["unlabelled"] + counts["not_yet_known"] + counts["purged"] + counts["fitted"] + counts["tested"]
    )
    assert p.training_set("late", since="2013-01-30", until="2013-01-31").counts.keys() == {"total", "unlabelled"}


def test_why_is_what_a_hand_counts(p):
    ts = p.training_set("late", since=SINCE, until=UNTIL)
    for row in (17, len(ts) // 2, len(ts) - 1):
        at = ts.frame.row(row, named=True)
        every = p.lake.read("flights").frame.filter(pl.col("carrier") == at["carrier"])
        known = p.lake.known("flights")["arr_delay"]
        happened = every.filter(
            pl.col("scheduled_departure").is_between(
                at["decided_at"] - timedelta(days=7), at["decided_at"], closed="right"
            )
        )
        in_time = happened.filter(pl.col(known) <= at["decided_at"])
        why = ts.why("carrier_form.late_share_7d", row=row)
        assert why.facts.height == in_time.height and why.decided_at == at["decided_at"]
        assert why.too_late.height == happened.height - in_time.height
        assert (why.too_late["known_at"].drop_nulls() > at["decided_at"]).all()
        assert why.value == pytest.approx((in_time["arr_delay"].drop_nulls() > 15).mean())
        assert why.facts["value"].drop_nulls().mean() == pytest.approx(why.value)
        assert why.corrected.height == 0 and "not known yet" in why._repr_html_()


@pytest.mark.parametrize("feature", ["weather_seen.precip_1d", "weather_seen.wind", "origin_form.dep_delay_std_2d",
                                     "carrier_form.flights_1d", "dest_airport.alt"])  # fmt: skip
def test_the_facts_shown_give_the_value_of_every_aggregate(p, feature):
    ts = p.training_set("late", since=SINCE, until=UNTIL)
    why = ts.why(feature, row=len(ts) // 3)
    values = why.facts.sort("event_time", "known_at")["value"].drop_nulls()
    by_hand = {"precip_1d": values.sum(), "dep_delay_std_2d": values.std(), "flights_1d": len(values)}
    assert why.value == pytest.approx(by_hand.get(feature.split(".")[1], values[-1] if len(values) else None))


def test_why_of_a_request_feature_a_label_and_a_key(p):
    ts = p.training_set("late", since=SINCE, until=UNTIL)
    key = ts.frame["flight_id"][5]
    assert ts.why("at_request.distance", row={"flight_id": key}).value == ts.frame["distance"][5]
    label = ts.why("label", row=5)
    assert label.value == ts.frame["label"][5] and "arr_delay > 15, known at" in label.says


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        (lambda ts: ts.why("carrier_form.late_shar_7d", row=0), NotFound, "did you mean 'carrier_form.late_share_7d'"),
        (lambda ts: ts.why("carrier_form", row=0), NotFound, "no feature 'carrier_form'"),
        (lambda ts: ts.why("label", row=10**9), NotFound, "a position from 0 to"),
        (lambda ts: ts.why("label", row={"flight_id": -1}), NotFound, "no row of the set"),
        (lambda ts: ts.why("label", row={"flight": 1}), UserError, "'flight_id': ..."),
        (lambda ts: ts.why("label", row="first"), UserError, "a position"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_answered_with_the_right_one(p, word, error, says):
    with pytest.raises(error) as wrong:
        word(p.training_set("late", since=SINCE, until=UNTIL))
    assert says in str(wrong.value)


def test_an_older_version_can_be_pinned_and_a_strange_one_is_refused(p):
    older = p.training_set("late", since=SINCE, until=UNTIL, pins={"weather": 20})
    assert older.pins["weather"] == 20
    newest = p.training_set("late", since=SINCE, until=UNTIL)
    assert not older.frame["weather_seen.wind"].equals(newest.frame["weather_seen.wind"], null_equal=True)
    assert older.frame["carrier_form.flights_1d"].equals(newest.frame["carrier_form.flights_1d"])
    with pytest.raises(NotFound, match="did you mean 'weather'"):
        p.training_set("late", pins={"wether": 1})
    with pytest.raises(NotFound, match="no version 99"):
        p.training_set("late", pins={"weather": 99})


def test_a_leak_is_refused_in_the_words_of_the_definition(p, late):
    leaky = dataclasses.replace(late.rows) if dataclasses.is_dataclass(late.rows) else late.rows
    view = FeatureView("cheat", of=f.Request(dep_delay="double"), features={"gone": "dep_delay"})
    with pytest.raises(LeakError, match=r"cheat\.gone reads 'dep_delay'"):
        p.training_set(late.but(rows=leaky, features=[*late.features, view]))


def test_the_cache_is_bounded_and_forgets_the_oldest(tmp_path):
    frame = pl.DataFrame({"x": range(1000)})
    cache = Cache(tmp_path, limit_bytes=20_000)
    for number in range(30):
        cache.put(f"k{number}", frame.with_columns(x=pl.col("x").hash(number)))
    assert 0 < cache.bytes() <= 20_000
    assert cache.get("k29") is not None and cache.get("k0") is None


def test_a_file_that_broke_is_computed_again(own):
    first = own.training_set("late", since=SINCE, until=UNTIL)
    for each in own.places.cache.glob("*.kept"):
        each.write_bytes(each.read_bytes()[:40])
    again = own.training_set("late", since=SINCE, until=UNTIL)
    assert again.frame.equals(first.frame, null_equal=True)
