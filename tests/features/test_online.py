"""Law 1: a feature served is the feature a point-in-time read computes at that instant and those table versions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import Conflict, Refused, StorageFull, Unavailable
from millstream.features import FeatureColumn, FeaturePlan, PolarsEngine, ViewPlan, point_in_time
from millstream.features.online import LmdbOnline, Lookup, Writer
from millstream.features.online.reader import ViewReader
from millstream.features.online.writer import GRACE
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

from . import worlds
from .test_point_in_time import same

PLAN = worlds.plan()
WINDOWED = worlds.plan(overs=("5s", "20s"))
STATIC = worlds.plan(static=True, overs=(None,))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbOnline]:
    made = LmdbOnline(tmp_path / "online", map_bytes=64 << 20)
    yield made
    made.close()


def reader(table: TableFrame):
    """Read like the lake: rows from an instant on, and what else has their keys."""

    def read(name: str, since: datetime | None) -> TableFrame:
        assert name == table.table
        frame = table.frame
        if since is not None:
            keys = frame.filter(pl.col("at") >= since)["id"].unique().implode()
            frame = frame.filter((pl.col("at") >= since).fill_null(False) | pl.col("id").is_in(keys))
        return TableFrame(table.table, table.version, frame, table.schema, table.key, table.event_time, table.known)

    return read


def refresh(store: LmdbOnline, plan: FeaturePlan, table: TableFrame, now: float):
    instant = worlds.instant(now)
    assert instant is not None
    return Writer(store).refresh([plan], reader(table), pins={"facts": table.version}, now=instant)


def agree(plan: FeaturePlan, store: LmdbOnline, table: TableFrame, rows: list[dict[str, Any]]) -> None:
    """Compare lookups with a point-in-time read, one by one and many at once (law 5)."""
    lookup = Lookup(plan, store)
    joined = point_in_time(plan, worlds.asks(rows), {"facts": table})
    instants = [to_micros(worlds.instant(row["at"])) for row in rows]
    many = lookup.lookup_many(rows, instants)
    for place, (row, at) in enumerate(zip(rows, instants, strict=True)):
        one = lookup.lookup_one(row, at)
        assert repr(one) == repr(many[place])
        for name, served in zip(plan.names, one, strict=True):
            expected = joined[name][place]
            found = None if served != served else served
            assert same(found, expected if isinstance(expected, str | None) else float(expected), 1.0), (name, row)


facts = st.lists(worlds.fact, max_size=14)
later = st.lists(worlds.ask, min_size=1, max_size=5)


def version(table: TableFrame, number: int) -> TableFrame:
    return TableFrame(table.table, number, table.frame, table.schema, table.key, table.event_time, table.known)


@pytest.mark.parametrize("plan", [PLAN, WINDOWED, STATIC], ids=["ever", "windowed", "static"])
def test_served_equals_point_in_time(plan: FeaturePlan, tmp_path_factory: pytest.TempPathFactory) -> None:
    serve_and_compare(plan, tmp_path_factory.mktemp("online"), static=plan is STATIC)


def serve_and_compare(plan: FeaturePlan, folder: Path, *, static: bool = False, examples: int = 40) -> None:
    """Any facts, corrections and lags; refreshed twice; asked at any instant from then on, edges included."""
    store = LmdbOnline(folder, map_bytes=64 << 20)
    numbers = iter(range(1, 10**9))

    @settings(max_examples=examples, deadline=None)
    @given(facts, facts, st.integers(0, 40), st.integers(0, 30), later)
    def check(
        first: list[dict[str, Any]], more: list[dict[str, Any]], now: int, gap: int, asks: list[dict[str, Any]]
    ) -> None:
        shift = 600  # the grace before a refresh
        one = version(worlds.table(first, static=static), next(numbers))
        refresh(store, plan, one, now + shift)
        agree(plan, store, one, [each | {"at": each["at"] + now} for each in asks])
        two = version(worlds.table(first + more, static=static), next(numbers))
        refresh(store, plan, two, now + gap + shift)
        agree(plan, store, two, [each | {"at": each["at"] + now + gap} for each in asks])

    check()
    store.close()


FACT = {"id": 1, "a": "u", "b": 1, "at": 10, "x": 4.0, "n": 1, "flag": True, "word": "red", "k1": 10, "k2": 12}
ASK = {"p": "u", "q": 1, "at": 0}
NOW = to_micros(worlds.START)


def features(store: LmdbOnline, plan: FeaturePlan, at: float) -> dict[str, Any]:
    values = Lookup(plan, store).lookup_one(ASK, to_micros(worlds.instant(at)))
    return dict(zip(plan.names, values, strict=True))


def test_activation_and_expiry_need_no_refresh(store: LmdbOnline) -> None:
    refresh(store, PLAN, worlds.table([FACT]), 0)
    assert features(store, PLAN, 11)["one.count_x_5s"] == 0  # happened, not known yet
    assert features(store, PLAN, 12)["one.count_x_5s"] == 1
    assert features(store, PLAN, 14.999999)["one.sum_x_5s"] == 4.0
    assert features(store, PLAN, 15)["one.sum_x_5s"] == 0.0  # left the window, but the entity was seen
    assert features(store, PLAN, 15)["one.last_word_ever"] == "red"
    assert features(store, PLAN, 15)["one.last_x_5s"] != features(store, PLAN, 15)["one.last_x_5s"]  # NULL is NaN


def test_instants_outside_of_what_was_refreshed_are_refused(store: LmdbOnline) -> None:
    writer, tick = Writer(store), timedelta(microseconds=1)
    now = worlds.instant(1000)
    writer.refresh([PLAN], reader(worlds.table([FACT])), pins={"facts": 1}, now=now, ahead=timedelta(seconds=60))
    lookup = Lookup(PLAN, store)
    first, end = to_micros(now - GRACE), to_micros(now + timedelta(seconds=60))
    assert len(lookup.lookup_many([ASK, ASK], [first, end - 1])) == 2
    with pytest.raises(Unavailable, match="begins at 2013-01-01T00:06:40"):
        lookup.lookup_one(ASK, to_micros(now - GRACE - tick))
    with pytest.raises(Unavailable, match="ends at 2013-01-01T00:17:40"):
        lookup.lookup_many([ASK, ASK], [first, end])


def test_steps_that_end_soon_are_computed_again(store: LmdbOnline) -> None:
    def again(after: int) -> tuple[str, ...]:
        now = worlds.instant(after)
        assert now is not None
        done = Writer(store).refresh(
            [PLAN], reader(worlds.table([FACT])), pins={"facts": 1}, now=now, ahead=timedelta(seconds=60)
        )
        return done.views

    assert again(0) == ("one", "two")
    assert again(29) == ()
    assert again(30) == ("one", "two")
    assert features(store, PLAN, 89)["one.last_word_ever"] == "red"


def test_an_entity_whose_facts_are_long_past_is_still_seen(store: LmdbOnline) -> None:
    refresh(store, WINDOWED, worlds.table([FACT]), 5000)
    assert features(store, WINDOWED, 5000)["one.sum_x_20s"] == 0.0


def test_a_fact_known_too_late_for_its_window_makes_its_entity_seen(store: LmdbOnline) -> None:
    refresh(store, WINDOWED, worlds.table([FACT | {"k2": 100}]), 0)
    unseen = features(store, WINDOWED, 99)["one.sum_x_20s"]
    assert unseen != unseen  # NULL
    assert features(store, WINDOWED, 100)["one.sum_x_20s"] == 0.0


def test_a_view_serves_every_model_and_role_that_uses_it_from_one_place(store: LmdbOnline) -> None:
    other = worlds.plan(role="other")
    assert [view.id for view in other.views] == [view.id for view in PLAN.views]
    done = Writer(store).refresh([PLAN, other], reader(worlds.table([FACT])), pins={"facts": 1}, now=worlds.START)
    assert done.views == ("one", "two")
    assert repr(Lookup(other, store).lookup_one(ASK, NOW)) == repr(Lookup(PLAN, store).lookup_one(ASK, NOW))


def test_the_same_version_is_not_computed_again_and_new_views_are(store: LmdbOnline) -> None:
    table = worlds.table([FACT])
    assert refresh(store, PLAN, table, 0).written == 2
    assert refresh(store, PLAN, table, 500).views == ()
    unchanged = refresh(store, PLAN, version(table, 2), 500)
    assert (unchanged.written, unchanged.unchanged) == (0, 2)
    assert Lookup(PLAN, store).plan.views[0].id != WINDOWED.views[0].id
    replaced = refresh(store, WINDOWED, version(table, 2), 500)
    assert (replaced.written, replaced.dropped) == (2, 2)
    with pytest.raises(Unavailable, match="no features of one, two"):
        Lookup(PLAN, store).lookup_one(ASK, 0)


def test_values_and_versions_come_from_one_snapshot(store: LmdbOnline) -> None:
    lookup = Lookup(PLAN, store)
    refresh(store, PLAN, version(worlds.table([FACT]), 7), 0)
    lookup.lookup_one(ASK, NOW)
    assert lookup.applied() == {"one": {"facts": 7}, "two": {"facts": 7}}
    refresh(store, PLAN, version(worlds.table([FACT]), 8), 1)
    assert lookup.applied()["one"] == {"facts": 7}
    lookup.lookup_many([ASK], [NOW])
    assert lookup.applied()["one"] == {"facts": 8}


def test_a_view_beyond_the_bound_is_refused_by_name_and_nothing_is_written(store: LmdbOnline) -> None:
    writer = Writer(store, bound_bytes=100)
    with pytest.raises(Refused, match="'one' would keep"):
        writer.refresh([PLAN], reader(worlds.table([FACT])), pins={"facts": 1}, now=worlds.START)
    assert writer.applied() == {}


def test_another_version_than_the_pinned_is_refused(store: LmdbOnline) -> None:
    with pytest.raises(Conflict, match="at version 1, not at 2"):
        Writer(store).refresh([PLAN], reader(worlds.table([FACT])), pins={"facts": 2}, now=worlds.START)


def test_a_full_store_keeps_the_last_whole_refresh(tmp_path: Path) -> None:
    store = LmdbOnline(tmp_path, map_bytes=200_000)
    refresh(store, PLAN, worlds.table([FACT]), 0)
    many = [FACT | {"id": each, "a": f"e{each}"} for each in range(3000)]
    with pytest.raises(StorageFull, match="could not take"):
        refresh(store, PLAN, version(worlds.table(many), 2), 0)
    assert features(store, PLAN, 12)["one.count_x_5s"] == 1
    assert Writer(store).applied()[PLAN.views[0].id].versions == {"facts": 1}
    store.close()


def test_long_and_odd_entities_have_their_own_places(store: LmdbOnline) -> None:
    names = ["a" * 600, "a" * 600 + "b", "", "ü", "1"]
    facts = [FACT | {"id": place, "a": name, "x": float(place)} for place, name in enumerate(names)]
    refresh(store, PLAN, worlds.table(facts), 0)
    lookup = Lookup(PLAN, store)
    place = PLAN.names.index("one.last_x_ever")
    at = to_micros(worlds.instant(30))
    assert [lookup.lookup_one({"p": name, "q": 1}, at)[place] for name in names] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_views_of_one_entity_are_read_together_as_each_is_read_alone(store: LmdbOnline) -> None:
    names = ["a" * 600, "u", "never seen", None]
    facts = [FACT | {"id": place, "a": name, "x": float(place)} for place, name in enumerate(names[:2])]
    first = worlds.plan(values={**worlds.VALUES, **worlds.LATER_VALUES}, overs=("20s",)).views[0]
    cut = {name: each for place, (name, each) in enumerate(first.features.items()) if place % 2}
    views = (first, msgspec.structs.replace(first, name="half", features=cut))
    columns = tuple(
        FeatureColumn(f"{view.name}.{name}", w.dtype) for view in views for name, w in view.features.items()
    )
    plan = msgspec.structs.replace(PLAN, views=views, columns=columns, combined={}, request_features={})
    refresh(store, plan, worlds.table(facts), 0)
    for name in names:
        row, at = {"p": name, "q": 1}, to_micros(worlds.instant(14))
        with store.snapshot() as snapshot:
            alone = [value for view in views for value in ViewReader(view).read(snapshot.get, row, at)]
        assert repr(Lookup(plan, store).lookup_one(row, at)) == repr(alone)
        assert repr(Lookup(plan, store).lookup_many([row, row], [at, at])) == repr([alone, alone])


class Watched(PolarsEngine):
    """Notes what it is asked."""

    def changes(self, view: ViewPlan, table: TableFrame, **words: Any) -> Any:
        asked.append(view.name)
        return super().changes(view, table, **words)


asked: list[str] = []


def test_what_is_served_comes_from_the_engine_that_is_given(store: LmdbOnline) -> None:
    asked.clear()
    Writer(store, Watched()).refresh([PLAN], reader(worlds.table([FACT])), pins={"facts": 1}, now=worlds.START)
    assert asked == ["one", "two"]


def test_another_process_reads_without_any_dataframe_library(tmp_path: Path) -> None:
    store = LmdbOnline(tmp_path)
    refresh(store, PLAN, worlds.table([FACT]), 0)
    store.close()
    (tmp_path / "plan.json").write_bytes(PLAN.encode())
    program = f"""
import sys, pathlib
from millstream.features.online.lookup import Lookup
from millstream.features.online.store import LmdbOnline
from millstream.features.plan import FeaturePlan
plan = FeaturePlan.decode(pathlib.Path({str(tmp_path / "plan.json")!r}).read_bytes())
store = LmdbOnline(pathlib.Path({str(tmp_path)!r}), readonly=True)
values = Lookup(plan, store).lookup_one({{"p": "u", "q": 1}}, {to_micros(worlds.instant(13))})
print(dict(zip(plan.names, values))["one.last_word_5s"])
heavy = {{"polars", "numpy", "pandas", "sqlglot", "duckdb", "deltalake", "mlflow", "pyarrow"}} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["red", "[]"]


def test_a_reader_that_comes_first_waits_for_the_writer(tmp_path: Path) -> None:
    store = LmdbOnline(tmp_path / "new", readonly=True)
    with pytest.raises(Unavailable, match="no features"):
        Lookup(PLAN, store).lookup_one(ASK, 0)
    store.close()
