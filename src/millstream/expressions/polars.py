"""Compile expressions to Polars. Only here and in ``kernel_polars`` and ``frames`` the row language meets Polars."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import polars as pl

from millstream.errors import BadData
from millstream.expressions import kernel_polars
from millstream.expressions.function import Function
from millstream.expressions.kernel import BOUNDS
from millstream.expressions.kernel_polars import TYPES
from millstream.expressions.node import Call, Case, Column, Expression, Literal, Node, children, columns
from millstream.expressions.table import FUNCTIONS

_MIRRORED = {"=": "=", "<>": "<>", "is not distinct from": "is not distinct from"} | {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
_PHYSICAL = ("timestamptz", "timestamp", "date", "interval")


def to_polars(expression: Expression) -> pl.Expr:
    """Compile an expression to Polars.

    The frame must have come through ``expressions.door``: instants are ``Datetime("us", "UTC")``, integers Int64,
    numbers finite Float64. A result that is an error (overflow, a failed cast) makes the evaluation raise Polars'
    ``InvalidOperationError``; ``compute`` turns that into BadData.
    """
    return _compile(expression.node, None)


def compute(frame: pl.DataFrame, expressions: Mapping[str, Expression], *, where: str) -> pl.DataFrame:
    """Evaluate named expressions over a frame; the result has as many rows, and these columns in this order.

    Raises
    ------
    BadData
        When a value overflows or cannot be cast.
    """
    made = [to_polars(each).alias(name) for name, each in expressions.items()]
    try:
        return frame.with_columns(made).select(list(expressions))
    except pl.exceptions.InvalidOperationError as wrong:
        raise BadData(
            f"{where}: {str(wrong).splitlines()[0]}",
            do="use try_cast, or guard the operation with case when ... then ... end",
        ) from None


def _compile(node: Node, only: pl.Expr | None) -> pl.Expr:
    """Compile a node; where ``only`` is not true its value is not used, so it must not fail there."""
    if isinstance(node, Column):
        return pl.col(node.name)
    if isinstance(node, Literal):
        return literal(node)
    if isinstance(node, Case):
        return _case(node, only)
    return _call(*_turned(node, FUNCTIONS[node.function]), only)


def _turned(node: Call, function: Function) -> tuple[Call, Function]:
    """Compare columns with constants, never constants with columns.

    Polars 2.1 answers with one row when a constant is compared with a numeric column in which every value is NULL.
    """
    mirrored = _MIRRORED.get(function.name)
    if mirrored is None or columns(node.args[0]) or not columns(node.args[1]):
        return node, function
    other = FUNCTIONS[function.signature.replace(function.name, mirrored, 1)]
    return Call(other.signature, node.args[::-1], node.dtype), other


def literal(node: Literal) -> pl.Expr:
    """Return a constant with its type."""
    if node.dtype in _PHYSICAL:
        return pl.lit(node.value, dtype=pl.Int64).cast(TYPES[node.dtype])
    return pl.lit(node.value, dtype=TYPES[node.dtype])


def _call(node: Call, function: Function, only: pl.Expr | None) -> pl.Expr:
    args: list[Any] = []
    for place, child in enumerate(node.args):
        if function.is_constant(place):
            args.append(child.value if isinstance(child, Literal) else None)
            continue
        arg = _compile(child, only)
        if only is not None and function.raises:
            arg = pl.when(only).then(arg)
        if function.bounded and child.dtype != "double":
            arg = (arg.to_physical() if child.dtype in _PHYSICAL else arg).cast(pl.Int128)
        args.append(arg)
    made: pl.Expr = function.polars(kernel_polars, *args)
    if function.bounded:
        made = kernel_polars.bounded(made, *BOUNDS[function.check])
        return made.cast(TYPES[node.dtype]) if node.dtype in _PHYSICAL else made
    return kernel_polars.finite(made) if function.check == "finite" else made


def _case(node: Case, only: pl.Expr | None) -> pl.Expr:
    careful = any(_fails(each) for each in (*node.conditions[1:], *node.results, node.otherwise))
    rest = only
    parts: list[tuple[pl.Expr, pl.Expr]] = []
    for condition, result in zip(node.conditions, node.results, strict=True):
        when = _compile(condition, rest).fill_null(False)
        here = (when if rest is None else rest & when) if careful else only
        parts.append((when, _compile(result, here)))
        if careful:
            rest = ~when if rest is None else rest & ~when
    otherwise = _compile(node.otherwise, rest if careful else only)
    for when, value in reversed(parts):
        otherwise = pl.when(when).then(value).otherwise(otherwise)
    return otherwise


@cache
def _fails(node: Node) -> bool:
    """Say whether some values make a node an error."""
    own = isinstance(node, Call) and FUNCTIONS[node.function].raises
    return own or any(_fails(each) for each in children(node))
