"""Labels that look ahead: what became of an entity in the window that begins at its decision, or at its target.

A fact is in the window [T, T + ahead) by its event time. Its value is the latest believed by the instant at which the
label is asked for, so a correction or a fact that arrives late changes the label, and the label is then known from
that instant on. Before its window has closed, and the table's lag has passed, a label is not known, whatever was seen
in it already: good news must not arrive sooner than bad. A fact at the very instant of the decision that was known then
is a fact of the past, which features see: it is not ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.errors import LeakError
from millstream.expressions.polars import compute
from millstream.features import calendar
from millstream.features.facts import (
    COLUMN,
    FOREVER,
    NOBODY,
    Codes,
    Facts,
    Instants,
    encode_entities,
    find_entities,
    read_facts,
)
from millstream.features.intervals import Line
from millstream.features.plan import AheadPlan
from millstream.features.sums import ActiveSum
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

Mask = npt.NDArray[np.bool_]

_INSTANT = pl.Datetime("us", "UTC")
_FEW = 10


def add_label(
    said: AheadPlan, rows: pl.DataFrame, table: TableFrame, *, known_by: datetime, ticking: bool = False
) -> pl.DataFrame:
    """Add to rows the label that looks ahead and the instant from which it may be learnt from.

    Parameters
    ----------
    said
        The label.
    rows
        Rows with the columns that hold the entity, and the instant at which the window begins.
    table
        The facts.
    known_by
        Nothing that became known later is used; a label that was not known by then is NULL.
    ticking
        Whether rows stand at ticks: then facts with the times of the ticks, taken as known at once, are refused.

    Returns
    -------
    pl.DataFrame
        The rows with ``label`` and ``label_known_at``.

    Raises
    ------
    LeakError
        When most of what the windows hold had happened, and was known, at the decision.
    """
    begins = rows[said.at].cast(_INSTANT).to_physical().to_numpy()
    ends = closes(said, begins)
    entities, codes = encode_entities(table.frame, said.entity)
    named = rows.select(pl.col(key).alias(f"{place}") for place, key in enumerate(said.keys))
    entity = find_entities(entities, named)
    somebody = ~named.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
    by = to_micros(known_by)
    facts = _Sorted.read(said, table, codes, (begins, ends), by=by)
    low, high = (facts.count_before(entity, each) for each in (begins, ends))
    if said.at == "decided_at":
        past = low + _between(facts.past, low, facts.count_before(entity, begins + 1))
        if ticking:
            _refuse_past(said, _between(facts.counted, low, past), _between(facts.counted, low, high))
        low = past
    known = np.maximum(ends + said.lag_us, facts.changed(low, high))
    usable = somebody & (known <= by)
    label = facts.aggregate(said, low, high).cast(COLUMN[said.dtype])
    return rows.with_columns(
        pl.select(pl.when(pl.Series(usable)).then(label)).to_series().alias("label"),
        pl.Series("label_known_at", known).cast(_INSTANT),
    )


def closes(said: AheadPlan, begins: Instants) -> Instants:
    """Return when each window closes: by the calendar where rows have one."""
    if said.timezone is None:
        return begins + said.ahead_us
    distinct, place = np.unique(begins, return_inverse=True)
    return calendar.after(distinct, said.ahead, timezone=said.timezone)[place]


@dataclass(frozen=True)
class _Sorted:
    """Revisions known by an instant, sorted by entity and event; those believed then are what counts.

    Parameters
    ----------
    line, places
        Where revisions stand, ascending.
    changes
        When each became known, or was superseded, whichever is later.
    past
        Whether the fact was known when it happened; of facts at one instant these stand first.
    rank
        Place by entity, event and known-at: which of two is the latest.
    counted
        Whether a revision is believed and of the facts asked about.
    values
        Of each revision; None where facts themselves are counted.
    """

    line: Line
    places: Instants
    changes: Instants
    past: Mask
    rank: Instants
    counted: Mask
    values: pl.Series | None

    @classmethod
    def read(
        cls, said: AheadPlan, table: TableFrame, codes: Codes, asked: tuple[Instants, Instants], *, by: int
    ) -> _Sorted:
        facts = read_facts(table, codes, waits_for=waits_for(said, table))
        rows = np.flatnonzero((facts.entity != NOBODY) & (facts.known <= by))
        past = _first_known(facts, table.key, table.frame) <= facts.event
        rows = rows[np.lexsort((facts.known[rows], facts.event[rows], facts.entity[rows]))]
        order = np.lexsort((~past[rows], facts.event[rows], facts.entity[rows]))  # stable: by known-at within
        rows = rows[order]
        line = Line([facts.event[rows], *asked], entities=int(codes.max(initial=0)) + 1)
        wanted = {name: each for name, each in (("value", said.value), ("where", said.where)) if each is not None}
        made = compute(table.frame, wanted, where=f"label {said.text}")[rows] if wanted else None
        counted = facts.superseded[rows] > by
        if made is not None and said.where is not None:
            counted &= made["where"].fill_null(False).to_numpy()
        return cls(
            line=line,
            places=line.place(facts.entity[rows], facts.event[rows]),
            changes=_changes(facts, rows, by),
            past=past[rows],
            rank=order,
            counted=counted,
            values=made["value"] if made is not None and said.value is not None else None,
        )

    def count_before(self, entity: Codes, instants: Instants) -> Instants:
        """Count the revisions that stand before each (entity, instant)."""
        found = np.searchsorted(self.places, self.line.place(entity, instants), side="left")
        return np.where(entity == NOBODY, 0, found)

    def changed(self, low: Instants, high: Instants) -> Instants:
        """Return when what is believed of each window changed last."""
        return _highest(self.changes, low, high)

    def aggregate(self, said: AheadPlan, low: Instants, high: Instants) -> pl.Series:
        """Evaluate the label over each window."""
        facts = _between(self.counted, low, high)
        if self.values is None:
            return pl.Series(facts if said.aggregate == "count" else (facts > 0) == (said.aggregate == "any"))
        there = self.counted & self.values.is_not_null().to_numpy()
        count = _between(there, low, high)
        if said.aggregate == "count":
            return pl.Series(count)
        if said.aggregate in ("any", "none"):
            true = _between(there & self.values.fill_null(False).to_numpy(), low, high) > 0
            told = true | (count == facts)  # a NULL among facts of which none is true leaves it open
            return _where(told, pl.Series(true == (said.aggregate == "any")))
        if said.aggregate == "last":
            return self._taken(self._first_ranked(self.rank, there, low, high))
        if said.aggregate in ("min", "max"):
            return self._taken(self._extreme(there, low, high, largest=said.aggregate == "max"))
        total = self._sum(there, low, high)
        if said.aggregate == "sum":
            return pl.Series(total)
        return _where(count > 0, pl.Series(total / np.maximum(count, 1)))

    def _sum(self, there: Mask, low: Instants, high: Instants) -> npt.NDArray[np.float64] | Instants:
        assert self.values is not None
        dtype = pl.Float64 if self.values.dtype.is_float() else pl.Int64
        numbers = np.where(there, self.values.cast(dtype).fill_null(0).to_numpy(), 0)
        if dtype == pl.Int64:
            return _between(numbers, low, high)
        above, below = ActiveSum(numbers, None).between(high, low)
        return above + below

    def _extreme(self, there: Mask, low: Instants, high: Instants, *, largest: bool) -> Instants:
        """Find the position of a revision with the largest (or smallest) value; -1 for none."""
        assert self.values is not None
        order = np.argsort(self.values.fill_null(0).to_numpy(), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order if largest else order[::-1]] = np.arange(len(order))
        return self._first_ranked(rank, there, low, high)

    def _first_ranked(self, rank: Instants, there: Mask, low: Instants, high: Instants) -> Instants:
        """Find the position of the revision of the highest rank, of those there; -1 for none."""
        found = _highest(np.where(there, rank, -1), low, high, nothing=-1)
        by_rank = np.full(len(rank) + 1, -1)
        by_rank[rank] = np.arange(len(rank))
        return by_rank[found]  # rank -1 reads the last place, which is -1

    def _taken(self, place: Instants) -> pl.Series:
        assert self.values is not None
        if not len(self.values):
            return pl.Series([None] * len(place), dtype=self.values.dtype)
        return self.values.gather(pl.Series(place).replace(-1, None))


def waits_for(said: AheadPlan, table: TableFrame) -> tuple[str, ...]:
    """Name the known-at columns a label waits for: those of its value, condition, entity and event time."""
    value = table.key if said.value is None else said.value.columns
    where = () if said.where is None else said.where.columns
    event = () if table.event_time is None else (table.event_time,)
    return table.known_for((*value, *where, *said.entity, *event))


def _first_known(facts: Facts, key: tuple[str, ...], frame: pl.DataFrame) -> Instants:
    """Return, for each revision, when any of its key was known at first."""
    if not (facts.successor >= 0).any():
        return facts.known
    known = frame.select(key).with_columns(__known=pl.Series(np.where(facts.entity == NOBODY, FOREVER, facts.known)))
    alone = pl.any_horizontal(pl.col(each).is_null() for each in key)
    first = pl.when(alone).then("__known").otherwise(pl.col("__known").min().over(key))
    return known.select(first.alias("first"))["first"].to_numpy()


def _refuse_past(said: AheadPlan, past: Instants, held: Instants) -> None:
    if past.sum() * 2 > held.sum() and past.sum() > _FEW:
        raise LeakError(
            f"label {said.text}: {int(past.sum())} of {int(held.sum())} facts in its windows happened at the very"
            f" instant of a decision and are taken as known then, so they are not ahead of it",
            expected=f"facts of table {said.table!r} that become known after the period they tell of",
            do=f"Table({said.table!r}, known_at=\"... + interval '1 day'\"), if its times are beginnings of days",
        )


def _changes(facts: Facts, rows: Instants, by: int) -> Instants:
    superseded = facts.superseded[rows]
    return np.where(superseded <= by, superseded, facts.known[rows])


def _between(values: npt.NDArray[np.generic], low: Instants, high: Instants) -> Instants:
    """Sum whole numbers over half-open runs of positions."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums[high] - sums[low]


def _highest(values: Instants, low: Instants, high: Instants, *, nothing: int = np.iinfo(np.int64).min) -> Instants:
    """Return the highest value over half-open runs of positions, by runs of powers of two.

    >>> _highest(np.array([3, 1, 2]), np.array([0, 1, 1]), np.array([3, 3, 1]), nothing=-1).tolist()
    [3, 2, -1]
    """
    found = np.full(len(low), nothing)
    length = high - low
    level = np.frexp(length.astype(np.float64))[1] - 1
    runs = values
    for height in range(int(level.max(initial=-1)) + 1):
        if height:
            half = 1 << (height - 1)
            runs = np.maximum(runs[:-half], runs[half:])
        here = (level == height) & (length > 0)
        found[here] = np.maximum(runs[low[here]], runs[high[here] - (1 << height)])
    return found


def _where(there: Mask, values: pl.Series) -> pl.Series:
    return pl.select(pl.when(pl.Series(there)).then(values)).to_series()
