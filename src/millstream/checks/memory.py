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
    longest
        Batches of the longest run that ended and was no fault.
    """

    value: str | None = None
    length: int = 0
    same: float = 0.0
    pairs: float = 0.0
    longest: int = 0

    def after(self, only: str | None, *, fault: bool) -> Run:
        """Return the run after a further batch with this one value, or with several; a fault is not learnt."""
        same = self.value is not None and self.value == only
        old = 1 - 1 / RECENT
        longest = self.longest if same or fault else max(self.longest, self.length)
        if only is None:
            return Run(None, 0, self.same * old, self.pairs * old + 1, longest)
        length, pairs = self.length + 1 if same else 1, self.pairs * old + (self.length > 0)
        return Run(only, length, self.same * old + same, pairs, longest)


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
    seen
        Text column to value to the batches that had it; the days of a first batch count one by one.
    times
        Batches that could have had a value, counted alike.
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
    seen: dict[str, dict[str, int]] = {}
    times: int = 0
    zeros: dict[str, Share] = {}
    groups: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
    flags: dict[str, bool] = {}
    varied: dict[str, Share] = {}
    runs: dict[str, Run] = {}
    newest: int | None = None
    stopped: int = 0
    advanced: int = 0
    failing: list[str] = []

    def news(self, column: str) -> float:
        """Return how many values never seen before the next batch is expected to bring (Chao 1987).

        Rows of a batch are alike, so batches are counted, not rows: values that only one batch had, by batch.
        """
        once = sum(times == 1 for times in self.seen.get(column, {}).values())
        return once / self.times if self.times else 0.0
