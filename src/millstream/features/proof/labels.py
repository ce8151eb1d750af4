"""The label of one row from raw facts: an expression over the row itself, or a window over facts to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from millstream.features import calendar
from millstream.features.plan import AheadPlan
from millstream.features.proof.aggregates import EMPTY_IS_NULL, Pair
from millstream.features.proof.facts import Fact, Raw, plain

Valued = Callable[[Any, Mapping[str, Any]], Any]
"""Evaluates an expression over a row."""


def ahead(said: AheadPlan, raw: Raw, row: Mapping[str, Any], *, known_by: int, value: Valued) -> Any:
    """Recompute a label that looks ahead: over the facts of its window as believed at the end of the training set.

    Facts at the very instant of the decision that were known then are the past, not ahead of it.
    """
    begins = int(row[said.at])
    ends = closes(said, begins)
    entity = {column: row[key] for column, key in zip(said.entity, said.keys, strict=True)}
    event = (raw.table.event_time,) if raw.table.event_time else ()
    of_value = raw.table.key if said.value is None else said.value.columns
    of_where = () if said.where is None else said.where.columns
    waits = raw.waits_for((*of_value, *of_where, *said.entity, *event))
    facts = raw.facts(plain(raw.about(entity, since=begins - 1, until=ends - 1)), waits)
    first = {
        each.key: min(f.known for f in facts if f.key == each.key and f.known is not None)
        for each in facts
        if each.key is not None and each.known is not None
    }
    held = []
    for fact in raw.believed(facts, waits, at=known_by):
        if fact.event is None or not begins <= fact.event < ends:
            continue
        if any(fact.row[name] != wanted for name, wanted in entity.items()):
            continue
        known = first.get(fact.key, fact.known) if fact.key is not None else fact.known
        if said.at == "decided_at" and fact.event == begins and known is not None and known <= fact.event:
            continue
        if said.where is None or value(said.where, fact.row) is True:
            held.append(fact)
    return _aggregate(said, held, value)


def closes(said: AheadPlan, begins: int) -> int:
    """Return when the window that begins at an instant closes."""
    if said.timezone is None:
        return begins + said.ahead_us
    return int(calendar.after(np.array([begins], dtype=np.int64), said.ahead, timezone=said.timezone)[0])


def _aggregate(said: AheadPlan, held: Sequence[Fact], value: Valued) -> Any:
    if said.value is None:
        return len(held) if said.aggregate == "count" else bool(held) == (said.aggregate == "any")
    values = [(fact, value(said.value, fact.row)) for fact in held]
    pairs: list[Pair] = [(fact, each) for fact, each in values if each is not None]
    if said.aggregate == "count":
        return len(pairs)
    if said.aggregate in ("any", "none"):
        true = any(each for _, each in pairs)
        told = true or len(pairs) == len(values)  # a NULL among values of which none is true leaves it open
        return (true == (said.aggregate == "any")) if told else None
    if said.aggregate == "sum":
        return sum((Fraction(each) for _, each in pairs), Fraction())
    return EMPTY_IS_NULL[said.aggregate](pairs) if pairs else None
