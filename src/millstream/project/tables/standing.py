"""What a batch broke and a later one did not repair is still broken: an alarm, and what it holds, end with the repair.

A check speaks of the batch that came. Rows that are missing are still missing when the next batch is whole, and false
zeros are still there when no further ones come. So what was found is looked at again until it is repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.checks.words import count
from millstream.definitions.checks import Expected

if TYPE_CHECKING:
    from millstream.checks.scene import Scene
    from millstream.project.root import Project

_CALM = 8
"""Checks for which what was noticed and is gone goes on to be told as gone, so that its alarm can close."""
REPAIRED = "repaired"
"""Key of ``detail`` of a result that says that what an earlier one found is repaired."""


def carry(
    project: Project, scene: Scene, before: Sequence[Mapping[str, Any]], found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what a batch's checks found, with what earlier ones found and nobody repaired.

    Parameters
    ----------
    scene
        What the batch's checks looked at.
    before
        Results of the check before, as they are kept.
    found
        Results of this one.
    """
    now = {_about(each): each for each in found}
    for each in before:
        about = _about(each)
        said = now.get(about)
        if each["check"] == "expected":
            if said is not None:
                now[about] = _missing(scene, each, said)
        elif each["detail"].get("noticed") and (said is None or said["ok"]):
            again = _noticed(project, scene, each)
            if again is not None:
                now[about] = again
    return list(now.values())


def _about(result: Mapping[str, Any]) -> tuple[str, str]:
    return result["check"], result["subject"]


def _missing(scene: Scene, before: Mapping[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Look again at the periods that were short of rows."""
    from millstream.checks.contract import kind, subject
    from millstream.checks.expected import shares

    asked = next(
        each
        for each in scene.table.checks
        if isinstance(each, Expected) and (kind(each), subject(scene.table, each)) == _about(now)
    )
    short = {**before["detail"].get("open", {}), **_short(before)}
    if not short:
        return now
    found = shares(asked, scene, periods=[date.fromisoformat(each) for each in short])
    still = {start: limit for start, limit in short.items() if found[start] is not None and found[start] < limit}
    said = now | {"detail": now["detail"] | {"open": still | _short(now)}}
    if not still and now["ok"] and not before["ok"]:
        return said | {"detail": said["detail"] | {REPAIRED: True}}
    if not still or not now["ok"]:
        return said
    words = f"{count(len(still), 'earlier period')} from {min(still)} still short of rows, as first told"
    return said | {"ok": False, "failed_rows": before["failed_rows"], "says": f"{now['says']}; {words}"}


def _short(result: Mapping[str, Any]) -> dict[str, float]:
    return {each["start"]: each["limit"] for each in result["detail"].get("periods", []) if not each["ok"]}


def _noticed(project: Project, scene: Scene, before: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say again what was noticed: while rows it set aside are not corrected, then for some checks that it is over."""
    left = _set_aside(project, scene, before) if not before["ok"] or before["detail"].get("left") else 0
    subject = before["subject"]
    if left:
        first = before["detail"].get("first", before["says"])
        says = f"{first} {count(left, 'row')} set aside and not corrected yet"
        return dict(before) | {"ok": False, "says": says, "detail": {**before["detail"], "first": first, "left": left}}
    calm = before["detail"].get("calm", 0) + 1
    if calm > _CALM:
        return None
    repaired = bool(before["detail"].get("left")) or before["detail"].get(REPAIRED, False)
    detail = {"noticed": True, "calm": calm} | ({REPAIRED: True} if repaired else {})
    says = f"{subject}: {'what was set aside is corrected' if repaired else 'not so any more'}"
    return dict(before) | {"ok": True, "failed_rows": 0, "share": None, "says": says, "rows": (), "detail": detail}


def _set_aside(project: Project, scene: Scene, before: Mapping[str, Any]) -> int:
    """Count the rows that this check set aside and nobody has corrected."""
    import polars as pl

    table, key = scene.table, list(scene.table.key)
    if not key:
        return 0
    masked = project.lake.quarantined(table.name, scene.batch.version)
    mine = masked.filter(pl.col("check") == f"{before['check']} {before['subject']}").select(key).unique()
    if not mine.height:
        return 0
    return mine.join(project.lake.read(table.name, columns=key).frame.select(key), on=key, how="anti").height


def plain(results: Sequence[Any]) -> list[dict[str, Any]]:
    """Return results as they are kept."""
    return [msgspec.to_builtins(each) for each in results]
