"""Compile expressions to Polars. Only here and in ``kernel_polars`` and ``frames`` the row language meets Polars."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

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
HEAVY = 64
"""Weight from which a part of an expression is computed by itself."""
DEEP = 4_096
"""Weight from which an expression is not handed to Polars in one piece."""
_STAGED = "__staged"
_ONCE = (*_MIRRORED, "and", "or", "not", "is null", "negate", "abs", "lower", "upper", "contains", "starts_with", "||")
_PHYSICAL = ("timestamptz", "timestamp", "date", "interval")


def compute(frame: pl.DataFrame, expressions: Mapping[str, Expression], *, where: str) -> pl.DataFrame:
    """Evaluate named expressions over a frame; the result has as many rows, and these columns in this order.

    The frame must have come through ``expressions.door``: instants are ``Datetime("us", "UTC")``, integers Int64,
    numbers finite Float64.

    Raises
    ------
    BadData
        When a value overflows or cannot be cast.

    Notes
    -----
    Deep expressions are evaluated in stages, so time and memory grow with the length of an expression, not with what
    it would be when every shared part was written out.
    """
    try:
        return add(frame, expressions).select(list(expressions))
    except pl.exceptions.InvalidOperationError as wrong:
        raise BadData(
            f"{where}: {str(wrong).splitlines()[0]}",
            do="use try_cast, or guard the operation with case when ... then ... end",
        ) from None


_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)


def add(frame: _Frame, expressions: Mapping[str, Expression]) -> _Frame:
    """Add named expressions to a frame as columns, in stages where they are deep; see ``compute``.

    Notes
    -----
    What is an error (overflow, a failed cast) makes the evaluation raise Polars' ``InvalidOperationError``.
    """
    writer = _Writer(frame.collect_schema().names())
    made = [writer.value(each.node, None).source.alias(name) for name, each in expressions.items()]
    for stage in writer.stages:
        frame = frame.with_columns(stage)
    frame = frame.with_columns(made)
    return frame.drop(writer.parts) if writer.parts else frame


def to_polars(expression: Expression) -> pl.Expr:
    """Compile an expression to one Polars expression, for where no columns can be added before.

    The frame must have come through ``expressions.door``. A result that is an error (overflow, a failed cast) makes
    the evaluation raise Polars' ``InvalidOperationError``. A deep expression is handed to ``add``, batch by batch.
    """
    made = _Writer((), heavy=sys.maxsize).value(expression.node, None)
    if made.weight <= DEEP or not expression.columns:
        return made.source

    def staged(parts: Sequence[pl.Series]) -> pl.Series:
        return add(pl.DataFrame(list(parts)), {_STAGED: expression})[_STAGED]

    read = [pl.col(each) for each in expression.columns]
    return pl.map_batches(read, staged, return_dtype=TYPES[expression.dtype], is_elementwise=True)


class _Made(NamedTuple):
    """What computes a node: its source, about how often its parts stand in it, and the stages that come before it."""

    source: pl.Expr
    weight: int
    stage: int


class _Writer:
    """Writes expressions; what has become heavy is computed by itself first, as a column of its own.

    A part that stands in a Polars expression twice (a check of its range, a guard of a branch) is written out twice,
    and so parts of parts would double at each level.
    """

    def __init__(self, taken: Collection[str], *, heavy: int = HEAVY) -> None:
        self.stages: list[list[pl.Expr]] = []
        self.parts: list[str] = []
        self._taken, self._heavy = set(taken), heavy
        self._count = 0

    def value(self, node: Node, only: _Made | None) -> _Made:
        """Compile a node; where ``only`` is not true its value is not used, so it must not fail there."""
        if isinstance(node, Column):
            return _Made(pl.col(node.name), 1, 0)
        if isinstance(node, Literal):
            return _Made(literal(node), 1, 0)
        if isinstance(node, Case):
            return self._light(self._case(node, only))
        return self._light(self._call(*_turned(node, FUNCTIONS[node.function]), only))

    def _light(self, made: _Made) -> _Made:
        """Give what has become heavy a column of its own."""
        if made.weight <= self._heavy:
            return made
        self._count += 1
        while (name := f"__part_{self._count}") in self._taken:
            self._count += 1
        while len(self.stages) <= made.stage:
            self.stages.append([])
        self.parts.append(name)
        self.stages[made.stage].append(made.source.alias(name))
        return _Made(pl.col(name), 1, made.stage + 1)

    def _call(self, node: Call, function: Function, only: _Made | None) -> _Made:
        args: list[Any] = []
        parts: list[_Made] = []
        for place, child in enumerate(node.args):
            if function.is_constant(place):
                args.append(child.value if isinstance(child, Literal) else None)
                continue
            made = self.value(child, only)
            parts.append(made)
            arg = made.source
            if only is not None and function.raises:
                parts.append(only)
                arg = pl.when(only.source).then(arg)
            if function.bounded and child.dtype != "double":
                arg = (arg.to_physical() if child.dtype in _PHYSICAL else arg).cast(pl.Int128)
            args.append(arg)
        source: pl.Expr = function.polars(kernel_polars, *args)
        if function.bounded:
            source = kernel_polars.bounded(source, *BOUNDS[function.check])
            source = source.cast(TYPES[node.dtype]) if node.dtype in _PHYSICAL else source
        elif function.check == "finite":
            source = kernel_polars.finite(source)
        often = 1 if function.name in _ONCE else 4
        return _Made(source, 1 + often * sum(each.weight for each in parts), _stage(parts))

    def _case(self, node: Case, only: _Made | None) -> _Made:
        careful = any(_fails(each) for each in (*node.conditions[1:], *node.results, node.otherwise))
        rest = only
        parts: list[tuple[_Made, _Made]] = []
        for condition, result in zip(node.conditions, node.results, strict=True):
            asked = self.value(condition, rest)
            when = _Made(asked.source.fill_null(False), asked.weight, asked.stage)
            here = self._both(rest, when) if careful else only
            parts.append((when, self.value(result, here)))
            if careful:
                rest = self._both(rest, _Made(~when.source, when.weight, when.stage))
        last = self.value(node.otherwise, rest if careful else only)
        source = last.source
        for when, value in reversed(parts):
            source = pl.when(when.source).then(value.source).otherwise(source)
        said = [*(each for pair in parts for each in pair), last]
        return _Made(source, 1 + sum(each.weight for each in said), _stage(said))

    def _both(self, one: _Made | None, other: _Made) -> _Made:
        if one is None:
            return other
        return self._light(_Made(one.source & other.source, one.weight + other.weight, _stage((one, other))))


def _stage(parts: Iterable[_Made]) -> int:
    return max((each.stage for each in parts), default=0)


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


@cache
def _fails(node: Node) -> bool:
    """Say whether some values make a node an error."""
    own = isinstance(node, Call) and FUNCTIONS[node.function].raises
    return own or any(_fails(each) for each in children(node))
