"""How labelled rows are parted into what is learnt from and what is judged on: always by time, always purged."""

from __future__ import annotations

import msgspec


class Time(msgspec.Struct, frozen=True):
    """Hold out the latest decisions; fit only on rows whose label was known at the cut.

    Parameters
    ----------
    test
        Length of the hold-out at the end (``"7d"``).
    folds
        Rolling origins of a backtest, each with a test span of ``test``.
    """

    test: str = "7d"
    folds: int = 3
