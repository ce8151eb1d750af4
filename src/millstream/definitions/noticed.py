"""What is noticed in every batch without being asked for, and how to tune it or turn it off.

What nobody asked for is told as an alarm, and no row is set aside for it. Written among a table's checks it is a check
like any other: its severity holds, and rows that fail with ``warn`` or ``stop`` go to quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from millstream.definitions.named import names
from millstream.definitions.severity import Severity

Notice: TypeAlias = Literal["new_category", "zeros", "frozen"]
NOTICES: tuple[Notice, ...] = ("new_category", "zeros", "frozen")


class NewCategory(msgspec.Struct, frozen=True, tag="new_category"):
    """A text column of few values has no value it never had; no columns means every such column."""

    columns: tuple[str, ...]
    severity: Severity


class Zeros(msgspec.Struct, frozen=True, tag="zeros"):
    """A number column has no more exact zeros than usual, nor has a group of rows; no columns means every number."""

    columns: tuple[str, ...]
    severity: Severity


class Frozen(msgspec.Struct, frozen=True, tag="frozen"):
    """A column that usually varies does; no columns means every column."""

    columns: tuple[str, ...]
    severity: Severity


class Defaults(msgspec.Struct, frozen=True, tag="defaults"):
    """Turns off what would be noticed without being asked for: by name, or by name and column."""

    off: tuple[str, ...]
    severity: Severity


def new_category(*columns: str | Sequence[str], severity: Severity = "warn") -> NewCategory:
    """Require that these text columns have no value they never had; rows that do are set aside.

    Without columns, every text column of few values.
    """
    return NewCategory(columns=names(columns, "new_category"), severity=severity)


def zeros(*columns: str | Sequence[str], severity: Severity = "warn") -> Zeros:
    """Require that zeros in these columns are no more than usual, in the batch and in each group of its rows.

    A zero where a value is missing is the commonest lie of a table. Rows that have one are set aside. Without columns,
    every column of numbers.
    """
    return Zeros(columns=names(columns, "zeros"), severity=severity)


def frozen(*columns: str | Sequence[str], severity: Severity = "warn") -> Frozen:
    """Require that columns that usually vary do, within a batch and from batch to batch; all columns without names."""
    return Frozen(columns=names(columns, "frozen"), severity=severity)


def defaults(*, off: str | Sequence[str] = ()) -> Defaults:
    """Turn off what is noticed without being asked for.

    Parameters
    ----------
    off
        ``"new_category"``, ``"zeros"`` or ``"frozen"``; with a column, ``"zeros.coupon"``, for that column alone.
    """
    return Defaults(off=names((off,), "defaults"), severity="note")
