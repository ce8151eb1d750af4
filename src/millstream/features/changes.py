"""The answers of a view at every instant at which one changes: what is served is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from millstream.errors import Refused
from millstream.features.facts import Codes, Instants
from millstream.features.plan import DAY_US, TARGET, FeatureColumn, FeaturePlan, ViewPlan
from millstream.features.planned import PlannedFacts
from millstream.features.views import ViewFacts
from millstream.lake.frame import TableFrame

if TYPE_CHECKING:
    from millstream.features.engine import FeatureEngine

_INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Changes:
    """What a view says of everybody, as steps of time.

    Parameters
    ----------
    entities
        Values of the view's entity columns, one row per entity.
    entity
        Of each answer, whom it is of: a row of ``entities``, ascending.
    decided
        From which decision on it holds, microseconds, ascending within an entity; the first is where the span begins.
    target
        Of a view about targets, from which target on it holds among those of one decision; else None.
    answers
        Feature to one value per answer, of its type; of a time since, the instant it counts from (microseconds, as
        a double): days would change with the clock.
    """

    entities: pl.DataFrame
    entity: Codes
    decided: Instants
    target: Instants | None
    answers: Mapping[str, pl.Series]


def of_facts(view: ViewPlan, table: TableFrame, *, span: tuple[int, int], bound_bytes: int) -> Changes:
    """Compute them from one reading of the facts, as the embedded engine does."""
    facts, entity, when = _asked(view, table, span, bound_bytes)
    return _told(facts, entity, when, facts.kept(entity, *when))


def by_rows(
    engine: FeatureEngine, view: ViewPlan, table: TableFrame, *, span: tuple[int, int], bound_bytes: int
) -> Changes:
    """Ask an engine for them row by row: one for each entity and instant at which an answer may change.

    Notes
    -----
    The instant that a time since counts from is found from the days: to the microsecond, up to 70 years back.
    """
    facts, entity, when = _asked(view, table, span, bound_bytes)
    keys = tuple(f"__key_{place}" for place in range(len(view.entity)))
    columns = tuple(FeatureColumn(f"{view.name}.{name}", each.dtype) for name, each in view.features.items())
    asked = msgspec.structs.replace(view, keys=keys)
    plan = FeaturePlan(view.name, "", (), columns, (asked,), {}, {}, None, None, None, None)
    rows = facts.entities[entity].rename(dict(zip(view.entity, keys, strict=True)))
    instants = zip(("decided_at", TARGET), when, strict=False)
    rows = rows.with_columns(pl.Series(name, each).cast(_INSTANT) for name, each in instants)
    joined = engine.point_in_time(plan, rows, {view.table: table})
    answers = {name: joined[f"{view.name}.{name}"] for name in view.features}
    for name in (each for each, window in view.features.items() if window.aged):
        since = np.rint(when[-1].astype(np.float64) - answers[name].to_numpy() * DAY_US)
        answers[name] = pl.Series(name, since).fill_nan(None)
    return _told(facts, entity, when, answers)


def _asked(
    view: ViewPlan, table: TableFrame, span: tuple[int, int], bound_bytes: int
) -> tuple[ViewFacts | PlannedFacts, Codes, tuple[Instants, ...]]:
    """List, by entity, when answers may change, unless these are too many."""
    if view.at == TARGET:
        return _planned(PlannedFacts(view, table), span, bound_bytes)
    facts = ViewFacts(view, table)
    entity, decided = facts.changes(*span)
    _bound(facts, len(decided), f"{len(decided):,} changes, {len(view.features)} features", bound_bytes)
    return facts, entity, (decided,)


def _planned(
    facts: PlannedFacts, span: tuple[int, int], bound_bytes: int
) -> tuple[PlannedFacts, Codes, tuple[Instants, ...]]:
    """List, for each instant at which what is known changes, the targets from which on answers may be others."""
    entity, decided = facts.epochs(*span)
    of_target, targets = facts.changes(span[0])
    first = np.searchsorted(of_target, np.arange(len(facts.entities) + 1))
    many = np.diff(first)[entity]
    _bound(facts, int(many.sum()), f"{len(entity):,} instants at which plans change", bound_bytes)
    epoch = np.repeat(np.arange(len(entity)), many)
    nth = np.arange(len(epoch)) - np.repeat(np.cumsum(many) - many, many)
    return facts, entity[epoch], (decided[epoch], targets[first[entity[epoch]] + nth])


def _told(
    facts: ViewFacts | PlannedFacts, entity: Codes, when: tuple[Instants, ...], answers: Mapping[str, pl.Series]
) -> Changes:
    return Changes(facts.entities, entity, when[0], when[1] if len(when) > 1 else None, answers)


def _bound(facts: ViewFacts | PlannedFacts, answers: int, what: str, bound_bytes: int) -> None:
    size = answers * 8 * (len(facts.view.features) + 1)
    if size > bound_bytes:
        raise Refused(
            f"feature view {facts.view.name!r} would keep {size / 1e6:,.0f} MB online: {len(facts.entities):,}"
            f" entities, {what}",
            expected=f"at most {bound_bytes / 1e6:,.0f} MB a view",
            do="shorten its windows, or split it into views of fewer features",
        )
