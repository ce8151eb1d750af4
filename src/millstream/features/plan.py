"""What a model reads, resolved and typed: plain data that ends in the signed release.

Nothing here needs a dataframe: the scoring server decodes a plan and answers from it.
"""

from __future__ import annotations

import math
from functools import cached_property

import msgspec

from millstream.definitions.features import Aggregate
from millstream.expressions import Expression
from millstream.types import DType, content_hash

EMPTY_COUNT = 0.0
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


class WindowPlan(msgspec.Struct, frozen=True):
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
    """

    aggregate: Aggregate
    value: Expression | None
    over_us: int | None
    dtype: DType


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
    """

    name: str
    table: str
    entity: tuple[str, ...]
    entity_types: tuple[DType, ...]
    keys: tuple[str, ...]
    features: dict[str, WindowPlan]

    @cached_property
    def id(self) -> str:
        """Name what is computed, whatever role it plays: equal ids share one online state."""
        said = (self.table, self.entity, self.entity_types, [*self.features.items()])
        return content_hash(msgspec.to_builtins(said))[:16]

    @property
    def horizon_us(self) -> int | None:
        """How far back a fact can still matter, in microseconds; None when every fact can.

        A sum needs every fact: it is 0, not NULL, for an entity whose facts have all left the window.
        """
        lengths = [None if each.aggregate == "sum" else each.over_us for each in self.features.values()]
        known = [each for each in lengths if each is not None]
        return max(known) if len(known) == len(lengths) else None

    @property
    def never_seen(self) -> list[float]:
        """Values for an entity of which nothing is known: counts 0, everything else NULL."""
        return [EMPTY_COUNT if each.aggregate == "count" else NULL for each in self.features.values()]


class FeaturePlan(msgspec.Struct, frozen=True):
    """Everything a model reads.

    Parameters
    ----------
    model
        Name of the model.
    rows_table, row_key
        Table whose rows are predicted, and the columns that name one.
    columns
        What the model sees, in order.
    views
        Roles of feature views, in the order the model names them.
    request
        Fields that come with a request, name to type.
    request_features
        Column to expression over the request.
    decide_at
        Instant of the prediction; None is the row's event time, or the version's instant for a static table.
    event_time
        Event time column of the rows' table.
    where
        Which rows are predicted.
    label
        What is learnt; None for a model without.
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

    @property
    def names(self) -> tuple[str, ...]:
        """Name the columns, in order."""
        return tuple(each.name for each in self.columns)

    @property
    def tables(self) -> tuple[str, ...]:
        """Name the tables whose facts are read, each once."""
        return tuple(dict.fromkeys(each.table for each in self.views))

    @property
    def entity_columns(self) -> tuple[str, ...]:
        """Name the columns of the rows that hold an entity, each once."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    @property
    def request_columns(self) -> tuple[str, ...]:
        """Name what a caller sends: the row's key, the entities and the request's fields."""
        return tuple(dict.fromkeys((*self.row_key, *self.entity_columns, *self.request)))

    @property
    def request_types(self) -> dict[str, DType]:
        """Return the types of entity columns and request fields; the row's key keeps the type it has."""
        keys = {key: dtype for view in self.views for key, dtype in zip(view.keys, view.entity_types, strict=True)}
        return keys | self.request

    def encode(self) -> bytes:
        """Return the plan as JSON; equal plans give equal bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> FeaturePlan:
        """Read a plan written by ``encode``."""
        return msgspec.json.decode(data, type=cls)
