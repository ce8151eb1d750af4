"""Lists: what may be sampled beside a choice, what a list is made of, and that it is served as it was learnt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions import tasks
from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView
from millstream.errors import BadData, DefinitionError, LeakError
from millstream.features import FeaturePlan, compile_plan
from millstream.features.online import LmdbOnline, Writer
from millstream.lake.frame import TableFrame
from millstream.serving.lister import Lister
from millstream.training.lists import Decisions, Ranker
from millstream.training.sets import TrainingSet, build_set
from millstream.types import to_micros

from .worlds import INSTANT, instant

NEGATIVES, WITHIN = 3, 10
SCHEMAS: dict[str, Any] = {
    "choices": {
        "id": "bigint", "who": "varchar", "item": "bigint", "kind": "varchar", "at": "timestamptz",
        "begun": "timestamptz", "stars": "bigint",
    },
    "items": {"item": "bigint", "genre": "varchar", "size": "bigint"},
}  # fmt: skip
KNOWN = {
    "choices": dict.fromkeys(SCHEMAS["choices"], "k"),
    "items": dict.fromkeys(SCHEMAS["items"], "k"),
}
CHOICES = Table("choices", source=Csv("c.csv"), key="id", event_time="at", known_at="k")
ITEMS = Table("items", source=Csv("i.csv"), key="item", known_at="k")
OF_ITEM = FeatureView(
    "of_item", of=CHOICES, entity="item", features={"n": f.count(), "n_9s": f.count(over="9s"), "idle": f.since_last()}
)
OF_WHO = FeatureView("of_who", of=CHOICES, entity="who", features={"n": f.count(), "best": f.max("stars")})
TASTE = FeatureView("taste", of=CHOICES, entity=("who", "kind"), features={"n": f.count()})
SIZED = FeatureView("sized", of=f.Request(size="bigint", item="bigint"), features={"large": "size > 1 and item > 2"})
PLAIN = FeatureView("plain", of=ITEMS, entity="item", features={"genre": f.last("genre")})
TOP = FeatureView("top", of=CHOICES, entity="item", features={"stars": f.max("stars")})
MIXED = FeatureView(
    "mixed", of=f.Request(OF_ITEM, OF_WHO, TASTE.on({"kind": "genre"}, name="taste"), SIZED, TOP, size="bigint"),
    features={"sum": "of_item.n * 10 + coalesce(of_who.best, 0) + taste.n", "both": "sized.large and of_item.n > 0",
              "top": "top.stars / size", "share": "of_item.n_9s / of_item.n", "by_size": "of_who.n * size",
              "idle": "of_item.idle is null"},
)  # fmt: skip


def manifest(**words: Any) -> Manifest:
    task = {"k": 3, "item": "item", "candidates": ITEMS, "within": f"{WITHIN}s"} | words.pop("task", {})
    roles = [OF_ITEM, OF_WHO, TASTE.on({"kind": "genre"}, name="taste"), SIZED, PLAIN, MIXED]
    said: dict[str, Any] = {
        "rows": Each(CHOICES, decide_at="begun", negatives=NEGATIVES),
        "label": "stars >= 4",
        "features": roles,
        "estimator": Estimator("x:Y", {}),
        "task": tasks.TopK(task.pop("k"), **task),
    }
    return gather([CHOICES, ITEMS, OF_ITEM, OF_WHO, TASTE, SIZED, PLAIN, TOP, MIXED, Model("picks", **(said | words))])


def plan(**words: Any) -> FeaturePlan:
    return compile_plan(manifest(**words), "picks", SCHEMAS, KNOWN)


choice = st.fixed_dictionaries(
    {
        "who": st.sampled_from(["u", "u", "v"]),
        "item": st.integers(1, 7),
        "kind": st.sampled_from(["red", "blue"]),
        "at": st.integers(3, 40),
        "lead": st.sampled_from([1, 2, 3]),
        "late": st.sampled_from([0, 0, 4, 30, None]),
        "stars": st.sampled_from([2, 4, 5, None]),
    }
)
item = st.fixed_dictionaries(
    {
        "item": st.integers(1, 6),
        "k": st.one_of(st.integers(0, 30), st.integers(0, 5), st.none()),
        "genre": st.sampled_from(["red", "blue", None]),
        "size": st.sampled_from([1, 2, None]),
    }
)
choices_st = st.lists(choice, min_size=1, max_size=12)
items_st = st.lists(item, min_size=1, max_size=9)


def tables(chosen: list[dict[str, Any]], items: list[dict[str, Any]]) -> dict[str, TableFrame]:
    rows = [
        {"id": number, **{name: each[name] for name in ("who", "item", "kind", "stars")}}
        | {"at": instant(each["at"]), "begun": instant(each["at"] - each["lead"])}
        | {"k": None if each["late"] is None else instant(each["at"] + each["late"])}
        for number, each in enumerate(chosen)
    ]
    types = {"id": pl.Int64, "who": pl.String, "item": pl.Int64, "kind": pl.String, "stars": pl.Int64}
    types |= dict.fromkeys(("at", "begun", "k"), INSTANT)
    there = [each | {"k": instant(each["k"])} for each in items]
    kinds = {"item": pl.Int64, "genre": pl.String, "size": pl.Int64, "k": INSTANT}
    return {
        "choices": TableFrame(
            "choices", 1, pl.DataFrame(rows, schema=types), SCHEMAS["choices"], ("id",), "at", KNOWN["choices"]
        ),
        "items": TableFrame(
            "items", 2, pl.DataFrame(there, schema=kinds), SCHEMAS["items"], ("item",), None, KNOWN["items"]
        ),
    }


def seen(chosen: list[dict[str, Any]], who: str, at: int) -> set[int]:
    """The items somebody is known, at an instant, to have chosen."""
    return {
        each["item"] for each in chosen
        if each["who"] == who and each["late"] is not None and each["at"] + each["late"] <= at
    }  # fmt: skip


def there(items: list[dict[str, Any]], at: int) -> set[int]:
    return {each["item"] for each in items if each["k"] is not None and each["k"] <= at}


def believed(items: list[dict[str, Any]], one: int, at: int) -> dict[str, Any]:
    """What is said of an item at an instant: the value of its latest revision that is known."""
    found = [
        (each["k"], place, each) for place, each in enumerate(items) if each["item"] == one and each["k"] is not None
    ]
    known = sorted(((k, place, each) for k, place, each in found if k <= at), key=lambda each: each[:2])
    return known[-1][2] if known else {"genre": None, "size": None}


def facts(chosen: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    return [each for each in chosen if each["late"] is not None and each["at"] + each["late"] <= at]


def features(chosen: list[dict[str, Any]], items: list[dict[str, Any]], who: str, one: int, at: int) -> dict[str, Any]:
    """Every feature of a pair at an instant, in loops."""
    known, said = facts(chosen, at), believed(items, one, at)
    mine = [each for each in known if each["who"] == who]
    of_item = [each for each in known if each["item"] == one]
    stars = [each["stars"] for each in mine if each["stars"] is not None]
    large = None if said["size"] is None and one > 2 else (said["size"] or 0) > 1 and one > 2
    best_of = max((each["stars"] for each in of_item if each["stars"] is not None), default=None)
    taste = sum(each["kind"] == said["genre"] for each in mine) if said["genre"] is not None else 0
    recent = sum(at < each["at"] + 9 for each in of_item)
    idle = (at - max(each["at"] for each in of_item)) * 1e6 / 86_400e6 if of_item else None
    return {
        "of_item.idle": idle,
        "mixed.share": recent / len(of_item) if of_item else None,
        "mixed.by_size": None if said["size"] is None else len(mine) * said["size"],
        "mixed.idle": idle is None,
        "mixed.sum": len(of_item) * 10 + max(stars, default=0) + taste,
        "mixed.both": False if large is False or not of_item else large,
        "mixed.top": None if best_of is None or said["size"] is None else best_of / said["size"],
        "of_item.n": len(of_item),
        "of_item.n_9s": recent,
        "of_who.n": len(mine),
        "of_who.best": max(stars, default=None),
        "taste.n": taste,
        "sized.large": large,
        "plain.genre": said["genre"],
    }


def made(chosen: list[dict[str, Any]], items: list[dict[str, Any]], **words: Any) -> TrainingSet:
    held = tables(chosen, items)
    return build_set(plan(**words), lambda name: held[name])


def seconds(at: Any) -> int:
    return round((at - instant(0)).total_seconds())


@given(chosen=choices_st, items=items_st)
@settings(max_examples=12, deadline=None)
def test_samples_are_items_that_were_there_and_not_chosen_and_every_feature_is_of_its_instant(
    chosen: list[dict[str, Any]], items: list[dict[str, Any]]
) -> None:
    found = made(chosen, items)
    rows = found.frame.to_dicts()
    assert sorted(each["id"] for each in rows if not each["sampled"]) == list(range(len(chosen))), (
        "every choice is there"
    )
    assert found.sampled == sum(each["sampled"] > 0 for each in rows)
    for number, one in enumerate(chosen):
        at = one["at"] - one["lead"]
        together = {e["item"] for e in chosen if e["who"] == one["who"] and e["at"] - e["lead"] == at}
        could = there(items, at) - seen(chosen, one["who"], at) - together
        (own,) = (each for each in rows if each["id"] == number and not each["sampled"])
        beside = [each for each in rows if each["id"] == number and each["sampled"]]
        drawn = [each["item"] for each in beside]
        assert len(set(drawn)) == len(drawn) == min(NEGATIVES, len(could)) and set(drawn) <= could
        for each in beside:
            assert (each["who"], each["decided_at"]) == (one["who"], instant(at))
            assert each["label"] is (None if own["label"] is None else False)
            assert each["label_known_at"] == own["label_known_at"]
    for each in rows:
        wanted = features(chosen, items, each["who"], each["item"], seconds(each["decided_at"]))
        assert {name: each[name] for name in wanted} == wanted


@given(chosen=choices_st, items=items_st, later=choices_st)
@settings(max_examples=4, deadline=None)
def test_samples_do_not_move_with_what_comes_later_and_another_seed_draws_others(
    chosen: list[dict[str, Any]], items: list[dict[str, Any]], later: list[dict[str, Any]]
) -> None:
    after = [each | {"at": each["at"] + 100, "late": 0} for each in later]
    one, two = made(chosen, items).frame, made([*chosen, *after], [*reversed(items)] if _single(items) else items).frame
    told = ["id", "sampled", "item"]
    assert two.filter(pl.col("id") < len(chosen)).select(told).sort(told).equals(one.select(told).sort(told))


def _single(items: list[dict[str, Any]]) -> bool:
    return len({each["item"] for each in items}) == len(items)


def test_another_seed_draws_other_items() -> None:
    chosen = [choice_at(10 + each, item=1) for each in range(20)]
    items = [{"item": each, "k": 0, "genre": "red", "size": 1} for each in range(1, 40)]
    one, two = (made(chosen, items, seed=seed).frame.select("id", "sampled", "item") for seed in (1, 2))
    assert one.height == two.height == 80 and not one.sort("id", "sampled").equals(two.sort("id", "sampled"))


def choice_at(at: int, **said: Any) -> dict[str, Any]:
    return {"who": "u", "item": 1, "kind": "red", "at": at, "lead": 1, "late": 0, "stars": 5} | said


@given(chosen=choices_st, items=items_st, who=st.sampled_from(["u", "v", "w"]), at=st.integers(0, 50))
@settings(max_examples=12, deadline=None)
def test_a_list_is_made_of_everything_known_and_not_chosen_best_first(
    chosen: list[dict[str, Any]], items: list[dict[str, Any]], who: str, at: int
) -> None:
    ranker = Ranker(plan(), tables(chosen, items))
    asked = pl.DataFrame({"who": [who], "decided_at": [instant(at)]}, schema={"who": pl.String, "decided_at": INSTANT})
    popular = {3: 2.0, 5: 1.0}
    (made,) = ranker.lists(
        Decisions.of_nothing(asked), [lambda pairs: pairs["of_item.n"].to_numpy().astype(float)], popular=popular
    )
    could = there(items, at) - seen(chosen, who, at)
    known = bool(facts([each for each in chosen if each["who"] == who], at))
    score = {one: features(chosen, items, who, one, at)["of_item.n"] if known else popular.get(one, 0) for one in could}
    wanted = sorted(could, key=lambda one: (-score[one], -popular.get(one, 0), one))[:3]
    names = ranker.choices.items["item"].to_list()
    assert [names[each] for each in made.items[0] if each >= 0] == wanted
    (became,) = ranker.outcomes(asked, known_by=to_micros(instant(1000)))
    right = {
        each["item"] for each in chosen
        if each["who"] == who and at < each["at"] <= at + WITHIN and each["late"] is not None
        and (each["stars"] or 0) >= 4
    }  # fmt: skip
    assert set(became) == right & could


@given(
    chosen=choices_st,
    items=items_st,
    asked=st.lists(st.tuples(st.sampled_from("uvw"), st.integers(20, 60)), max_size=4),
)
@settings(max_examples=6, deadline=None)
def test_what_is_served_is_what_a_point_in_time_read_gives(
    tmp_path_factory: pytest.TempPathFactory,
    chosen: list[dict[str, Any]],
    items: list[dict[str, Any]],
    asked: list[tuple[str, int]],
) -> None:
    store = LmdbOnline(Path(tmp_path_factory.mktemp("online")), map_bytes=8 << 20)
    wanted, held = plan(), tables(chosen, items)
    Writer(store).refresh([wanted], lambda name, _: held[name], pins={"choices": 1, "items": 2}, now=instant(700))
    Writer(store).refresh([wanted], lambda name, _: held[name], pins={"choices": 1, "items": 2}, now=instant(700))
    codes = {"plain.genre": {"blue": 0.0, "red": 1.0}}
    lister = Lister(wanted, store, features=wanted.names, codes=codes, popular={3: 0.5, 5: 0.5})
    at = 800
    for who, later in asked:  # instants go forward and back
        now = at + later if later % 2 else at
        pool = lister.pool({"who": who}, to_micros(instant(now)))
        known = {each["item"] for each in items if each["k"] is not None}
        assert set(lister.items[: pool.rows]) == known
        assert pool.seen == seen(chosen, who, now) and pool.known == bool(pool.seen)
        table = np.array(pool.features).reshape(-1, len(wanted.names)) if pool.known else np.empty((0, 0))
        for place, row in enumerate(table.tolist()):
            said = features(chosen, items, who, lister.items[place], now)
            said["plain.genre"] = codes["plain.genre"].get(said["plain.genre"])
            for name, value in zip(wanted.names, row, strict=True):
                expected = math.nan if said[name] is None else float(said[name])
                assert value == expected or (value != value and expected != expected), name
        scores = [float(place % 2) for place in range(pool.rows)]
        best = [lister.items[each] for each in lister.best(scores, pool)]
        number = {one: scores[place] for place, one in enumerate(lister.items[: pool.rows])}
        order = sorted(known - pool.seen, key=lambda one: (-number[one], one not in (3, 5), one))
        assert best == order[:3]
    store.close()


def test_a_choice_known_at_its_own_decision_is_refused() -> None:
    with pytest.raises(LeakError, match="known at their own decision") as told:
        made([choice_at(10, lead=0)], [{"item": 1, "k": 0, "genre": None, "size": None}])
    assert "decide_at" in str(told.value.do)


def test_a_choice_without_an_item_is_refused() -> None:
    with pytest.raises(BadData, match="have no item"):
        made([choice_at(10, item=None)], [{"item": 1, "k": 0, "genre": None, "size": None}])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"task": {"item": "itm"}}, "no column 'itm'"),
        ({"task": {"by": "wo"}}, "no column 'wo'"),
        ({"task": {"by": "item"}}, "cannot say who asks"),
        ({"features": [OF_ITEM]}, "nothing says who asks"),
        ({"label": "stars"}, "is bigint"),
        ({"task": {"k": 0}}, "lists 0 items"),
        ({"task": {"within": "0s"}}, "is empty"),
        ({"weight": "stars"}, "does not go with weight"),
        ({"task": {"candidates": "itms"}}, "table 'itms', which nothing defines"),
        (
            {"task": {"candidates": CHOICES, "item": "kind"}, "features": [OF_WHO]},
            "is varchar, the key choices.id is bigint",
        ),
    ],
)
def test_words_that_do_not_fit_are_refused(words: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        plan(**words)


def test_negatives_are_for_lists_only() -> None:
    with pytest.raises(DefinitionError, match="its task is no list"):
        compile_plan(manifest_without_task(), "picks", SCHEMAS, KNOWN)
    with pytest.raises(DefinitionError, match="negatives of Each"):
        Each(CHOICES, negatives=-1)


def manifest_without_task() -> Manifest:
    rows = Each(CHOICES, negatives=2)
    model = Model(
        "picks", rows=rows, label="stars >= 4", features=[OF_WHO], estimator=Estimator("x:Y", {}), goal="brier"
    )
    return gather([CHOICES, ITEMS, OF_WHO, model])


def test_a_candidates_table_needs_the_item_as_its_key() -> None:
    keyless = Table("items", source=Csv("i.csv"), known_at="k")
    said = manifest()
    broken = gather([CHOICES, keyless, OF_ITEM, OF_WHO, TASTE, SIZED, PLAIN, TOP, MIXED, said.model("picks")])
    with pytest.raises(DefinitionError, match="have no key"):
        compile_plan(broken, "picks", SCHEMAS, KNOWN)


def test_texts_of_views_are_not_combined_in_lists() -> None:
    named = FeatureView("named", of=f.Request(PLAIN), features={"red": "plain.genre = 'red'"})
    said = manifest()
    model = said.models["picks"].but(features=[OF_WHO, named])
    with pytest.raises(DefinitionError, match=r"combines 'plain\.genre', a text"):
        compile_plan(gather([*said.tables.values(), *said.views.values(), named, model]), "picks", SCHEMAS, KNOWN)
