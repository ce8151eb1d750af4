"""One row per entity and tick: who existed, as believed then, and the instants that are predicted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl

from millstream.definitions.rows import at_most
from millstream.errors import BadData
from millstream.expressions import Expression
from millstream.expressions.node import Column
from millstream.features import calendar
from millstream.features.facts import ALWAYS, COLUMN, Codes, Facts, Instants, encode_entities, read_facts
from millstream.features.plan import TARGET, FeaturePlan, TickPlan, ViewPlan, WindowPlan
from millstream.features.views import ViewFacts
from millstream.lake.frame import EVER, TableFrame
from millstream.types import MICROSECOND, DType, from_micros, to_micros

_INSTANT = pl.Datetime("us", "UTC")
_WHERE = "__where"


def every(
    plan: FeaturePlan,
    rows: TableFrame,
    *,
    between: tuple[datetime | None, datetime],
    seen: datetime | None = None,
) -> pl.DataFrame:
    """Return one row per entity and tick in a span, and per target under a horizon.

    Parameters
    ----------
    plan
        The model's plan.
    rows
        The table whose key is the entity.
    between
        The span, half-open; its beginning is that of the entities when left out.
    seen
        When anything was known at first: where the ticks begin of entities that are taken as always known.

    Returns
    -------
    pl.DataFrame
        The plan's request columns, as believed at the tick, and ``decided_at``; by tick, entity and target.

    Raises
    ------
    BadData
        When an entity has no key.
    """
    assert plan.ticks is not None
    since, until = between
    entities, first = _born(rows)
    begin = _beginning(first, since, seen)
    if begin is None or begin >= until:
        return _empty(plan, rows)
    grid = calendar.ticks(plan.ticks.step, timezone=plan.ticks.timezone, since=begin, until=until)
    born = np.searchsorted(grid, first)
    per_entity = len(grid) - born
    entity = np.repeat(np.arange(len(entities)), per_entity)
    place = np.arange(len(entity)) - np.repeat(np.cumsum(per_entity) - per_entity - born, per_entity)
    order = np.lexsort((entity, place))
    found = at(plan, rows, entities=entities, entity=entity[order], instants=grid[place[order]])
    if plan.ticks.horizon is not None:
        found = _with_targets(found, plan.ticks, grid)
    return found.select(*plan.spine_columns, "decided_at")


def at(
    plan: FeaturePlan, rows: TableFrame, *, entities: pl.DataFrame, entity: Codes, instants: Instants
) -> pl.DataFrame:
    """Return the rows of entities at instants: their columns as believed then, where ``where`` holds."""
    found = entities[entity].with_columns(pl.Series("decided_at", instants).cast(_INSTANT))
    wanted = [name for name in plan.spine_columns if name not in (*rows.key, TARGET)]
    found = as_believed(rows, found, wanted, where=plan.where)
    fields = [pl.col(name).cast(COLUMN[dtype]) for name, dtype in plan.request.items() if name != TARGET]
    return found.with_columns(fields).select(*(each for each in plan.spine_columns if each != TARGET), "decided_at")


def as_believed(
    rows: TableFrame, asked: pl.DataFrame, columns: Iterable[str], *, where: Expression | None = None
) -> pl.DataFrame:
    """Add columns of entities as believed at ``decided_at``; leave out those for which ``where`` is not true then."""
    wanted = {name: WindowPlan("last", _column(name, rows.schema[name]), None, rows.schema[name]) for name in columns}
    if where is not None:
        wanted[_WHERE] = WindowPlan("last", where, None, "boolean")
    if not wanted:
        return asked
    types = tuple(rows.schema[each] for each in rows.key)
    answers = ViewFacts(ViewPlan("rows", rows.table, rows.key, types, rows.key, wanted), timeless(rows))
    instants = asked["decided_at"].to_physical().to_numpy()
    said = answers.ask(answers.find(asked.select(rows.key)), instants)
    found = asked.with_columns(each.alias(name) for name, each in said.items())
    return found if where is None else found.filter(pl.col(_WHERE).fill_null(False)).drop(_WHERE)


def existing(plan: FeaturePlan, rows: TableFrame, instant: datetime) -> pl.DataFrame:
    """Return one row per entity that exists at an instant; under a horizon, per target of the latest tick to come."""
    assert plan.ticks is not None
    entities, first = _born(rows)
    there = np.flatnonzero(first <= to_micros(instant))
    now = to_micros(instant)
    found = at(plan, rows, entities=entities, entity=there, instants=np.full(len(there), now))
    if plan.ticks.horizon is not None:
        step, zone = plan.ticks.step, plan.ticks.timezone
        since = instant - at_most(step) - at_most("1d")
        tick = calendar.ticks(step, timezone=zone, since=since, until=instant + MICROSECOND)[-1:]
        stands = pl.Series("decided_at", np.repeat(tick, len(found))).cast(_INSTANT)
        found = _with_targets(found.with_columns(stands), plan.ticks, tick)
        found = found.filter(pl.col(TARGET) >= instant).with_columns(pl.lit(instant).cast(_INSTANT).alias("decided_at"))
    told = [*plan.request_columns, "decided_at"]
    return found.select(told)


def _born(rows: TableFrame) -> tuple[pl.DataFrame, Instants]:
    """Return the entities in the order of their keys, and when each was known at first."""
    missing = rows.frame.select(pl.any_horizontal(pl.col(each).is_null() for each in rows.key).sum()).item()
    if missing:
        raise BadData(
            f"{missing} rows of table {rows.table!r} have no key ({', '.join(rows.key)} is NULL)",
            expected="a key for every entity: predictions and outcomes are joined by it",
            do="Every(..., of=) a table whose check nulls(key) quarantines such rows",
        )
    _, codes = encode_entities(rows.frame, rows.key)
    known = _known(rows, codes)
    keys = rows.frame.select(rows.key).with_columns(__first=pl.Series(known.known))
    told = keys.filter(pl.Series(known.entity >= 0)).group_by(rows.key).agg(pl.col("__first").min()).sort(rows.key)
    return told.select(rows.key), told["__first"].to_numpy()


def _known(rows: TableFrame, codes: Codes) -> Facts:
    held = timeless(rows)
    return read_facts(held, codes, waits_for=held.known_for(rows.key))


def timeless(rows: TableFrame) -> TableFrame:
    """Return entities as facts that hold from when they are known: what is planned for one is known of it."""
    return replace(rows, event_time=None)


def _beginning(first: Instants, since: datetime | None, seen: datetime | None) -> datetime | None:
    if since is not None or not len(first):
        return since
    told = first[first != ALWAYS]
    if len(told) == len(first):
        return from_micros(int(told.min()))
    return seen


def _with_targets(found: pl.DataFrame, said: TickPlan, grid: Instants) -> pl.DataFrame:
    """Repeat each row for the ticks between the first and the last distance from its own."""
    assert said.horizon is not None
    first, last = (calendar.after(grid, each, timezone=said.timezone) for each in said.horizon)
    if not len(grid):
        return found.with_columns(pl.lit(None, dtype=_INSTANT).alias(TARGET))
    end = from_micros(int(last.max()) + 1)
    targets = calendar.ticks(said.step, timezone=said.timezone, since=from_micros(int(first.min())), until=end)
    start, stop = np.searchsorted(targets, first), np.searchsorted(targets, last, side="right")
    place = np.searchsorted(grid, found["decided_at"].to_physical().to_numpy())
    many = (stop - start)[place]
    row = np.repeat(np.arange(len(found)), many)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    chosen = targets[start[place[row]] + nth]
    return found[row].with_columns(pl.Series(TARGET, chosen).cast(_INSTANT))


def steps_ahead(said: TickPlan, decided: Instants, target: Instants) -> Instants:
    """Count the ticks after each decision up to its target, that included: 1 is the next one."""
    if not len(decided):
        return np.empty(0, dtype=np.int64)
    first, last = int(min(decided.min(), target.min())), int(max(decided.max(), target.max()))
    grid = calendar.ticks(said.step, timezone=said.timezone, since=from_micros(first), until=from_micros(last + 1))
    return np.searchsorted(grid, target, side="right") - np.searchsorted(grid, decided, side="right")


def _column(name: str, dtype: DType) -> Expression:
    return Expression(name, Column(name, dtype), dtype, (name,))


def _empty(plan: FeaturePlan, rows: TableFrame) -> pl.DataFrame:
    types = {
        name: _INSTANT if name == TARGET else COLUMN[plan.request.get(name, rows.schema[name])]
        for name in plan.spine_columns
    }
    return pl.DataFrame(schema=types | {"decided_at": _INSTANT})


def earliest(tables: Iterable[TableFrame]) -> datetime | None:
    """Return the first instant at which anything of some tables was known."""
    return _end(tables, first=True)


def last_known(*tables: TableFrame) -> datetime:
    """Return the last instant at which anything of some tables became known.

    Raises
    ------
    BadData
        When none says when anything was known.
    """
    found = _end(tables, first=False)
    if found is None:
        raise BadData(
            f"{' and '.join(dict.fromkeys(each.table for each in tables))} do not say when anything was known,"
            " so ticks and labels have no end",
            expected="an end of the span",
        )
    return found


def _end(tables: Iterable[TableFrame], *, first: bool) -> datetime | None:
    found = []
    for table in tables:
        for name in dict.fromkeys(table.known.values()):
            column = table.frame[name]
            column = column.filter(column > EVER)
            instant = column.min() if first else column.max()
            if isinstance(instant, datetime):
                found.append(instant)
    return (min if first else max)(found, default=None)
