"""From rows of a table to facts: whom each is about, when it happened, became known and was superseded.

A fact is believed from its known-at until the instant a later-known row of the same table key takes over. Instants
are int64 microseconds; ``ALWAYS`` and ``FOREVER`` stand for the ends of time. All of it is decided per *knowledge*:
the set of known-at columns an expression depends on, because two columns of one row may become known at different
times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.plan import Span, ViewPlan, WindowPlan
from millstream.lake.frame import EVER, TableFrame
from millstream.types import DType
from millstream.types import to_micros as micros

Instants = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

COLUMN: dict[DType, pl.DataType] = {
    "boolean": pl.Boolean(),
    "bigint": pl.Int64(),
    "double": pl.Float64(),
    "varchar": pl.String(),
    "timestamptz": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
}
"""How a type of the row language stands in a frame."""

ALWAYS = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max
NOBODY = -1
"""Code of an entity that no fact is about; a NULL key is nobody."""
_EVER = micros(EVER)
_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)


@dataclass(frozen=True)
class Times:
    """The event times of a whole table, NULL left out: around which middle slopes are computed, in which unit."""

    events: Instants

    @classmethod
    def of(cls, table: TableFrame) -> Times:
        """Take a table's."""
        none = np.empty(0, dtype=np.int64)
        return cls(none if table.event_time is None else to_micros(table.frame[table.event_time].drop_nulls()))

    @cached_property
    def middle(self) -> int:
        """The midnight before the middle one, microseconds."""
        return int(np.median(self.events)) // _UNITS[0] * _UNITS[0] if len(self.events) else 0

    @cached_property
    def unit(self) -> int:
        """The largest unit, in microseconds, that loses nothing."""
        since = self.events - self.middle
        return next(each for each in _UNITS if not (since % each).any())


@dataclass(frozen=True)
class Facts:
    """Facts under one knowledge, as aligned arrays in the table's row order.

    Parameters
    ----------
    entity
        Code of the entity; ``NOBODY`` for rows that are never in a window.
    event, known
        When the fact happened and became usable; ``ALWAYS`` where the table does not say.
    superseded
        When a later-known row of the same key took over; ``FOREVER`` if none did.
    successor
        Position of that row, or -1.
    times
        Those of the table they are from.
    """

    entity: Codes
    event: Instants
    known: Instants
    superseded: Instants
    successor: npt.NDArray[np.int64]
    times: Times = field(default_factory=lambda: Times(np.empty(0, dtype=np.int64)))

    @property
    def start(self) -> Instants:
        """When each fact enters windows, unless it is out of them already."""
        return self.start_of(0)

    def start_of(self, ago_us: int) -> Instants:
        """Return when each fact enters windows that end so much earlier than they are asked."""
        return np.maximum(self.event + ago_us if ago_us else self.event, self.known)

    def end_of(self, span: Span) -> Instants:
        """Return when each fact falls out of windows, by time or because a correction took over."""
        return self.superseded if span.over_us is None else np.minimum(self.closing(span), self.superseded)

    def closing(self, span: Span) -> Instants:
        """Return when each fact is too old for windows of a length."""
        assert span.over_us is not None
        return self.event + (span.over_us + span.ago_us)


def knowledge(table: TableFrame, view: ViewPlan, window: WindowPlan) -> tuple[str, ...]:
    """Name the known-at columns a feature waits for: those of its value, its entity and its event time."""
    value = window.value.columns if window.value is not None else table.key
    event = (table.event_time,) if table.event_time else ()
    return table.known_for((*value, *view.entity, *event))


def read_facts(
    table: TableFrame,
    entity: Codes,
    *,
    waits_for: tuple[str, ...],
    times: Times | None = None,
    repeated: Mask | None = None,
) -> Facts:
    """Work out belief and supersession of a table's rows.

    ``times`` and ``repeated`` are found out unless they are told. Cost: linear where keys are unique; rows of repeated
    keys are sorted.
    """
    frame = table.frame
    event, happened = _instants(frame, (table.event_time,) if table.event_time else ())
    known, knowable = _instants(frame, waits_for)
    again = knowable & (repeats(table) if repeated is None else repeated)
    superseded, successor = _supersede(table, known, again, waits_for=waits_for)
    known = np.where(known <= _EVER, ALWAYS, known)
    if table.gone is not None:
        happened = happened & (frame[table.gone] == 0).to_numpy()
    there = np.where(happened & knowable, entity, NOBODY)
    return Facts(there, event, known, superseded, successor, times or Times.of(table))


