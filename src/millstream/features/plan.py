"""What a model reads, resolved and typed: plain data that ends in the signed release.

Nothing here needs a dataframe: the scoring server decodes a plan and answers from it.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import msgspec

from millstream.definitions.features import Aggregate
from millstream.definitions.rows import At
from millstream.expressions import Expression
from millstream.expressions.node import Column
from millstream.types import DType, content_hash

EMPTY_COUNT = 0.0
COUNTS = ("count", "distinct")
"""Aggregates of nothing are 0, for an entity never seen too."""
AGED = ("since_last", "since_first")
"""Aggregates that grow with the clock: what is kept is the instant they count from, microseconds."""
DAY_US = 86_400_000_000.0
TARGET = "target_at"
"""Column of the instant that is predicted, under a horizon."""
NULL = math.nan
"""How NULL travels where every value is a float."""


class FeatureColumn(msgspec.Struct, frozen=True):
    """One column a model sees.

    Parameters
    ----------
    name
        ``view.feature``, where the view is named as the model's role of it.
    dtype
        Type before the model turns it into a number (a text becomes a category).
    """

    name: str
    dtype: DType


class Span(NamedTuple):
    """Which events a window takes: back from how long ago, and for how long (None: all before)."""

    over_us: int | None
    ago_us: int = 0


class WindowPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One aggregate over the facts of an entity.

    Parameters
    ----------
    aggregate
        What is computed.
    value
        Expression over a fact; None counts facts.
    over_us
        Length of the window in microseconds; None is all that is known.
    dtype
        Type of the answer.
    ago_us
        How much earlier than the instant asked about the window ends, in microseconds.
    q
        Which quantile, from 0 to 1.
    smooth
        Of a target mean: how many labels of the usual kind each entity is taken to have besides its own.
    """

    aggregate: Aggregate
    value: Expression | None
    over_us: int | None
    dtype: DType
    ago_us: int = 0
    q: float | None = None
    smooth: float | None = None

    @property
    def span(self) -> Span:
        """Which events the window takes."""
        return Span(self.over_us, self.ago_us)

    @property
    def aged(self) -> bool:
        """Whether the answer grows with the clock, so that the instant it counts from is kept in its stead."""
        return self.aggregate in AGED


class ViewPlan(msgspec.Struct, frozen=True, dict=True):
    """A feature view in one role.

    Parameters
    ----------
    name
        Name of the role, the prefix of its columns.
    table
        Table whose rows are the facts.
    entity, entity_types
        Columns of that table that name whom a fact is about, and their types.
    keys
        Columns of the model's rows that hold the entity, in the same order.
    features
        Name to window, in order.
    at
        The instant windows are about; what is known is always what was known at the decision.
    """

    name: str
    table: str
    entity: tuple[str, ...]
    entity_types: tuple[DType, ...]
    keys: tuple[str, ...]
    features: dict[str, WindowPlan]
    at: At = "decided_at"

    @cached_property
    def id(self) -> str:
        """Name what is computed, whatever role it plays: equal ids share one online state."""
        said = [self.table, self.entity, self.entity_types, [*self.features.items()]]
        if self.at != "decided_at":
            said.append(self.at)
        return content_hash(msgspec.to_builtins(said))[:16]

    @property
    def horizon_us(self) -> int | None:
        """How far back a fact can still matter, in microseconds; None when every fact can.

        A sum needs every fact: it is 0, not NULL, for an entity whose facts have all left the window. So does a
        target mean, which is drawn toward that of all labels ever known.
        """
        spans = [each.span for each in self.features.values() if each.aggregate not in ("sum", "target")]
        lengths = [over + ago for over, ago in spans if over is not None]
        return max(lengths) if len(lengths) == len(self.features) else None

    @property
    def of_everybody(self) -> bool:
        """Whether a fact about one entity moves what is said of others: target means are drawn toward everybody's."""
        return any(each.aggregate == "target" for each in self.features.values())

    @property
    def aged(self) -> tuple[int, ...]:
        """Places of the features that grow with the clock."""
        return tuple(place for place, each in enumerate(self.features.values()) if each.aged)

    @property
    def never_seen(self) -> list[float]:
        """Values for an entity of which nothing is known: counts 0, everything else NULL."""
        return [EMPTY_COUNT if each.aggregate in COUNTS else NULL for each in self.features.values()]


