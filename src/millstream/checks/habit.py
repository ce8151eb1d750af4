"""What share of its expected rows a day usually has, learnt from the days before it.

Some of what is expected never comes: flights are cancelled, orders withdrawn. How much is usual is learnt, not
fixed: the median of the last days, with the median absolute deviation as their spread, so that a blizzard among them
changes neither (Hampel, J. Am. Statist. Assoc. 69, 1974; Rousseeuw and Croux, ibid. 88, 1993, for 1.4826).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import msgspec

DAYS = 28
"""Days a habit is learnt from: four whole weeks."""
FEWEST = 5
"""With fewer days there is no habit yet, and everything is expected."""
SPREADS = 4.0
"""How many spreads below its habit a day must be, beside being below its floor, to count as incomplete."""


class Habit(msgspec.Struct, frozen=True):
    """The usual share of present rows.

    Parameters
    ----------
    share
        Median of the days' shares, 0 to 1; 1 where there are too few days.
    spread
        1.4826 times their median absolute deviation: the standard deviation, were they normal.
    days
        Days it was learnt from.
    """

    share: float
    spread: float
    days: int

    def limit(self, *, at_least: float, expected: int) -> float:
        """Return the share below which a day of so many expected rows is incomplete.

        Both must be undercut: ``at_least`` of the habit, and the habit less ``SPREADS`` spreads. The spread is at
        least what drawing that many rows gives by chance, so that a day of ten rows is not judged like one of 900.
        """
        usual = min(self.share, 1 - 1 / (expected + 2))
        chance = math.sqrt(usual * (1 - usual) / max(1, expected))
        return max(0.0, min(at_least * self.share, self.share - SPREADS * max(self.spread, chance)))


def learn(shares: Sequence[float]) -> Habit:
    """Learn a habit from the shares of the days before, oldest first; the last ``DAYS`` count.

    >>> learn([0.98, 0.97, 0.99, 0.43, 0.98, 0.98]).share
    0.98
    """
    last = list(shares[-DAYS:])
    if len(last) < FEWEST:
        return Habit(share=1.0, spread=0.0, days=len(last))
    middle = median(last)
    return Habit(share=middle, spread=1.4826 * median(abs(each - middle) for each in last), days=len(last))
