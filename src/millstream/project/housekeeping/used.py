"""Usage: what each table holds, who read it last, what rests on it; what nobody reads and nothing uses is named."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.errors import UserError
from millstream.ledger.reads import READ
from millstream.project.housekeeping.holders import holders
from millstream.project.housekeeping.quota import bytes_of, lake_bytes, stands
from millstream.project.housekeeping.unread import unread
from millstream.project.people import ALL
from millstream.state import housekeeping, versions
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.project.root import Project

_WHOLE = {"profile", "suggest"}
"""Reads of everything there is."""
_RECENT = 100_000
"""Newest reads that are looked at."""
_SHOWN = 6
_PREP = ("seconds", "computed", "kept", "saved_s")


def usage(project: Project, *, days: int = 90, actor: str = "somebody") -> dict[str, Any]:
    """Say of each table how much it holds, when it was last read and by whom, and what uses it.

    Parameters
    ----------
    days
        A table, column or feature that nobody read for so long and that nothing uses is marked.

    Returns
    -------
    dict
        ``tables`` (``unread`` are columns), ``features`` that no model uses, ``folders`` (releases, artifacts, log,
        cache ...), ``backups`` that the ledger knows, ``quota``; ``prep``: how often rows to learn from and
        features were made in that time, the seconds from tables to them, and those that kept features saved.
    """
    if days < 1:
        raise UserError(f"{days} days is no time", expected="1 or more")
    since = project.clock.now() - timedelta(days=days)
    read, columns = _reads(project, since)
    held = holders(project)
    users = _users(project)
    idle_columns, features = unread(project, columns)
    tables = []
    for name in versions.heads(project.state):
        last = read.get(name)
        rests = sorted({who for (table, _), names in held.items() if table == name for who in names if _counts(who)})
        uses = [*users.get(name, []), *rests[:_SHOWN]]
        history = versions.history(project.state, name)
        fresh = parse_instant(history[0].registered_at) > since
        idle = not uses and not fresh and (last is None or parse_instant(last["at"]) < since)
        own = history[-1].kind == "own"
        tables.append(
            {
                "table": name,
                "kind": history[-1].kind,
                "versions": len(history),
                "gone": len(housekeeping.gone(project.state, name)),
                **_sizes(project, name, history[-1].version),
                "last_read": last,
                "uses": uses,
                "unused": idle and not own,
                "unread": [] if fresh or (idle and not own) else idle_columns.get(name, []),
            }
        )
    return {
        "days": days,
        "tables": tables,
        "features": features,
        "folders": _folders(project),
        "backups": _backups(project),
        "prep": _prep(project, since),
        "quota": stands(project),
        "lake_bytes": sum(lake_bytes(project.places.lake).values()),
    }


def _counts(who: str) -> bool:
    """Say whether what names a version is a use of it, and not only that it is the newest, here or further down."""
    return not any(each in who for each in ("the newest version", "its last check"))


def _sizes(project: Project, name: str, head: int) -> dict[str, int]:
    """Count files and bytes of the newest version, and of those that only earlier versions have."""
    newest = older = files = older_files = 0
    lost = set(housekeeping.gone(project.state, name))
    kept = [each.version for each in versions.history(project.state, name) if each.version not in lost]
    for file, until in versions.all_files(project.state, name):
        if until is None:
            newest, files = newest + file.size, files + 1
        elif (place := bisect_left(kept, file.since)) < len(kept) and kept[place] < until:
            older, older_files = older + file.size, older_files + 1
    return {"files": files, "bytes": newest, "older_files": older_files, "older_bytes": older}


def _reads(project: Project, since: datetime) -> tuple[dict[str, dict[str, str]], dict[str, set[str]]]:
    """Return of each table who read it last, and the columns that were read from an instant on, as the ledger tells.

    A profile looks at every column, whoever needs it, so it is no read of one.
    """
    last: dict[str, dict[str, str]] = {}
    columns: dict[str, set[str]] = defaultdict(set)
    for row in project.ledger.rows(acts=(READ, "model.score", "model.register", "model.backtest"), limit=_RECENT):
        pins = row.detail.get("pins", {})
        named = [each.partition("@")[0] for each in row.subject.replace(",", " ").split() if "@" in each]
        for name in [*named, *pins] if row.act in (READ, "model.score") else pins:
            last.setdefault(name, {"at": row.at, "by": row.actor, "act": row.act})
        if row.act == READ and not _WHOLE & row.detail.keys() and parse_instant(row.at) >= since:
            for name in named:
                said = row.detail.get("reads", {}).get(name, ALL)
                columns[name] |= {said} if isinstance(said, str) else set(said)
    return last, columns


def _users(project: Project) -> dict[str, list[str]]:
    """Return what the definitions compute or train from each table."""
    manifest = project.manifest
    found: dict[str, list[str]] = defaultdict(list)
    for table in manifest.tables.values():
        for each in table.of:
            found[each].append(f"table {table.name}")
    for view in manifest.views.values():
        if isinstance(view.of, str):
            found[view.of].append(f"view {view.name}")
    for name in manifest.models:
        found[manifest.model(name).rows.of].append(f"model {name}")
    return found


def _folders(project: Project) -> dict[str, int]:
    places = project.places
    named = {
        "lake": places.lake,
        "copies of pinned files": places.lake / ".pins",
        "releases": places.releases,
        "artifacts": places.artifacts,
        "answers not sealed yet": places.log,
        "served features": places.online,
        "logs of steps": places.state / "steps",
        "cache": places.cache,
        "environments": places.state / "env",
    }
    found = {name: bytes_of(folder.rglob("*")) for name, folder in named.items() if folder.is_dir()}
    found["databases"] = bytes_of(places.state.glob("*.db*"))
    return {name: size for name, size in found.items() if size}


def _prep(project: Project, since: datetime) -> dict[str, float]:
    """Add up what it took to get from tables to rows to learn from, as the ledger tells."""
    rows = project.ledger.rows(acts=(READ,), limit=_RECENT)
    found = [row.detail["prep"] for row in rows if "prep" in row.detail and parse_instant(row.at) >= since]
    return {"times": len(found), **{name: sum(each[name] for each in found) for name in _PREP}}


def _backups(project: Project) -> list[dict[str, Any]]:
    """Return the folders of backups that the ledger names, the newest first, and whether they are there now."""
    found: dict[str, dict[str, Any]] = {}
    for row in project.ledger.rows(acts=("project.backup",), limit=1000):
        found.setdefault(row.subject, {"folder": row.subject, "at": row.at, "there": Path(row.subject).is_dir()})
    return list(found.values())
