"""Expressions as plain data: a typed tree of tagged records that survives JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from millstream.types import DType


class Column(msgspec.Struct, frozen=True, tag="column"):
    """The value of a column of the row."""

    name: str
    dtype: DType


class Literal(msgspec.Struct, frozen=True, tag="literal"):
    """A constant. Instants and intervals are microseconds, dates are days, both since 1970; None is NULL."""

    value: bool | int | float | str | None
    dtype: DType


class Call(msgspec.Struct, frozen=True, tag="call"):
    """A function of the table applied to arguments; ``function`` is its signature, such as ``+(bigint, bigint)``."""

    function: str
    args: tuple[Node, ...]
    dtype: DType


class Case(msgspec.Struct, frozen=True, tag="case"):
    """The first branch whose condition is true, else the last value. Branches not taken are not evaluated."""

    conditions: tuple[Node, ...]
    results: tuple[Node, ...]
    otherwise: Node
    dtype: DType


Node: TypeAlias = Column | Literal | Call | Case


class Expression(msgspec.Struct, frozen=True):
    """A parsed and typed expression.

    Parameters
    ----------
    text
        As it was written.
    node
        The typed tree; what compilers read.
    dtype
        Type of the result.
    columns
        Columns it reads, in order of first mention.
    """

    text: str
    node: Node
    dtype: DType
    columns: tuple[str, ...]


def children(node: Node) -> tuple[Node, ...]:
    """Return the parts of a node."""
    if isinstance(node, Call):
        return node.args
    if isinstance(node, Case):
        return (*node.conditions, *node.results, node.otherwise)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)


def columns(node: Node) -> tuple[str, ...]:
    """Name the columns a node reads, in order of first mention."""
    return tuple(dict.fromkeys(each.name for each in walk(node) if isinstance(each, Column)))
