"""Rows that were asked for and are to become a version."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.lake.batches import Batches
from millstream.lake.ingest.upsert import Delivery


@dataclass(frozen=True)
class Extract:
    """Rows that are to become a version.

    Parameters
    ----------
    rows
        The rows.
    content
        By which the same is recognised next time.
    overwrite
        Whether they take the place of all that was there.
    state
        What their source is to be told next time, kept with the version.
    delivery
        For a table with history: what came, of which only what it says anew is written.
    """

    rows: Batches
    content: str
    overwrite: bool
    state: str = ""
    delivery: Delivery | None = None
