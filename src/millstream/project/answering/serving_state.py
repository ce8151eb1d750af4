"""What is served: each view's entities and bytes, what it reflects, and what a refresh would compute again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from millstream.errors import Unavailable
from millstream.features.online import layout
from millstream.project.answering.waits import oldest
from millstream.state import posted
from millstream.types import Pins, from_micros, to_micros

if TYPE_CHECKING:
    from millstream.features.online.store import OnlineStore
    from millstream.features.plan import FeaturePlan
    from millstream.project.root import Project

_measured: dict[tuple[str, str], tuple[object, int, int]] = {}


def stands(project: Project) -> list[dict[str, Any]]:
    """Say of each served view what it keeps, which facts it reflects, and how many wait for how long."""
    if not project.served:
        return []
    try:
        applied = project.writer.applied()
    except Unavailable as wrong:
        return [{"view": "", "stopped": wrong.happened}]
    held = project.live.sizes()
    found = []
    for view, each in applied.items():
        table = next(iter(each.versions), "")
        entities, size = _size(project.online, str(project.places.online), view, each)
        rows, held_bytes = held.get(table, (0, 0))
        waiting = max(posted.last(project.state, table) - each.posted, 0)
        found.append(
            {
                "view": each.name or view,
                "table": table,
                "version": each.versions.get(table),
                "posted": each.posted,
                "waiting": waiting,
                "waiting_seconds": oldest(project, table, after=each.posted) if waiting else None,
                "usable_seconds": project.waits.usable(table),
                "entities": entities,
                "bytes": size,
                "facts_held": rows,
                "facts_bytes": held_bytes,
                "applied_at": from_micros(each.at_us).isoformat() if each.at_us else None,
                "until": from_micros(each.until_us).isoformat() if each.until_us is not None else None,
                "stopped": each.stopped,
            }
        )
    return sorted(found, key=lambda each: str(each["view"]))


def planned(project: Project, plans: Iterable[FeaturePlan], pins: Pins) -> list[dict[str, str]]:
    """Say which views would be computed again or removed, and why."""
    return [{"view": view, "does": does, "why": why} for view, does, why in project.live.plan(list(plans), pins=pins)]


def announce(project: Project, plans: Iterable[FeaturePlan], pins: Pins) -> None:
    """Say what is rebuilt before it is; silent where nothing was served, or only versions moved."""
    for each in rebuilt(project, plans, pins):
        project.said(f"served features: {each}")


def rebuilt(project: Project, plans: Iterable[FeaturePlan], pins: Pins, *, new: bool = False) -> list[str]:
    """Say what would be computed again or removed because definitions changed; with ``new`` what is served first too.

    Nothing where nothing was served, nor where what is served cannot be read: then all of it is computed.
    """
    if not project.served:
        return []
    try:
        found = planned(project, plans, pins)
    except Unavailable:
        return []
    return [
        f"{'computes' if each['does'] == 'compute' else 'removes'} {each['view']}: {each['why']}"
        for each in found
        if each["does"] == "remove" or "definition" in each["why"] or (new and "not served yet" in each["why"])
    ]


def found_again(project: Project) -> None:
    """Open the store anew where its file is gone or damaged: what is written next is written where it can be read.

    Only the one writer calls it. A damaged file is taken away, since all of it follows from the lake and the journal.
    """
    from millstream.features.online.store import Damaged, discard

    try:
        if not project.online.lost:
            project.writer.applied()
            return
        told = project.online.reopen()
    except Damaged as wrong:
        told = wrong.happened
        discard(project.places.online)
        project.online.reopen()
    if told:
        project.said(f"served features are damaged ({told}); they are computed again from the lake and the journal")
        project.ledger.record(actor="system:online", act="online.damaged", subject="online", detail={"says": told})


def has_to_be_kept(project: Project, ahead: timedelta) -> bool:
    """Say whether served features were lost, or will soon hold no more, although no table moved."""
    from millstream.project.models.ship import live_plans

    wanted = {each.id for plan in live_plans(project) for each in plan.served}
    if not wanted:
        return False
    found_again(project)
    found = project.writer.applied()
    if wanted - found.keys():
        project.said("served features were lost; they are computed again from the lake and the journal")
        return True
    soon = to_micros(project.clock.now() + ahead / 2)
    return any(each.until_us is not None and each.until_us <= soon and not each.stopped for each in found.values())


def _size(store: OnlineStore, folder: str, view: str, applied: layout.Applied) -> tuple[int, int]:
    """Count entities and bytes of a view; counted once as long as nothing of it is written."""
    kept = _measured.get((folder, view))
    if kept is None or kept[0] != applied:
        keys = store.keys(layout.view_prefix(view))
        with store.snapshot() as seen:
            size = sum(len(key) + len(seen.get(key) or b"") for key in keys)
        kept = _measured[folder, view] = (applied, len(keys), size)
    return kept[1], kept[2]
