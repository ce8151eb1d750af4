"""Small worlds to ask a feature engine about: facts whose event, known and arrival orders all differ, and the truth.

What is true comes from ``features.proof``, the slow recomputation that audits use: it shares no code with any engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from millstream.definitions.estimator import Estimator
from millstream.definitions.features import Request, Window
from millstream.definitions.manifest import gather
from millstream.definitions.model import Model
from millstream.definitions.rows import Each
from millstream.definitions.sources import Csv
from millstream.definitions.table import Table
from millstream.definitions.view import FeatureView, Role
from millstream.testing.bench import require
from millstream.types import Schema

if TYPE_CHECKING:
    import polars as pl

    from millstream.features import FeatureEngine, FeaturePlan
    from millstream.features.plan import WindowPlan
    from millstream.lake.frame import TableFrame

START = datetime(2013, 3, 30, 12, tzinfo=UTC)
"""Half a day before the clocks of Berlin change."""
STEP = timedelta(minutes=30)
"""What whole numbers count, so that many instants are the same and lie at edges of windows."""
LAST = 80
SCHEMA: Schema = {
    "id": "bigint", "who": "varchar", "place": "bigint", "at": "timestamptz",
    "x": "double", "n": "bigint", "flag": "boolean", "word": "varchar",
}  # fmt: skip
ASKS: Schema = {
    "row": "bigint",
    "p": "varchar",
    "q": "bigint",
    "at": "timestamptz",
    "size": "double",
    "truth": "boolean",
}
EARLY = ("id", "who", "place", "at")
"""Columns known by the first known-at; all others by the second."""
EXACT = ("count", "distinct", "min", "max", "last", "first", "quantile", "any", "none")
VALUES: dict[str, tuple[str | None, ...]] = {
    "count": (None, "x"), "sum": ("x", "n"), "mean": ("x", "flag"), "std": ("x", "n"), "min": ("x",),
    "max": ("n",), "last": ("x", "word", "place"), "first": ("x", "word"), "any": ("flag",), "none": ("flag",),
    "distinct": ("x", "word", "flag", "at"), "quantile": ("x", "n"), "trend": ("x", "n"), "since_last": (None, "x"),
    "since_first": (None, "word"),
}  # fmt: skip
"""Every aggregate but the target mean, with what it is computed of."""
NEAR = 1e-9

Fact = dict[str, Any]


def windows(*spans: str | None, ago: str | None = None) -> dict[str, Window]:
    """One window of every aggregate, value and length; quantiles are the lower quartile, one sum has a condition."""
    made = {
        f"{aggregate}_{value or 'all'}_{over or 'ever'}": Window(
            aggregate,  # type: ignore[arg-type]
            value,
            over,
            ago=ago,
            q=0.25 if aggregate == "quantile" else None,
        )
        for aggregate, of in VALUES.items()
        for value in of
        for over in spans
    }
    return made | {f"flagged_{over or 'ever'}": Window("sum", "x", over, ago=ago, where="flag") for over in spans}


def plan_of(
    features: Mapping[str, Window], *, ttl: str | None = None, static: bool = False, more: Mapping[str, str] = {}
) -> FeaturePlan:
    """Compile a model of a view about ``who`` (asked as ``p``), one about who and place, and expressions over both."""
    from millstream.features import compile_plan

    facts = Table("facts", source=Csv("facts.csv"), key="id", event_time=None if static else "at")
    asks = Table("asks", source=Csv("asks.csv"), key="row", event_time="at")
    one = FeatureView("people", of=facts, entity="who", features=dict(features), ttl=ttl)
    two = FeatureView("pairs", of=facts, entity=("who", "place"), features=dict(features), ttl=ttl)
    asked = [one.on({"who": "p"}, name="one"), two.on({"who": "p", "place": "q"}, name="two")]
    request = Request(*asked, at="timestamptz", size="double")
    said = [FeatureView("said", of=request, features=dict(more))] if more else []
    roles: list[FeatureView | Role] = [*asked, *said]
    estimator = Estimator("sklearn.dummy:DummyClassifier", {})
    model = Model("m", rows=Each(asks), label="truth", features=roles, estimator=estimator, goal="roc_auc")
    manifest = gather([facts, asks, one, two, *said, model])
    return compile_plan(manifest, "m", {"facts": SCHEMA, "asks": ASKS}, {})


def instant(step: float | None) -> datetime | None:
    """Return the instant of a whole or broken number of steps; a second is 1/1800."""
    return None if step is None else START + step * STEP


def fact(number: int | None, **said: Any) -> Fact:
    """Describe a revision of a fact about ``u``: of instant 0, known then, unless said; steps are numbers."""
    at = said.get("at", 0)
    usual = {"id": number, "who": "u", "place": 1, "at": at, "x": 1.0, "n": 1, "flag": True, "word": "red"}
    return usual | {"k1": at, "k2": said.get("k1", at), "gone": 0} | said


def table(facts: Sequence[Fact], *, static: bool = False) -> TableFrame:
    """Return facts as an engine is given them, in the order of their arrival."""
    import polars as pl

    from millstream.features.facts import COLUMN
    from millstream.lake.frame import TableFrame

    types = {name: COLUMN[dtype] for name, dtype in SCHEMA.items()}
    types |= {"k1": COLUMN["timestamptz"], "k2": COLUMN["timestamptz"], "gone": pl.Int64()}
    rows = [each | {name: instant(each[name]) for name in ("at", "k1", "k2")} for each in facts]
    known = {} if static else {name: "k1" if name in EARLY else "k2" for name in SCHEMA}
    frame = pl.DataFrame(rows, schema=types, orient="row")
    return TableFrame("facts", 1, frame, SCHEMA, ("id",), None if static else "at", known, gone="gone")


def spine(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows that ask: ``p``, ``q``, and when, in steps."""
    import polars as pl

    from millstream.features.facts import COLUMN

    types = {name: COLUMN[dtype] for name, dtype in ASKS.items() if name != "truth"}
    types |= {"decided_at": COLUMN["timestamptz"]}
    usual = {"p": "u", "q": 1, "size": 2.0}
    made = [
        usual | dict(each) | {"row": place, "at": instant(each["at"]), "decided_at": instant(each["at"])}
        for place, each in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=types, orient="row")


