"""Make a project from a backup, every byte compared on the way, in a folder where nothing is."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from millstream.disk import sync
from millstream.errors import Conflict, IntegrityError, UserError
from millstream.ledger import Ledger
from millstream.project.backups.objects import Backup, Objects, told
from millstream.settings import FILE, places, read
from millstream.state import State
from millstream.types import SystemClock


def restore(source: Path, to: Path, *, name: str | None = None, actor: str = "somebody") -> dict[str, Any]:
    """Make a project from a backup.

    Everything is written beside the folder and moved there at the end, so that a restore that was stopped leaves
    nothing half made; what it left is removed by the next one.

    Parameters
    ----------
    source
        A folder of backups.
    to
        Where the project is to be; nothing may be there.
    name
        Which backup; the newest where none is named.
    actor
        Who asks, for the ledger, which gets one row more than the backup has.

    Returns
    -------
    What was restored, and the head of the ledger, which is the backup's.

    Raises
    ------
    Conflict
        When something is where the project, or an address of its ``millstream.toml``, is to be.
    IntegrityError
        When a file is gone from the backup or is not what was kept.
    """
    objects = Objects(source.resolve())
    found = objects.read(name)
    target = to.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{target} is not empty", expected="a folder that is not there", do="name another one")
    making = target.with_name(f"{target.name}.restoring")
    with told(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        if making.exists():
            shutil.rmtree(making)
    _write_project(objects, found, making)
    moved = _write_data(objects, found, making, target)
    head = _same_ledger(found, next(each for each, _ in moved if (each / "state.db").exists()))
    with told(target):
        for made, place in reversed(moved):
            if made != place and not place.is_relative_to(target):
                place.parent.mkdir(parents=True, exist_ok=True)
                made.replace(place)
        if target.exists():
            target.rmdir()
        making.replace(target)
    where = places(target, read(target, "prod"))
    with closing(State(where.state_db)) as state:
        detail = {"backup": found.name, "from": str(objects.folder), "head": head}
        Ledger(state, SystemClock()).record(actor=actor, act="project.restore", subject=str(target), detail=detail)
    return {
        "backup": found.name,
        "project": str(target),
        "files": len(found.files),
        "bytes": found.size,
        "head": head,
        "attached": found.attached,
    }


def _write_project(objects: Objects, found: Backup, making: Path) -> None:
    """Write what people wrote, in git's history where it had one."""
    if "git.bundle" in found.files:
        bundle = making.with_name(f"{making.name}.bundle")
        objects.put_back(found.files["git.bundle"], bundle, path="git.bundle")
        try:
            words = ["git", "clone", "-q", str(bundle), str(making)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise UserError("there is no git here, and the project has a history", do="install git") from None
        finally:
            bundle.unlink()
        if done.returncode:
            raise IntegrityError(f"git cannot read the history in the backup: {done.stderr.strip()}")
        subprocess.run(["git", "remote", "remove", "origin"], cwd=making, check=True, capture_output=True)
        for each in making.iterdir():  # the files as they were, changes that were not committed included
            if each.name != ".git":
                shutil.rmtree(each) if each.is_dir() else each.unlink()
    for path, kept in found.files.items():
        if path.startswith("project/"):
            objects.put_back(kept, making / path.removeprefix("project/"), path=path)
    if not (making / FILE).exists():
        raise IntegrityError(f"the backup {found.name} has no {FILE}", do="restore another backup")


def _write_data(objects: Objects, found: Backup, making: Path, target: Path) -> list[tuple[Path, Path]]:
    """Write state and lake of every environment; return each folder that was made and where it belongs."""
    overlays = {path.split("/")[1] for path in found.files if path.startswith("env/")}
    moved: list[tuple[Path, Path]] = []
    for name in ("prod", *sorted(overlays)):
        prefix = "" if name == "prod" else f"env/{name}/"
        where = places(target, read(making, name))
        for word, place in (("state", where.state), ("lake", where.lake)):
            if place.is_relative_to(target):
                made = making / place.relative_to(target)
            elif place.exists() and any(place.iterdir()):
                raise Conflict(
                    f"{place}, where {FILE} of the backup keeps the {word}, is not empty",
                    expected="a folder that is not there: nothing is overwritten",
                    do=f"move {place} away",
                )
            else:
                made = place.with_name(f"{place.name}.restoring")
                shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True, exist_ok=True)
            for path, kept in found.files.items():
                if path.startswith(f"{prefix}{word}/"):
                    objects.put_back(kept, made / path.removeprefix(f"{prefix}{word}/"), path=path)
            moved.append((made, place))
    for made, _ in moved:
        _sync_all(made)
    return moved


def _same_ledger(found: Backup, state: Path) -> str:
    """Read the restored ledger, every row of it, and compare its head with the backup's."""
    with closing(State(state / "state.db")) as opened:
        ledger = Ledger(opened, SystemClock())
        said = ledger.verify()
        head = ledger.head().text
    if not said.ok or head != found.head:
        raise IntegrityError(
            f"the ledger of the backup {found.name} does not hold: {said.says or 'its head is another'}",
            expected=found.head,
            do="restore another backup",
        )
    return head


def _sync_all(folder: Path) -> None:
    for each in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        sync(each)