class AheadPlan(msgspec.Struct, frozen=True):
    """A label that looks ahead: one aggregate over the facts of an entity in the window that begins at an instant.

    Parameters
    ----------
    table
        Table whose rows are the facts.
    entity, keys
        Columns of that table that name whom a fact is about, and the rows' columns that hold it, in one order.
    aggregate, value, where
        What is computed; None takes the facts themselves, or all of them.
    ahead, timezone
        Length of the window, and the zone of the calendar by which it is measured; None for lengths that are none of
        the calendar's, or rows without one.
    ahead_us, lag_us
        Its length in microseconds (at most, by the calendar), and how long after it has closed its label is known.
    at
        Where the window begins.
    dtype
        Type of the label.
    text
        The label in the user's words.
    """

    table: str
    entity: tuple[str, ...]
    keys: tuple[str, ...]
    aggregate: Aggregate
    value: Expression | None
    where: Expression | None
    ahead: str
    timezone: str | None
    ahead_us: int
    lag_us: int
    at: At
    dtype: DType
    text: str


class SeasonalPlan(msgspec.Struct, frozen=True):
    """The simple rule of a forecast: the label of the last season that was known at the decision.

    Parameters
    ----------
    season
        Length of the calendar after which what happens looks alike.
    seasons
        How many are looked back at, until one is known.
    view
        What is kept online for it: one number per entity and target.
    """

    season: str
    seasons: int
    view: ViewPlan


class TickPlan(msgspec.Struct, frozen=True):
    """When entities are predicted, and for when.

    Parameters
    ----------
    step, timezone
        Time between ticks of the calendar, and whose calendar it is.
    horizon
        First and last distance from the tick to ``target_at``; None without.
    key_types
        Types of the entity's columns.
    """

    step: str
    timezone: str
    horizon: tuple[str, str] | None
    key_types: tuple[DType, ...]


class RankingPlan(msgspec.Struct, frozen=True, dict=True):
    """What is listed for whom.

    Parameters
    ----------
    k
        Items of a list.
    item, item_type
        Column of the rows that names the item chosen, and its type.
    candidates, candidate
        Table of the items there are, and its key.
    given
        Columns of an item that features need, and their types.
    by, by_types
        Columns that say who asks, and their types.
    asked
        What a caller sends: ``by`` and request fields that no item has.
    choice_key, choice_time
        Key and event time of the rows' table.
    within_us
        How long after a list what is chosen speaks for or against it, in microseconds.
    negatives, seed
        Rows of other items sampled beside each row, and by which seed.
    exclude_seen
        Whether items that somebody is known to have chosen are left out.
    """

    k: int
    item: str
    item_type: DType
    candidates: str
    candidate: str
    given: dict[str, DType]
    by: tuple[str, ...]
    by_types: tuple[DType, ...]
    asked: tuple[str, ...]
    choice_key: tuple[str, ...]
    choice_time: str
    within_us: int
    negatives: int
    seed: int
    exclude_seen: bool

    @cached_property
    def item_view(self) -> ViewPlan:
        """What features need of an item, as believed at an instant, as a view of the candidates."""
        wanted = {
            name: WindowPlan("last", Expression(name, Column(name, dtype), dtype, (name,)), None, dtype)
            for name, dtype in self.given.items()
        }
        return ViewPlan("items", self.candidates, (self.candidate,), (self.item_type,), (self.item,), wanted)

    @cached_property
    def shelf_id(self) -> str:
        """Name the stored list of candidates: equal ids share one."""
        return content_hash(["shelf", self.candidates, self.candidate, self.item_type])[:16]

    def seen_id(self, rows_table: str) -> str:
        """Name the stored choices of everybody."""
        return content_hash(["seen", rows_table, self.item, self.by, self.by_types, self.item_type])[:16]