def asks() -> TableFrame:
    """Return the table of the rows that ask, which nobody need look into."""
    import polars as pl

    from millstream.lake.frame import TableFrame

    return TableFrame("asks", 1, pl.DataFrame(), {}, (), None)


@dataclass
class Luck:
    """Facts and rows by a seed."""

    seed: int
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def facts(self, many: int) -> list[Fact]:
        """Return revisions of fewer facts, with NULL keys, entities, times and values among them."""
        draw = self._random
        return [
            fact(
                self._or_none(draw.choice([draw.randint(0, many // 2), draw.randint(100, 10**6)])),
                who=draw.choice(["u", "u", "v", None]),
                place=draw.choice([1, 1, 2, None]),
                at=self._or_none(draw.randint(0, LAST // 2)),
                x=self._or_none(draw.choice([draw.randint(-5, 5) * 1.0, 0.1, 0.3, 1e-3, 1234.5])),
                n=self._or_none(draw.randint(-3, 3)),
                flag=self._or_none(draw.random() < 0.5),
                word=self._or_none(draw.choice(["red", "blue", "grün", ""])),
                k1=self._or_none(draw.randint(0, LAST // 2)),
                k2=self._or_none(draw.randint(0, LAST // 2)),
                gone=draw.choice([0, 0, 0, 0, 1, 2]),
            )
            for _ in range(many)
        ]

    def rows(self, many: int) -> list[dict[str, Any]]:
        """Return rows that ask, some of nobody, of somebody unknown, or at no instant."""
        draw = self._random
        return [
            {"p": draw.choice(["u", "u", "v", "w", None]), "q": draw.choice([1, 1, 2, None])}
            | {"at": draw.choice([*range(0, LAST, 2), None])}
            for _ in range(many)
        ]

    def _or_none(self, value: Any) -> Any:
        return value if self._random.random() < 0.85 else None


def agree(
    engine: FeatureEngine, plan: FeaturePlan, facts: TableFrame, rows: pl.DataFrame, *, learning: bool = False
) -> pl.DataFrame:
    """Compare every cell an engine gives with the slow recomputation; return what it gave.

    Raises
    ------
    AssertionError
        Naming the feature, the row and both values.
    """
    joined = engine.point_in_time(plan, rows, {"facts": facts}, learning=learning)
    kept(joined, rows, plan)
    for row, wanted, found in zip(rows.to_dicts(), truth(plan, facts, rows), joined.to_dicts(), strict=True):
        for view in plan.views:
            for name, window in view.features.items():
                same(f"{view.name}.{name}", window, row, (found, wanted))
        for name in (*plan.request_features, *plan.combined):
            same(name, None, row, (found, wanted))
    return joined


def kept(joined: pl.DataFrame, rows: pl.DataFrame, plan: FeaturePlan) -> None:
    """Fail unless every row is there, in its place and as it was, with the plan's columns of the plan's types."""
    from millstream.features.facts import COLUMN

    require(len(joined) == len(rows), f"{len(rows)} rows asked, {len(joined)} came back")
    require(joined.columns == [*rows.columns, *plan.names], f"the columns are {joined.columns}")
    require(joined.select(rows.columns).equals(rows), "rows are not in their places, or not as they were")
    for each in plan.columns:
        require(joined.schema[each.name] == COLUMN[each.dtype], f"{each.name} is {joined.schema[each.name]}")


def truth(plan: FeaturePlan, facts: TableFrame, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what every feature of every row must be."""
    from millstream.features.proof import Recomputed
    from millstream.features.proof.facts import plain

    slow = Recomputed(plan, {"facts": facts, "asks": asks()})
    found = []
    for row in plain(rows):
        told = {name: each for name, each in row.items() if name != "row"}
        if told["decided_at"] is None:  # a row without an instant is like one about nobody
            told |= {"p": None, "q": None, "decided_at": 0}
        found.append({name: cell.value for name, cell in slow.row(told).items()})
    return found


def same(name: str, window: WindowPlan | None, row: Mapping[str, Any], values: tuple[Any, Any]) -> None:
    """Fail unless two records hold the same under a name: exactly, or nearly where digits may be lost."""
    found, wanted = (each[name] for each in values)
    if isinstance(found, datetime):
        found = (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    same = found == wanted and (found is None) == (wanted is None)
    if (
        not same
        and isinstance(found, float)
        and wanted is not None
        and (window is None or window.aggregate not in EXACT)
    ):
        same = math.isclose(found, wanted, rel_tol=NEAR, abs_tol=NEAR)
    if not same and window is not None and window.aggregate == "quantile" and None not in (found, wanted):
        same = math.isclose(found, wanted, rel_tol=1e-15, abs_tol=1e-15)  # between two values on a straight line
    where = f"{row['p']!r}, {row['q']!r} at {row['decided_at']}"
    require(same, f"{name} of {where} is {found!r}, and must be {wanted!r}")


def about_targets(plan: FeaturePlan) -> FeaturePlan:
    """Return a plan whose windows are about ``target_at``."""
    import msgspec

    views = tuple(msgspec.structs.replace(each, at="target_at") for each in plan.views)
    return msgspec.structs.replace(plan, views=views)


def unlike(facts: TableFrame, **said: Any) -> TableFrame:
    """Return a table that says some things otherwise."""
    return replace(facts, **said)
