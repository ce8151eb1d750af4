"""How labelled rows are parted into what is learnt from and what is judged on: by time and purged, where there is time.

Rows of a table without time have no latest ones: they are parted by a hash of their key, which is stable and seeded.
"""

from __future__ import annotations

import msgspec

from millstream.errors import DefinitionError
from millstream.types import parse_duration


class Time(msgspec.Struct, frozen=True):
    """Hold out the latest decisions; fit only on rows whose label was known at the cut.

    Parameters
    ----------
    test
        Length of the hold-out at the end (``"7d"``).
    folds
        Rolling origins of a backtest, each with a test span of ``test``.
    share
        Share of the keys held out at a time where rows have no time of their own.
    """

    test: str = "7d"
    folds: int = 3
    share: float = 0.2

    def __post_init__(self) -> None:
        try:
            parse_duration(self.test)
        except (TypeError, ValueError):
            raise DefinitionError(
                f"splits.Time(test={self.test!r}) is no length of time", expected="for instance '12h', '7d' or '8w'"
            ) from None
        if not isinstance(self.folds, int) or self.folds < 0:
            raise DefinitionError(f"splits.Time(folds={self.folds!r})", expected="a whole number, such as 3")
        if not 0 < self.share < 1:
            raise DefinitionError(f"splits.Time(share={self.share})", expected="a share between 0 and 1, such as 0.2")
