"""Posted facts: typed, checked and safe before they are acknowledged, served at once, in the lake by batches."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.definitions.checks import Between, Holds
from millstream.definitions.sources import Posted as PostedSource
from millstream.errors import MillstreamError, UserError
from millstream.lake.faults import reach
from millstream.state import posted, quarantine, versions
from millstream.state.posted import Posted

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.features.online import layout
    from millstream.features.online.live import CaughtUp, Fresh, Reading
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project

Range = tuple[datetime | None, datetime | None]
MOST = 10_000
"""Rows of one request, at most."""


def post(project: Project, *, table: str, rows: list[Any]) -> dict[str, Any]:
    """Take rows into a table; when this returns, they survive whatever happens to the process and the machine.

    Parameters
    ----------
    project
        The project.
    table
        A table that is ingested, with a key.
    rows
        One object a row, with each column its source delivers.

    Returns
    -------
    dict
        ``accepted`` rows are new, ``repeated`` ones were here and change nothing; ``sequence`` is the number of the
        last row. ``quarantined`` names rows that a check puts aside, ``future`` counts those that have not happened.

    Raises
    ------
    UserError
        For no rows, or more than 10,000.
    BadData
        Naming row and column; nothing of the request is taken.
    Refused, NotFound
        For a table that takes no posted rows, and why.
    StorageFull
        When the disk refuses; nothing is acknowledged.
    """
    if not 0 < len(rows) <= MOST:
        raise UserError(f"{len(rows):,} rows were posted", expected=f"between 1 and {MOST:,} rows in a request")
    from millstream.lake import posted as lake

    definition, now = project.manifest.table(table), project.clock.now()
    kinds = lake.kinds_of(project.lake.catalog, definition)
    _first_version(project, definition)
    admitted = lake.admit(rows, kinds, definition, now=now)
    raw = lake.frame_of(admitted, kinds)
    catalog = project.lake.catalog
    try:
        frame = lake.shaped(catalog, definition, raw, version=0)
    except MillstreamError as wrong:
        raise lake.first_wrong(catalog, definition, raw, wrong) from None
    aside = put_aside(project, definition, frame)
    kept = [
        Posted(
            lake.mark_of(row, definition), msgspec.json.encode(row), now.isoformat(), ": ".join(aside.get(place, ()))
        )
        for place, row in enumerate(admitted)
    ]
    with project.state.transact() as tx:
        numbers = posted.add(tx, table, kept)
    reach("posted.kept")
    project.posted.set()
    future = 0
    if definition.event_time is not None:
        future = int((frame.frame[definition.event_time] > now).sum())
    return {
        "table": table,
        "accepted": sum(each > 0 for each in numbers),
        "repeated": sum(each < 0 for each in numbers),
        "sequence": max(map(abs, numbers)),
        "quarantined": [{"row": place, "check": check, "reason": why} for place, (check, why) in aside.items()],
        "future": future,
    }


def catch_up(project: Project) -> CaughtUp:
    """Bring posted facts into what is served; what is not served as it should be is refreshed first."""
    from millstream.project.data import keep_served
    from millstream.project.serving_state import found_again
    from millstream.project.ship import live_plans

    found_again(project)
    done = project.live.catch_up(live_plans(project), now=project.clock.now())
    if done.behind:
        keep_served(project)
        done = project.live.catch_up(live_plans(project), now=project.clock.now())
    return done


def seal(project: Project) -> None:
    """Write posted rows where the next refresh takes them in."""
    from millstream.lake import posted as lake

    for name, (_, waiting) in posted.counts(project.state).items():
        if waiting and name in project.manifest.tables:
            lake.seal(project.lake.catalog, project.manifest.table(name))


def forget(project: Project) -> None:
    """Let go of rows in the journal that a version has and everything served reflects."""
    from millstream.features.online.live import by_table
    from millstream.lake import posted as lake
    from millstream.project.ship import live_plans

    waiting = {name: count for name, (_, count) in posted.counts(project.state).items() if count}
    if not waiting:
        return
    views, applied = by_table(live_plans(project)), project.writer.applied() if project.served else {}
    for name in waiting:
        head = versions.head(project.state, name)
        if head is None:
            continue
        upto = lake.contained(project.state, name, head.version)
        mine = [applied[each.id].posted for each in views.get(name, []) if each.id in applied]
        with project.state.transact() as tx:
            posted.forget(tx, name, upto=min([upto, *mine]))


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
        from millstream.lake import posted as lake

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
        from millstream.lake import posted as lake

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
        from millstream.lake import posted as lake

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


def read_for(project: Project, table: str, *, version: int, between: Range | None) -> TableFrame:
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


def _first_version(project: Project, table: Table) -> None:
    """Have a table of posted rows begin with a version that has none."""
    if versions.head(project.state, table.name) is None:
        if not isinstance(table.source, PostedSource):
            from millstream.lake.posted import refuse_before_first

            refuse_before_first(project.lake.catalog, table)
        project.lake.refresh([table.name], actor="system:posted")


def put_aside(project: Project, table: Table, rows: TableFrame) -> dict[int, tuple[str, str]]:
    """Run the checks that look at one row alone; return check and reason of each row they put aside."""
    from millstream.checks import run
    from millstream.project.data import any_table

    alone = tuple(each for each in table.checks if isinstance(each, Between | Holds))
    if not alone:
        return {}
    made = run(
        dataclasses.replace(table, checks=alone),
        rows,
        known_keys=None,
        other=any_table(project),
        now=project.clock.now(),
        timezone=project.settings.timezone,
    ).quarantine
    if not made.height:
        return {}
    found = rows.frame.select(table.key).with_row_index("__row").join(made, on=table.key, nulls_equal=True)
    return {each["__row"]: (each["check"], each["reason"]) for each in found.iter_rows(named=True)}
