"""What stands beside the facts in a window: what was cut off and why, which facts decide, whom a mean is drawn to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.types import MICROSECOND, parse_duration, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from millstream.features.facts import Facts
    from millstream.features.plan import FeaturePlan, WindowPlan
    from millstream.lake.frame import TableFrame
    from millstream.project.people import Person
    from millstream.project.root import Project

Mask = npt.NDArray[np.bool_]
NEAREST = 20
"""How many facts on either side of a window are shown."""


def late_because(project: Project, table: TableFrame, late: pl.DataFrame, decided: datetime) -> pl.DataFrame:
    """Add to facts that came too late whether they were late themselves, or waited for the table's declared lag."""
    lags = _lags(project, table.table)
    (of, lag), *others = lags.items() if lags else [("", timedelta(0))]
    waited = (pl.col("known_at") - lag <= decided) if lag and not others else pl.lit(False)
    says = f"the declared lag of {length(round(lag / MICROSECOND))}"
    if of != table.table:  # which input a column of a derived table waits for is not told row by row
        says = f"known later, or {says} of {of}"
    because = (
        pl.when(pl.col("known_at").is_null())
        .then(pl.lit("never known"))
        .when(waited)
        .then(pl.lit(says))
        .otherwise(pl.lit("known later"))
    )
    return late.with_columns(because.alias("because"))


def _lags(project: Project, name: str) -> dict[str, timedelta]:
    """Return the lags declared by a table or by those it is computed of."""
    definition = project.manifest.tables.get(name)
    if definition is None:
        return {}
    if definition.derived:
        return {table: lag for each in definition.of for table, lag in _lags(project, each).items()}
    lag = parse_duration(definition.lag)
    return {name: lag} if lag else {}


def outside(
    window: WindowPlan, said: pl.DataFrame, happened: Any, *, believed: Mask, until: int, ends: int
) -> pl.DataFrame:
    """List the facts known and believed at the decision that its window leaves out, the nearest first, and why.

    Parameters
    ----------
    window
        What is explained.
    said, happened
        The facts as they are shown, and when they happened, in microseconds.
    believed
        Which facts of the entity were known and not corrected.
    until, ends
        The instant asked about, and where the window ends.
    """
    older = believed & (happened <= ends)
    older &= happened <= ends - window.over_us if window.over_us is not None else False
    newer = believed & (happened > ends) & (happened <= until)
    parts = []
    over = "" if window.over_us is None else length(window.over_us)
    for rows, because in ((newer, f"newer than {length(window.ago_us)} before"), (older, f"older than {over}")):
        places = np.flatnonzero(rows)
        nearest = places[np.argsort(np.abs(happened[places] - ends), kind="stable")[:NEAREST]]
        parts.append(said[nearest].with_columns(pl.lit(because).alias("because")))
    return pl.concat(parts)


def counts(window: WindowPlan, facts: pl.DataFrame) -> pl.DataFrame:
    """Add which facts of a window the value is made of: of the least, the last and their kin those that decide."""
    there = facts["value"].is_not_null()
    if window.aggregate in ("min", "max"):
        value = pl.col("value")
        decides = facts.select((value == (value.min() if window.aggregate == "min" else value.max())).fill_null(False))
        return facts.with_columns(decides.to_series().alias("counts"))
    if window.aggregate in ("last", "since_last", "first", "since_first"):
        order = facts.with_row_index("__place").filter(there).sort("event_time", "known_at", maintain_order=True)
        place = order["__place"][0 if window.aggregate.endswith("first") else -1] if order.height else -1
        there = pl.Series(np.arange(facts.height) == place)
    return facts.with_columns(there.alias("counts"))


def own_fold(plan: FeaturePlan, table: TableFrame, window: WindowPlan, row: dict[str, Any]) -> Mask | None:
    """Return which facts are in the fold of a row that is encoded without its own; None where it is not."""
    from millstream.features.targets import AGGREGATE, folds_of

    timeless = table.event_time is None and not table.known
    if window.aggregate != AGGREGATE or not timeless or plan.rows_table != table.table:
        return None
    key = pl.DataFrame({name: pl.Series([row[name]], dtype=table.frame.schema[name]) for name in table.key})
    found: Mask = folds_of(table.frame, table.key) == folds_of(key, table.key)[0]
    return found


def drawn_toward(
    reader: Person, table: TableFrame, window: WindowPlan, facts: Facts, shown: pl.DataFrame, *,
    decided: datetime, own: Mask | None,
) -> str:  # fmt: skip
    """Say how a target mean comes about; the empty text for other features, and for who sees its labels masked."""
    from millstream.expressions.polars import compute
    from millstream.features.active import Values
    from millstream.features.facts import FOREVER, NOBODY
    from millstream.features.targets import AGGREGATE, Everybody
    from millstream.project.notebook.show import plain

    if window.aggregate != AGGREGATE or window.value is None:
        return ""
    if reader.mask_of(table.table, window.value.columns) != "show":
        return ""
    labels = shown["value"].drop_nulls().cast(pl.Float64)
    mean = labels.mean()
    values = Values(compute(table.frame, {"value": window.value}, where="why")["value"])
    if own is None:
        usual = float(Everybody(facts, values).at(np.array([to_micros(decided)]))[0])
        whose = "everybody's when that day began (UTC)"
    else:
        others = ~own & (facts.entity != NOBODY) & (facts.superseded == FOREVER)
        others &= values.present if values.present is not None else True
        usual = float(values.numbers[others].mean()) if others.any() else float("nan")
        whose = "everybody's in the four other folds"
    theirs = "none" if mean is None else f"{len(labels):,} of mean {plain(mean)}"
    return f"; labels that count: {theirs}, drawn toward {plain(usual)}, {whose}, as by {window.smooth or 0:g} labels"


def length(micros: int) -> str:
    """Write a length of time in its largest whole unit."""
    said = micros * MICROSECOND
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if said % size == timedelta(0):
            return f"{said // size} {unit}"
    return str(said)
