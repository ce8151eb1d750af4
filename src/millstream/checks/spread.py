"""Whether missing rows are missing evenly, or in some places more than chance allows.

Rows lost on their way go missing evenly. Rows that never were, or that one sender kept, pile up: by hour in a
blizzard, by carrier in a strike. Over the year of flights from New York the two part cleanly: on days when storms
cancelled flights the figure is 7 to 38, on days from which 15 % of the rows were taken at random it is 1.3 in the
median and 4.8 at the 99th percentile.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import polars as pl

from millstream.checks.words import value

CLUSTERED = 6.0
"""From here on rows are called clustered."""
MOST_VALUES = 60
"""Columns of more distinct values say nothing about so few rows."""


class Spread(msgspec.Struct, frozen=True):
    """How missing rows lie among the expected.

    Parameters
    ----------
    clustered
        Whether they pile up.
    times_chance
        Pearson's chi-squared per value of the most telling column: 1 is chance. None where no column can tell.
    column, value
        That column, and the value with most missing rows beyond its part.
    says
        One phrase.
    """

    clustered: bool
    times_chance: float | None
    column: str | None
    value: str | None
    says: str


def spread(expected: pl.DataFrame, *, missing: pl.Expr, columns: Iterable[str], timezone: str) -> Spread:
    """Say how missing rows lie among the expected rows of one day.

    Parameters
    ----------
    expected
        The rows of the day.
    missing
        Which of them are missing.
    columns
        Columns to look at; of these texts, booleans, whole numbers and the hours of instants can tell something.
    timezone
        Zone of those hours.
    """
    best: tuple[float, str, str] | None = None
    for name in columns:
        dtype = expected.schema[name]
        by = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            by = by.dt.convert_time_zone(timezone).dt.strftime("%H h")
        elif dtype not in (pl.String, pl.Boolean, pl.Int64):
            continue
        groups = expected.group_by(by.alias("value")).agg(pl.len().alias("n"), missing.sum().alias("missing"))
        found = _chi_squared(groups)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], name, found[1])
    if best is None:
        return Spread(False, None, None, None, "the missing rows are too few to say how they lie")
    figure, column, most = best
    if figure < CLUSTERED:
        says = "the missing rows are spread evenly, as when rows are lost on their way"
        return Spread(False, figure, column, most, says)
    says = f"the missing rows pile up at {column} = {most}, as when something happened there"
    return Spread(True, figure, column, most, says)


def _chi_squared(groups: pl.DataFrame) -> tuple[float, str] | None:
    """Return chi-squared per value, over values for which at least two missing and present rows are expected."""
    if not 2 <= groups.height <= MOST_VALUES:
        return None
    share = float(groups["missing"].sum()) / float(groups["n"].sum())
    judged = (
        groups.with_columns((pl.col("n") * share).alias("e"))
        .filter(pl.col("e") >= 2, pl.col("e") * (1 - share) >= 2)
        .with_columns((pl.col("missing") - pl.col("e")).alias("beyond"))
    )
    if judged.height < 2:
        return None
    figure = judged.select((pl.col("beyond") ** 2 / (pl.col("e") * (1 - share))).mean()).item()
    most = judged.sort("beyond", descending=True)["value"][0]
    return float(figure), value(most)
