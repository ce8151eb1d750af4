"""Features made of each other, of any world: what they are made of says what they are, offline and served."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from millstream.errors import DefinitionError, ExpressionError
from millstream.features import FeaturePlan, compile_plan, point_in_time
from millstream.features.compile import readers
from millstream.features.online import LmdbOnline

from . import worlds
from .test_online import agree, refresh

FACTS = Table("facts", source=Csv("facts.csv"), key="id", event_time="at")
ASKS = Table("asks", source=Csv("asks.csv"), key="row", event_time="at")
ASKS_SCHEMA = {**worlds.ASKS_SCHEMA, "size": "bigint"}
GROUP = FeatureView("group", of=FACTS, entity="a", features={"n": f.count(over="20s"), "total": f.sum("x", over="20s")})
MEMBER = FeatureView(
    "member",
    of=FACTS,
    entity=("a", "b"),
    features={
        "n": f.count(over="20s"),
        "before": f.count(over="20s", ago="5s"),
        "total": f.sum("x", over="20s"),
        "word": f.last("word"),
        "late": f.any("flag", over="20s"),
        "idle": f.since_last(),
    },
)
SHARES = {
    "of_group": "member.n / group.n",
    "growth": "member.n - member.before",
    "no_word": "member.word is null",
    "late_or_red": "member.late or member.word = 'red'",
    "per_size": "group.n * size",
    "twice": "made.of_group * 2.0",
    "rested": "member.idle * 86400.0 > 3.0",
}


def plan(features: Mapping[str, str] = SHARES, *, fields: Mapping[str, str] | None = None) -> FeaturePlan:
    """A model whose combined features come first, before the views they are made of."""
    roles = GROUP.on({"a": "p"}, name="group"), MEMBER.on({"a": "p", "b": "q"}, name="member")
    asked = f.Request(*roles, **({"size": "bigint"} if fields is None else fields))
    made = FeatureView("made", of=asked, features=features)
    model = Model(
        "m",
        rows=Each(ASKS),
        label="x > 0",
        features=[made, *roles],
        estimator=Estimator("sklearn.dummy:DummyClassifier", {}),
        goal="roc_auc",
    )
    manifest = gather([FACTS, ASKS, GROUP, MEMBER, made, model])
    return compile_plan(manifest, "m", {"facts": worlds.SCHEMA, "asks": ASKS_SCHEMA}, {})


PLAN = plan()
facts = st.lists(worlds.fact, max_size=14)
sized = worlds.ask.flatmap(lambda each: st.integers(0, 9).map(lambda size: each | {"size": size}))


def divided(one: float, other: float) -> float | None:
    return one / other if other else None


@settings(max_examples=40, deadline=None)
@given(facts, st.lists(sized, min_size=1, max_size=4))
def test_each_is_made_of_the_others(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    joined = point_in_time(PLAN, worlds.asks(rows), {"facts": worlds.table(facts)})
    assert joined.columns[-len(PLAN.names) :] == list(PLAN.names)
    for row in joined.iter_rows(named=True):
        share = divided(row["member.n"], row["group.n"])
        assert row["made.of_group"] == share
        assert row["made.twice"] == (None if share is None else 2 * share)
        assert row["made.growth"] == row["member.n"] - row["member.before"]
        assert row["made.no_word"] == (row["member.word"] is None)
        assert row["made.per_size"] == row["group.n"] * row["size"]
        idle = row["member.idle"]
        assert row["made.rested"] == (None if idle is None else idle * 86400.0 > 3.0)


def test_served_as_they_are_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = LmdbOnline(tmp_path_factory.mktemp("online"), map_bytes=64 << 20)

    @settings(max_examples=25, deadline=None)
    @given(facts, st.lists(sized, min_size=1, max_size=4))
    def check(facts: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
        store.commit([(key, None) for key in store.keys(b"")])
        table = worlds.table(facts)
        refresh(store, PLAN, table, 600)
        agree(PLAN, store, table, rows)

    check()
    store.close()


def test_a_plan_survives_being_kept_and_names_who_reads_a_field() -> None:
    assert FeaturePlan.decode(PLAN.encode()) == PLAN
    assert readers(PLAN, "size") == ["feature made.per_size"]
    assert PLAN.request_columns == ("row", "p", "q", "size")
    assert PLAN.combined["made.twice"].columns == ("member.n", "group.n")


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"x": "member.nn / group.n"}, r"feature made.x: there is no feature 'member.nn'.*\^\^\^.*'member.n'"),
        ({"x": "memer.n / group.n"}, r"did you mean 'member.n'.*name the view it is of: f.Request\(view, ...\)"),
        ({"x": "made.yy + 1", "y": "size"}, r"there is no feature 'made.yy'.*did you mean 'made.y'"),
        ({"x": "member.word / 2"}, r"feature made.x: / does not take \(varchar, bigint\)"),
        ({"x": "made.y", "y": "made.z", "z": "made.x + 1"}, "in a circle: made.x -> made.y -> made.z -> made.x"),
        ({"x": "made.x + 1"}, "in a circle: made.x -> made.x"),
        ({"x": "sise * 2"}, "there is no column 'sise'"),
        ({"x": "median(member.n)"}, "median"),
        ({"x": "s.member.n"}, "there is no feature 's.member.n'"),
        ({"x": "member.n /"}, "this is not a SQL expression"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_is_near(features: dict[str, str], told: str) -> None:
    with pytest.raises((DefinitionError, ExpressionError), match=r"(?s)" + told):
        plan(features)


def test_an_unknown_table_in_a_label_is_told_as_before() -> None:
    with pytest.raises(ExpressionError, match="a column is named without its table"):
        plan({"x": "size"}, fields={"size": "bigint"}) and compile_label("asks.x > 0")


def compile_label(text: str) -> FeaturePlan:
    model = Model("m", rows=Each(ASKS), label=text, features=[GROUP.on({"a": "p"}, name="group")],
                  estimator=Estimator("sklearn.dummy:DummyClassifier", {}), goal="roc_auc")  # fmt: skip
    return compile_plan(gather([FACTS, ASKS, GROUP, model]), "m", {"facts": worlds.SCHEMA, "asks": ASKS_SCHEMA}, {})


def test_nothing_of_the_request_is_needed() -> None:
    found = plan({"share": "member.n / group.n"}, fields={})
    assert found.request == {}
    with tempfile.TemporaryDirectory() as folder:
        store = LmdbOnline(Path(folder), map_bytes=8 << 20)
        table = worlds.table([{"id": 1, "a": "u", "b": 1, "at": 0, "x": 1.0, "n": 1, "flag": True, "word": "red",
                               "k1": 0, "k2": 0}])  # fmt: skip
        refresh(store, found, table, 600)
        agree(found, store, table, [{"p": "u", "q": 1, "at": 3}, {"p": None, "q": 1, "at": 3}])
        store.close()


def test_features_of_one_view_name_it_as_it_is_defined_whatever_its_role() -> None:
    group = GROUP.on({"a": "p"}, name="group")
    made = FeatureView("made", of=f.Request(group), features={"x": '"made"."y" * 2', "y": "group.n + 1"})
    model = Model("m", rows=Each(ASKS), label="x > 0", features=[made.on({}, name="again")],
                  estimator=Estimator("sklearn.dummy:DummyClassifier", {}), goal="roc_auc")  # fmt: skip
    manifest = gather([FACTS, ASKS, GROUP, made, model])
    found = compile_plan(manifest, "m", {"facts": worlds.SCHEMA, "asks": ASKS_SCHEMA}, {})
    assert found.names == ("again.x", "again.y")
    assert found.combined["again.x"].columns == ("group.n",)


def test_another_view_under_the_name_of_the_view_itself_is_refused() -> None:
    group = GROUP.on({"a": "p"}, name="made")
    made = FeatureView("made", of=f.Request(group), features={"x": "made.n"})
    model = Model("m", rows=Each(ASKS), label="x > 0", features=[made.on({}, name="again")],
                  estimator=Estimator("sklearn.dummy:DummyClassifier", {}), goal="roc_auc")  # fmt: skip
    manifest = gather([FACTS, ASKS, GROUP, made, model])
    with pytest.raises(DefinitionError, match="feature view 'made' names 'group' as itself"):
        compile_plan(manifest, "m", {"facts": worlds.SCHEMA, "asks": ASKS_SCHEMA}, {})


def test_a_long_chain_is_read_or_refused_in_words() -> None:
    chain = {"f0": "group.n + 1"} | {f"f{n}": f"made.f{n - 1} + 1" for n in range(1, 60)}
    assert plan(dict(reversed(chain.items())), fields={}).combined["made.f59"].columns == ("group.n",)
    chain |= {f"f{n}": f"made.f{n - 1} + 1" for n in range(60, 3000)}
    for features in (chain, dict(reversed(chain.items()))):
        with pytest.raises(DefinitionError, match="is made of features of features too many times over"):
            plan(features, fields={})
