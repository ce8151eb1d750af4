"""One thing noticed of a batch."""

from __future__ import annotations

import msgspec

from millstream.definitions.noticed import Notice
from millstream.definitions.severity import Severity

HABIT = 5
"""Batches before which nothing is usual yet."""


class Found(msgspec.Struct, frozen=True):
    """One thing noticed.

    Parameters
    ----------
    what, column
        What, and of which column.
    severity
        How bad.
    share, limit
        What was measured and what it was held against.
    says
        A sentence without the table's name.
    rows
        Rows concerned.
    where
        The rows concerned: ``by`` (a text column) is ``values``; for zeros of them those that are zero.
    """

    what: Notice
    column: str
    severity: Severity
    share: float
    limit: float
    says: str
    rows: int
    by: str = ""
    values: tuple[str, ...] = ()
