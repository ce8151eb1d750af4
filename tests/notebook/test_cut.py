"""Why a number is what it is: what the window cut off and why, which facts decide, whom a target mean is drawn to."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import millstream
from millstream import FeatureView
from millstream import features as f
from millstream.errors import NotFound, UserError
from millstream.features.targets import folds_of
from millstream.project import Project
from millstream.project.notebook.pictures import drawn

START = datetime(2024, 1, 1, tzinfo=UTC)
DEFINITIONS = """
from cut_simple import Simple
from millstream import Each, FeatureView, Model, Table, features as f, sources

facts = Table("facts", source=sources.Csv("facts.csv"), key="id", event_time="at", timezone="UTC", lag="2h",
    known_at={"*": "known"})
asks = Table("asks", source=sources.Csv("asks.csv"), key="ask", event_time="at", timezone="UTC")
homes = Table("homes", source=sources.Csv("homes.csv"), key="home")
wide = Table("wide", of=[facts], key="id", event_time="at", sql="select * from facts")
form = FeatureView("form", of=facts, entity="who", features=dict(n=f.count(over="2d"),
    least=f.min("amount", over="2d"), latest=f.last("amount", over="2d"), before=f.count(over="1d", ago="2d"),
    large=f.count(over="2d", where="amount > 4"), usual=f.target("amount > 4", smooth=2)))
brief = FeatureView("brief", of=facts, entity="who", ttl="6h", features=dict(amount=f.last("amount")))
city = FeatureView("city", of=homes, entity="city", features=dict(sold=f.target("sold", smooth=3)))
big = Model("big", rows=Each(asks), label="y", features=[form, brief], estimator=Simple(), goal="roc_auc",
    metrics=["roc_auc"])
soon = Model("soon", rows=Each(asks), label=f.sum("amount", of=facts, ahead="1d", where="amount > 2"), features=[brief],
    estimator=Simple(), goal="rmse", metrics=["rmse"])
sells = Model("sells", rows=Each(homes), label="sold", features=[city], estimator=Simple(),
    goal="roc_auc", metrics=["roc_auc"])
"""
SIMPLE = """
class Simple:
    def fit(self, matrix, label):
        return self

    def predict(self, matrix):
        return matrix[:, 0]
