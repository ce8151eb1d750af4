"""Small random worlds: facts whose event order, known order and row order all differ, with corrections and NULLs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from millstream.definitions import features as f
from millstream.definitions.manifest import Manifest, gather
from millstream.definitions.model import Estimator, Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView
from millstream.features import FeaturePlan, compile_plan
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

from . import oracle

START = datetime(2013, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
SCHEMA = {
    "id": "bigint",
    "a": "varchar",
    "b": "bigint",
    "at": "timestamptz",
    "x": "double",
    "n": "bigint",
    "flag": "boolean",
    "word": "varchar",
}
FIRST = ("id", "a", "b", "at")
"""Columns known by the first known-at; the others by the second."""
OVERS = (None, "5s", "20s")
VALUES = {
    "count": (None, "x"),
    "sum": ("x", "n"),
    "mean": ("x", "flag"),
    "std": ("x", "n"),
    "min": ("x",),
    "max": ("n",),
    "last": ("x", "word", "b"),
    "any": ("flag",),
    "none": ("flag",),
}
LATER_VALUES = {
    "first": ("x", "word"),
    "distinct": ("x", "word", "flag", "at"),
    "quantile": ("x", "n"),
    "trend": ("x", "n"),
    "since_last": (None, "x"),
    "since_first": (None, "word"),
}
"""Aggregates that are measured apart, so that each world stays quick."""
VALUE_OF = {None: None, **{name: (lambda row, name=name: row.values[name]) for name in SCHEMA}}


def instant(second: float | None) -> datetime | None:
    return None if second is None else START + timedelta(seconds=second)


seconds = st.integers(0, 40)
# Big, small and fractional values together, so that a careless sum shows.
numbers = st.integers(-5, 5).map(float) | st.sampled_from([1e9 + 0.25, -1e9 + 0.5, 0.1, 0.3, 1e-3, 123456.789])


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values, st.none())


fact = st.fixed_dictionaries(
    {
        "id": st.one_of(st.integers(0, 6), st.integers(0, 6), st.integers(7, 10_000), st.none()),
        "a": st.sampled_from(["u", "u", "v", None]),
        "b": st.sampled_from([1, 1, 2, None]),
        "at": maybe(seconds),
        "x": maybe(numbers),
        "n": maybe(st.integers(-3, 3)),
        "flag": maybe(st.booleans()),
        "word": maybe(st.sampled_from(["red", "blue", "grün"])),
        "k1": maybe(seconds),
        "k2": maybe(seconds),
    }
)
ask = st.fixed_dictionaries(
    {"p": st.sampled_from(["u", "u", "v", "w", None]), "q": st.sampled_from([1, 1, 2, None]), "at": st.integers(0, 65)}
)


def table(facts: list[dict[str, Any]], *, name: str = "facts", static: bool = False) -> TableFrame:
    """Return facts as a table frame; a static table has no event time and is always known."""
    rows = [each | {column: instant(each[column]) for column in ("at", "k1", "k2")} for each in facts]
    types = {"id": pl.Int64, "a": pl.String, "b": pl.Int64, "at": INSTANT, "x": pl.Float64, "n": pl.Int64}
    types |= {"flag": pl.Boolean, "word": pl.String, "k1": INSTANT, "k2": INSTANT}
    known = {} if static else {each: "k1" if each in FIRST else "k2" for each in SCHEMA}
    frame = pl.DataFrame(rows, schema=types, orient="row")
    return TableFrame(name, 1, frame, SCHEMA, ("id",), None if static else "at", known)


def asks(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows that ask, as a spine."""
    made = [each | {"row": place, "decided_at": instant(each["at"])} for place, each in enumerate(rows)]
    types = {"row": pl.Int64, "p": pl.String, "q": pl.Int64, "decided_at": INSTANT}
    types |= {"size": pl.Int64} if rows and "size" in rows[0] else {}
    return pl.DataFrame(made, schema=types, orient="row")


def windows(
    values: dict[str, tuple[str | None, ...]], overs: tuple[str | None, ...], ago: str | None = None
) -> dict[str, f.Window]:
    """One window of each aggregate, value and length; quantiles are the lower quartile."""
    return {
        f"{aggregate}_{value or 'all'}_{over or 'ever'}": f.Window(
            aggregate, value, over, ago=ago, q=0.25 if aggregate == "quantile" else None
        )
        for aggregate, of in values.items()
        for value in of
        for over in overs
    }


def definitions(
    *,
    static: bool = False,
    ttl: str | None = None,
    overs: tuple[str | None, ...] = OVERS,
    role: str = "one",
    values: dict[str, tuple[str | None, ...]] = VALUES,
    ago: str | None = None,
) -> Manifest:
    """A model with a one-column view, a composite view, each used in another role, and a request view."""
    facts = Table("facts", source=Csv("facts.csv"), key="id", event_time=None if static else "at")
    rows = Table("asks", source=Csv("asks.csv"), key="row", event_time="at")
    made = windows(values, overs, ago)
    one = FeatureView("one", of=facts, entity="a", features=made, ttl=ttl)
    two = FeatureView("two", of=facts, entity=("a", "b"), features=made, ttl=ttl)
    model = Model(
        "m",
        rows=Each(rows),
        label="x > 0",
        features=[one.on({"a": "p"}, name=role), two.on({"a": "p", "b": "q"}, name="two")],
        estimator=Estimator("sklearn.dummy:DummyClassifier", {}),
        goal="roc_auc",
    )
    return gather([facts, rows, one, two, model])


ASKS_SCHEMA = {"row": "bigint", "p": "varchar", "q": "bigint", "at": "timestamptz", "x": "double"}


def plan(**options: Any) -> FeaturePlan:
    return compile_plan(definitions(**options), "m", {"facts": SCHEMA, "asks": ASKS_SCHEMA}, {})


@dataclass(frozen=True)
class Judge:
    """The oracle over one table frame."""

    facts: list[dict[str, Any]]
    static: bool = False

    def expect(
        self,
        aggregate: str,
        value: str | None,
        over_us: int | None,
        entity: dict[str, Any],
        at: int,
        *,
        ago: int = 0,
        q: float | None = None,
    ) -> Any:
        names = tuple(entity)
        first, second = ("k1", "k2")
        read = {*names, "at", *(("id",) if value is None else (value,))}
        waits = [] if self.static else sorted({first if each in FIRST else second for each in read})
        rows = [self._row(place, each, names) for place, each in enumerate(self.facts)]

        def known_of(row: oracle.Row) -> int | None:
            instants = [row.known[each] for each in waits]
            return None if None in instants else max([-(10**18), *instants])

        def tie(row: oracle.Row) -> int:
            return -(10**18) if self.static or row.known[first] is None else row.known[first]

        return oracle.evaluate(
            aggregate,
            rows,
            tuple(entity.values()),
            at,
            value=VALUE_OF[value],
            over=over_us,
            known_of=known_of,
            tie=tie,
            ago=ago,
            q=q,
        )

    def _row(self, place: int, each: dict[str, Any], names: tuple[str, ...]) -> oracle.Row:
        known = {name: None if each[name] is None else to_micros(instant(each[name])) for name in ("k1", "k2")}
        event = -(10**18) if self.static else None if each["at"] is None else to_micros(instant(each["at"]))
        return oracle.Row(each["id"], tuple(each[name] for name in names), event, known, each, place)
