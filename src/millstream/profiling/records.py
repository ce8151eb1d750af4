"""What profiling a table finds, as plain data."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["boolean", "integer", "number", "text", "time", "date", "other"]
Role: TypeAlias = Literal["empty", "constant", "near_constant", "id", "near_unique", "usable"]


class Count(msgspec.Struct, frozen=True):
    """A value, or the span of a bar, and how many rows have it."""

    value: str
    rows: int


class Column(msgspec.Struct, frozen=True):
    """One column.

    Parameters
    ----------
    name, kind
        Its name, and what its values are.
    rows, nulls, distinct
        Rows looked at, those without a value, and different values among the others.
    low, high
        Smallest and largest value, as text; None for texts and where there is none.
    mean
        Of numbers and truth values.
    quantiles
        Share (``"0.05"``) to value, of numbers.
    top
        The most frequent values.
    bars
        Histogram of numbers and times, left to right.
    role
        What it could be for a model: ``id`` names rows, ``near_unique`` texts are alike hardly ever.
    says
        What stands out, in sentences.
    """

    name: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    low: str | None
    high: str | None
    mean: float | None
    quantiles: dict[str, float]
    top: tuple[Count, ...]
    bars: tuple[Count, ...]
    role: Role
    says: tuple[str, ...]

    @property
    def null_share(self) -> float:
        """Share of rows without a value."""
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.nulls == 0 and self.distinct == self.rows


class Gap(msgspec.Struct, frozen=True):
    """A span of time without rows, far longer than the usual step between rows."""

    column: str
    since: str
    until: str


class Timeline(msgspec.Struct, frozen=True):
    """A table over time, period by period, empty ones included.

    Parameters
    ----------
    column
        The time it goes by.
    every
        ``"1h"``, ``"1d"``, ``"1w"``, ``"1mo"``, ``"1q"`` or ``"1y"``.
    starts
        When each period begins, in UTC.
    rows
        Rows of each.
    nulls
        Column to the share of its values that are missing in each; None where there are no rows.
    """

    column: str
    every: str
    starts: tuple[str, ...]
    rows: tuple[int, ...]
    nulls: dict[str, tuple[float | None, ...]]


class Pitfall(msgspec.Struct, frozen=True):
    """Something that could mislead a model.

    Parameters
    ----------
    what
        ``missing``, ``stand_in``, ``spelling``, ``text``, ``moved``, ``category``, ``twin`` or ``wide``.
    column
        Of which column.
    says, do
        What was seen, and what could be done about it.
    """

    what: str
    column: str
    says: str
    do: str


class Repeat(msgspec.Struct, frozen=True):
    """A value of a key that several rows have."""

    key: str
    rows: int


class TableProfile(msgspec.Struct, frozen=True):
    """A table.

    Parameters
    ----------
    rows
        Rows it has.
    sampled
        Rows that were looked at for everything but keys and duplicates; equal to ``rows`` where all were.
    columns
        In its order.
    keys
        Columns, or pairs of columns, that name each row, the likeliest first.
    times
        Columns that could say when a row happened, the likeliest first.
    duplicates
        Rows that are equal to an earlier row in every column.
    gaps
        Of the likeliest time.
    says
        What stands out of the table, in sentences.
    timeline
        The table over the likeliest time; None without one.
    pitfalls
        What could go wrong for a model.
    repeats
        Values of the likeliest key that most rows share, where it does not name each row.
    """

    rows: int
    sampled: int
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...]
    times: tuple[str, ...]
    duplicates: int
    gaps: tuple[Gap, ...]
    says: tuple[str, ...]
    timeline: Timeline | None = None
    pitfalls: tuple[Pitfall, ...] = ()
    repeats: tuple[Repeat, ...] = ()

    def column(self, name: str) -> Column:
        """Return a column by name."""
        return next(each for each in self.columns if each.name == name)
