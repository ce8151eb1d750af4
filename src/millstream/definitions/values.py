"""Checks of values: sets, patterns, outliers, what another table says of the same key, and how late rows come."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet

import msgspec

from millstream.definitions.named import one
from millstream.definitions.severity import Severity


class Isin(msgspec.Struct, frozen=True, tag="isin"):
    """Every value is one of a set; NULL passes."""

    column: str
    values: tuple[str | int | float | bool, ...]
    severity: Severity


class Matches(msgspec.Struct, frozen=True, tag="matches"):
    """Every text, as a whole, matches a pattern; NULL passes."""

    column: str
    pattern: str
    severity: Severity


class Outliers(msgspec.Struct, frozen=True, tag="outliers"):
    """No more than a share of the values lies far from the others of the batch."""

    column: str
    spreads: float
    at_most: float
    severity: Severity


class Agrees(msgspec.Struct, frozen=True, tag="agrees"):
    """A value equals what the rows of another table with the same key say; NULL passes."""

    expression: str
    table: str
    on: str
    value: str
    within: float
    severity: Severity


class Lag(msgspec.Struct, frozen=True, tag="lag"):
    """No row of a batch became known longer ago than a length of time."""

    within: str
    severity: Severity


def isin(column: str, values: Collection[str | int | float | bool], *, severity: Severity = "warn") -> Isin:
    """Require that every value is one of these; of a set the order is that of their words, in every process."""
    values = sorted(values, key=repr) if isinstance(values, AbstractSet) else values
    return Isin(column=one(column, "isin"), values=tuple(values), severity=severity)


def matches(column: str, pattern: str, *, severity: Severity = "warn") -> Matches:
    """Require that every text matches a regular expression as a whole, such as ``"[A-Z]{3}"``.

    The engine is Rust's ``regex``: time grows with the text alone, so no pattern can hang a check. It has no
    look-around and no back-references.
    """
    return Matches(column=one(column, "matches"), pattern=pattern, severity=severity)


def outliers(column: str, *, spreads: float = 8.0, at_most: float = 0.0, severity: Severity = "note") -> Outliers:
    """Require that at most a share of a batch's values lies so many spreads from its median.

    The spread is 1.4826 times the median absolute deviation (the interquartile range over 1.349 where that is zero),
    of the logarithms where all values are positive and the upper tail is twice the lower. An outlier may be true, so
    the default is ``note``, which sets nothing aside.
    """
    return Outliers(column=one(column, "outliers"), spreads=spreads, at_most=at_most, severity=severity)


def agrees(
    expression: str, *, table: str, on: str, value: str, within: float = 1e-9, severity: Severity = "warn"
) -> Agrees:
    """Require that a value equals what another table says of the same key.

    Parameters
    ----------
    expression
        Over this table's row, for instance ``"total"``.
    table, on
        The other table, and the column both have.
    value
        Over its rows of that key: ``"sum(amount)"``, ``count``, ``min``, ``max`` or ``mean`` of an expression, or an
        expression over the one row. No row sums and counts to 0, and gives NULL otherwise.
    within
        How far apart two equal numbers may be.
    severity
        ``note``, ``warn`` or ``stop``.
    """
    return Agrees(expression=expression, table=table, on=on, value=value, within=within, severity=severity)


def lag(*, within: str, severity: Severity = "warn") -> Lag:
    """Require that rows come at most ``within`` after they became known, for instance ``"90s"``; first batch aside."""
    return Lag(within=within, severity=severity)