class FeaturePlan(msgspec.Struct, frozen=True):
    """Everything a model reads.

    Parameters
    ----------
    model
        Name of the model.
    rows_table, row_key
        Table whose rows or entities are predicted, and the columns by which a caller names one. Under ``ticks`` these
        are the entity's key and, with a horizon, ``target_at``; the instant of the answer completes the name.
    columns
        What the model sees, in order.
    views
        Roles of feature views, in the order the model names them.
    request
        Fields that come with a request, name to type.
    request_features
        Column to expression over the request.
    combined
        Column to expression over features of ``views`` (whether the model sees these or not) and the request.
    decide_at
        Instant of the prediction; None is the row's event time, or the version's instant for a static table.
    event_time
        Event time column of the rows' table.
    where
        Which rows are predicted.
    label
        What is learnt, as an expression over the row; None for a model without, or with one that looks ahead.
    ahead
        What is learnt, from facts to come.
    ticks
        When entities are predicted; None where each row of the table is.
    ranking
        What is listed for whom; None for a model that answers about single rows. Features are then those of a pair of
        somebody and an item, and ``row_key`` names who asks.
    seasonal
        The simple rule of a forecast; None where it is the same for every row.
    """

    model: str
    rows_table: str
    row_key: tuple[str, ...]
    columns: tuple[FeatureColumn, ...]
    views: tuple[ViewPlan, ...]
    request: dict[str, DType]
    request_features: dict[str, Expression]
    decide_at: Expression | None
    event_time: str | None
    where: Expression | None
    label: Expression | None
    ahead: AheadPlan | None = None
    ticks: TickPlan | None = None
    ranking: RankingPlan | None = None
    seasonal: SeasonalPlan | None = None
    combined: dict[str, Expression] = {}

    @property
    def served(self) -> tuple[ViewPlan, ...]:
        """Return what is kept online: the views, and what the simple rule of a forecast says."""
        return self.views if self.seasonal is None else (*self.views, self.seasonal.view)

    @property
    def combined_parts(self) -> list[tuple[str, int, DType]]:
        """List the features of views that combined ones are made of: name, place among all of views, and type."""
        needed = {name for each in self.combined.values() for name in each.columns}
        all_ = [(f"{view.name}.{name}", said.dtype) for view in self.views for name, said in view.features.items()]
        return [(name, place, dtype) for place, (name, dtype) in enumerate(all_) if name in needed]

    @property
    def names(self) -> tuple[str, ...]:
        """Name the columns, in order."""
        return tuple(each.name for each in self.columns)

    @property
    def tables(self) -> tuple[str, ...]:
        """Name the tables whose facts are features, each once."""
        return tuple(dict.fromkeys(each.table for each in self.views))

    @property
    def served_tables(self) -> tuple[str, ...]:
        """Name the tables that what is kept online comes from, each once."""
        return tuple(dict.fromkeys(each.table for each in self.served))

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """Name every table that training reads, each once: the rows', those of features and the label's."""
        label = () if self.ahead is None else (self.ahead.table,)
        items = () if self.ranking is None else (self.ranking.candidates,)
        return tuple(dict.fromkeys((self.rows_table, *self.tables, *label, *items)))

    @property
    def label_dtype(self) -> DType | None:
        """Return the type of what is learnt; None for a model without label."""
        if self.ahead is not None:
            return self.ahead.dtype
        return None if self.label is None else self.label.dtype

    @property
    def entity_columns(self) -> tuple[str, ...]:
        """Name the columns of the rows that hold an entity, each once."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    @property
    def request_columns(self) -> tuple[str, ...]:
        """Name what a caller sends: the row's key, the entities and the request's fields; of a list, who asks."""
        if self.ranking is not None:
            return self.ranking.asked
        return tuple(dict.fromkeys((*self.row_key, *self.entity_columns, *self.request)))

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """Name what a spine is made of: what a caller sends, and whom the label's facts are about."""
        if self.ranking is not None:
            return tuple(dict.fromkeys((*self.ranking.choice_key, *self.ranking.asked, self.ranking.item)))
        return tuple(dict.fromkeys((*self.request_columns, *(self.ahead.keys if self.ahead is not None else ()))))

    @property
    def prediction_key(self) -> tuple[str, ...]:
        """Name the columns that tell one prediction from every other: of an entity, also when it was made."""
        return self.row_key if self.of_rows else (*self.row_key, "decided_at")

    @property
    def of_rows(self) -> bool:
        """Whether a prediction is about one row of the rows' table, rather than somebody at an instant."""
        return self.ticks is None and self.ranking is None

    @property
    def pair_columns(self) -> tuple[str, ...]:
        """Name what features of a pair need: who asks, the item and its columns."""
        assert self.ranking is not None
        return (*self.ranking.asked, self.ranking.item, *self.ranking.given)

    @property
    def request_types(self) -> dict[str, DType]:
        """Return the types of entity columns and request fields; the row's key keeps the type it has."""
        keys = {key: dtype for view in self.views for key, dtype in zip(view.keys, view.entity_types, strict=True)}
        if self.ticks is not None:
            named: dict[str, DType] = dict(zip(self.row_key, self.ticks.key_types, strict=False))
            keys |= named | ({TARGET: "timestamptz"} if self.ticks.horizon is not None else {})
        if self.ranking is not None:
            keys |= dict(zip(self.ranking.by, self.ranking.by_types, strict=True))
        return keys | self.request

    def encode(self) -> bytes:
        """Return the plan as JSON; equal plans give equal bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> FeaturePlan:
        """Read a plan written by ``encode``."""
        return msgspec.json.decode(data, type=cls)