"""
NOW = START + timedelta(days=5)


def line(number, hours, known_after, amount, who="a"):
    at = NOW - timedelta(hours=hours)
    return f"{number},{who},{at:%F %T},{at + timedelta(hours=known_after):%F %T},{amount}"


FACTS = [
    line(1, 100, 0.1, 9),  # older than two days
    line(2, 60, 0.1, 8),  # of the day that ended two days before
    line(3, 30, 0.1, 7),
    line(3, 30, 20, 1),  # a correction that was known by then
    line(4, 20, 0.1, 5),
    line(5, 10, 0.1, ""),  # no amount
    line(6, 3, 2, 4),  # known an hour ago, and the lag is two
    line(7, 5, 9, 3),  # known only later
    line(11, 0, -3, 50, "b"),  # known at the very instant of the decision: of the past
    line(12, -1, 1, 10, "b"),
    line(13, -2, 1, 20, "b"),
    line(13, -2, 30, 30, "b"),  # a correction
    line(14, -3, 1, 1, "b"),  # the condition does not hold
    line(15, -4, 90, 40, "b"),  # known after the set ends
    line(16, -24, 1, 60, "b"),  # the window has closed
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("cut")
    (root / "defs.py").write_text(DEFINITIONS)
    (root / "cut_simple.py").write_text(SIMPLE)
    (root / "millstream.toml").write_text('name = "cut"\n')
    (root / "facts.csv").write_text("\n".join(["id,who,at,known,amount", *FACTS]) + "\n")
    (root / "asks.csv").write_text(f"ask,who,at,y\n1,a,{NOW:%F %T},true\n2,b,{NOW:%F %T},false\n")
    homes = [f"{n},{'xy'[n % 2]},{'true' if n % 3 else 'false'}" for n in range(40)]
    (root / "homes.csv").write_text("\n".join(["home,city,sold", *homes]) + "\n")
    with Project(root, lock=True) as project:
        project.run("refresh", {"actor": "ann"})
    with millstream.open(root) as project:
        project.progress = lambda line: None
        yield project


@pytest.fixture(scope="module")
def ts(opened):
    return opened.training_set("big", until=NOW + timedelta(days=1))


def ids(frame):
    return frame["id"].to_list()


def test_each_fact_stands_once_and_with_its_reason(ts):
    why = ts.why("form.n", row={"ask": 1})
    assert why.value == 3 and ids(why.facts) == [3, 4, 5] and ids(why.corrected) == [3]
    late = dict(why.too_late.select("id", "because").iter_rows())
    assert late == {6: "the declared lag of 2 h", 7: "known later"}
    assert dict(why.outside.select("id", "because").iter_rows()) == {2: "older than 2 d", 1: "older than 2 d"}
    assert "outside the window, the nearest" in why._repr_html_() and "the declared lag of 2 h" in repr(why)


def test_a_window_that_ended_earlier_leaves_out_newer_facts_and_a_ttl_cuts(ts):
    why = ts.why("form.before", row={"ask": 1})
    assert ids(why.facts) == [2] and why.value == 1
    because = dict(why.outside.select("id", "because").iter_rows())
    assert because[3] == because[4] == because[5] == "newer than 2 d before" and because[1] == "older than 1 d"
    brief = ts.why("brief.amount", row={"ask": 1})
    assert brief.value is None and not brief.facts.height and ids(brief.outside)[:2] == [5, 4]
    assert set(brief.outside["because"]) == {"older than 6 h"}


def test_the_fact_that_decides_is_marked_and_a_null_does_not_count(ts):
    told = {name: ts.why(f"form.{name}", row={"ask": 1}) for name in ("least", "latest", "large")}
    assert ids(told["least"].facts.filter("counts")) == [3] and told["least"].value == 1
    assert ids(told["latest"].facts.filter("counts")) == [4] and told["latest"].value == 5
    assert ids(told["large"].facts) == [4] and ids(told["large"].corrected) == [3]
    assert set(ids(told["large"].outside)) == {1, 2}


def test_a_target_mean_says_what_it_is_drawn_to(ts):
    why = ts.why("form.usual", row={"ask": 1})
    known = [9, 8, 1, 5]
    mean, usual = sum(each > 4 for each in known) / 4, 0.8  # of everybody, one of b's besides
    assert why.value == pytest.approx((4 * mean + 2 * usual) / (4 + 2))
    assert "labels that count: 4 of mean 0.75, drawn toward 0.8, everybody's when that day began" in why.says


def test_a_row_of_a_table_without_time_is_encoded_without_its_own_fold(opened):
    ts = opened.training_set("sells")
    why = ts.why("city.sold", row={"home": 7})
    homes = opened.table("homes").frame()
    mine = folds_of(homes, ("home",)) == folds_of(homes.filter(pl.col("home") == 7), ("home",))[0]
    others = homes.filter(~pl.Series(mine))
    theirs = others.filter(pl.col("city") == "y")["sold"]
    assert sorted(why.facts["home"]) == sorted(others.filter(pl.col("city") == "y")["home"])
    assert 7 in why.outside["home"] and set(why.outside["because"]) == {"the row's own fold"}
    assert why.value == pytest.approx((theirs.sum() + 3 * others["sold"].mean()) / (len(theirs) + 3))
    assert "everybody's in the four other folds, as by 3 labels" in why.says
    served = opened.features(["city"], rows=homes)["city.sold"]  # not learnt from: by all labels, and not what was kept
    assert served[7] == pytest.approx((homes.filter(city="y")["sold"].sum() + 3 * homes["sold"].mean()) / 23)


def test_another_label_of_the_same_rows_computes_no_feature_again(opened, ts):
    assert len(ts) == 2
    said, opened.progress = [], lambda line: said.append(line)
    try:
        other = opened.training_set("soon", until=NOW + timedelta(days=2))
    finally:
        opened.progress = lambda line: None
    assert "1 of 1 features kept from before" in repr(other) and not [each for each in said if "computing" in each]


def test_a_label_that_looks_ahead_shows_the_facts_of_its_window(opened):
    ts = opened.training_set("soon", until=NOW + timedelta(days=3))
    why = ts.why("label", row={"ask": 2})
    assert why.value == 40 and ids(why.facts) == [12, 13] and why.facts["value"].to_list() == [10, 30]
    assert ids(why.corrected) == [13] and ids(why.too_late) == [15]
    assert "of facts from 2024-01-06 00:00 until before 2024-01-07 00:00: 2 facts" in why.says
    assert why.pins == {"asks": 0, "facts": 0} and not ts.why("label", row={"ask": 1}).facts.height


def test_rows_of_ones_own_are_explained_too(opened):
    rows = pl.DataFrame({"who": ["a", "b", None], "when": [NOW, NOW, None]}).with_columns(
        pl.col("when").dt.cast_time_unit("us")
    )
    view = FeatureView("mine", of="facts", entity="who", features={"n": f.count(over="2d", where="amount > 2")})
    twice = FeatureView("twice", of=f.Request(view), features={"n": "mine.n * 2"})
    wide = FeatureView("wide_n", of="wide", entity="who", features={"n": f.count(over="2d")})
    found = opened.features([view, twice, "form", wide], rows=rows, at="when")
    late = dict(found.why("wide_n.n", row=0).too_late.select("id", "because").iter_rows())
    assert late == {6: "known later, or the declared lag of 2 h of facts", 7: "known later"}
    why = found.why("mine.n", row=0)
    assert why.value == 1 and ids(why.facts) == [4] and why.row == {"who": "a"} and why.pins == {"facts": 0}
    assert ids(found.why("mine.n", row=1).facts) == [11]
    assert "mine.n 1" in found.why("twice.n", row=0).says and found.why("twice.n", row=0).value == 2
    with pytest.raises(NotFound, match=r"did you mean 'mine\.n'"):
        found.why("mine.m", row=0)
    with pytest.raises(NotFound, match="from 0 to 2"):
        found.why("mine.n", row=3)
    with pytest.raises(UserError, match="row 2 has no instant"):
        found.why("mine.n", row=2)


ROWS = pl.DataFrame(
    {
        "decided_at": [START + timedelta(hours=6 * n) for n in range(200)],
        "label": [n % 4 == 0 or n > 150 for n in range(200)],
        "v.x": [None if n % 10 == 0 else float(n) for n in range(200)],
        "v.word": ["a" if n % 2 else "b" for n in range(200)],
        "v.none": pl.Series([None] * 200, dtype=pl.Float64),
        "v.since": [START + timedelta(hours=6 * n - 24) for n in range(200)],
    }
).with_columns(pl.col("decided_at", "v.since").dt.cast_time_unit("us"))
NAMES = ("v.x", "v.word", "v.none", "v.since")


def test_a_picture_counts_what_a_hand_counts():
    picture = drawn(ROWS, "v.x", NAMES)
    assert picture.over_time["rows"].sum() == 200 and picture.over_time["since"].is_sorted()
    assert picture.by_label["rows"].sum() == 200 and picture.by_label["value"][-1] == "missing"
    assert picture.by_label["rows"][-1] == 20
    first = ROWS.filter(pl.col("v.x") <= float(picture.by_label["value"][0].rpartition("…")[2]))
    assert picture.by_label["label"][0] == pytest.approx(first["label"].mean())
    assert ((picture.by_label["low"] < picture.by_label["label"]) | (picture.by_label["label"] == 0)).all()
    assert (picture.by_label["high"] <= 1).all() and (picture.by_label["low"] >= 0).all()
    words = drawn(ROWS, "v.word", NAMES)
    assert {"is a", "is b"} < set(words.over_time.columns) and words.by_label["rows"].to_list() == [100, 100]
    assert drawn(ROWS, "v.since", NAMES).over_time["median"].round(6).unique().to_list() == [1.0]


@pytest.mark.parametrize("feature", NAMES)
@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows,
        lambda rows: rows.head(1),
        lambda rows: rows.with_columns(label=pl.lit(None, pl.Boolean)),
        lambda rows: rows.with_columns(label=pl.Series(["red", "blue"] * 100)),
        lambda rows: rows.with_columns(label=pl.int_range(200).cast(pl.Float64)),
        lambda rows: rows.gather([0, 199]),
    ],
)
def test_every_kind_of_feature_and_label_has_a_picture(feature, change):
    picture = drawn(change(ROWS), feature, NAMES)
    html = picture._repr_html_()
    assert html.count("<svg") >= 1 and "nan" not in html and "None" not in html and feature in repr(picture)


def test_a_picture_of_a_training_set_and_of_what_is_none(ts):
    assert ts.picture("form.n").by_label["rows"].sum() == 2
    with pytest.raises(NotFound, match=r"did you mean 'form\.n'"):
        ts.picture("form.m")
