"""Versions of attached tables that something rests on: are their files there, how long still, and copies of them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from millstream.disk import sync
from millstream.errors import IntegrityError, StorageFull, UserError
from millstream.lake.catalog import Catalog, folders
from millstream.lake.faults import reach
from millstream.lake.housekeeping.gone import refuse_gone
from millstream.lake.housekeeping.holding import holding
from millstream.lake.spare import Folders
from millstream.state import pins, versions
from millstream.state.pins import Copied, Pin
from millstream.state.versions import DataFile

ACT = "table.pin"
_CHUNK = 4 << 20
_PART = ".part"


@dataclass(frozen=True)
class Standing:
    """How a version of an attached table stands.

    Parameters
    ----------
    table, version
        Which.
    missing
        Paths of files that are neither with their owner nor copied.
    leaving
        Files that the owner may delete, because its newest version has them no more; not copied.
    leaving_bytes
        Their size together.
    until
        From when the owner may delete the first of them, ISO 8601; empty where none is leaving.
    """

    table: str
    version: int
    missing: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    leaving_bytes: int = 0
    until: str = ""


def attached(catalog: Catalog, wanted: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the versions of attached tables that versions rest on, those behind derived and made tables included."""
    found: dict[tuple[str, int], None] = {}
    seen: set[tuple[str, int]] = set()
    waiting = list(wanted)
    while waiting:
        name, number = waiting.pop()
        at = versions.get(catalog.state, name, number) if (name, number) not in seen else None
        seen.add((name, number))
        if at is None:
            continue
        if at.kind == "attached" and name in catalog.manifest.tables:
            found[(name, number)] = None
        elif at.kind == "derived":
            waiting.extend(at.inputs.items())
    return sorted(found)


def stand(catalog: Catalog, wanted: Iterable[tuple[str, int]]) -> list[Standing]:
    """Look at the files of versions, and of what they are derived from; only those of which something is to say.

    Notes
    -----
    Cost: one look (3 microseconds) at each file; nothing is read.
    """
    found: list[Standing] = []
    there: dict[tuple[str, str], bool] = {}
    for name, number in attached(catalog, wanted):
        table = catalog.table(name)
        where, leaves = folders(catalog, table), pins.leaving(catalog.state, name)
        copied = pins.copies(catalog.state, name)
        missing, leaving = [], []
        for each in catalog.files(table, number):
            key = (name, each.path)
            if key not in there:
                there[key] = where.place(each.path).exists()
            if not there[key]:
                missing.append(each.path)
            elif each.path in leaves and each.path not in copied:
                leaving.append(each)
        if missing or leaving:
            until = min((leaves[each.path] for each in leaving), default="")
            paths = tuple(each.path for each in leaving)
            size = sum(each.size for each in leaving)
            found.append(Standing(name, number, tuple(missing), paths, size, until))
    return found


def pin(catalog: Catalog, name: str, number: int, *, actor: str, note: str = "") -> Pin:
    """Keep a version: whoever cleans up leaves what it needs, and its files are watched."""
    version = catalog.version(name, number)
    made = Pin(version.table, version.version, catalog.clock.now().isoformat(), actor, note)
    with holding(catalog.places), catalog.state.transact() as tx:
        refuse_gone(catalog, version)
        pins.put(tx, made)
        detail = {"note": note, "copied": 0}
        catalog.ledger.append(tx, actor=actor, act=ACT, subject=f"{name}@{number}", detail=detail)
    return made


def unpin(catalog: Catalog, name: str, number: int, *, actor: str) -> None:
    """Forget a pin; copies that were made of its files stay."""
    if pins.get(catalog.state, name, number) is None:
        raise UserError(f"{name}@{number} is not pinned", do=f"millstream pin {name}@{number}")
    with catalog.state.transact() as tx:
        pins.drop(tx, name, number)
        catalog.ledger.append(tx, actor=actor, act="table.unpin", subject=f"{name}@{number}")


