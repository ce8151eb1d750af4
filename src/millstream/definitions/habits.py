"""Checks that hold a period, a day or a week, against its own habit: which rows should have come, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from millstream.definitions.named import names
from millstream.definitions.severity import Severity

Every: TypeAlias = Literal["1d", "1w"]


class Expected(msgspec.Struct, frozen=True, tag="expected"):
    """The combinations of values that usually have rows in a period have them again.

    A combination is expected in a period when it had rows in ``seen`` of the last ``of`` like periods: of the same
    weekday where a period is a day.
    """

    columns: tuple[str, ...]
    every: Every
    seen: int
    of: int
    at_least: float
    severity: Severity


class Volume(msgspec.Struct, frozen=True, tag="volume"):
    """The rows of a period are about as many as like periods usually have."""

    every: Every
    at_least: float
    at_most: float
    severity: Severity


def expected(
    *columns: str | Sequence[str],
    every: Every = "1d",
    seen: int = 6,
    of: int = 8,
    at_least: float = 0.9,
    severity: Severity = "warn",
) -> Expected:
    """Require that each period has rows for the combinations of these columns that usually have them.

    Parameters
    ----------
    columns
        What together names what should have rows, for instance ``"store_id", "category"``.
    every
        Length of a period: ``"1d"``, compared with the same weekday of earlier weeks, or ``"1w"`` (from Monday).
    seen, of
        A combination is expected when it had rows in ``seen`` of the last ``of`` like periods.
    at_least
        Share (0 to 1) of the period's habit below which rows are missing; it must also lie four spreads below it.
    severity
        ``note``, ``warn`` or ``stop``.
    """
    given = names(columns, "expected")
    return Expected(columns=given, every=every, seen=seen, of=of, at_least=at_least, severity=severity)


def volume(*, every: Every = "1d", at_least: float = 0.5, at_most: float = 2.0, severity: Severity = "warn") -> Volume:
    """Require that each period has about as many rows as usual.

    Parameters
    ----------
    every
        Length of a period: ``"1d"``, compared with the same weekday of earlier weeks, or ``"1w"`` (from Monday).
    at_least, at_most
        Times the habit. A period fails when it lies outside and also four spreads from the habit.
    severity
        ``note``, ``warn`` or ``stop``.
    """
    return Volume(every=every, at_least=at_least, at_most=at_most, severity=severity)
