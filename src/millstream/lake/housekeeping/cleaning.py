"""What may go from the lake's own tables, and why; carrying it out; and the proof that nothing in use went.

A version is kept if it is the newest, if something names it, or if its time is not over. A file goes only if no kept
version has it. Records and lists of versions that went stay: their history can still be read and verified.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from millstream.errors import IntegrityError
from millstream.lake.catalog import Catalog, folders
from millstream.lake.delta import DeltaLog, file_sha256
from millstream.lake.faults import reach
from millstream.lake.housekeeping.gone import gone
from millstream.lake.housekeeping.holding import letting_go
from millstream.state import Transaction, housekeeping, pins, taken, versions
from millstream.state.housekeeping import Going, Gone
from millstream.state.versions import DataFile, TableVersion
from millstream.types import content_hash, parse_instant

ACT, PROOF = "lake.gc", "lake.gc.proof"
STORED = ("own", "ingested", "made")
"""Kinds of tables whose files are the lake's."""
ORPHAN_S, LANDED_S = 3600.0, 86_400.0
"""Seconds for which a file that nothing names is left alone; one that waits for its version, longer."""

Held = Mapping[tuple[str, int], Sequence[str]]
"""Version to what names it, in words."""


@dataclass(frozen=True)
class TablePlan:
    """What is to become of one table.

    Parameters
    ----------
    table
        Its name.
    goes
        Versions whose time is over and that nothing names, each with why it may go.
    held
        Version to what names it, in words.
    young
        Versions that nothing names and whose time is not over.
    files
        Files that no kept version has.
    kept
        Files that kept versions have, by path.
    """

    table: str
    goes: Mapping[int, str]
    held: Mapping[int, Sequence[str]]
    young: Sequence[int]
    files: Sequence[Going]
    kept: Mapping[str, DataFile]


@dataclass(frozen=True)
class Plan:
    """What is to go.

    Parameters
    ----------
    tables
        By name.
    rubbish
        Other files that nothing names.
    pending
        Files that a cleaning which was interrupted had still to delete.
    copies
        Table to paths of whose copies nobody has need any more.
    landed
        Tables whose data files no longer wait for a version.
    """

    tables: Mapping[str, TablePlan]
    rubbish: Sequence[Going]
    pending: Sequence[Going]
    copies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    landed: Sequence[str] = ()

    def files(self) -> list[Going]:
        """Return all files that are to go, each once."""
        found = [*self.pending, *(each for table in self.tables.values() for each in table.files), *self.rubbish]
        return list({each.path: each for each in found}.values())


def plan(
    catalog: Catalog,
    held: Held,
    *,
    keeps: Callable[[str], timedelta | None],
    rubbish: Iterable[Going] = (),
) -> Plan:
    """Say what is to go; nothing is changed.

    Parameters
    ----------
    held
        What names which version; the newest ones are among them.
    keeps
        How long the versions of a table are kept; None for ever.
    rubbish
        Files outside the lake that may go.
    """
    shared = catalog.shared()
    tables = {
        name: _table(catalog, name, held, keeps(name))
        for name, number in versions.heads(catalog.state).items()
        if name not in shared and _stored(catalog, name, number)
    }
    copies = _spare(catalog, held)
    landed, waiting = _landed(catalog, tables)
    pending = _pending(catalog, tables, waiting)
    orphans = [
        *_orphans(catalog, tables, waiting),
        *landed,
        *(each for some in copies.values() for each in some.values()),
    ]
    return Plan(
        tables=tables,
        rubbish=[*orphans, *rubbish],
        pending=pending,
        copies={name: sorted(some) for name, some in copies.items()},
        landed=sorted({Path(each.path).parent.name for each in landed}),
    )


