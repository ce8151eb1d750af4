"""Saying of a table that it stays as it is because of one that it is computed from."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.errors import MillstreamError


def stays(table: str, waits: Mapping[str, str], why: MillstreamError) -> MillstreamError:
    """Say that a table stays as it is because of one it is computed from, naming the way down to what went wrong."""
    by = waits[table]
    if by in waits:  # what is said of the one before names the rest of the way
        said, do = why.happened.partition(" stays as it is: it waits for ")[2], why.do
        return why.but(f"table {table!r} stays as it is: it waits for {by!r}, which waits for {said}", do=do)
    said = f"table {table!r} stays as it is: it waits for {by!r}, of which it is computed: {why.happened}"
    return why.but(said, do=f"millstream refresh {by}")
