"""The tree of an expression: plain data that a release keeps and every compiler reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from millstream.types import DType


class Column(msgspec.Struct, frozen=True, tag="column"):
    """A column of the row."""

    name: str
    dtype: DType


class Literal(msgspec.Struct, frozen=True, tag="literal"):
    """A constant; timestamptz and interval are microseconds, date is days since the epoch."""

    value: bool | int | float | str | None
    dtype: DType


class Call(msgspec.Struct, frozen=True, tag="call"):
    """A function of the closed set (operators are functions too), applied."""

    function: str
    arguments: tuple[Node, ...]
    dtype: DType


Node: TypeAlias = Column | Literal | Call


class Expression(msgspec.Struct, frozen=True):
    """A parsed and typed row expression.

    Parameters
    ----------
    text
        As it was written.
    node
        Its tree.
    dtype
        Type of its value.
    columns
        Names of the columns it reads, each once, in order of appearance.
    """

    text: str
    node: Node
    dtype: DType
    columns: tuple[str, ...]


def walk(node: Node) -> Iterator[Node]:
    """Go through a tree, parents first."""
    yield node
    if isinstance(node, Call):
        for each in node.arguments:
            yield from walk(each)
