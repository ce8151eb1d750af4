"""The row language: SQL scalar expressions about one row, the same in training, checks and serving.

``parse`` types an expression against a schema with a closed set of functions (``functions.FUNCTIONS``). Compilers
turn its tree into Polars (``polars``), a plain Python closure for one row (``closure``) and DuckDB SQL (``duckdb``,
which judges the others in tests). The rules they share are SQL's three-valued NULL, and: a number that is not finite
becomes NULL; dividing by zero gives NULL; an overflow or a failed cast is an error; ``round`` goes half away from
zero; ``%`` takes the dividend's sign; every instant is timestamptz, and a calendar part names its zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.expressions.node import Expression
from millstream.types import Schema

if TYPE_CHECKING:
    from millstream.expressions.node import Node

__all__ = ["Expression", "Node", "parse"]


def parse(text: str, schema: Schema, *, where: str) -> Expression:
    """Parse and type an expression.

    Parameters
    ----------
    text
        A SQL scalar expression in DuckDB's dialect.
    schema
        Columns it may read, name to type.
    where
        What it belongs to, for error messages (``"label of model late"``).

    Raises
    ------
    ExpressionError
        With the text and a caret under the place; near matches for unknown columns and functions.
    """
    from millstream.expressions.parser import Parser

    return Parser(text, schema, where=where).parse()


def __getattr__(name: str) -> object:
    if name == "Node":
        from millstream.expressions.node import Node

        return Node
    raise AttributeError(f"module 'millstream.expressions' has no attribute {name!r}")
