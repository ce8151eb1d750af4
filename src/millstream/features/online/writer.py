"""Keep the online store current: compute step functions from the lake, write what changed in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

import msgspec

from millstream.errors import Conflict
from millstream.features.engine import FeatureEngine
from millstream.features.facts import FOREVER
from millstream.features.join import PolarsEngine
from millstream.features.online import layout
from millstream.features.online.stock import Stock, stocks
from millstream.features.online.store import Change, Damaged, OnlineStore
from millstream.features.plan import TARGET, FeaturePlan, ViewPlan
from millstream.features.seasonal import seasonal_steps
from millstream.features.steps import packed
from millstream.lake.frame import TableFrame
from millstream.types import Pins, to_micros

GRACE = timedelta(minutes=10)
"""Steps begin this long before a refresh, so that requests in flight meanwhile are answered as of their own instant."""

Read = Callable[[str, datetime | None], TableFrame]
"""Reads a table at its pinned version: every row whose event time is not before the instant (None: every row), and
every other row of the same keys, so that a correction that moves an event takes it along."""


class Refreshed(msgspec.Struct, frozen=True):
    """What a refresh did.

    Parameters
    ----------
    views
        Names of the views that were computed; the others reflected the same table versions already.
    written, dropped, unchanged
        Entities.
    bytes
        Size of what was written.
    """

    views: tuple[str, ...]
    written: int
    dropped: int
    unchanged: int
    bytes: int


class Writer:
    """The one writer of a project's online store.

    Parameters
    ----------
    store
        Where to write.
    engine
        Who computes features; the embedded one unless said.
    bound_bytes
        Most that one view may take; a larger one is refused by name.
    """

    def __init__(
        self, store: OnlineStore, engine: FeatureEngine | None = None, *, bound_bytes: int = 512 << 20
    ) -> None:
        self._store = store
        self._engine: FeatureEngine = engine or PolarsEngine()
        self._bound_bytes = bound_bytes

    def refresh(
        self,
        plans: Iterable[FeaturePlan],
        read: Read,
        *,
        pins: Pins,
        now: datetime,
        ahead: timedelta | None = None,
        seen: Mapping[str, tuple[int, int]] | None = None,
        again: Collection[str] = (),
    ) -> Refreshed:
        """Bring the store to these table versions.

        Parameters
        ----------
        plans
            Plans of every release that may answer. Views no plan names are removed from the store.
        read
            How rows are read.
        pins
            The version of every table that the plans read.
        now
            The present instant: steps hold from shortly before it.
        ahead
            How far past ``now`` they must hold; None for good. A read later than that is refused rather than wrong,
            and ``read`` may leave out facts of later events.
        seen
            Filled by ``read``: table to the number of the last posted row it gave, and of what was masked.
        again
            Ids of views that are computed although their table versions did not change.

        Raises
        ------
        Refused
            When a view would take more than the bound.
        Conflict
            When ``read`` gives another version than the pinned one.

        Notes
        -----
        A view whose table versions did not change is left alone: time passing changes no step. Values and versions
        are written in one transaction. Cost: reads each changed table once, back to its views' longest window.
        """
        wanted = list(plans)
        views: list[ViewPlan | Stock] = [*_distinct(wanted), *stocks(wanted)]
        rules = {each.seasonal.view.id: each for each in wanted if each.seasonal is not None}
        applied = self.applied()
        half = None if ahead is None else to_micros(now + ahead / 2)
        until = None if ahead is None else to_micros(now + ahead)
        stale = [each for each in views if each.id in again or not _reflects(applied.get(each.id), each, pins, half)]
        since = now - GRACE
        changes: dict[bytes, bytes | None] = {}
        unchanged = 0
        for table in dict.fromkeys(view.table for view in stale):
            of_table = [view for view in stale if view.table == table]
            rows = _read(read, table, of_table, since=since, version=pins[table])
            for view in of_table:
                found = self.packed(view, rows, span=(to_micros(since), until), rule=rules.get(view.id))
                unchanged += self._compare(view, found, changes=changes, rule=view.id in rules)
        current = {view.id: applied[view.id] for view in views if view not in stale}
        for view in stale:
            posted, masked = (seen or {}).get(view.table, (0, 0))
            current[view.id] = layout.Applied(
                {view.table: pins[view.table]},
                to_micros(since),
                until,
                posted=posted,
                masked=masked,
                at_us=to_micros(now),
                name=view.name,
            )
        for gone in applied.keys() - current.keys():
            changes |= dict.fromkeys(self._store.keys(layout.view_prefix(gone)))
        written = [each for each in changes.values() if each is not None]
        if stale or changes or current.keys() != applied.keys():
            self._store.commit([*sorted(changes.items(), key=itemgetter(0)), _record(current)])
        return Refreshed(
            views=tuple(view.name for view in stale),
            written=len(written),
            dropped=len(changes) - len(written),
            unchanged=unchanged,
            bytes=sum(map(len, written)),
        )

    def plan(
        self, plans: Iterable[FeaturePlan], *, pins: Pins, again: Collection[str] = (), same: Collection[str] = ()
    ) -> list[tuple[str, str, str]]:
        """Say of each view what a refresh would do and why, without doing it.

        Parameters
        ----------
        again, same
            Ids of the views that are computed whatever version they reflect, and of those that are not.

        Returns
        -------
        list
            Name, ``compute`` or ``remove``, and the reason; a view that stays as it is, is not named.
        """
        wanted = list(plans)
        views: list[ViewPlan | Stock] = [*_distinct(wanted), *stocks(wanted)]
        applied, said = self.applied(), []
        for view in views:
            was = applied.get(view.id)
            if was is None:
                had = any(each.name == view.name for each in applied.values())
                said.append((view.name, "compute", "its definition changed" if had else "it is not served yet"))
            elif view.id not in same and (
                view.id in again or was.stopped or was.versions != {view.table: pins[view.table]}
            ):
                since = ", ".join(f"{table}@{version}" for table, version in was.versions.items())
                said.append((view.name, "compute", f"{view.table}@{pins[view.table]} came after {since}"))
        current = {view.id for view in views}
        said += [
            (each.name or view, "remove", "no release uses it") for view, each in applied.items() if view not in current
        ]
        return said

    def applied(self) -> dict[str, layout.Applied]:
        """Return what each view in the store reflects, by the view's id."""
        with self._store.snapshot() as snapshot:
            record = snapshot.get(layout.APPLIED)
            try:
                return {} if record is None else msgspec.json.decode(bytes(record), type=dict[str, layout.Applied])
            except msgspec.MsgspecError as wrong:
                raise Damaged(
                    f"what served features reflect cannot be read: {wrong}",
                    expected="a store that nobody else wrote into",
                    do="nothing while millstream up runs, which computes it again; else millstream check",
                ) from None

    def amend(self, changes: Mapping[bytes, bytes | None], applied: Mapping[str, layout.Applied]) -> None:
        """Write entities that changed together with what each view then reflects."""
        self._store.commit([*sorted(changes.items(), key=itemgetter(0)), _record(dict(applied))])

    def packed(
        self, view: ViewPlan | Stock, rows: TableFrame, *, span: tuple[int, int | None], rule: FeaturePlan | None = None
    ) -> Iterable[tuple[bytes, bytes]]:
        """Compute key and value of each entity of a view, of a stock, or of the simple rule of a plan."""
        since, until = span
        bound, end = self._bound_bytes, FOREVER if until is None else until
        if isinstance(view, Stock):
            return view.packed(self._engine, rows, span=(since, end), bound_bytes=bound)
        if rule is not None:
            return seasonal_steps(rule, rows, since=since, until=end, bound_bytes=bound)
        return packed(view, self._engine.changes(view, rows, span=(since, end), bound_bytes=bound))

    def _compare(
        self,
        view: ViewPlan | Stock,
        found: Iterable[tuple[bytes, bytes]],
        *,
        changes: dict[bytes, bytes | None],
        rule: bool,
    ) -> int:
        """Collect what differs from the store; return how many entities do not."""
        gone = set(self._store.keys(layout.view_prefix(view.id)))
        if not gone:  # back-filling
            changes.update(found)
            return 0
        unchanged = 0
        with self._store.snapshot() as snapshot:
            for key, value in found:
                gone.discard(key)
                old = snapshot.get(key)
                if old is not None and (
                    bytes(old) == value
                    if rule or isinstance(view, Stock) or view.at == TARGET
                    else layout.covers(old, value, len(view.features))
                ):
                    unchanged += 1
                else:
                    changes[key] = value
        changes |= dict.fromkeys(gone)
        return unchanged