def copy(
    catalog: Catalog, name: str, number: int, *, actor: str, note: str = "", tell: Callable[[str], object] | None = None
) -> list[Copied]:
    """Pin a version and copy its files into the lake, each verified by its hash; reads use a copy once a file is gone.

    Parameters
    ----------
    name, number
        A version of an attached table.
    tell
        Called with a line for each file.

    Returns
    -------
    What was copied now; files that had a copy are left as they are.

    Raises
    ------
    UserError
        For a version that is not of an attached table: its files are in the lake already.
    IntegrityError
        When a file is gone, or has not the bytes it had when it was registered.
    StorageFull
        When the disk has no room; nothing was taken.

    Notes
    -----
    Every file is written aside, synced and renamed; then one transaction makes pin, copies and ledger row true. A crash
    before it leaves files that nothing names, and that the next copy takes over or removes.
    """
    version = catalog.version(name, number)
    if version.kind != "attached":
        says = {"derived": "computed on read: pin what it is computed of", "made": "stored in the lake"}
        raise UserError(
            f"{name}@{number} is {says.get(version.kind, 'stored in the lake')}, so there is nothing to copy",
            expected="a version of an attached table",
            do=f"millstream pin {name}@{number}" if version.kind != "derived" else "",
        )
    table = catalog.table(name)
    where = folders(catalog, table)
    with holding(catalog.places), _turn(where.spare):
        had = pins.copies(catalog.state, name)
        wanted = [each for each in catalog.files(table, number) if each.path not in had]
        _refuse_full(where.spare, sum(each.size for each in wanted))
        known = versions.late_hashes(catalog.state, name)
        reach("pin.begun")
        made = []
        for position, each in enumerate(wanted, 1):
            made.append(_copied(where, each, each.sha256 or known.get(each.path), of=f"{name}@{number}"))
            reach("pin.copied")
            if tell is not None:
                tell(f"copied {position} of {len(wanted)} files of {name}@{number}")
        _sync_folders(where.spare)
        reach("pin.synced")
        fresh = Pin(name, number, catalog.clock.now().isoformat(), actor, note)
        with catalog.state.transact() as tx:
            pins.put(tx, fresh)
            pins.put_copies(tx, name, made)
            detail = {
                "note": note,
                "copied": len(made),
                "bytes": sum(each.size for each in made),
                "hashes": {each.path: each.sha256 for each in made},
            }
            catalog.ledger.append(tx, actor=actor, act=ACT, subject=f"{name}@{number}", detail=detail)
            reach("pin.registering")
        reach("pin.registered")
    return made


def _copied(where: Folders, file: DataFile, sha256: str | None, *, of: str) -> Copied:
    """Copy one file, whole and synced, and compare its bytes with what was registered."""
    source, target = where.own / file.path, where.copy(file.path)
    part = target.with_suffix(_PART)
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as read, part.open("wb") as written:
            while chunk := read.read(_CHUNK):
                written.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            written.flush()
            os.fsync(written.fileno())
        wrong = size != file.size or (sha256 is not None and digest.hexdigest() != sha256)
        if wrong:
            raise IntegrityError(
                f"{source} of {of} has not the bytes it had when it was registered, so it was not copied",
                expected=f"{file.size:,} bytes" + (f", sha256 {sha256}" if sha256 else ""),
                do="have the file restored by its owner",
            )
        part.rename(target)
    except FileNotFoundError:
        raise IntegrityError(
            f"{source} of {of} is gone: its owner deleted it, and there is no copy",
            do="have it restored by its owner; its log may still tell when it was deleted",
        ) from None
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return Copied(file.path, size, digest.hexdigest())


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Let one process at a time copy files of a table; others read and refresh meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
    except OSError as wrong:
        raise _storage(wrong, folder) from None


def _refuse_full(folder: Path, needed: int) -> None:
    """Refuse, before anything is written, what the disk has no room for; clear away what a crash left half written."""
    if folder.is_dir():
        for part in folder.glob(f"*{_PART}"):
            part.unlink(missing_ok=True)
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise StorageFull(
            f"copying needs {needed:,} bytes, and {there} has {free:,} free; nothing was copied",
            do="free some space and try again",
        )


def _sync_folders(folder: Path) -> None:
    for each in (folder, folder.parent, folder.parent.parent):
        if each.is_dir():
            sync(each)


def _storage(wrong: OSError, folder: Path) -> StorageFull | IntegrityError:
    if wrong.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return StorageFull(
            f"{folder} could not be written: {wrong}; no pin was made", do="free some space and try again"
        )
    return IntegrityError(f"a file could not be copied to {folder}: {wrong}", do="millstream verify")
