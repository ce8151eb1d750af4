"""Gc: a plan of what may go, carried out only when asked to, with a proof that nothing in use went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.errors import IntegrityError
from millstream.project.housekeeping.holders import holders
from millstream.state.housekeeping import Going
from millstream.tracking.kept import left_behind
from millstream.types import parse_duration

if TYPE_CHECKING:
    from millstream.lake.housekeeping.cleaning import Plan
    from millstream.project.root import Project

_SHOWN = 5
KINDS = {
    "version": "files that only versions had whose time is over",
    "waiting": "rows that were read and never became a version",
    "orphan": "files of writes that were cut off: no version and no commit names them",
    "copy": "copies of attached files that nothing pins any more",
    "cache": "what can be computed again",
    "log": "what steps printed long ago",
    "artifact": "artifacts of runs that were deleted",
}
"""Kind of file to what it is, in words."""


def gc(project: Project, *, yes: bool = False, actor: str = "somebody") -> dict[str, Any]:
    """Say what may go, how much that is, and what holds the rest; with ``yes``, let it go and prove that no more went.

    Parameters
    ----------
    yes
        Carry it out; else nothing is changed.
    actor
        Who asks, for the ledger.

    Raises
    ------
    Conflict
        While a training, a backup or a pin holds all versions.
    IntegrityError
        When the ledger was changed, so that nobody can say what it named; when a file that is kept is not there
        afterwards, or not as it was registered.
    """
    from millstream.lake.housekeeping.cleaning import carry_out

    project.lake.recover()
    checked = project.ledger.verify()
    if not checked.ok:
        raise IntegrityError(
            f"the ledger was changed, so it cannot be said which versions it names: {checked.says}",
            expected="a whole ledger; nothing was let go",
            do="millstream verify",
        )

    def planned() -> Plan:
        return plan_of(project)

    if not yes:
        return {**told(planned()), "done": False, "proof": None}
    made, proof = carry_out(project.lake.catalog, planned, actor=actor)
    return {**told(made), "done": True, "proof": proof}


def plan_of(project: Project) -> Plan:
    """Make the plan; nothing is changed."""
    from millstream.lake.housekeeping.cleaning import plan

    said = project.settings.retention

    def keeps(name: str) -> timedelta | None:
        length = said.tables.get(name, said.versions)
        return parse_duration(length) if length else None

    return plan(project.lake.catalog, holders(project), keeps=keeps, rubbish=list(_rubbish(project)))


def told(made: Plan) -> dict[str, Any]:
    """Say a plan as plain data."""
    from millstream.lake.housekeeping.cleaning import ranges

    files = made.files()
    tables = [
        {
            "table": name,
            "goes": ranges(each.goes),
            "versions": len(each.goes),
            "why": sorted(set(each.goes.values()))[:_SHOWN],
            "files": len(each.files),
            "bytes": sum(one.bytes for one in each.files),
            "held": {str(number): list(who[:_SHOWN]) for number, who in sorted(each.held.items())},
            "young": ranges(each.young),
            "kept_files": len(each.kept),
            "kept_bytes": sum(one.size for one in each.kept.values()),
        }
        for name, each in made.tables.items()
    ]
    others = []
    for kind, says in KINDS.items():
        found = [each for each in files if each.kind == kind]
        if found and kind != "version":
            paths = [each.path for each in found[:_SHOWN]]
            others.append(
                {"kind": kind, "says": says, "files": len(found), "bytes": sum(each.bytes for each in found)}
                | {"first": paths}
            )
    return {
        "tables": tables,
        "others": others,
        "interrupted": len(made.pending),
        "versions": sum(len(each.goes) for each in made.tables.values()),
        "files": len(files),
        "bytes": sum(each.bytes for each in files),
    }


def _rubbish(project: Project) -> Iterator[Going]:
    """Give what may go outside of the lake."""
    said, places = project.settings.retention, project.places
    yield from _old(places.cache, "**/*", said.cache, "cache")
    yield from _old(places.state / "steps", "*.log", said.logs, "log")
    for folder in left_behind(places):
        yield from _files(folder.rglob("*"), "artifact")


def _old(folder: Path, pattern: str, length: str, kind: str) -> Iterator[Going]:
    """Give files that were last written so long ago; none where nothing is said."""
    if not length or not folder.is_dir():
        return
    before = time.time() - parse_duration(length).total_seconds()
    for each in _files(folder.glob(pattern), kind):
        running = Path(each.path).with_suffix(".running")
        if Path(each.path).stat().st_mtime < before and not running.exists():
            yield each


def _files(found: Iterator[Path], kind: str) -> Iterator[Going]:
    for each in sorted(found):
        if each.is_file() and not each.is_symlink():
            yield Going(str(each), each.stat().st_size, kind)