def _distinct(plans: Iterable[FeaturePlan]) -> list[ViewPlan]:
    """Return each view once, whatever roles it plays."""
    views: dict[str, ViewPlan] = {}
    for plan in plans:
        for view in plan.served:
            views.setdefault(view.id, view)
    return list(views.values())


def _reflects(applied: layout.Applied | None, view: ViewPlan | Stock, pins: Pins, needed_us: int | None) -> bool:
    """Say whether stored steps are of these versions, and hold as far as they are needed."""
    if applied is None or applied.stopped or applied.versions != {view.table: pins[view.table]}:
        return False
    return applied.until_us is None or (needed_us is not None and applied.until_us > needed_us)


def _read(read: Read, table: str, views: Sequence[ViewPlan | Stock], *, since: datetime, version: int) -> TableFrame:
    """Read a table once, back to the longest window of its views."""
    horizons = [view.horizon_us for view in views]
    known = [each for each in horizons if each is not None]
    back_to = since - timedelta(microseconds=max(known)) if len(known) == len(horizons) else None
    rows = read(table, back_to)
    if rows.version != version:
        raise Conflict(
            f"table {table!r} was read at version {rows.version}, not at {version}",
            expected="one pinned version for all that a refresh reads",
        )
    return rows


def _record(applied: dict[str, layout.Applied]) -> Change:
    return layout.APPLIED, msgspec.json.encode(applied)
