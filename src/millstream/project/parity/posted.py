"""Rows that were posted to a table, as what is served reflected them before a version had them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from millstream.errors import NotFound
from millstream.state import posted, versions

if TYPE_CHECKING:
    import polars as pl

    from millstream.definitions.table import Table
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project


def with_posted(project: Project, base: TableFrame, upto: int) -> TableFrame:
    """Add to the rows of a version those that were posted since, up to a number.

    They are in the journal, or in the versions that took them in since.

    Raises
    ------
    NotFound
        When they cannot be told any more from other rows that came with them.
    """
    import polars as pl

    from millstream.lake import posted as lake

    after = lake.contained(project.state, base.table, base.version)
    if upto <= after:
        return base
    definition = project.manifest.table(base.table)
    taken, sealed = _taken_in(project, base, after)
    rows = [] if taken is None else [taken.select(base.frame.columns)[: upto - after]]
    missing = upto - max(sealed, after)
    if missing > 0:
        rows.append(_of_journal(project, definition, max(sealed, after), missing).select(base.frame.columns))
    fresh = pl.concat(rows)
    frame = pl.concat([base.frame, fresh])
    aside = _aside(project, definition, dataclasses.replace(base, frame=fresh))
    if aside.height:
        frame = frame.join(aside, on=base.key, how="anti", maintain_order="left", nulls_equal=True)
    return dataclasses.replace(base, frame=frame)


def _taken_in(project: Project, base: TableFrame, after: int) -> tuple[pl.DataFrame | None, int]:
    """Return the posted rows that later versions have, in order, and the number of the last."""
    from millstream.lake import posted as lake

    head = versions.head(project.state, base.table)
    newest = base.version if head is None else head.version
    sealed = lake.contained(project.state, base.table, newest)
    if sealed <= after:
        return None, after
    found = project.lake.added(base.table, since=base.version, version=newest).frame
    if found.height != sealed - after or not lake.only_posted(
        project.state, base.table, since=base.version, version=newest
    ):
        raise NotFound(
            f"rows posted to {base.table} after version {base.version} came with others, and cannot be told apart",
            expected="versions that hold posted rows alone",
        )
    return found, sealed


def _of_journal(project: Project, definition: Table, after: int, count: int) -> pl.DataFrame:
    from millstream.lake import posted as lake

    kept = posted.waiting(project.state, definition.name, after=after, limit=count)
    if len(kept) != count or kept[0].sequence != after + 1:
        raise NotFound(
            f"rows {after + 1} to {after + count} posted to {definition.name} are in no version and no journal"
        )
    kinds = lake.kinds_of(project.lake.catalog, definition)
    raw = lake.frame_of(lake.read_back(kept, kinds), kinds)
    return lake.shaped(project.lake.catalog, definition, raw, version=0).frame


def _aside(project: Project, definition: Table, fresh: TableFrame) -> pl.DataFrame:
    """Return the keys of rows that a check of their own put aside when they were posted."""
    from millstream.project.posting import put_aside

    return fresh.frame[sorted(put_aside(project, definition, fresh))].select(definition.key)
