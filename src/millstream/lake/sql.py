"""The SQL door for people: one read-only SELECT over pinned versions."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from millstream.errors import DefinitionError, NotFound, UserError, near
from millstream.lake import duck
from millstream.lake.derived.lineage import named_tables
from millstream.lake.frame import TableFrame
from millstream.types import Pins

LIMIT_S = 60.0
"""How long a query of a person may take; commands that move tables wait for it."""


def query(sql: str, *, known: set[str], read: Callable[[str], TableFrame]) -> tuple[pl.DataFrame, Pins]:
    """Run a SELECT over tables.

    Parameters
    ----------
    sql
        One SELECT in DuckDB's dialect.
    known
        Tables there are.
    read
        Reads a table at the version that is wanted.

    Returns
    -------
    The result, and the versions that were read.

    Raises
    ------
    UserError
        For anything but one SELECT, and with what DuckDB says of a failing one.
    NotFound
        For a table that is not there.
    """
    try:
        _, names = named_tables(sql, where="the query")
    except DefinitionError as wrong:
        raise UserError(wrong.happened, expected=wrong.expected) from None
    for each in names:
        if not each:
            raise UserError("the query reads from a function or a file", expected=f"tables: {', '.join(sorted(known))}")
        if each not in known:
            raise NotFound(f"there is no table {each!r}", do=near(each, known))
    frames = {each: read(each) for each in names}
    rows = {name: each.frame.select(list(each.schema)) for name, each in frames.items()}
    return duck.run(sql, rows, limit_s=LIMIT_S), {name: each.version for name, each in frames.items()}
