"""What requests will be held against, taken from the contract of the rows' table and from the rows learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from millstream.definitions.checks import Between, Check, Isin, Matches, Nulls
from millstream.definitions.manifest import Manifest
from millstream.features.requests import Requests, Rule, safe_pattern
from millstream.training.sets import TrainingSet

if TYPE_CHECKING:
    from millstream.types import DType

MOST_VALUES = 400
"""Texts of more different values are no set."""
_FEWEST_ROWS = 100
"""Rows of training below which what it has seen says little."""


def requests(manifest: Manifest, training: TrainingSet, rows: pl.DataFrame) -> Requests:
    """Take the rules for what callers send.

    Parameters
    ----------
    manifest
        Holds the rows' table and its checks.
    training
        Its plan says what callers send.
    rows
        The rows learnt from; of request fields their range, values and NULLs become rules too.
    """
    plan = training.plan
    table = manifest.table(plan.rows_table)
    types = plan.request_types
    sent = [name for name in plan.request_columns if types.get(name) in ("bigint", "double", "varchar", "boolean")]
    rules: list[Rule] = []
    unchecked: list[str] = []
    for check in table.checks:
        column = getattr(check, "column", None)
        if column not in sent or check.severity == "note":
            continue
        rule = _demanded(check, column)
        if rule is not None:
            rules.append(rule)
        elif isinstance(check, Matches):
            unchecked.append(f"{column} matches {check.pattern}: this pattern could take too long on a request")
    if rows.height >= _FEWEST_ROWS:
        for name in plan.request:
            if name in sent and name in rows.columns:
                rules += _seen(name, types[name], rows[name])
    return Requests(table.name, tuple(rules), tuple(unchecked))


def _demanded(check: Check, column: str) -> Rule | None:
    match check:
        case Between():
            return Rule(column, "contract", low=check.low, high=check.high)
        case Isin():
            return Rule(column, "contract", values=check.values)
        case Matches(pattern=pattern) if safe_pattern(pattern):
            return Rule(column, "contract", pattern=pattern)
        case Nulls(at_most=0.0):
            return Rule(column, "contract", filled=True)
        case _:
            return None


def _seen(name: str, dtype: DType, column: pl.Series) -> Iterator[Rule]:
    """Say what training has seen of a field."""
    there = column.drop_nulls()
    if not there.len():
        return
    if there.len() == column.len():
        yield Rule(name, "training", filled=True)
    if dtype in ("bigint", "double"):
        low, high = there.min(), there.max()
        assert isinstance(low, int | float) and isinstance(high, int | float)
        yield Rule(name, "training", low=low, high=high)
    elif dtype == "varchar":
        values = there.unique()
        if values.len() <= MOST_VALUES:
            yield Rule(name, "training", values=tuple(sorted(values.to_list())))
