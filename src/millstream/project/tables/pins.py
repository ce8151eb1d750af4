"""Pinned versions of attached tables: what rests on them, whether their files are there, and keeping copies of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import IntegrityError, UserError
from millstream.project.tables.alarms import Wrong, settle
from millstream.state import pins as kept
from millstream.state import releases as rows
from millstream.state import versions
from millstream.types import parse_instant

if TYPE_CHECKING:
    from millstream.lake.attached.pins import Standing
    from millstream.project.root import Project

KIND = "lost"
_NAMED = 5

Version = tuple[str, int]


def pin(
    project: Project,
    *,
    version: str = "",
    copy: bool = False,
    drop: bool = False,
    note: str = "",
    actor: str = "somebody",
) -> dict[str, Any]:
    """Keep a version readable, with ``copy`` by copying its files into the lake; without a version, show all pins."""
    from millstream.lake.attached import pins

    catalog, made = project.lake.catalog, []
    if version:
        name, number = _named(project, version)
        if copy and drop:
            raise UserError("a version is either pinned or let go", expected="--copy or --drop")
        if drop:
            pins.unpin(catalog, name, number, actor=actor)
        elif copy:
            for each in pins.attached(catalog, [(name, number)]) or [(name, number)]:
                made += pins.copy(catalog, *each, actor=actor, note=note, tell=project.progress)
            tell_lost(project, look(project))
        elif kept.get(project.state, name, number) is None:
            pins.pin(catalog, name, number, actor=actor, note=note)
    return {
        "version": version,
        "copied": len(made),
        "bytes_copied": sum(each.size for each in made),
        "pins": [msgspec.to_builtins(each) for each in kept.every(project.state)],
        "standing": look(project),
    }


def look(project: Project) -> list[dict[str, Any]]:
    """Say of each version of an attached table on which something rests what its owner deleted, or may soon."""
    if not any(each.source is not None for each in project.manifest.tables.values()):
        return []
    from millstream.lake.attached import pins

    rests = _rests(project)
    return [_said(project, each, rests[each.table, each.version]) for each in pins.stand(project.lake.catalog, rests)]


def refuse_lost(project: Project, wanted: Mapping[str, int], *, of: str) -> None:
    """Refuse to begin on versions whose files are gone, before anything is read.

    Raises
    ------
    IntegrityError
        Naming the version, the first file, what else rests on it, and what to do.
    """
    from millstream.lake.attached import pins

    lost = [each for each in pins.stand(project.lake.catalog, wanted.items()) if each.missing]
    if not lost:
        return
    first = lost[0]
    says = _said(project, first, _rests(project).get((first.table, first.version), []))
    raise IntegrityError(f"{of} needs {says['says']}", expected="every file of a version in use", do=says["next"])


def tell_lost(project: Project, standing: Iterable[Mapping[str, Any]]) -> None:
    """Open an alarm for each version whose files are gone, and close those of versions that can be read again."""
    lost = {
        each["version"]: Wrong(each["says"], each["next"], value=float(each["missing"]))
        for each in standing
        if each["missing"]
    }
    settle(project, KIND, wrong=lost, over=lambda version: f"{version} can be read again")


def _named(project: Project, version: str) -> Version:
    """Read ``TABLE@VERSION``; a table alone means its newest version."""
    name, at, number = version.partition("@")
    project.lake.catalog.table(name)
    if at and not number.isdecimal():
        raise UserError(f"{version!r} is no version of a table", expected="TABLE@NUMBER, such as orders@3")
    found = project.lake.version(name, int(number)) if at else project.lake.head(name)
    return found.table, found.version


def _rests(project: Project) -> dict[Version, list[str]]:
    """Return what rests on which version of an attached table: pins of people, and model versions by their training."""
    from millstream.lake.attached import pins

    named: dict[Version, list[str]] = {}

    def rest(wanted: Iterable[Version], who: str) -> None:
        for each in pins.attached(project.lake.catalog, wanted):
            named.setdefault(each, []).append(who)

    for each in kept.every(project.state):
        rest([(each.table, each.version)], f"a pin of {each.actor}")
    released: dict[tuple[str, int | None], str] = {}
    for model in project.manifest.models:
        for row in rows.history(project.state, model):
            released[model, row.model_version] = f"release {row.name} ({row.status})"
    for told in project.ledger.rows(acts=("model.register",), limit=1 << 40):
        model, _, number = told.subject.rpartition("@")
        run = released.get((model, int(number)), f"model version {told.subject} (run {told.detail.get('run', '')[:8]})")
        rest(told.detail.get("pins", {}).items(), run)
    return named


def _said(project: Project, at: Standing, rests: list[str]) -> dict[str, Any]:
    """Say in words how a version stands, and what to do."""
    name = f"{at.table}@{at.version}"
    shown = ", ".join(rests[:_NAMED]) + (f" and {len(rests) - _NAMED} more" if len(rests) > _NAMED else "")
    on = f"; on it rest{'s' * (len(rests) == 1)} {shown}" if rests else ""
    if at.missing:
        count = len(at.missing)
        where = project.lake.catalog.folder(project.lake.catalog.table(at.table))
        says = f"{name}, of which its owner deleted {count} file{'s' * (count != 1)} ({where / at.missing[0]} ...){on}"
        head = versions.head(project.state, at.table)
        newest = head is not None and head.version == at.version
        do = f"millstream refresh {at.table}, if its owner has a newer version; else have" if newest else "have"
        do += f" the files restored, then millstream pin {name} --copy"
    else:
        count = len(at.leaving)
        due = " (that is past)" if parse_instant(at.until) <= project.clock.now() else ""
        says = (
            f"{name} needs {count} file{'s' * (count != 1)} ({at.leaving_bytes:,} bytes) that its owner has no more in "
            f"the newest version and may delete from {at.until[:16]}{due}{on}"
        )
        do = f"millstream pin {name} --copy"
    return {
        "version": name,
        "missing": len(at.missing),
        "leaving": len(at.leaving),
        "bytes": at.leaving_bytes,
        "until": at.until,
        "rests": rests,
        "says": says,
        "next": do,
    }
