"""Refuse what was not known when a prediction was made: what reading definitions cannot see, the data shows."""

from __future__ import annotations

import polars as pl

from millstream.errors import LeakError
from millstream.features.compile import inputs, readers
from millstream.features.plan import FeaturePlan
from millstream.lake.frame import TableFrame


def check_known(plan: FeaturePlan, rows: TableFrame, *, decided: pl.DataFrame) -> None:
    """Refuse rows whose prediction reads a column of their own that was not known yet.

    Parameters
    ----------
    plan
        What is read: request fields, entity keys, ``where`` and ``decide_at``.
    rows
        Where the rows come from; says which known-at column belongs to which column.
    decided
        The rows, with their known-at columns and ``decided_at``.

    Raises
    ------
    LeakError
        Naming the reader, the column, the number of rows and the first of them.
    """
    waits_for = {column: rows.known[column] for column in inputs(plan) if column in rows.known}
    unknown = {known: (pl.col(known) > pl.col("decided_at")).fill_null(True) for known in waits_for.values()}
    late = decided.select(said.sum().alias(known) for known, said in unknown.items())
    for column, known in waits_for.items():
        count = late[known].item()
        if not count:
            continue
        first = decided.filter(unknown[known]).row(0, named=True)
        named = ", ".join(f"{each}={first[each]!r}" for each in rows.key)
        instant = "never known" if first[known] is None else f"known at {first[known].isoformat()}"
        raise LeakError(
            f"{readers(plan, column)[0]} reads {column!r}, which was not known at the decision in {count} of"
            f" {len(decided)} rows of table {rows.table!r}; the first is {named}, {instant},"
            f" decided at {first['decided_at'].isoformat()}",
            expected="only columns that are known when the prediction is made",
            do=f"leave {column!r} out, decide later (decide_at), or declare when it is known (known_at, lag)",
        )
