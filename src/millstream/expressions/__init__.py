"""The row language: what is said about one row, as SQL scalar expressions in DuckDB's dialect.

An expression is parsed and typed once, when definitions load, and kept as plain data. Compilers turn that data into
Polars (``expressions.polars``), a plain Python closure for one row (``expressions.closure``) and, for the judge in
tests, DuckDB SQL (``expressions.duckdb``). ``expressions.door`` turns foreign values into values of the language.
"""

from __future__ import annotations

from millstream.expressions.node import Expression, Node
from millstream.types import Schema

__all__ = ["Expression", "Node", "parse"]


def parse(text: str, schema: Schema, *, where: str) -> Expression:
    """Read and type an expression over the columns of a schema.

    Parameters
    ----------
    text
        A SQL scalar expression, for instance ``"arr_delay > 15"``.
    schema
        Column name to type; only these columns may be named.
    where
        What the expression belongs to, for messages: ``"label of model late"``.

    Raises
    ------
    ExpressionError
        When it is not an expression of the language; the message shows the place and near matches.

    Notes
    -----
    SQLGlot is imported at the first call (about 0.15 s); an expression then takes well under a millisecond.

    Examples
    --------
    >>> parse("arr_delay > 15", {"arr_delay": "double"}, where="label").dtype
    'boolean'
    """
    from millstream.expressions.parser import read

    return read(text, schema, where=where)


def mentioned(text: str) -> tuple[str, ...]:
    """Name the columns (``distance``) and features (``view.feature``) an expression mentions; none if it is none.

    >>> mentioned("carrier.late_7d / store.late_7d > threshold")
    ('carrier.late_7d', 'store.late_7d', 'threshold')
    """
    from millstream.expressions.parser import mentioned

    return mentioned(text)
