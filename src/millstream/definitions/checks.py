"""What must hold of a table. A contract is a table's schema and its checks.

Severity: ``note`` is written down, ``warn`` raises an alarm, ``stop`` keeps everything downstream from using the
version. Row-level checks (``between``, ``holds``, ``unique``, ``references``) put the rows that fail them in
quarantine, a mask by key: trusted reads leave them out, nothing is dropped or copied. ``note`` never quarantines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from millstream.definitions import suite
from millstream.definitions.habits import Expected, Volume, expected, volume
from millstream.definitions.imported import Own, Query, query
from millstream.definitions.named import names, one
from millstream.definitions.noticed import (
    Defaults,
    Frozen,
    NewCategory,
    Zeros,
    defaults,
    frozen,
    new_category,
    zeros,
)
from millstream.definitions.severity import Severity
from millstream.definitions.values import (
    Agrees,
    Isin,
    Lag,
    Matches,
    Outliers,
    agrees,
    isin,
    lag,
    matches,
    outliers,
)

__all__ = [
    "Agrees",
    "Between",
    "Check",
    "Complete",
    "Defaults",
    "Expected",
    "Fresh",
    "Frozen",
    "Holds",
    "Imported",
    "Isin",
    "Lag",
    "Matches",
    "NewCategory",
    "Nulls",
    "Outliers",
    "Own",
    "Query",
    "References",
    "Severity",
    "Unique",
    "Volume",
    "Zeros",
    "agrees",
    "between",
    "complete",
    "defaults",
    "expected",
    "fresh",
    "frozen",
    "holds",
    "isin",
    "lag",
    "matches",
    "new_category",
    "nulls",
    "outliers",
    "query",
    "references",
    "suite",
    "unique",
    "volume",
    "zeros",
]


class Unique(msgspec.Struct, frozen=True, tag="unique"):
    """No two rows of a version share these columns (a later correction of a key is not a duplicate)."""

    columns: tuple[str, ...]
    severity: Severity


class Between(msgspec.Struct, frozen=True, tag="between"):
    """Values lie in a closed range; NULL passes."""

    column: str
    low: float
    high: float
    severity: Severity


class Nulls(msgspec.Struct, frozen=True, tag="nulls"):
    """At most a share of the rows of a batch is NULL."""

    column: str
    at_most: float
    severity: Severity


class Holds(msgspec.Struct, frozen=True, tag="holds"):
    """A row expression is not false; NULL passes."""

    expression: str
    severity: Severity


class References(msgspec.Struct, frozen=True, tag="references"):
    """Every value is found in a column of another table; NULL passes."""

    column: str
    to: str
    severity: Severity


class Fresh(msgspec.Struct, frozen=True, tag="fresh"):
    """The newest event is not older than a length of time."""

    within: str
    severity: Severity


class Complete(msgspec.Struct, frozen=True, tag="complete"):
    """Every key that another table says should exist by now does.

    ``at_least`` is the share of expected keys, per day of event time, below which a batch is incomplete. It is
    compared with the day's own habit: natural shortfalls (cancellations) are learnt from the days before.
    """

    against: str
    key: str
    at_least: float
    severity: Severity


Plain: TypeAlias = Unique | Between | Nulls | Holds | References | Isin | Matches | Query
"""What tests of other tools are translated into."""


class Imported(msgspec.Struct, frozen=True, tag="imported"):
    """A test of another tool's suite, translated.

    Parameters
    ----------
    check
        What it became.
    origin
        Library, file and test.
    files, digest
        Patterns of the files of the suite, relative to the project, and the hash of what lay there.
    where
        Condition of the rows it is about; empty for all. ``unique`` compares these rows only.
    at_most
        Share of the rows it is about, that have a value in ``of``, which may fail.
    of
        A column; empty where rows without a value count too.
    """

    check: Plain
    origin: str
    files: tuple[str, ...] = ()
    digest: str = ""
    where: str = ""
    at_most: float = 0.0
    of: str = ""

    @property
    def severity(self) -> Severity:
        """That of the check."""
        return self.check.severity


Check: TypeAlias = (
    Imported
    | Own
    | Query
    | Unique
    | Between
    | Nulls
    | Holds
    | References
    | Fresh
    | Complete
    | Expected
    | Volume
    | NewCategory
    | Zeros
    | Frozen
    | Defaults
    | Isin
    | Matches
    | Outliers
    | Agrees
    | Lag
)


def unique(*columns: str | Sequence[str], severity: Severity = "stop") -> Unique:
    """Require that no two rows share these columns."""
    return Unique(columns=names(columns, "unique"), severity=severity)


def between(column: str, low: float, high: float, *, severity: Severity = "warn") -> Between:
    """Require ``low <= column <= high``."""
    return Between(column=one(column, "between"), low=low, high=high, severity=severity)


def nulls(column: str, *, at_most: float = 0.0, severity: Severity = "warn") -> Nulls:
    """Allow at most a share (0 to 1) of NULLs in each batch."""
    return Nulls(column=one(column, "nulls"), at_most=at_most, severity=severity)


def holds(expression: str, *, severity: Severity = "warn") -> Holds:
    """Require that a row expression is not false."""
    return Holds(expression=expression, severity=severity)


def references(column: str, to: str, *, severity: Severity = "warn") -> References:
    """Require that every value is found in ``to``, written ``table.column``."""
    return References(column=one(column, "references"), to=to, severity=severity)


def fresh(*, within: str, severity: Severity = "warn") -> Fresh:
    """Require that the newest event is at most ``within`` old, for instance ``"36h"``."""
    return Fresh(within=within, severity=severity)


def complete(*, against: str, key: str, at_least: float = 0.9, severity: Severity = "warn") -> Complete:
    """Require that the keys another table expects by now are there (per day, against the days' own habit)."""
    return Complete(against=against, key=key, at_least=at_least, severity=severity)
