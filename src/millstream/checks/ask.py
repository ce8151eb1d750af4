"""What each check asks of the rows: columns of one Polars select over the batch.

A check of rows asks whether any row fails it; nearly always none does, and then nothing else is computed. Only for a
check that fails the positions of its rows are found. All checks of a table go into one select: a batch is passed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from millstream.checks.across import theirs
from millstream.checks.contract import kind, validate
from millstream.checks.scene import Scene
from millstream.checks.suited import narrowed
from millstream.definitions.checks import (
    Agrees,
    Between,
    Check,
    Fresh,
    Holds,
    Imported,
    Isin,
    Lag,
    Matches,
    Nulls,
    Outliers,
    References,
    Unique,
)
from millstream.errors import DefinitionError, near
from millstream.expressions import parse
from millstream.expressions.polars import to_polars
from millstream.types import parse_duration

ROWS = "rows"
"""Answer that holds positions of rows; the others are numbers and instants."""
ANY = "any"
"""Answer that says whether any row may fail."""
MARKS = "marks"
"""Answer that holds one number a row, equal for rows that may be alike."""


class Asked(NamedTuple):
    """What a check asks.

    Parameters
    ----------
    first
        Expressions of one value each, asked of every batch.
    fails
        Which rows may fail; asked only where ``first`` says that some do. None for a check of the whole batch.
    """

    first: Mapping[str, pl.Expr]
    fails: pl.Expr | None = None


def ask(check: Check, scene: Scene) -> Asked:
    """Return what a check asks of the batch.

    Raises
    ------
    DefinitionError
        When the check cannot be asked of this table.
    """
    if isinstance(check, Imported):
        return Asked(*narrowed(check, *ask(check.check, scene), scene))
    validate(scene.table, check, scene.batch.schema)
    match check:
        case Between():
            return _outside(check, scene)
        case Holds(expression=text):
            return _rows(~_condition(text, scene))
        case Isin(column=name, values=values):
            return _rows(~pl.col(name).is_in(pl.Series(values, dtype=scene.batch.frame.schema[name]).implode()))
        case Matches(column=name, pattern=pattern):
            return _rows(~pl.col(name).str.contains(f"^(?:{pattern})$"))
        case Outliers(column=name):
            least, most, skewed = fences(name, spreads=check.spreads)
            outside = ~pl.col(name).is_between(least, most)
            return _rows(outside, low=least.first(), high=most.first(), skewed=skewed.first())
        case Agrees():
            return _rows(_apart(check, scene))
        case Lag():
            late = _waited(scene).gt(parse_duration(check.within)).sum()
            return Asked({"late": late, "longest": _waited(scene).max()})
        case References(column=name):
            return _rows(~pl.col(name).is_in(_referenced(check, scene).implode()))
        case Unique(columns=columns):
            return _repeats(columns, scene)
        case Nulls(column=name):
            return Asked({"nulls": pl.col(name).null_count()})
        case Fresh():
            return Asked({"newest": pl.col(str(scene.table.event_time)).max()})
        case _:  # judged beside the select
            return Asked({})


def failing(asked: Asked, answers: Mapping[str, Any]) -> bool:
    """Say whether some rows may fail, by what was answered first."""
    if asked.fails is None:
        return False
    if MARKS not in answers:
        return bool(answers[ANY])
    marks = answers[MARKS].to_numpy(writable=True)
    marks.sort()  # several times faster than a table of hashes, and nearly always there is nothing to find
    return bool(answers[ANY]) or bool((marks[1:] == marks[:-1]).any())


def _rows(fails: pl.Expr, **beside: pl.Expr) -> Asked:
    return Asked({ANY: fails.any(), **beside}, fails)


def _outside(check: Between, scene: Scene) -> Asked:
    """Ask for the ends of a column, which say whether a value lies outside."""
    column = pl.col(check.column)
    lowest, highest = column.min(), column.max()
    any_outside = (lowest < check.low) | (highest > check.high)
    if scene.batch.schema[check.column] == "double":
        any_outside = any_outside | column.is_nan().any()
    first = {ANY: any_outside, "lowest": lowest, "highest": highest}
    return Asked(first, ~column.is_between(check.low, check.high))


def fences(column: str, *, spreads: float) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Return the lowest and highest value that is no outlier, and whether they were found on a logarithmic scale."""
    raw = pl.col(column).cast(pl.Float64)
    low, middle, high = (raw.quantile(each) for each in (0.05, 0.5, 0.95))
    skewed = (raw.min() > 0) & (high - middle > 2 * (middle - low))
    bounds: list[tuple[pl.Expr, pl.Expr]] = []
    for values in (raw, raw.log()):
        centre = values.median()
        near_by = 1.4826 * (values - centre).abs().median()
        wide = (values.quantile(0.75) - values.quantile(0.25)) / 1.349
        spread = pl.when(near_by > 0).then(near_by).when(wide > 0).then(wide)
        bounds.append((centre - spreads * spread, centre + spreads * spread))
    (straight_low, straight_high), (log_low, log_high) = bounds
    least = pl.when(skewed).then(log_low.exp()).otherwise(straight_low)
    return least, pl.when(skewed).then(log_high.exp()).otherwise(straight_high), skewed


