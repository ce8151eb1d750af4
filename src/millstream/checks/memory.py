"""What earlier batches of a table were like: little enough to be kept, enough to notice what is new.

A memory is plain data, made of the batches that were fine. What was noticed is left out of it, so that a fault stays a
fault until it is repaired, and a habit is never learnt from a fault.
"""

from __future__ import annotations

import msgspec

RECENT = 28
"""Batches (or days of a first batch) of which shares are kept one by one."""
MOST_VALUES = 400
"""A text column of more different values is not one of categories."""
MOST_COLUMNS = 300
"""Columns that are looked at; of wider tables the first ones."""


class Share(msgspec.Struct):
    """How often something was so among rows.

    Parameters
    ----------
    rows, found
        Rows in all, and those for which it was so.
    recent
        The share in each of the last ``RECENT`` batches of at least ``SOME`` rows.
    """

    rows: int = 0
    found: int = 0
    recent: list[float] = []

    @property
    def share(self) -> float:
        """Share over all batches."""
        return self.found / self.rows if self.rows else 0.0

    def add(self, rows: int, found: int) -> None:
        """Take in a batch."""
        self.rows += rows
        self.found += found
        if rows >= SOME:
            self.recent = [*self.recent, found / rows][-RECENT:]


SOME = 20
"""Rows without which a share says nothing."""


class Run(msgspec.Struct):
    """How a column's one value went on from batch to batch, where a batch had one.

    Parameters
    ----------
    value
        The value of the last batch, as text; None where it had several.
    length
        Batches in a row that had it.
    same, pairs
        Of the last neighbours (at most ``RECENT`` count), those that had the same value, and all.
    """

    value: str | None = None
    length: int = 0
    same: float = 0.0
    pairs: float = 0.0


class Memory(msgspec.Struct):
    """What the batches of a table were like.

    Parameters
    ----------
    batches, rows
        How many there were; the days of a first batch count one by one.
    sizes
        Rows of the last batches.
    texts
        Text column to value to rows; None for a column of too many values.
    fresh
        Text column to the batch, by number, that last brought a new value.
    zeros
        Number column to its exact zeros.
    groups
        Text column to value to number column to (rows, zeros).
    flags
        Number columns that never had anything but 0 and 1.
    varied
        Column to the share of rows that differ from the first row's value.
    runs
        Column to how its one value went on.
    newest
        The newest event, in microseconds; and the batches in a row that brought none newer.
    failing
        What was noticed in the last batch: ``zeros.units``.
    """

    batches: int = 0
    rows: int = 0
    sizes: list[int] = []
    texts: dict[str, dict[str, int] | None] = {}
    fresh: dict[str, int] = {}
    zeros: dict[str, Share] = {}
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    flags: dict[str, bool] = {}
    varied: dict[str, Share] = {}
    runs: dict[str, Run] = {}
    newest: int | None = None
    stopped: int = 0
    advanced: int = 0
    failing: list[str] = []
