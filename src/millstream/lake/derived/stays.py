"""Saying of a table that it stays as it is because of one that it is computed from."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.errors import BadData, MillstreamError
from millstream.sources.drift import SchemaChanged


def stays(table: str, waits: Mapping[str, str], why: MillstreamError) -> MillstreamError:
    """Say that a table stays as it is because of one it is computed from, naming the way down to what went wrong."""
    by = waits[table]
    says = f"table {table!r} stays as it is: it waits for {by!r}, "
    if by in waits:  # what is said of the one before names the rest of the way
        says, do = says + f"which waits for {why.happened.partition(' stays as it is: it waits for ')[2]}", why.do
    else:
        says += f"of which it is computed: {why.happened}"
        do = why.do if isinstance(why, SchemaChanged) else f"millstream refresh {by}"
    if isinstance(why, SchemaChanged):  # the columns that wait are not its own
        return BadData(says, do=do)
    return why.but(says, do=do)
