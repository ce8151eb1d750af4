"""The rows a model predicts for: who, decided when, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from millstream.errors import BadData
from millstream.expressions.door import value
from millstream.expressions.polars import to_polars
from millstream.features.ahead import add_label
from millstream.features.choices import choices_and_samples
from millstream.features.compile import inputs
from millstream.features.facts import COLUMN
from millstream.features.knowledge import check_known
from millstream.features.plan import FeaturePlan
from millstream.features.ticks import earliest, every, last_known
from millstream.lake.frame import TableFrame
from millstream.types import to_micros

_KNOWN, _POSITION = "__inputs_known", "__position"
_INSTANT = pl.Datetime("us", "UTC")


def spine(
    plan: FeaturePlan,
    rows: TableFrame,
    *,
    between: tuple[datetime | None, datetime | None] = (None, None),
    static_at: datetime | None = None,
    facts: TableFrame | None = None,
) -> pl.DataFrame:
    """Return one row per row to predict, or per entity and tick, each as it was believed when it was decided.

    Parameters
    ----------
    plan
        The model's plan.
    rows
        The rows' table.
    between
        Only decisions in this half-open span.
    static_at
        Instant at which rows of a table without event time are decided: that of its version.
    facts
        The table of a label that looks ahead; of a model that lists items, the table of its candidates. What became
        known after the span is not used; without an end of the span, nothing after what ``facts`` and ``rows`` know
        last. Left out, rows have no label.

    Returns
    -------
    pl.DataFrame
        Row key, entity and request columns, ``decided_at``, ``label`` (NULL is unlabelled; left out for a model
        without label) and ``label_known_at``, the instant from which the label may be learnt from, lag included.
        Every key for which ``where`` holds is there once, in the table's order.

    Raises
    ------
    LeakError
        When an input of the row itself was not known at its decision.
    BadData
        When a row has no key or no decision instant.

    Notes
    -----
    Of a key with several rows (corrections) the inputs are those of the latest row known at the decision, the label
    that of the latest row known at all.
    """
    if plan.ranking is not None:
        return choices_and_samples(plan, _each(plan, rows, between, static_at), rows, facts)
    shown = _each(plan, rows, between, static_at) if plan.ticks is None else _every(plan, rows, between, facts)
    if plan.ahead is None:
        return shown
    told = [*plan.request_columns, "decided_at"]
    if facts is None:
        return shown.select(told)
    by, ticking = between[1] or last_known(rows, facts), plan.ticks is not None
    labelled = add_label(plan.ahead, shown, facts, known_by=by, ticking=ticking)
    return labelled.select(*told, "label", "label_known_at")


def _every(
    plan: FeaturePlan, rows: TableFrame, between: tuple[datetime | None, datetime | None], facts: TableFrame | None
) -> pl.DataFrame:
    told = (rows,) if facts is None else (rows, facts)
    return every(plan, rows, between=(between[0], between[1] or last_known(*told)), seen=earliest(told))


def _each(
    plan: FeaturePlan,
    rows: TableFrame,
    between: tuple[datetime | None, datetime | None],
    static_at: datetime | None,
) -> pl.DataFrame:
    revisions = _with_decision(plan, rows, static_at=static_at)
    corrected = _corrected(revisions, rows.key)
    chosen = _believed(revisions, rows) if corrected else revisions
    if rows.gone is not None:
        revisions, chosen = (each.filter(pl.col(rows.gone) == 0) for each in (revisions, chosen))
    if plan.where is not None:
        chosen = chosen.filter(to_polars(plan.where))
    _refuse_undecided(chosen, rows)
    since, until = between
    if since is not None:
        chosen = chosen.filter(pl.col("decided_at") >= since)
    if until is not None:
        chosen = chosen.filter(pl.col("decided_at") < until)
    check_known(plan, rows, decided=chosen)
    fields = [pl.col(name).cast(COLUMN[dtype]) for name, dtype in plan.request.items() if name in chosen.columns]
    shown = chosen.with_columns(fields).select(*plan.spine_columns, "decided_at")
    if plan.label is None:
        return shown
    labels = _labels(plan, revisions, rows)
    if not corrected:
        return shown.with_columns(labels.select("label", "label_known_at")[chosen[_POSITION]])
    labels = labels.sort("label_known_at", _POSITION, nulls_last=False).unique(rows.key, keep="last")
    return shown.join(labels.drop(_POSITION), on=list(rows.key), how="left", maintain_order="left")


def from_request(plan: FeaturePlan, row: Mapping[str, Any], *, at: datetime) -> pl.DataFrame:
    """Return the spine of one request, to compute by a point-in-time read what was served to it.

    Parameters
    ----------
    plan
        The model's plan.
    row
        What the caller sent: JSON scalars, or values of the row language (an instant as microseconds).
    at
        The answer's instant.

    Raises
    ------
    BadData
        When a value does not have its type.
    """
    return from_requests(plan, [row], [to_micros(at)])


def from_requests(plan: FeaturePlan, rows: Sequence[Mapping[str, Any]], at_us: Sequence[int]) -> pl.DataFrame:
    """Return the spine of many requests, each at its instant (microseconds); see ``from_request``."""
    types = plan.request_types
    columns = []
    for name in plan.request_columns:
        raws = [row.get(name) for row in rows]
        if name not in types:
            columns.append(pl.Series(name, raws, strict=False))
            continue
        dtype, where = types[name], f"column {name!r} of the request"
        taken = [raw if raw is None or type(raw) is int else value(raw, dtype, where=where) for raw in raws]
        if dtype == "double":
            taken = [None if each is None else float(each) for each in taken]
        temporal = COLUMN[dtype].is_temporal()
        columns.append(pl.Series(name, taken, dtype=pl.Int64 if temporal else None).cast(COLUMN[dtype]))
    return pl.DataFrame([*columns, pl.Series("decided_at", at_us, dtype=pl.Int64).cast(_INSTANT)])


def _with_decision(plan: FeaturePlan, rows: TableFrame, *, static_at: datetime | None) -> pl.DataFrame:
    """Add the decision instant and the instant at which all inputs of the row were known."""
    if plan.decide_at is not None:
        decided = to_polars(plan.decide_at)
    elif rows.event_time is not None:
        decided = pl.col(rows.event_time)
    else:
        decided = pl.lit(static_at)
    waits_for = dict.fromkeys(rows.known[each] for each in inputs(plan) if each in rows.known)
    return rows.frame.with_columns(
        decided.cast(_INSTANT).alias("decided_at"),
        _latest(waits_for).alias(_KNOWN),
        pl.int_range(pl.len(), dtype=pl.Int64).alias(_POSITION),
    )


def _latest(instants: Iterable[str]) -> pl.Expr:
    """Return the latest of some instants, NULL if one is; the beginning of time for none."""
    columns = [pl.col(each) for each in instants]
    if not columns:
        return pl.lit(datetime(1, 1, 1, tzinfo=UTC)).cast(_INSTANT)
    return pl.when(pl.all_horizontal(each.is_not_null() for each in columns)).then(pl.max_horizontal(columns))


def _corrected(revisions: pl.DataFrame, key: tuple[str, ...]) -> bool:
    named = revisions.select(key)
    if any(named[each].null_count() for each in key):
        raise BadData(
            f"{len(named) - len(named.drop_nulls())} rows to predict have no key ({', '.join(key)} is NULL)",
            expected="a key for every row: predictions and outcomes are joined by it",
            do="Each(..., of=) a table whose check nulls(key) quarantines such rows",
        )
    return named.n_unique() < len(named)


def _believed(revisions: pl.DataFrame, rows: TableFrame) -> pl.DataFrame:
    """Of the revisions of each key, keep the latest that was known at its own decision, else the first known."""
    in_time = (pl.col(_KNOWN) <= pl.col("decided_at")).fill_null(False)
    lateness = pl.when(~in_time).then(pl.col(_KNOWN).to_physical())
    return (
        revisions.with_columns(pl.col(_POSITION).min().over(rows.key).alias("__first"))
        .sort(in_time, -lateness, _KNOWN, _POSITION, nulls_last=False)
        .unique(rows.key, keep="last", maintain_order=True)
        .sort("__first")
        .drop("__first")
    )


def _labels(plan: FeaturePlan, revisions: pl.DataFrame, rows: TableFrame) -> pl.DataFrame:
    """Return label and when it became known, per revision. A label that is never known is unlabelled."""
    assert plan.label is not None
    waits_for = rows.known_for(plan.label.columns)
    known = _latest(waits_for) if waits_for else pl.col("decided_at")
    return revisions.select(
        *rows.key,
        _POSITION,
        pl.when(known.is_not_null()).then(to_polars(plan.label)).alias("label"),
        known.alias("label_known_at"),
    )


def _refuse_undecided(chosen: pl.DataFrame, rows: TableFrame) -> None:
    undecided = chosen.filter(pl.col("decided_at").is_null())
    if len(undecided):
        first = undecided.select(rows.key).row(0, named=True)
        named = ", ".join(f"{each}={value!r}" for each, value in first.items())
        raise BadData(
            f"{len(undecided)} of {len(chosen)} rows of table {rows.table!r} have no decision instant;"
            f" the first is {named}",
            expected="a decide_at (or event time) that is never NULL",
            do="Each(..., where=...) to leave such rows out, or another decide_at",
        )
