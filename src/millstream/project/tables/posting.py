"""Posted facts: typed, checked and safe before they are acknowledged, served at once, in the lake by batches."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.definitions.checks import Between, Holds
from millstream.definitions.sources import Posted as PostedSource
from millstream.errors import MillstreamError, UserError
from millstream.lake.faults import reach
from millstream.state import posted, versions
from millstream.state.posted import Posted

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.features.online.live import CaughtUp
    from millstream.lake.frame import TableFrame
    from millstream.project.root import Project

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
    from millstream.lake.ingest import posted as lake

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
    from millstream.project.answering.serving_state import found_again
    from millstream.project.models.ship import live_plans
    from millstream.project.tables.data import keep_served

    found_again(project)
    done = project.live.catch_up(live_plans(project), now=project.clock.now())
    if done.behind:
        keep_served(project)
        done = project.live.catch_up(live_plans(project), now=project.clock.now())
    return done


def seal(project: Project) -> None:
    """Write posted rows where the next refresh takes them in."""
    from millstream.lake.ingest import posted as lake

    for name, (_, waiting) in posted.counts(project.state).items():
        if waiting and name in project.manifest.tables:
            lake.seal(project.lake.catalog, project.manifest.table(name))


def forget(project: Project) -> None:
    """Let go of rows in the journal that a version has and everything served reflects."""
    from millstream.features.online.live import by_table
    from millstream.lake.ingest import posted as lake
    from millstream.project.models.ship import live_plans

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


def _first_version(project: Project, table: Table) -> None:
    """Have a table of posted rows begin with a version that has none."""
    if versions.head(project.state, table.name) is None:
        if not isinstance(table.source, PostedSource):
            from millstream.lake.ingest.posted import refuse_before_first

            refuse_before_first(project.lake.catalog, table)
        project.lake.refresh([table.name], actor="system:posted")


def put_aside(project: Project, table: Table, rows: TableFrame) -> dict[int, tuple[str, str]]:
    """Run the checks that look at one row alone; return check and reason of each row they put aside."""
    from millstream.checks import run
    from millstream.project.tables.data import any_table

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