def carry_out(catalog: Catalog, planned: Callable[[], Plan], *, actor: str) -> tuple[Plan, dict[str, Any]]:
    """Let go of what a plan names: say so, delete, prove that all that is kept is there, and say that.

    First one transaction makes the versions unreadable and writes down what went; then the files are deleted. Whoever
    is killed in between leaves a list that the next cleaning ends. The plan is made inside that transaction: what is
    pinned, registered or released meanwhile waits for it, and is refused if it came too late.

    Raises
    ------
    Conflict
        While a training, a backup or a pin holds all versions; nothing was let go.
    IntegrityError
        When a file of a kept version is not there afterwards, or not as it was registered.
    """
    with catalog.locked():
        reach("gc.begun")
        with letting_go(catalog.places.lake), catalog.state.transact() as tx:
            made = planned()
            reach("gc.planned")
            files = made.files()
            _write_down(catalog, tx, made, files, actor=actor)
        reach("gc.intended")
        for each in files:
            Path(each.path).unlink(missing_ok=True)
            reach("gc.deleted")
        proof = prove(catalog, made)
        reach("gc.proven")
        with catalog.state.transact() as tx:
            housekeeping.went(tx)
            catalog.ledger.append(tx, actor=actor, act=PROOF, subject=str(proof["list"]), detail=proof)
        reach("gc.done")
    if proof["wrong"]:
        raise IntegrityError(
            f"{len(proof['wrong'])} files of kept versions are not as they were registered: {proof['wrong'][0]}",
            expected="gc deletes only what nothing names",
            do="millstream verify; millstream restore brings them back from a backup",
        )
    return made, proof


def prove(catalog: Catalog, made: Plan) -> dict[str, Any]:
    """Look at every file of every kept version: its size, and its bytes too in tables that something went from."""
    looked = hashed = count = 0
    wrong: list[str] = []
    for name, each in made.tables.items():
        count += len(each.held) + len(each.young)
        deep = bool(each.files or each.goes)
        for path, file in each.kept.items():
            place = _folder(catalog, name) / path
            looked += 1
            if not place.is_file() or place.stat().st_size != file.size:
                wrong.append(str(place))
            elif deep and file.sha256 is not None:
                hashed += 1
                if file_sha256(place) != file.sha256:
                    wrong.append(str(place))
    for name in made.copies:
        where = folders(catalog, catalog.table(name))
        for path, copied in pins.copies(catalog.state, name).items():
            looked, hashed = looked + 1, hashed + 1
            place = where.copy(path)
            if not place.is_file() or file_sha256(place) != copied.sha256:
                wrong.append(str(place))
    left = [each.path for each in made.files() if Path(each.path).exists()]
    return {
        "list": content_hash(sorted(each.path for each in made.files())),
        "versions": count,
        "files": looked,
        "hashed": hashed,
        "wrong": [*wrong, *left],
    }