def _apart(check: Agrees, scene: Scene) -> pl.Expr:
    ours = parse(check.expression, scene.batch.schema, where=f"check 'agrees' of table {scene.table.name!r}")
    other = pl.lit(theirs(check, scene))
    if ours.dtype in ("bigint", "double"):
        return (to_polars(ours) - other).abs() > check.within
    return to_polars(ours) != other


def _waited(scene: Scene) -> pl.Expr:
    """Return how long ago each row became known, by the clock; the table's own lag is no part of it."""
    known = [pl.col(each) - parse_duration(scene.table.lag) for each in scene.batch.known_for(())]
    return pl.lit(scene.now) - (pl.max_horizontal(known) if known else pl.col(str(scene.table.event_time)))


def positions(fails: pl.Expr) -> pl.Expr:
    """Return the positions of the rows for which a condition is true, as one list."""
    return pl.int_range(pl.len(), dtype=pl.Int64).filter(fails).implode()


def identity(columns: Sequence[str], scene: Scene) -> list[str]:
    """Name the columns in which two rows must agree to be duplicates: these, and when they became known.

    A row of the same key with another known-at is a correction, not a duplicate.
    """
    return [*columns, *scene.batch.known_for(columns)]


def fingerprint(columns: Sequence[str]) -> pl.Expr:
    """Hash columns into one number; rows that agree have equal numbers, others nearly never."""
    numbers = [pl.col(name).hash(seed) for seed, name in enumerate(columns)]
    return pl.reduce(lambda left, right: left ^ right, numbers) if len(numbers) > 1 else numbers[0]


def earlier(columns: Sequence[str], scene: Scene) -> pl.DataFrame | None:
    """Return what earlier rows had in these columns, in the batch's types; None where that is not known.

    Where the earlier rows come without a column, they cannot be compared by it.
    """
    if scene.known_keys is None:
        return None
    keys = scene.known_keys()
    types = scene.batch.frame.schema
    if any(each not in keys.columns for each in columns):
        return None
    return keys.select(pl.col(each).cast(types[each]) for each in columns)


def _repeats(columns: Sequence[str], scene: Scene) -> Asked:
    """Ask which rows may repeat an earlier one; for the few found, all twins are looked up afterwards."""
    same = identity(columns, scene)
    mark = fingerprint(same)
    before = earlier(same, scene)
    repeats = ~mark.is_first_distinct()
    met = pl.lit(value=False)
    if before is not None and before.height:
        # probing many earlier marks with a batch's few is ten times faster than the other way round
        ours, theirs = (each.select(mark.alias("mark"))["mark"] for each in (scene.batch.frame, before))
        both = theirs.filter(theirs.is_in(ours.implode()))
        met, repeats = pl.lit(both.len() > 0), repeats | mark.is_in(both.implode())
    return Asked({MARKS: mark.implode(), ANY: met}, repeats)


def _condition(text: str, scene: Scene) -> pl.Expr:
    condition = parse(text, scene.batch.schema, where=f"check 'holds' of table {scene.table.name!r}")
    if condition.dtype != "boolean":
        raise DefinitionError(
            f"check 'holds' of table {scene.table.name!r}: {text!r} is {condition.dtype}",
            expected="a condition, true or false, such as 'air_time > 0'",
        )
    return to_polars(condition)


def _referenced(check: References, scene: Scene) -> pl.Series:
    table, column = check.to.split(".")
    target = scene.other(table, columns=(column,))
    said = f"check {kind(check)!r} of table {scene.table.name!r}"
    if column not in target.schema:
        raise DefinitionError(f"{said}: table {table!r} has no column {column!r}", expected=near(column, target.schema))
    ours, theirs = scene.batch.schema[check.column], target.schema[column]
    if ours != theirs:
        raise DefinitionError(
            f"{said}: {check.column} is {ours}, {check.to} is {theirs}", expected="columns of one type"
        )
    return target.frame[column].drop_nulls().unique()
