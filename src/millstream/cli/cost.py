"""The retail story's two questions: the forecast learnt from the data with each incident, without it, and repaired."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.cli.effect import Error, Question, compare
from millstream.project import Project

if TYPE_CHECKING:
    import polars as pl

    from millstream.lake.frame import TableFrame

TESTED = timedelta(days=28)
"""Days after the repair that are forecast and compared."""


@dataclass(frozen=True)
class Cost:
    """What an incident did: each variant's errors, and which rows it concerned."""

    errors: dict[str, dict[str, Error]]
    concerned: str


def measure(root: Path, standin: Any, number: int) -> Cost:
    """Compare the forecasts of the 28 days after an incident's repair: 0 the lossy weekends, 1 the zeros.

    The facts come from the lake as it is now. What should have been is made from it: the rows delivered late are taken
    as delivered in time, the invented ones and their corrections as never sent. What was, had nobody looked: without
    the rows delivered late, or without the corrections.
    """
    import polars as pl

    plan = standin.planted()
    with Project(root) as project:
        sent, trusted = (project.lake.read("daily", trusted=each) for each in (False, True))
        day = pl.col("day").dt.convert_time_zone("America/New_York").dt.date()
        if number == 0:
            late = day.is_in(list(plan.lossy_weekends)) & (pl.col("delivered_at") > pl.col("day") + pl.duration(days=2))
            late &= pl.col("category") != standin.NEW
            pairs = sent.frame.filter(late).select("store_id", "category").unique()
            among = pl.struct("store_id", "category").is_in(pairs.to_struct().implode())
            ongoing = late | (among & (day.dt.weekday() >= 6) & (day > min(plan.lossy_weekends)))
            variants = {
                "no incident": _in_time(sent, late),
                "with the incident, never repaired": _only(sent, ~late),
                "repaired": trusted,
                "every weekend, nobody looking": _only(sent, ~ongoing),
            }
            repaired, concerned, words = plan.delivered, among, f"the {pairs.height} pairs that lost rows"
        else:
            past = (pl.col("category") == standin.NEW) & (day < plan.listed)
            variants = {
                "no incident": _only(sent, ~past),
                "with the zeros, never repaired": _only(sent, ~past | pl.col("units").is_not_null()),
                "repaired": trusted,
            }
            repaired, concerned = plan.corrected, pl.col("category") == standin.NEW
            words = f"the stores' {standin.NEW}"
        tested = standin.begins(repaired + timedelta(days=2)), standin.begins(repaired + timedelta(days=2) + TESTED)
        asked = Question(
            model="demand",
            table="daily",
            learnt_by=standin.morning(repaired),
            tested=tested,
            price=_prices(sent),
            group="category",
        )
        return Cost(compare(project, asked, variants, concerned=concerned), words)


def _only(facts: TableFrame, rows: pl.Expr) -> TableFrame:
    return dataclasses.replace(facts, frame=facts.frame.filter(rows))


def _in_time(facts: TableFrame, late: pl.Expr) -> TableFrame:
    """Take late rows as delivered at four the morning after their day, and usable two hours later as all are."""
    import polars as pl

    known = next(iter(set(facts.known.values())))
    usable = pl.col("day").dt.convert_time_zone("America/New_York").dt.offset_by("1d6h").dt.convert_time_zone("UTC")
    moved = pl.when(late).then(usable).otherwise(pl.col(known)).alias(known)
    return dataclasses.replace(facts, frame=facts.frame.with_columns(moved).sort(known, "day", maintain_order=True))


def _prices(facts: TableFrame) -> pl.DataFrame:
    """Return each category's sales divided by its units, over all rows of the table."""
    import polars as pl

    sums = facts.frame.group_by(pl.col("category").alias("group")).agg(pl.col("sales").sum(), pl.col("units").sum())
    return sums.select("group", price=pl.col("sales") / pl.col("units"))
