"""Features made of features, holidays and recipes, in a notebook."""

from typing import get_args

import pytest

from millstream import FeatureView
from millstream import features as f
from millstream.definitions.features import Aggregate
from tests.notebook.test_edit import adopted, form, odd


@pytest.fixture
def mixed(own):
    """A view of a notebook: what the carrier did, what the request says and the calendar, together."""
    carrier = own.manifest.view("carrier_form")
    local = "scheduled_departure at time zone 'America/New_York'"
    return FeatureView(
        "mixed",
        of=f.Request(carrier, scheduled_departure="timestamptz", distance="double", dest="varchar"),
        features={
            "worse": f"carrier_form.{next(iter(carrier.features))} * distance",
            "free": f"is_holiday({local}, 'US')",
            "place": "hash_bucket(dest, 16)",
            **f.cycle("scheduled_departure", timezone="America/New_York"),
            **f.one_hot("dest", ["LAX", "ORD"], other=True),
            **f.missing("distance"),
        },
    )


def test_a_notebook_makes_features_of_features(own, mixed):
    late = own.model("late")
    features = [*late.features, mixed]
    ts = own.training_set(late.but(features=features), since="2013-01-10", until="2013-01-20")
    plain = next(iter(own.manifest.view("carrier_form").features))
    expected = (ts.frame[f"carrier_form.{plain}"] * ts.frame["distance"]).to_list()
    assert ts.frame["mixed.worse"].to_list() == expected
    row = next(place for place, each in enumerate(expected) if each is not None)
    told = repr(ts.why("mixed.worse", row=row))
    assert "made of" in told and f"carrier_form.{plain}" in told
    alone = own.training_set(late.but(features=[mixed]), since="2013-01-10", until="2013-01-20")
    assert alone.frame["mixed.worse"].equals(ts.frame["mixed.worse"], null_equal=True)
    assert not [each for each in alone.frame.columns if each.startswith("carrier_form.")]
    told = repr(alone.why("mixed.worse", row=row))
    assert "which the set does not show" in told
    asked = own.features(
        [mixed], rows=ts.frame.drop([*ts.features, "label", "label_known_at"]).head(50), at="decided_at"
    )
    assert asked.frame["mixed.worse"].equals(ts.frame["mixed.worse"].head(50), null_equal=True)
    assert set(ts.frame["mixed.place"]) <= set(range(16))


def test_a_new_view_and_what_it_is_made_of_are_written_before_the_model():
    inner = FeatureView("inner", of=f.Request(x="double"), features={"y": "x * 2"})
    outer = FeatureView("outer", of=f.Request(inner, form.on({"who": "other"}, name="theirs"), x="double"),
                        features={"z": "inner.y / theirs.n"})  # fmt: skip
    text = adopted(odd.but(features=[form, outer]), inner, outer)
    assert 'f.Request(inner, form.on({"who": "other"}, name="theirs"), x="double")' in text
    assert text.index("inner = FeatureView(") < text.index("outer = FeatureView(") < text.index("odd = Model(")


def test_every_window_is_written_as_it_was_said():
    more = {"quantile": {"q": 0.9, "ago": "1d12h"}, "target": {"smooth": 7.5}}
    windows = {
        name: getattr(f, name)("x", over="28d", where="y > 'ü'", **more.get(name, {"ago": "1d12h"}))
        for name in get_args(Aggregate)
    }
    every = FeatureView(
        "every", of="facts", entity="who", features={**windows, "since": f.since_first(), "k": f.count()}
    )
    text = adopted(odd.but(features=[form, every]), every)
    assert "f.since_first()" in text and 'ago="1d12h"' in text and "smooth=7.5" in text
