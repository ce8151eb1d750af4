"""When a mean began to move."""

from __future__ import annotations

from datetime import date

import numpy as np

from millstream.monitoring.outcomes import Floats, Integers


def changed_on(block: Integers, excess: Floats) -> date:
    """Estimate the day from which an excess above what is tolerated began.

    The day after the lowest point of the running sum of the excess (Page 1954): before it the excess was, on
    balance, negative; from then on it is not.

    Parameters
    ----------
    block
        Ordinal of the day of each value.
    excess
        Value less what is tolerated; positive is too much.

    >>> day = np.array([735000, 735001, 735002, 735003])
    >>> changed_on(day, np.array([-1.0, -1.0, 2.0, 2.0])).toordinal()
    735002
    """
    days, position = np.unique(block, return_inverse=True)
    running = np.cumsum(np.bincount(position, weights=excess, minlength=len(days)))
    lowest = int(np.argmin(running))
    begins = 0 if running[lowest] >= 0 else min(lowest + 1, len(days) - 1)
    return date.fromordinal(int(days[begins]))
