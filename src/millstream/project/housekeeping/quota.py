"""Quota: how many bytes the lake may hold; told at four fifths, and refused beyond."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.errors import MillstreamError, StorageFull
from millstream.project.tables.alarms import Wrong, settle
from millstream.settings import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from millstream.project.root import Project

KIND = "quota"
NEAR = 0.8
_LAKE = "the lake"


def lake_bytes(lake: Path) -> dict[str, int]:
    """Return the bytes of each table's folder of a lake, logs and copies included."""
    if not lake.is_dir():
        return {}
    return {each.name: bytes_of(each.rglob("*")) for each in sorted(lake.iterdir()) if each.is_dir()}


def bytes_of(found: Iterable[Path]) -> int:
    """Add up files; one that goes meanwhile counts nothing."""
    total = 0
    for each in found:
        with contextlib.suppress(FileNotFoundError):
            about = each.lstat()
            total += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return total


def stands(project: Project) -> list[dict[str, Any]]:
    """Say of each limit how much of it is used; nothing where no limit is said."""
    said = project.settings.quota
    limits = [(f"table {name}", name, parse_size(text)) for name, text in said.tables.items() if text]
    if said.lake:
        limits.insert(0, (_LAKE, "", parse_size(said.lake)))
    if not limits:
        return []
    used = lake_bytes(project.places.lake)
    found = []
    for subject, name, size in limits:
        held, limit = used.get(name, 0) if name else sum(used.values()), size or 0
        share = held / limit if limit else 1.0
        found.append(
            {
                "subject": subject,
                "table": name,
                "bytes": held,
                "limit": limit,
                "share": share,
                "near": share >= NEAR,
                "full": held >= limit,
                "says": f"{subject} holds {_said(held)} of {_said(limit)} ({share:.0%})",
            }
        )
    return found


def over_quota(project: Project, asked: Mapping[str, Iterable[str]]) -> dict[str, MillstreamError]:
    """Return the tables that must not grow, each with why: a limit is reached, and they, or their inputs, are written.

    Parameters
    ----------
    asked
        Table to itself and all that it is computed from.
    """
    full = [each for each in tell_quota(project) if each["full"]]
    if not full:
        return {}
    from millstream.project.housekeeping.clean import plan_of

    back = sum(each.bytes for each in plan_of(project).files())
    do = "millstream gc --yes" if back else "a shorter [retention] or a larger [quota] in millstream.toml"
    found: dict[str, MillstreamError] = {}
    for name, behind in asked.items():
        stops = {each for each in behind if _writes(project, each)}
        hit = next((each for each in full if not each["table"] or each["table"] in stops), None)
        if stops and hit is not None:
            found[name] = StorageFull(
                f"{hit['says']}, so {name} stays as it is; gc would give back {_said(back)}",
                expected="less than the [quota] of millstream.toml",
                do=do,
            )
    return found


def tell_quota(project: Project) -> list[dict[str, Any]]:
    """Open an alarm for each limit of which four fifths are used, and close those of limits that are kept again."""
    found = stands(project)
    settle(
        project,
        KIND,
        wrong={
            each["subject"]: Wrong(each["says"], "millstream gc", value=each["share"], threshold=NEAR)
            for each in found
            if each["near"]
        },
        over=lambda subject: f"{subject} holds less than {NEAR:.0%} of its quota again",
    )
    return found


def _writes(project: Project, name: str) -> bool:
    """Say whether bringing a table to its newest version may write data into the lake."""
    from millstream.definitions.sources import Delta, Parquet

    table = project.manifest.tables.get(name)
    if table is None or table.derived:
        return False
    attached = isinstance(table.source, Delta) or (isinstance(table.source, Parquet) and table.source.attach)
    return not attached


def _said(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} KB"
