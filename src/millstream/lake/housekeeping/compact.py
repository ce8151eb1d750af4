"""The door to compaction."""

from __future__ import annotations

from millstream.lake.lake import Lake
from millstream.state.versions import TableVersion


def compact(lake: Lake, name: str, *, actor: str, least: int = 2) -> TableVersion | None:
    """Write a table's small files anew as large ones, durably and in one commit; the rows stay what they are.

    Parameters
    ----------
    lake
        Where the table is stored.
    name
        A table of the lake's own, an ingested or a made one.
    actor
        Who asks, for the ledger.
    least
        Files that must be small for anything to be done.

    Returns
    -------
    The new version, or None where there was nothing to do.

    Raises
    ------
    UserError
        For a table whose files are not the lake's to write.
    StorageFull
        When the disk refuses; nothing was changed.
    """
    return lake._writer.compact(name, actor=actor, least=least)
