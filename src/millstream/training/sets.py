"""Training sets: rows, the features known when each was decided, and labels that may look ahead."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from millstream.errors import BadData, DefinitionError, near
from millstream.features.listed import SAMPLED
from millstream.features.plan import TARGET, FeaturePlan
from millstream.training.matrix import Array, codes, labels
from millstream.training.splits import NEVER, Instants

if TYPE_CHECKING:
    import polars as pl

    from millstream.definitions.model import Model
    from millstream.features import FeatureEngine
    from millstream.lake.frame import TableFrame
    from millstream.training.lists import Ranker
    from millstream.types import DType

WEIGHT, SEGMENT, SIMPLE = "weight of the row", "segment of the row: ", "simple rule of the row"
"""Columns of a training set that hold a row's weight, with its column's name behind a segment, and what the simple
rule of a forecast says of the row."""

Read: TypeAlias = "Callable[[str], TableFrame]"


@dataclass(frozen=True)
class Prep:
    """What it took to get from tables to rows to learn from.

    Parameters
    ----------
    seconds
        From the first table read to the last feature joined.
    computed, kept
        Features that were computed, and that were there from before.
    saved_s
        Seconds that those kept took when they were computed.
    """

    seconds: float = 0.0
    computed: int = 0
    kept: int = 0
    saved_s: float = 0.0


@dataclass(frozen=True)
class TrainingSet:
    """Rows with everything to learn from, in an order that does not depend on how they were read.

    Parameters
    ----------
    plan
        What the features are.
    frame
        The row's key, entities and request fields, ``decided_at``, ``label``, ``label_known_at`` and one column a
        feature; sorted by ``decided_at`` and key.
    pins
        Table to the version that was read.
    static_at
        Instant at which rows of a table without event time are decided.
    since, until
        Rows decided from and before these instants; a label known only after ``until`` counts as none.
    ranker
        What lists of all candidates are made with; of a model that answers with lists.
    took
        View to the seconds that it took for all rows; empty where nobody looked at the clock.
    prep
        What it took to make the set.
    """

    plan: FeaturePlan
    frame: pl.DataFrame
    pins: dict[str, int]
    since: datetime | None = None
    until: datetime | None = None
    static_at: datetime | None = None
    ranker: Ranker | None = None
    took: dict[str, float] = field(default_factory=dict, compare=False)
    prep: Prep = field(default_factory=Prep, compare=False)

    def __post_init__(self) -> None:
        if not self.frame.height:
            span = f"from {self.since or 'the beginning'} to {self.until or 'the end'}"
            raise BadData(
                f"the training set of {self.plan.model!r} is empty {span}",
                expected=f"rows of table {self.plan.rows_table!r}",
                do=f"millstream sql 'select count(*) from {self.plan.rows_table}'",
            )

    @cached_property
    def decided(self) -> Instants:
        """Instant each row is decided at, microseconds."""
        return self.frame["decided_at"].to_physical().to_numpy()

    @property
    def label_dtype(self) -> DType | None:
        """Type of the label; None for a model without."""
        return self.plan.label_dtype

    @property
    def text_label(self) -> bool:
        """Whether labels are texts, the names of classes."""
        return self.label_dtype == "varchar"

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Names of the classes among labels known by now, sorted."""
        return tuple(sorted(self.frame["label"].filter(self.known != NEVER).unique().to_list()))

    @cached_property
    def label(self) -> Array:
        """Labels as numbers, NaN for none; of a text the place of its class in ``texts``."""
        if self.label_dtype is None:
            return np.full(self.rows, np.nan)
        return codes(self.frame["label"], self.texts) if self.text_label else labels(self.frame["label"])

    @cached_property
    def weight(self) -> Array | None:
        """How much each row counts in fitting; None where all count alike."""
        if WEIGHT not in self.frame.columns:
            return None
        weight = labels(self.frame[WEIGHT])
        wrong = ~(weight >= 0) & (self.known != NEVER)
        if wrong.any():
            raise BadData(
                f"{int(wrong.sum())} of {wrong.size} weights of {self.plan.model!r} are NULL or below 0",
                expected="a weight for every labelled row, 0 to leave it out",
                do="coalesce(..., 1) in the model's weight",
            )
        return np.where(wrong | np.isnan(weight), 0.0, weight)

    @cached_property
    def simple(self) -> Array | None:
        """What the simple rule says of each row, NaN where it knows nothing; None where it says the same of all."""
        return self.frame[SIMPLE].to_numpy() if SIMPLE in self.frame.columns else None

    @cached_property
    def scale(self) -> float | None:
        """Mean absolute error of that rule over all labelled rows; None without one, or where it is never wrong."""
        if self.simple is None:
            return None
        off = np.abs(self.label - self.simple)[self.known != NEVER]
        off = off[~np.isnan(off)]
        return float(off.mean()) if off.size and off.any() else None

    @cached_property
    def ahead(self) -> Instants | None:
        """How many ticks after its decision each row's target lies; None without a horizon."""
        from millstream.features.ticks import steps_ahead

        ticks = self.plan.ticks
        if ticks is None or ticks.horizon is None:
            return None
        return steps_ahead(ticks, self.decided, self.frame[TARGET].to_physical().to_numpy())

    @cached_property
    def judged_at(self) -> Instants:
        """Instant each row is about: its target, else its decision. Rows about one share what happened then."""
        return self.decided if self.ahead is None else self.frame[TARGET].to_physical().to_numpy()

    def segment(self, column: str) -> pl.Series:
        """Return a segment's column as texts, NULL where it has none."""
        import polars as pl

        return self.frame[f"{SEGMENT}{column}"].cast(pl.String)

    @property
    def static(self) -> bool:
        """Whether rows have no time of their own, so that all are decided at one instant."""
        return self.plan.decide_at is None and self.plan.event_time is None and self.plan.ticks is None

    @cached_property
    def keys(self) -> list[str]:
        """Key of each row as one text."""
        import polars as pl

        named = [pl.col(each).cast(pl.String).fill_null("") for each in self.plan.row_key]
        return self.frame.select(pl.concat_str(named, separator="|").alias("key"))["key"].to_list()

    @cached_property
    def known(self) -> Instants:
        """Instant each label is known from, microseconds; ``NEVER`` where there is none at ``until``.

        Without labels every row can be learnt from as soon as it is decided.
        """
        import polars as pl

        if self.label_dtype is None:
            return self.decided

        usable = pl.col("label").is_not_null() & pl.col("label_known_at").is_not_null()
        if self.until is not None:
            usable = usable & (pl.col("label_known_at") <= self.until)
        known = pl.when(usable).then(pl.col("label_known_at").to_physical()).otherwise(NEVER)
        return self.frame.select(known.cast(pl.Int64).alias("known"))["known"].to_numpy()

    @cached_property
    def waiting(self) -> int:
        """Number of rows whose label is not known yet at ``until``: its window is open, or it is still to arrive."""
        if self.until is None or self.label_dtype is None:
            return 0
        return int((self.frame["label_known_at"] > self.until).sum())

    @cached_property
    def sampled(self) -> int:
        """Number of rows of items that were sampled beside what was chosen."""
        return int((self.frame[SAMPLED] > 0).sum()) if SAMPLED in self.frame.columns else 0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.frame.height


