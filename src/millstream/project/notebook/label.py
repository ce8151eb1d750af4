"""Why a label is what it is: when it was known, and of one that looks ahead the facts its window held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from millstream.project.notebook.facts_of import happened_at, known_at, mine_of, shown_facts
from millstream.project.notebook.tables import reading
from millstream.project.notebook.why import Why
from millstream.types import MICROSECOND, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from millstream.features.plan import AheadPlan
    from millstream.project.people import Person
    from millstream.training import TrainingSet


def explained_label(
    reader: Person, found: TrainingSet, at: dict[str, Any], shown: dict[str, Any], *, told: bool
) -> Why:
    """Explain the label of a row; ``told`` is whether the person sees when it became known."""
    plan, known = found.plan, at["label_known_at"]
    learnt = plan.label or plan.ahead  # an expression over the row, or a window ahead
    said = "no label" if learnt is None else learnt.text
    when = (
        "it was never known"
        if known is None
        else f"known at {known:%Y-%m-%d %H:%M}"
        if told
        else "since when is masked"
    )
    late = known is not None and found.until is not None and known > found.until
    says = f"{said}, {when}{': after the set ends, so it counts as none' if late else ''}"
    frames = dict.fromkeys(("facts", "too_late", "corrected"), pl.DataFrame())
    pins = {plan.rows_table: found.pins[plan.rows_table]}
    if plan.ahead is not None and found.until is not None:
        pins[plan.ahead.table] = found.pins[plan.ahead.table]
        frames, window = _ahead(reader, found, plan.ahead, at, until=found.until)
        says += window
    return Why(
        column="label", value=at["label"], row=shown, decided_at=at["decided_at"], says=says, pins=pins, **frames
    )


def _ahead(
    reader: Person, found: TrainingSet, said: AheadPlan, at: dict[str, Any], *, until: datetime
) -> tuple[dict[str, pl.DataFrame], str]:
    """Part the facts of a window ahead by what became of them until the set ends."""
    from millstream.expressions.polars import compute
    from millstream.features.ahead import closes, waits_for
    from millstream.features.facts import FOREVER, read_facts

    table = reader.project.lake.read(said.table, version=found.pins[said.table])
    asked = {name: at[key] for name, key in zip(said.entity, said.keys, strict=True)}
    mine, codes = mine_of(table, said.entity, asked)
    waits = waits_for(said, table)
    facts, happened = read_facts(table, codes, waits_for=waits), happened_at(table)
    known, knowable = known_at(table, waits)
    begins, by = to_micros(at[said.at]), to_micros(until)
    ends = int(closes(said, np.array([begins]))[0])
    within = mine & (happened >= begins) & (happened < ends)
    if said.at == "decided_at":  # what happened at that instant and was known is of the past, which features see
        within &= ~((happened == begins) & knowable & (known <= begins))
    hidden = said.where is not None and reader.mask_of(said.table, said.where.columns) != "show"
    if said.where is not None and not hidden:
        within &= compute(table.frame, {"where": said.where}, where="why")["where"].fill_null(False).to_numpy()
    in_time, current = knowable & (known <= by), facts.superseded > by
    told = shown_facts(table, said.value, known=known, knowable=knowable)
    frames = {
        name: told.filter(pl.Series(rows)).sort("event_time", *table.key, nulls_last=False)
        for name, rows in (
            ("facts", within & in_time & current),
            ("too_late", within & ~in_time),
            ("corrected", within & in_time & ~current & (facts.superseded != FOREVER)),
        )
    }
    columns = [*said.entity, *(said.value.columns if said.value is not None else ())]
    detail = {"why": "label", "rows": frames["facts"].height}
    reading(reader, {said.table: found.pins[said.table]}, {said.table: columns}, detail)
    closed = at[said.at] + (ends - begins) * MICROSECOND
    count = frames["facts"].height
    window = f", of {said.table} from {at[said.at]:%Y-%m-%d %H:%M} until before {closed:%Y-%m-%d %H:%M}"
    masked = "; those for which its condition does not hold are among them, since you see masked what it asks"
    return frames, f"{window}: {count:,} fact{'s' * (count != 1)}{masked if hidden else ''}"
