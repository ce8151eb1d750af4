"""What features are served from: the facts of tables at their versions, and those that were posted since."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING

from millstream.state import posted, quarantine
from millstream.state.posted import Posted

if TYPE_CHECKING:
    from millstream.features.online import layout
    from millstream.features.online.live import Fresh, Reading
    from millstream.lake.files import Between
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project


class LakeFacts:
    """Facts of a project: tables at their versions, and what was posted since.

    Parameters
    ----------
    project
        The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def read(self, table: str, since: datetime | None, until: datetime | None, version: int) -> Reading:
        """Read a table at a version, and the rows posted since that it does not have."""
        import polars as pl

        from millstream.features.online.live import Reading
        from millstream.lake.ingest import posted as lake

        project = self._project
        masked = quarantine.latest(project.state, table)
        rows = read_for(project, table, version=version, between=None if since is None else (since, until))
        after = lake.contained(project.state, table, version) if posted.last(project.state, table) else 0
        kept = posted.waiting(project.state, table, after=after)
        if kept and kept[0].sequence != after + 1:
            raise LookupError(table)
        fresh = self._rows(table, kept)
        if fresh is None:
            return Reading(rows, after, masked)
        mine = fresh.rows.select(rows.frame.columns)
        frame = pl.concat([rows.frame, mine])
        if fresh.aside.height:
            frame = frame.join(fresh.aside, on=rows.key, how="anti", maintain_order="left")
        return Reading(dataclasses.replace(rows, frame=frame), fresh.posted, masked)

    def fresh(self, table: str, *, after: int, limit: int) -> Fresh | None:
        """Return rows posted after a number; see ``features.online.live.Facts``."""
        state = self._project.state
        kept = posted.waiting(state, table, after=after, limit=limit)
        missing = kept[0].sequence != after + 1 if kept else posted.last(state, table) > after
        if missing:
            raise LookupError(table)
        return self._rows(table, kept)

    def same(self, table: str, applied: layout.Applied, version: int) -> bool:
        """Say whether a version holds nothing but what is applied already."""
        from millstream.lake.ingest import posted as lake

        state, was = self._project.state, applied.versions[table]
        if applied.masked != quarantine.latest(state, table) or applied.stopped:
            return False
        if was == version:
            return True
        if was > version or not posted.last(state, table):
            return False
        only = lake.only_posted(state, table, since=was, version=version)
        return only and lake.contained(state, table, version) <= applied.posted

    def _rows(self, table: str, kept: list[Posted]) -> Fresh | None:
        from millstream.features.online.live import Fresh
        from millstream.lake.ingest import posted as lake

        if not kept:
            return None
        catalog, definition = self._project.lake.catalog, self._project.manifest.table(table)
        kinds = lake.kinds_of(catalog, definition)
        raw = lake.frame_of(lake.read_back(kept, kinds), kinds)
        rows = lake.shaped(catalog, definition, raw, version=0).frame
        good = [not each.aside for each in kept]
        return Fresh(
            rows.filter(good), rows.filter([not each for each in good]).select(definition.key), kept[-1].sequence
        )


def read_for(project: Project, table: str, *, version: int, between: Between | None) -> TableFrame:
    """Read what windows over a range of events see at a version: its rows, and what corrects these.

    A revision may have moved an event out of the range, and then takes the fact along. One that became known within
    the range comes along too: a row that it corrects may still be on its way. A revision that is known from its event
    on corrects nothing of the range, so rows of a table in which all are need no more than the range.

    Returns
    -------
    TableFrame
        In the order in which the lake gives them, which decides between beliefs known at one instant.
    """
    definition, rows = project.manifest.table(table), project.lake.read(table, version=version, between=between)
    event = rows.event_time
    corrected = definition.known_at or definition.history or definition.of
    if between is None or event is None or not rows.key or not corrected:
        return rows
    import polars as pl

    from millstream.lake.files import inside

    whole = project.lake.read(table, version=version)
    since = between[0]
    moved = whole.frame.filter(~inside(event, between)).select(rows.key).unique()
    mine = rows.frame.select(rows.key).join(moved, on=rows.key, how="semi").unique()
    told = [] if since is None else [pl.col(each) >= since for each in dict.fromkeys(rows.known.values())]
    wanted = pl.any_horizontal(inside(event, between), pl.col("__mine").is_not_null(), *told)
    beside = whole.frame.join(
        mine.with_columns(pl.lit(True).alias("__mine")), on=rows.key, how="left", maintain_order="left"
    )
    return dataclasses.replace(rows, frame=beside.filter(wanted.fill_null(False)).drop("__mine"))
