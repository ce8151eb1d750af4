"""Small random worlds of entities and facts around a change of the clocks, and the slow answers to what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions.manifest import gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each, Every
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView
from millstream.features import FeaturePlan, compile_plan
from millstream.lake.frame import TableFrame

ZONE = "Europe/Berlin"
INSTANT = pl.Datetime("us", "UTC")
MEMBERS = {"who": "varchar", "kind": "varchar", "active": "boolean"}
FACTS = {"id": "bigint", "who": "varchar", "at": "timestamptz", "x": "double", "n": "bigint", "flag": "boolean"}
READINGS = {"reading": "bigint", "who": "varchar", "at": "timestamptz"}
LATER = ("active", "x", "n", "flag")
"""Columns known by the second known-at."""


@dataclass(frozen=True)
class World:
    """A beginning, and how long one unit of its whole-number instants is."""

    start: datetime
    unit: timedelta
    step: str
    horizon: tuple[str, str]
    ahead: str

    def instant(self, number: int | None) -> datetime | None:
        return None if number is None else self.start + number * self.unit


HOURS = World(datetime(2013, 3, 30, 22, tzinfo=UTC), timedelta(minutes=20), "1h", ("1h", "3h"), "2h")
DAYS = World(datetime(2013, 3, 28, 23, tzinfo=UTC), timedelta(hours=6), "1d", ("1d", "2d"), "1d")
END = 30


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values, st.none())


instants = st.integers(0, END)
names = st.sampled_from(["ann", "ann", "bob", "cid"])
member = st.fixed_dictionaries(
    {"who": names, "kind": maybe(st.sampled_from(["a", "b"])), "active": maybe(st.booleans())}
    | {"k1": maybe(instants), "k2": maybe(instants)}
)
fact = st.fixed_dictionaries(
    {
        "id": st.one_of(st.integers(0, 4), st.integers(5, 10_000), st.none()),
        "who": maybe(names),
        "at": maybe(st.integers(0, END + 12)),
        "x": maybe(st.sampled_from([1e9 + 0.25, -1e9 + 0.5, 0.1, 0.3, 3.0])),
        "n": maybe(st.integers(-3, 3)),
        "flag": maybe(st.booleans()),
        "k1": maybe(instants),
        "k2": maybe(instants),
    }
)


def table(world: World, name: str, rows: list[dict[str, Any]], schema: dict[str, str], key: str) -> TableFrame:
    polars = {"varchar": pl.String, "boolean": pl.Boolean, "bigint": pl.Int64, "double": pl.Float64}
    types = {each: polars.get(kind, INSTANT) for each, kind in schema.items()} | {"k1": INSTANT, "k2": INSTANT}
    timed = [each for each in types if types[each] == INSTANT]
    made = [row | {each: world.instant(row[each]) for each in timed} for row in rows]
    known = {each: "k2" if each in LATER else "k1" for each in schema}
    frame = pl.DataFrame(made, schema=types, orient="row")
    return TableFrame(name, 1, frame, schema, (key,), "at" if "at" in schema else None, known)  # type: ignore[arg-type]


members_table = Table("members", source=Csv("m.csv"), key="who", known_at={"*": "k1"}, timezone=ZONE)
facts_table = Table("facts", source=Csv("f.csv"), key="id", event_time="at", lag="45m")
readings_table = Table("readings", source=Csv("r.csv"), key="reading", event_time="at")
LAG = timedelta(minutes=45)


def plan(rows: Any, label: Any, *, roles: Any = (), views: Any = ()) -> FeaturePlan:
    shown = FeatureView("shown", of=facts_table, entity="who", features={"n": f.count()})
    model = Model("m", rows=rows, label=label, features=roles or [shown], estimator=Estimator("x:Y", {}), goal="rmse")
    manifest = gather([members_table, facts_table, readings_table, shown, *views, model])
    schemas: Any = {"members": MEMBERS, "facts": FACTS, "readings": READINGS}
    return compile_plan(manifest, "m", schemas, {})


def every(world: World, label: Any = None, **options: Any) -> FeaturePlan:
    horizon = world.horizon if options.pop("targets", False) else None
    where = options.pop("where", None)
    return plan(Every(world.step, of=members_table, where=where, horizon=horizon), label, **options)


def each(label: Any) -> FeaturePlan:
    return plan(Each(readings_table), label)


# What the design says, in loops.


def walked(zone: ZoneInfo, since: datetime, until: datetime, step: str, minutes: int = 15) -> list[datetime]:
    """Ticks found by looking at a clock every quarter of an hour."""
    number, unit = int(step.rstrip("mowdh")), step.lstrip("0123456789")
    found = []
    now = since - timedelta(days=2)
    now -= timedelta(minutes=now.minute % minutes, seconds=now.second, microseconds=now.microsecond)
    before = now.astimezone(zone).date()
    while now < until:
        shown = now.astimezone(zone)
        if unit == "h":
            ticks = shown.minute == 0 and shown.hour % number == 0
        else:
            ticks = shown.date() != before and begins(shown.date(), number, unit)
        if ticks and now >= since:
            found.append(now)
        before = shown.date()
        now += timedelta(minutes=minutes)
    return found


def begins(day: date, number: int, unit: str) -> bool:
    if unit == "mo":
        return day.day == 1 and (day.month - 1) % number == 0
    if unit == "w":
        return day.weekday() == 0 and (day - date(1970, 1, 5)).days // 7 % number == 0
    return (day - date(1970, 1, 1)).days % number == 0


def known(row: dict[str, Any], columns: tuple[str, ...]) -> int | None:
    waits = [row["k2" if each in LATER else "k1"] for each in columns]
    return None if None in waits else max(waits)


def lives(rows: list[dict[str, Any]], key: str, columns: tuple[str, ...]) -> list[tuple[dict[str, Any], int, float]]:
    """Each row that is ever known, with the span in which it is believed."""
    usable = [(row, place) for place, row in enumerate(rows) if known(row, columns) is not None]
    usable.sort(key=lambda pair: (known(pair[0], columns), -1 if pair[0]["k1"] is None else pair[0]["k1"], pair[1]))
    found = []
    for place, (row, _) in enumerate(usable):
        later = [other for other, _ in usable[place + 1 :] if row[key] is not None and other[key] == row[key]]
        ends = known(later[0], columns) if later else float("inf")
        found.append((row, known(row, columns), ends))
    return found  # type: ignore[return-value]


def believed(rows: list[dict[str, Any]], key: str, columns: tuple[str, ...], at: float) -> list[dict[str, Any]]:
    return [row for row, start, end in lives(rows, key, columns) if start <= at < end]


def aggregate(name: str, values: list[Any], facts: int) -> Any:
    """A label over the values of facts in its window, latest last."""
    told = [each for each in values if each is not None]
    if name == "count":
        return len(told)
    if name in ("any", "none"):
        if any(told):
            return name == "any"
        return None if len(told) < facts else name == "none"
    if name == "sum":
        return float(sum(map(Fraction, told)))
    if not told:
        return None
    if name == "mean":
        return float(sum(map(Fraction, told)) / len(told))
    return {"min": min, "max": max, "last": lambda all_: all_[-1]}[name](told)