def encode_entities(frame: pl.DataFrame, columns: tuple[str, ...]) -> tuple[pl.DataFrame, Codes]:
    """Number the entities of a frame: one row per entity (without NULL) in code order, and each row's code."""
    keyed = frame.select(columns)
    if len(columns) == 1:
        name = columns[0]
        entities = keyed.select(pl.col(name).unique()).drop_nulls()
    else:
        entities = keyed.unique().drop_nulls()
    return entities, find_entities(entities, keyed)


def find_entities(entities: pl.DataFrame, keys: pl.DataFrame) -> Codes:
    """Find the codes of entities by their columns, in order; ``NOBODY`` for NULL and unknown ones."""
    numbered = entities.with_row_index("__code")
    named = keys.rename(dict(zip(keys.columns, entities.columns, strict=True)))
    found = named.join(numbered, on=entities.columns, how="left", maintain_order="left")["__code"]
    return found.cast(pl.Int64).fill_null(NOBODY).to_numpy()


def to_micros(instants: pl.Series) -> Instants:
    """Return a Datetime column as microseconds since the epoch; it must have no NULL."""
    return instants.to_numpy().view(np.int64)


def _instants(frame: pl.DataFrame, columns: tuple[str, ...]) -> tuple[Instants, Mask]:
    """Return the latest of some instants per row, and whether all of them are there. Without columns: always."""
    latest = np.full(len(frame), ALWAYS)
    there = np.ones(len(frame), dtype=bool)
    for each in columns:
        column = frame[each]
        if column.null_count():
            present = column.is_not_null().to_numpy()
            there &= present
            instants = np.where(present, column.to_numpy().view(np.int64), 0)
        else:
            instants = column.to_numpy().view(np.int64)
        latest = np.maximum(latest, instants)
    return latest, there


def _supersede(
    table: TableFrame, known: Instants, again: Mask, *, waits_for: tuple[str, ...]
) -> tuple[Instants, npt.NDArray[np.int64]]:
    """Find who takes over from each row: the next of its key by (known-at, its parts, known-at of the key, row order).

    Of rows that become known together, the one whose parts are the latest is what is believed: a join of two tables
    with corrections gives a row for each pair of beliefs.
    """
    superseded = np.full(len(known), FOREVER)
    successor = np.full(len(known), -1)
    if not again.any():
        return superseded, successor
    rows = table.frame.select(table.key).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__position"))
    rows = rows.filter(pl.Series(again))
    position = rows["__position"].to_numpy()
    tie = _instants(table.frame, table.known_for(()))[0]
    parts = {f"__part_{each}": table.frame[name].to_physical()[position] for each, name in enumerate(waits_for)}
    parts = parts if len(parts) > 1 else {}
    rows = rows.with_columns(pl.Series("__known", known[position]), pl.Series("__tie", tie[position]), **parts)
    rows = rows.sort(*table.key, "__known", *parts, "__tie", "__position")
    position, when = rows["__position"].to_numpy(), rows["__known"].to_numpy()
    next_is_same = rows.select(pl.all_horizontal(pl.col(each) == pl.col(each).shift(-1) for each in table.key))
    followed = np.flatnonzero(next_is_same.to_series().fill_null(False).to_numpy())
    superseded[position[followed]] = when[followed + 1]
    successor[position[followed]] = position[followed + 1]
    return superseded, successor


def repeats(table: TableFrame) -> Mask:
    """Say of which rows the key is not theirs alone: they may supersede each other. Not of those without a key."""
    again = np.zeros(len(table.frame), dtype=bool)
    if not table.key:
        return again
    rows = table.frame.select(table.key)
    # Sorting hashes is several times faster than finding duplicates; two keys of one hash do no harm.
    hashes = rows.hash_rows().to_numpy()
    in_order = np.sort(hashes)
    if not (in_order[1:] == in_order[:-1]).any():
        return again
    order = np.argsort(hashes)
    same = hashes[order[1:]] == hashes[order[:-1]]
    again[order[1:][same]] = again[order[:-1][same]] = True
    for each in table.key:
        if rows[each].null_count():
            again &= rows[each].is_not_null().to_numpy()
    return again
