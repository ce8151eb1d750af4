"""The seasonal naive rule: an instant ahead will be as the same one of the last season that was known at the decision.

Entity by entity: the label's window of as many seasons before the target as it takes for that window to have closed,
and the table's lag to have passed, when the row was decided. Where that one holds nothing, the season before it, and
so on; an entity has seasons from its first fact on. What was known at the decision is what counts: a fact that came
later, or was corrected later, is as it was believed then (Hyndman and Athanasopoulos, Forecasting: Principles and
Practice, 3rd edition, 2021, section 5.2).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.definitions.rows import at_most
from millstream.errors import Refused
from millstream.features import calendar
from millstream.features.ahead import add_label, closes, waits_for
from millstream.features.facts import FOREVER, NOBODY, Codes, Instants, encode_entities, find_entities, read_facts
from millstream.features.online import layout
from millstream.features.plan import AheadPlan, FeaturePlan
from millstream.features.steps import Steps, parts
from millstream.lake.frame import TableFrame
from millstream.types import MICROSECOND, from_micros

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_EPOCHS = 5
"""Steps for which what is said of targets is kept ahead: a refresh comes long before."""

_INSTANT = pl.Datetime("us", "UTC")


def seasonal_naive(plan: FeaturePlan, rows: pl.DataFrame, table: TableFrame) -> Numbers:
    """Return what the seasonal naive rule says of rows, NaN where nothing is known of any season.

    Parameters
    ----------
    plan
        The model's plan; it has ``seasonal``.
    rows
        The label's entity columns, ``decided_at`` and, under a horizon, ``target_at``.
    table
        The facts of the label.

    Notes
    -----
    Costs one look at the label for each entity and instant that is looked back at (0.9 s for a million rows of 28
    targets); rows whose season was changed after their decision are asked again one decision after another.
    """
    assert plan.ahead is not None
    rule = _Rule(plan, table)
    entity = find_entities(rule.entities, rows.select(pl.col(k).alias(f"{n}") for n, k in enumerate(plan.ahead.keys)))
    decided, target = (rows[name].cast(_INSTANT).to_physical().to_numpy() for name in ("decided_at", plan.ahead.at))
    return rule.ask(entity, decided, target)


class _Rule:
    """What a table's facts say of seasons."""

    def __init__(self, plan: FeaturePlan, table: TableFrame) -> None:
        assert plan.ahead is not None and plan.seasonal is not None and plan.ticks is not None
        self.plan, self.ahead, self.seasonal, self.ticks = plan, plan.ahead, plan.seasonal, plan.ticks
        self.table = table
        self.entities, codes = encode_entities(table.frame, self.ahead.entity)
        facts = read_facts(table, codes, waits_for=waits_for(self.ahead, table))
        count = len(self.entities)
        told = facts.entity != NOBODY
        self.first, self.met = np.full(count, FOREVER), np.full(count, FOREVER)
        np.minimum.at(self.first, facts.entity[told], facts.event[told])
        np.minimum.at(self.met, facts.entity[told], facts.start[told])

    def ask(self, entity: Codes, decided: Instants, target: Instants) -> Numbers:
        """Answer for each (entity, decision, target), in order."""
        answer = np.full(len(entity), np.nan)
        pending = entity != NOBODY
        pending[pending] = self.met[entity[pending]] <= decided[pending]
        distinct, place = np.unique(target, return_inverse=True)
        for season in range(1, self.seasonal.seasons + 1):
            if not pending.any():
                break
            begins = calendar.after(distinct, self.seasonal.season, timezone=self.ticks.timezone, times=-season)
            ends = closes(self.ahead, begins)
            open_ = ends[place] + self.ahead.lag_us > decided
            there = np.flatnonzero(pending & ~open_)
            there = there[ends[place[there]] > self.first[entity[there]]]
            answer[there] = self._labels(entity[there], begins[place[there]], decided[there])
            pending &= np.isnan(answer)
        return answer

    def _labels(self, entity: Codes, begins: Instants, decided: Instants) -> Numbers:
        """Return the label of each window as known at each decision."""
        if not len(entity):
            return np.empty(0)
        label, known, row = self._once(self.table, entity, begins, by=int(decided.max()))
        answer = np.where(known[row] <= decided, label[row], np.nan)
        late = np.flatnonzero(known[row] > decided)  # changed since: as it was believed then
        if len(late):
            table = _about(self.table, self.ahead, begins[late])
            for each in np.unique(decided[late]).tolist():
                these = late[decided[late] == each]
                held = _about(table, self.ahead, begins[these])
                label, known, row = self._once(held, entity[these], begins[these], by=each)
                answer[these] = np.where(known[row] <= each, label[row], np.nan)
        return answer

    def _once(
        self, table: TableFrame, entity: Codes, begins: Instants, *, by: int
    ) -> tuple[Numbers, Instants, npt.NDArray[np.intp]]:
        """Return label and known-at of each distinct (entity, window), and which of them each row is about."""
        distinct, place = np.unique(begins, return_inverse=True)
        pairs, row = np.unique(entity * len(distinct) + place, return_inverse=True)
        asked = self.entities[pairs // len(distinct)].rename(dict(zip(self.ahead.entity, self.ahead.keys, strict=True)))
        asked = asked.with_columns(pl.Series(self.ahead.at, distinct[pairs % len(distinct)]).cast(_INSTANT))
        made = add_label(self.ahead, asked, table, known_by=from_micros(by))
        label = made["label"].cast(pl.Float64).to_numpy().astype(np.float64)
        return label, made["label_known_at"].to_physical().to_numpy(), row


def _about(table: TableFrame, ahead: AheadPlan, begins: Instants) -> TableFrame:
    """Keep the facts that may ever have lain in some windows: every row of a key of which one row does."""
    assert table.event_time is not None
    first, last = (from_micros(int(each)) for each in (begins.min(), closes(ahead, begins).max()))
    inside = pl.col(table.event_time).is_between(first, last, closed="left")
    kept = table.frame.filter(inside)
    if table.key:
        kept = table.frame.join(kept.select(table.key).unique(), on=list(table.key), how="semi", maintain_order="left")
    return TableFrame(table.table, table.version, kept, table.schema, table.key, table.event_time, table.known)


def seasonal_steps(
    plan: FeaturePlan, table: TableFrame, *, since: int, bound_bytes: int, until: int = FOREVER
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each entity: what the rule says of the targets to come, for decisions until ``until``.

    A value holds, for each instant at which another window closes, what is said of each target from then on.

    Raises
    ------
    Refused
        When they would take more than ``bound_bytes``; names the view.
    """
    rule = _Rule(plan, table)
    assert plan.seasonal is not None
    people = len(rule.entities)
    decided, target = _asked(rule, since, until)
    epochs, ahead = len(decided), len(target) if rule.ticks.horizon is not None else 1
    if (size := people * epochs * ahead * 16) > bound_bytes:
        raise Refused(
            f"the seasonal naive rule of model {plan.model!r} would keep {size / 1e6:,.0f} MB online: {people:,}"
            f" entities, {ahead} targets",
            expected=f"at most {bound_bytes / 1e6:,.0f} MB a view",
            do="shorten the horizon",
        )
    entity = np.repeat(np.arange(people), epochs * ahead)
    view, named = plan.seasonal.view, parts(rule.entities)
    prefix = layout.view_prefix(view.id)
    if rule.ticks.horizon is None:
        stands = np.tile(decided, people)
        steps = Steps([], np.arange(people + 1) * epochs, stands, rule.ask(entity, stands, stands).reshape(-1, 1), [])
        for each, blob in zip(named, steps.blobs(view), strict=True):
            yield layout.key_of(prefix, each), blob
        return
    targets = np.tile(target, people * epochs)
    answer = rule.ask(entity, np.tile(np.repeat(decided, ahead), people), targets)
    answer[ahead - 1 :: ahead] = np.nan  # a step holds until the next: beyond the last target nothing is said
    blobs = list(Steps([], np.arange(people * epochs + 1) * ahead, targets, answer.reshape(-1, 1), []).blobs(view))
    for place, each in enumerate(named):
        own = blobs[place * epochs : (place + 1) * epochs]
        yield layout.key_of(prefix, each), layout.pack_epochs(decided.tobytes(), own)


def _asked(rule: _Rule, since: int, until: int) -> tuple[Instants, Instants]:
    """Return the decisions from which on the rule may say something else, and the targets it may be asked about."""
    ticks, ahead = rule.ticks, rule.ahead

    def grid(first: int, last: int) -> Instants:
        return calendar.ticks(ticks.step, timezone=ticks.timezone, since=from_micros(first), until=from_micros(last))

    step = at_most(ticks.step) // MICROSECOND
    last = min(until, since + _EPOCHS * step)
    if ticks.horizon is None:
        stands = grid(since - 2 * step, last + 1)
        return stands, stands
    closing = closes(ahead, grid(since - ahead.ahead_us - ahead.lag_us - step, last)) + ahead.lag_us
    decided = np.unique(np.concatenate([[since], closing[(closing > since) & (closing < last)]]))
    furthest = last + at_most(ticks.horizon[1]) // MICROSECOND + step + 1
    return decided, grid(since - step, furthest)
