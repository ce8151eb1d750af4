"""Target means: of labels known at the instant, drawn toward everybody's, the same online, out of fold without time."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions.manifest import gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView
from millstream.errors import DefinitionError, LeakError
from millstream.features import PolarsEngine, compile_plan, point_in_time
from millstream.features.facts import FOREVER, find_entities
from millstream.features.proof import Recomputed
from millstream.features.proof.cells import equal
from millstream.features.proof.facts import plain
from millstream.features.steps import steps
from millstream.features.targets import fold_of
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

from .worlds import ASKS_SCHEMA, INSTANT, SCHEMA, asks, fact, table

NOON = datetime(2013, 5, 2, 12, tzinfo=UTC)
DUMMY = Estimator("sklearn.dummy:DummyClassifier", {})


def plan(*, smooth: float = 2.0, over: str | None = None, hours: bool = True):
    facts = Table("facts", source=Csv("facts.csv"), key="id", event_time="at")
    rows = Table("asks", source=Csv("asks.csv"), key="row", event_time="at")
    one = FeatureView("one", of=facts, entity="a", features={"t": f.target("flag", over=over, smooth=smooth)})
    model = Model("m", rows=Each(rows), label="x > 0", features=[one.on({"a": "p"}, name="one")],
                  estimator=DUMMY, goal="roc_auc")  # fmt: skip
    return compile_plan(gather([facts, rows, one, model]), "m", {"facts": SCHEMA, "asks": ASKS_SCHEMA}, {})


def slower(frame: TableFrame) -> TableFrame:
    """Return facts hours apart where worlds has seconds, so that midnights lie between them."""
    stretched = [(pl.lit(NOON) + (pl.col(c) - pl.lit(datetime(2013, 1, 1, tzinfo=UTC))) * 3600).cast(INSTANT).alias(c)
                 for c in ("at", "k1", "k2")]  # fmt: skip
    return TableFrame(frame.table, 1, frame.frame.with_columns(stretched), SCHEMA, ("id",), "at", frame.known)


ASK = {"p": st.sampled_from(["u", "v", None]), "q": st.just(1), "at": st.integers(0, 65)}
ASKED = st.lists(st.fixed_dictionaries(ASK), min_size=1, max_size=6)


@given(st.lists(fact, max_size=12), ASKED, st.sampled_from([0.0, 2.0]), st.sampled_from([None, "30h"]))
@settings(max_examples=60)
def test_the_join_the_slow_way_and_the_served_steps_agree(facts, asked, smooth, over):
    made, frame = plan(smooth=smooth, over=over), slower(table(facts))
    spine = asks(asked).with_columns(
        (pl.lit(NOON) + pl.duration(hours=pl.Series([each["at"] for each in asked]))).cast(INSTANT).alias("decided_at")
    )
    joined = point_in_time(made, spine, {"facts": frame})["one.t"].to_list()
    slow = Recomputed(made, {"facts": frame, "asks": TableFrame("asks", 1, pl.DataFrame(), {}, (), None)})
    for row, value in zip(plain(spine), joined, strict=True):
        row = {name: each for name, each in row.items() if name != "row"}
        assert equal(slow.row(row)["one.t"].value, value)
    view = made.views[0]
    since = to_micros(NOON)
    said = PolarsEngine().changes(view, frame, span=(since, FOREVER), bound_bytes=1 << 20)
    served = steps(said)
    codes = find_entities(said.entities, spine.select("p"))
    for code, at, value in zip(codes, spine["decided_at"].to_list(), joined, strict=True):
        if code < 0:
            assert value is None
            continue
        span = slice(served.offsets[code], served.offsets[code + 1])
        place = np.searchsorted(served.instants[span], to_micros(at), side="right") - 1
        answer = float(served.rows[span][place, 0])
        assert (np.isnan(answer) and value is None) or equal(answer, value)


def test_a_label_counts_from_the_instant_it_is_known():
    rows = pl.DataFrame(
        {"id": [1, 2, 3], "a": ["u", "u", "v"], "b": [1, 1, 1], "x": [0.0] * 3, "n": [0] * 3, "word": ["w"] * 3,
         "flag": [True, True, False], "at": [NOON - timedelta(days=3)] * 3, "k1": [NOON - timedelta(days=3)] * 3,
         "k2": [NOON - timedelta(days=2), NOON + timedelta(hours=1), NOON - timedelta(days=2)]}
    ).with_columns(pl.col("at", "k1", "k2").cast(INSTANT))  # fmt: skip
    known = {each: "k1" if each in ("id", "a", "b", "at") else "k2" for each in SCHEMA}
    facts = TableFrame("facts", 1, rows, SCHEMA, ("id",), "at", known)
    spine = pl.DataFrame({"row": [1, 2, 3, 4], "p": ["u", "u", "v", "w"],
                          "decided_at": [NOON, NOON + timedelta(hours=1), NOON, NOON]}).with_columns(
        pl.col("decided_at").cast(INSTANT))  # fmt: skip
    # Everybody's mean when the day began: of one true and one false label, a half.
    answers = point_in_time(plan(smooth=2.0), spine, {"facts": facts})["one.t"].to_list()
    assert answers == pytest.approx([(1 + 2 * 0.5) / 3, (2 + 2 * 0.5) / 4, (0 + 2 * 0.5) / 3, None])
    plain_mean = point_in_time(plan(smooth=0.0), spine, {"facts": facts})["one.t"].to_list()
    assert plain_mean == [1.0, 1.0, 0.0, None]


PEOPLE = {"who": "bigint", "town": "varchar", "left": "boolean"}


def static(feature):
    people = Table("people", source=Csv("people.csv"), key="who")
    town = FeatureView("town", of=people, entity="town", features={"left": feature})
    model = Model("m", rows=Each(people), label="left", features=[town], estimator=DUMMY, goal="roc_auc")
    return compile_plan(gather([people, town, model]), "m", {"people": PEOPLE}, {})


def test_without_time_a_row_is_encoded_without_its_own_fold_and_served_by_all():
    count = 200
    rng = np.random.default_rng(1)
    rows = pl.DataFrame({"who": range(count), "town": rng.choice(["a", "b"], count), "left": rng.random(count) < 0.4})
    people = TableFrame("people", 1, rows, PEOPLE, ("who",), None)
    made = static(f.target("left", smooth=4))
    spine = rows.select("who", "town", pl.lit(NOON).cast(INSTANT).alias("decided_at"))
    learnt = point_in_time(made, spine, {"people": people}, learning=True)["town.left"].to_list()
    served = point_in_time(made, spine, {"people": people})["town.left"].to_list()
    for row, (who, town, _) in enumerate(rows.iter_rows()):
        others = [(t, y) for w, t, y in rows.iter_rows() if fold_of([w]) != fold_of([who])]
        mine, usual = [y for t, y in others if t == town], [y for _, y in others]
        assert learnt[row] == pytest.approx((sum(mine) + 4 * sum(usual) / len(usual)) / (len(mine) + 4))
    slow = Recomputed(made, {"people": people})
    assert all(equal(slow.row(each)["town.left"].value, learnt[row]) for row, each in enumerate(plain(spine)[:20]))
    everyone = rows["left"].mean()
    of_a = rows.filter(pl.col("town") == "a")["left"]
    assert served[rows["town"].to_list().index("a")] == pytest.approx((of_a.sum() + 4 * everyone) / (len(of_a) + 4))
    flipped = rows.with_columns(pl.when(pl.col("who") == 7).then(~pl.col("left")).otherwise("left").alias("left"))
    again = TableFrame("people", 1, flipped, PEOPLE, ("who",), None)
    assert point_in_time(made, spine, {"people": again}, learning=True)["town.left"][7] == learnt[7]


def test_any_other_window_over_the_labels_of_a_table_without_time_is_refused():
    with pytest.raises(LeakError, match="the row's own among them") as said:
        static(f.mean("left"))
    assert "f.target('left')" in said.value.do
    assert static(f.count()).views


def test_words_that_make_no_target_mean_are_refused():
    with pytest.raises(DefinitionError, match="smooth=-1"):
        f.target("flag", smooth=-1)
    with pytest.raises(DefinitionError, match="is varchar"):
        static(f.target("town"))
