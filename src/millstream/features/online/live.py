"""Served features, current fact by fact: what a posted fact changes is computed again from the facts of its entities.

There is one way to compute a feature. A refresh asks it about everybody; here it is asked about the entities of the
facts that came, and of the facts they correct, from all that is held of them. So what is served after any order of
facts, corrections and late arrivals is what a refresh would have written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec
import polars as pl

from millstream.errors import Refused
from millstream.features.online import layout
from millstream.features.online.held import Held, distinct
from millstream.features.online.writer import Refreshed, Writer
from millstream.features.plan import TARGET, FeaturePlan, ViewPlan
from millstream.features.steps import parts
from millstream.lake.faults import reach
from millstream.lake.frame import TableFrame
from millstream.types import Pins, from_micros, to_micros

AT_ONCE = 20_000
"""Facts that are applied in one commit, at most."""


class Reading(NamedTuple):
    """Rows of a table with what was posted since, the number of the last posted row, and what masks some."""

    rows: TableFrame
    posted: int
    masked: int


class Fresh(NamedTuple):
    """Facts that came: rows, the keys that a check of their own put aside, and the number of the last."""

    rows: pl.DataFrame
    aside: pl.DataFrame
    posted: int


class Facts(Protocol):
    """Where facts come from."""

    def read(self, table: str, since: datetime | None, until: datetime | None, version: int) -> Reading:
        """Read a table at a version, as ``writer.Read`` says, and the rows posted since that it does not have.

        Rows whose event is not before ``until`` may be left out.
        """
        ...

    def fresh(self, table: str, *, after: int, limit: int) -> Fresh | None:
        """Return rows posted after a number; None where there are none.

        Raises
        ------
        LookupError
            When some of them are in a version only: what is served has to be refreshed.
        """
        ...

    def same(self, table: str, applied: layout.Applied, version: int) -> bool:
        """Say whether a version holds nothing but what is applied already."""
        ...


class CaughtUp(NamedTuple):
    """What was applied: facts, entities written, and the tables that have to be refreshed first."""

    facts: int
    entities: int
    behind: tuple[str, ...]


class Live:
    """Keeps served features current between refreshes.

    Safe to share between threads; one at a time writes.

    Parameters
    ----------
    writer
        The one writer of the store.
    facts
        Where facts come from.
    bound_bytes
        Most that the facts behind one table's views may take in memory; a table beyond it is refused by name.
    """

    def __init__(self, writer: Writer, facts: Facts, *, bound_bytes: int = 2 << 30) -> None:
        self.lock = threading.RLock()
        self._writer = writer
        self._facts = facts
        self._bound_bytes = bound_bytes
        self._held: dict[str, Held] = {}
        self._too_large: dict[str, tuple[set[int], Refused]] = {}

    def refresh(
        self, plans: Iterable[FeaturePlan], *, pins: Pins, now: datetime, ahead: timedelta | None = None
    ) -> Refreshed:
        """Bring the store to table versions, as ``Writer.refresh`` does, with all that was posted since.

        A view whose facts of these versions were all applied one by one is not computed again.
        """
        wanted = list(plans)
        seen: dict[str, tuple[int, int]] = {}
        planned = {view.table for each in wanted for view in each.served if view.at == TARGET}

        def read(table: str, since: datetime | None) -> TableFrame:
            until = None if ahead is None or table in planned else now + ahead
            found = self._facts.read(table, since, until, pins[table])
            seen[table] = found.posted, found.masked
            self._held.pop(table, None)
            return found.rows

        with self.lock:
            again = self._advance(wanted, pins)
            return self._writer.refresh(wanted, read, pins=pins, now=now, ahead=ahead, seen=seen, again=again)

    def catch_up(self, plans: Iterable[FeaturePlan], *, now: datetime) -> CaughtUp:
        """Apply the facts that came since the last time, each table in one commit.

        A view with target means is left as it is: one fact moves what it says of everybody at the next midnight, so
        it follows the versions of its table, as a whole. What it reflects is said of it as of any other.

        Raises
        ------
        StorageFull
            When the store refuses; nothing of that table was applied, and all of it will be tried again.
        Refused
            When the facts behind a table's views do not fit; other tables were caught up.
        """
        facts = entities = 0
        behind: list[str] = []
        refused: Refused | None = None
        with self.lock:
            applied = self._writer.applied()
            for table, views in by_table(plans).items():
                mine = [each for each in views if each.id in applied]
                if len(mine) < len(views):
                    behind.append(table)
                    continue
                mine = [each for each in mine if not each.of_everybody]
                if not mine:
                    continue
                after = min(applied[each.id].posted for each in mine)
                try:
                    if self._facts.fresh(table, after=after, limit=1) is None:
                        continue
                    held = self._hold(table, mine, applied, after)
                    # what is held already is applied first: it may have been read after facts that came meanwhile
                    limit = held.posted - after if held.posted > after else AT_ONCE
                    fresh = self._facts.fresh(table, after=after, limit=limit)
                except LookupError:
                    behind.append(table)
                    continue
                except Refused as wrong:
                    refused = wrong
                    continue
                if fresh is None:
                    continue
                if fresh.posted > held.posted:
                    held.add(fresh.rows, posted=fresh.posted)
                entities += self._apply(held, fresh, mine, applied, now=now)
                if held.bytes > self._bound_bytes:  # what left its windows goes when it is read again
                    del self._held[table]
                facts += fresh.rows.height + fresh.aside.height
        if refused is not None:
            raise refused
        return CaughtUp(facts, entities, tuple(behind))

    def plan(self, plans: Iterable[FeaturePlan], *, pins: Pins) -> list[tuple[str, str, str]]:
        """Say what ``refresh`` would compute or remove, and why; see ``Writer.plan``."""
        wanted = list(plans)
        applied = self._writer.applied()
        views = [each for some in by_table(wanted).values() for each in some if each.id in applied]
        same = {each.id for each in views if self._facts.same(each.table, applied[each.id], pins[each.table])}
        return self._writer.plan(wanted, pins=pins, again={each.id for each in views} - same, same=same)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return, by table, how many facts are held and their bytes."""
        with self.lock:
            return {table: (each.rows, each.bytes) for table, each in self._held.items()}

    def _advance(self, plans: Iterable[FeaturePlan], pins: Pins) -> set[str]:
        """Note versions whose facts were applied one by one; return the views that have to be computed again."""
        applied = self._writer.applied()
        current, again = dict(applied), set[str]()
        for table, views in by_table(plans).items():
            for view in (each for each in views if each.id in applied):
                was = applied[view.id]
                if self._facts.same(table, was, pins[table]):
                    current[view.id] = msgspec.structs.replace(was, versions={table: pins[table]})
                    if table in self._held:
                        self._held[table].version = pins[table]
                else:
                    again.add(view.id)
        if current != applied:
            self._writer.amend({}, current)
        return again

    def _hold(self, table: str, views: list[ViewPlan], applied: Mapping[str, layout.Applied], after: int) -> Held:
        """Return the facts of a table, read when they are first needed."""
        held = self._held.get(table)
        versions = {applied[each.id].versions[table] for each in views}
        if held is not None and versions == {held.version} and held.posted >= after:
            return held
        if len(versions) != 1:
            raise LookupError(table)
        too_large = self._too_large.get(table)
        if too_large is not None and too_large[0] == versions:  # it is not read again to be refused again
            raise too_large[1]
        since = min(applied[each.id].since_us for each in views)
        horizons = [each.horizon_us for each in views]
        known = [each for each in horizons if each is not None]
        back_to = since - max(known) if len(known) == len(horizons) else None
        ends = [applied[each.id].until_us for each in views if each.at != TARGET]
        ends += [None for each in views if each.at == TARGET]
        found = self._facts.read(
            table,
            None if back_to is None else from_micros(back_to),
            None if None in ends else from_micros(max(each for each in ends if each is not None)),
            next(iter(versions)),
        )
        held = Held(found.rows, posted=found.posted)
        if held.bytes > self._bound_bytes:
            named = ", ".join(each.name for each in views)
            refused = Refused(
                f"the facts behind {named} (table {table}) would take {held.bytes / 1e6:,.0f} MB: {held.rows:,} rows",
                expected=f"at most {self._bound_bytes / 1e6:,.0f} MB a table to keep features current fact by fact",
                do="shorten their windows; until then they follow each version of the table",
            )
            self._too_large[table] = {found.rows.version}, refused
            raise refused
        self._held[table] = held
        return held

    def _apply(
        self, held: Held, fresh: Fresh, views: list[ViewPlan], applied: dict[str, layout.Applied], *, now: datetime
    ) -> int:
        """Compute the entities that facts touch, and write them with the number of the last fact."""
        touched = [fresh.rows]  # and whom the rows of these keys were about before
        touched += [held.about(held.key, each) for each in (fresh.rows, fresh.aside) if held.key and each.height]
        if fresh.aside.height:
            held.leave_out(fresh.aside)
        changes: dict[bytes, bytes | None] = {}
        for view in views:
            was = applied[view.id]
            applied[view.id] = msgspec.structs.replace(was, posted=fresh.posted, at_us=to_micros(now))
            if was.stopped:
                continue
            about = distinct(touched, view.entity)
            if not about.height:
                continue
            try:
                changes |= self._computed(view, held.of(view.entity, about), about, was)
            except Refused as wrong:  # too large to be kept: rather no answer than an old one
                applied[view.id] = msgspec.structs.replace(
                    applied[view.id], until_us=to_micros(now), stopped=wrong.happened
                )
        reach("online.computed")
        self._writer.amend(changes, applied)
        reach("online.applied")
        return len(changes)

    def _computed(
        self, view: ViewPlan, rows: TableFrame, about: pl.DataFrame, was: layout.Applied
    ) -> dict[bytes, bytes | None]:
        prefix = layout.view_prefix(view.id)
        made: dict[bytes, bytes | None] = {layout.key_of(prefix, each): None for each in parts(about)}
        for key, value in self._writer.packed(view, rows, span=(was.since_us, was.until_us)):
            if key in made:
                made[key] = value
        return made


def by_table(plans: Iterable[FeaturePlan]) -> dict[str, list[ViewPlan]]:
    """Return the views of some plans by the table of their facts, each once."""
    found: dict[str, dict[str, ViewPlan]] = {}
    for plan in plans:
        for view in plan.views:
            found.setdefault(view.table, {}).setdefault(view.id, view)
    return {table: list(views.values()) for table, views in found.items()}
