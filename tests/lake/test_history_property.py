"""Law 2 and law 4 for tables with history: reads and features at an instant, against the slow memory."""

from __future__ import annotations

from typing import Any

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
from millstream.features import FeaturePlan, compile_plan, point_in_time
from millstream.lake.bitemporal.asof import believed
from millstream.lake.bitemporal.beliefs import settled
from millstream.lake.ingest.upsert import Delivery
from tests.lake.histories import SCHEMA, START, Memory, Rows, Stored, frame, second, states, table

TYPES = {"id": "bigint", "who": "varchar", "at": "timestamptz", "x": "double", "y": "bigint", "changed": "timestamptz"}
OVERS = (None, "12s")


def plan() -> FeaturePlan:
    facts = table()
    asks = Table("asks", source=Csv("asks.csv"), key="row", event_time="at")
    windows = {
        f"{word}_{over or 'ever'}": f.Window(aggregate, value, over)
        for word, aggregate, value in (
            ("n", "count", None),
            ("s", "sum", "x"),
            ("h", "max", "y"),
            ("xy", "sum", "x * y"),
        )
        for over in OVERS
    }
    view = FeatureView("v", of=facts, entity="who", features=windows)
    model = Model(
        "m",
        rows=Each(asks),
        label="z > 0",
        features=[view],
        estimator=Estimator("sklearn.dummy:DummyClassifier", {}),
        goal="roc_auc",
    )
    said = {"row": "bigint", "who": "varchar", "at": "timestamptz", "z": "double"}
    return compile_plan(gather([facts, asks, view, model]), "m", {"t": TYPES, "asks": said}, {})  # type: ignore[dict-item]


PLAN = plan()


def told(word: str, memory: Memory, who: str, at: float, over: float | None) -> Any:
    """A feature by loops over what was believed."""
    needs = {"n": ("id",), "s": ("x",), "h": ("y",), "xy": ("x", "y")}[word]
    rows = [
        each
        for each in memory.at(at, (*needs, "who", "at"))
        if each["who"] == who and each["at"] <= at and (over is None or at < each["at"] + over)
    ]
    if word == "n":
        return len(rows)
    if word == "h":
        return max((each["y"] for each in rows if each["y"] is not None), default=None)
    made = [each["x"] if word == "s" else each["x"] and each["y"] and each["x"] * each["y"] for each in rows]
    return sum(each for each in made if each is not None)


def delivered(rows: Rows, had: Rows, draw: st.DrawFn) -> Delivery:
    """The same news in any wrapping: all rows or those that changed, in one frame or many, some of them twice."""
    whole = draw(st.booleans())
    news = [key for key in rows if whole or rows[key] != had.get(key) or draw(st.booleans())]
    given_ = [{"id": key} | rows[key] for key in draw(st.permutations(news))]
    given_ += [each for each in given_ if draw(st.integers(0, 4)) == 0]
    cut = draw(st.integers(0, len(given_)))
    frames = [frame(each) for each in (given_[:cut], given_[cut:])]
    gone = None if whole else pl.DataFrame({"id": [key for key in had if key not in rows]}, schema={"id": pl.Int64})
    return Delivery(lambda: frames, SCHEMA, whole=whole, gone=gone)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[float, Rows, Delivery, Delivery]], float]:
    """Deliveries with the instant each was seen at, what was so then, and the same news in two wrappings."""
    had: Rows = {}
    made = []
    at = float(draw(st.integers(0, 5)))
    for rows in draw(states):
        made.append((at, rows, delivered(rows, had, draw), delivered(rows, had, draw)))
        had = rows
        at += draw(st.integers(1, 9))
    return made, at


def compare_reads(memory: Memory, stored: Stored, until: float) -> None:
    read = stored.read()
    for at in range(-1, int(until) + 32, 3):
        found = believed(read, second(at))  # type: ignore[arg-type]
        there = {each["id"]: each for each in found.rows(named=True)}
        assert sorted(there) == sorted(
            each["id"] for each in memory.at(at, ("id", "at") if read.event_time else ("id",))
        )
        for name in ("x", "y", "who"):
            said = {each["id"]: each[name] for each in memory.at(at, (name,))}
            for key, row in there.items():
                assert row[name] == said.get(key), (at, key, name)


def compare_features(memory: Memory, stored: Stored, until: float) -> None:
    instants = [float(each) for each in range(-1, int(until) + 32, 4)]
    spine = [(place, who, second(at)) for place, (who, at) in enumerate((w, a) for w in ("u", "v") for a in instants)]
    types = {"row": pl.Int64, "who": pl.String, "decided_at": pl.Datetime("us", "UTC")}
    answers = point_in_time(PLAN, pl.DataFrame(spine, schema=types, orient="row"), {"t": stored.read()})
    for row in answers.rows(named=True):
        at = (row["decided_at"] - START).total_seconds()
        for word in ("n", "s", "h", "xy"):
            for over in OVERS:
                wanted = told(word, memory, row["who"], at, None if over is None else 12.0)
                found = row[f"v.{word}_{over or 'ever'}"]
                assert found == wanted or (found is None and not wanted), (word, over, row["who"], at)


def run(world: tuple[list[tuple[float, Rows, Delivery, Delivery]], float], **words: Any) -> None:
    deliveries, until = world
    said = table(**words)

    def stated(name: str, row: dict[str, Any]) -> float | None:
        if said.event_time is None:
            return None
        return row["at"] + 5 if name == "x" and said.known_at else row["at"]

    stored, memory = Stored(said), Memory(stated)
    for place, (at, rows, one, again) in enumerate(deliveries):
        stored.take(one, second(at))  # type: ignore[arg-type]
        memory.take(rows, at, first=place == 0)
        assert stored.take(again, second(at + 0.5)).empty  # the same news in another wrapping changes nothing
    compare_reads(memory, stored, until)
    assert sorted(settled(stored.read()).frame["id"]) == sorted(deliveries[-1][1])
    if said.event_time is not None:
        compare_features(memory, stored, until)


SAID: list[dict[str, Any]] = [
    {},
    {"known_at": {"*": "at", "x": "at + interval '5 seconds'"}},
    {"event_time": None},
]


@pytest.mark.parametrize("words", SAID, ids=["event time", "later column", "static"])
@settings(max_examples=8, deadline=None)
@given(worlds())
def test_what_was_believed_then_is_what_is_read(
    words: dict[str, Any], world: tuple[list[tuple[float, Rows, Delivery, Delivery]], float]
) -> None:
    run(world, **words)


@pytest.mark.nightly
@pytest.mark.parametrize("words", SAID, ids=["event time", "later column", "static"])
@settings(max_examples=400, deadline=None)
@given(worlds())
def test_what_was_believed_then_is_what_is_read_at_length(
    words: dict[str, Any], world: tuple[list[tuple[float, Rows, Delivery, Delivery]], float]
) -> None:
    run(world, **words)