def build_set(
    plan: FeaturePlan,
    read: Read,
    *,
    until: datetime | None = None,
    since: datetime | None = None,
    static_at: datetime | None = None,
    model: Model | None = None,
    engine: FeatureEngine | None = None,
) -> TrainingSet:
    """Join every row decided in a span to its features as known then, and to its label.

    Parameters
    ----------
    plan
        What to read.
    read
        Gives a table by name; each table is read once, and its version becomes a pin.
    until, since
        Only rows decided before and from these instants; rows of a table without event time are all taken. A label
        that looks ahead has an ``until`` in any case: where it is left out, the instant at which anything became
        known last.
    static_at
        Instant at which rows of a table without event time are decided.
    model
        The definition, where it has a ``weight`` or ``segments``: they are read from the rows' table.
    engine
        Who computes features; the embedded one unless said.

    Raises
    ------
    BadData
        When no row is left.
    DefinitionError
        When the rows' table has no such segment; near matches are named.
    LeakError
        When an input of a row was not known at its decision.
    """
    import polars as pl

    from millstream.features import PolarsEngine, spine
    from millstream.features.seasonal import seasonal_naive
    from millstream.features.ticks import last_known

    engine, began = engine or PolarsEngine(), time.perf_counter()
    tables = {name: read(name) for name in plan.learnt_from}
    rows, facts = tables[plan.rows_table], None if plan.ahead is None else tables[plan.ahead.table]
    ranker = None
    if plan.ranking is not None:
        from millstream.training.lists import Ranker

        facts, ranker = tables[plan.ranking.candidates], Ranker(plan, tables, engine)
    if until is None and plan.ahead is not None and facts is not None:
        until = last_known(rows, facts)
    timeless = plan.decide_at is None and plan.event_time is None and plan.ticks is None
    between = (None, None) if timeless else (since, until)
    base = spine(plan, rows, between=between, static_at=static_at, facts=facts)
    base = _with_extras(base, rows, model) if model is not None else base
    order = plan.row_key if plan.ranking is None else (*plan.row_key, *plan.ranking.choice_key, SAMPLED)
    base = base.sort("decided_at", *dict.fromkeys(order), nulls_last=True)
    if plan.seasonal is not None and facts is not None:
        base = base.with_columns(pl.Series(SIMPLE, seasonal_naive(plan, base, facts)))
    took: dict[str, float] = {}
    frame = engine.point_in_time(plan, base, tables, took=took, learning=True)
    pins = {each.table: each.version for each in tables.values()}
    at, prep = static_at if timeless else None, Prep(time.perf_counter() - began, len(plan.columns))
    return TrainingSet(plan, frame, pins, since=since, until=until, static_at=at, ranker=ranker, took=took, prep=prep)


def _with_extras(base: pl.DataFrame, rows: TableFrame, model: Model) -> pl.DataFrame:
    """Add the weight and the segments of each row, as believed now."""
    import polars as pl

    from millstream.expressions import parse
    from millstream.expressions.polars import to_polars

    wanted: list[pl.Expr] = []
    if model.weight is not None:
        said = parse(model.weight, rows.schema, where=f"model {model.name}: weight")
        if said.dtype not in ("bigint", "double", "boolean"):
            raise DefinitionError(f"the weight of model {model.name!r} is {said.dtype}", expected="a number")
        wanted.append(to_polars(said).alias(WEIGHT))
    for column in model.segments:
        if column not in rows.schema:
            raise DefinitionError(
                f"model {model.name!r} has segment {column!r}, which table {rows.table!r} has not",
                expected=near(column, rows.schema),
            )
        wanted.append(pl.col(column).alias(f"{SEGMENT}{column}"))
    if not wanted:
        return base
    key = list(rows.key)
    extras = rows.frame.select(*key, *wanted).unique(key, keep="last", maintain_order=True)
    return base.join(extras, on=key, how="left", maintain_order="left")