def _write_down(catalog: Catalog, tx: Transaction, made: Plan, files: Sequence[Going], *, actor: str) -> None:
    now = catalog.clock.now().isoformat()
    went = [
        Gone(name, number, now, actor, why) for name, each in made.tables.items() for number, why in each.goes.items()
    ]
    housekeeping.go(tx, went, files)
    for name in made.landed:
        taken.forget_landed(tx, name)
    for name, paths in made.copies.items():
        pins.forget_copies(tx, name, paths)
    kinds = sorted({each.kind for each in files})
    detail = {
        "versions": {name: ranges(each.goes) for name, each in made.tables.items() if each.goes},
        "why": sorted({each.why for each in went}),
        "files": len(files),
        "bytes": sum(each.bytes for each in files),
        "of": {kind: sum(each.kind == kind for each in files) for kind in kinds},
        "list": content_hash(sorted(each.path for each in files)),
    }
    catalog.ledger.append(tx, actor=actor, act=ACT, subject="lake", detail=detail)


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Write numbers as closed ranges.

    >>> ranges([4, 0, 1, 2])
    [[0, 2], [4, 4]]
    """
    found: list[list[int]] = []
    for each in sorted(numbers):
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return found


def _table(catalog: Catalog, name: str, held: Held, keep: timedelta | None) -> TablePlan:
    """Say which versions of a table go, and which of its files no other has."""
    lost = gone(catalog, name)
    history = versions.history(catalog.state, name)
    now = catalog.clock.now()
    goes, named, young = {}, {}, []
    for place, each in enumerate(history):
        if each.version in lost:
            continue
        why = held.get((name, each.version), ())
        if place == len(history) - 1 and not why:
            why = ("the newest version",)
        after = history[place + 1].registered_at if place + 1 < len(history) else ""
        if why:
            named[each.version] = why
        elif keep is None or now - parse_instant(after) < keep:
            young.append(each.version)
        else:
            goes[each.version] = f"replaced {after[:10]}, kept for {_days(keep)}"
    stay = sorted([*named, *young])
    kept: dict[str, DataFile] = {}
    leave: dict[str, DataFile] = {}
    for file, until in versions.all_files(catalog.state, name):
        place = bisect_left(stay, file.since)
        live = place < len(stay) and (until is None or stay[place] < until)
        (kept if live else leave)[file.path] = file
    folder = _folder(catalog, name)
    files = [
        Going(str(folder / path), each.size, "version")
        for path, each in leave.items()
        if path not in kept and (folder / path).exists()
    ]
    return TablePlan(name, goes, named, young, files, kept)


def _days(length: timedelta) -> str:
    return f"{length.days} days" if length.days else f"{length.seconds // 3600} hours"


def _stored(catalog: Catalog, name: str, number: int) -> bool:
    head: TableVersion | None = versions.get(catalog.state, name, number)
    return head is not None and head.kind in STORED


def _folder(catalog: Catalog, name: str) -> Path:
    return catalog.places.lake / name


def _pending(catalog: Catalog, tables: Mapping[str, TablePlan], waiting: set[str]) -> list[Going]:
    """Return the files that a cleaning which was interrupted had still to delete, without what came back to use.

    What lies elsewhere is planned anew: its name may be another's by now, and a restored project may be elsewhere.
    """
    used = {str(_folder(catalog, name) / path) for name, each in tables.items() for path in each.kept} | waiting
    for name in catalog.manifest.tables:
        copied = pins.copies(catalog.state, name)
        if copied and name not in catalog.shared():
            where = folders(catalog, catalog.table(name))
            used |= {str(where.copy(each)) for each in copied}
    lake = catalog.places.lake
    return [
        each
        for each in housekeeping.going(catalog.state)
        if each.path not in used and Path(each.path).is_relative_to(lake)
    ]


def _landed(catalog: Catalog, tables: Mapping[str, TablePlan]) -> tuple[list[Going], set[str]]:
    """Return the data files that waited too long for a version, and those that wait still."""
    old: list[Going] = []
    waiting: set[str] = set()
    for name, paths in taken.all_landed(catalog.state).items():
        found = [each for path in paths if (each := _file(_folder(catalog, name) / path, "waiting")) is not None]
        young = any(_age(Path(each.path)) < LANDED_S for each in found)
        if young or name not in tables:
            waiting |= {each.path for each in found}
        else:
            old += found
    return old, waiting


def _orphans(catalog: Catalog, tables: Mapping[str, TablePlan], waiting: set[str]) -> list[Going]:
    """Return old files of the lake's own folders that no version, no commit and no intent names."""
    if versions.open_intents(catalog.state) or not catalog.places.lake.is_dir():
        return []
    found: list[Going] = []
    others = set(catalog.manifest.tables) - set(tables)
    for folder in sorted(catalog.places.lake.iterdir()):
        if not folder.is_dir() or folder.name.startswith(".") or folder.name in others:
            continue
        known = {file.path for file, _ in versions.all_files(catalog.state, folder.name)}
        stray = [
            each
            for each in folder.rglob("*.parquet")
            if "_delta_log" not in each.parts
            and str(each.relative_to(folder)) not in known
            and str(each) not in waiting
            and _age(each) >= ORPHAN_S
        ]
        if stray:
            log = DeltaLog(folder)
            named = log.named()
            stray = [each for each in stray if str(each.relative_to(folder)) not in named]
        half = [each for each in (folder / "_delta_log").glob("_commit_*.tmp") if _age(each) >= ORPHAN_S]
        found += [made for each in (*stray, *half) if (made := _file(each, "orphan")) is not None]
    return found


def _spare(catalog: Catalog, held: Held) -> dict[str, dict[str, Going]]:
    """Return copies of attached tables' files that no version which something names has, by table and path."""
    found: dict[str, dict[str, Going]] = {}
    for name in catalog.manifest.tables:
        copied = pins.copies(catalog.state, name)
        if not copied or name in catalog.shared():
            continue
        table = catalog.table(name)
        needed = {
            each.path
            for one, number in held
            if one == name and versions.get(catalog.state, name, number) is not None
            for each in catalog.files(table, number)
        }
        where = folders(catalog, table)
        spare = {
            path: made
            for path in copied
            if path not in needed and (made := _file(where.copy(path), "copy")) is not None
        }
        if spare:
            found[name] = spare
    return found


def _file(path: Path, kind: str) -> Going | None:
    try:
        return Going(str(path), path.stat().st_size, kind)
    except FileNotFoundError:
        return None


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
