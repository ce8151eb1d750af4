"""Take a backup while everything runs.

Order is what keeps it whole: the prediction log first (a segment that is sealed meanwhile is found in the lake), then,
under the lake's lock, the state database and the names of the lake's files (which never change once they are named),
then the files; no cleaning lets any of them go meanwhile. What happens after that belongs to the next backup.
"""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.definitions.sources import Delta, Parquet
from millstream.errors import IntegrityError, NotFound, UserError
from millstream.lake.catalog import lock
from millstream.lake.housekeeping.holding import holding
from millstream.ledger import Ledger
from millstream.project import git
from millstream.project.backups.objects import SCRATCH, Backup, Kept, Objects, told
from millstream.settings import Places
from millstream.settings import places as places_of
from millstream.settings import read as read_settings
from millstream.state import State
from millstream.types import SystemClock
from millstream.version import __version__

if TYPE_CHECKING:
    from millstream.project.root import Project

_DATABASES = ("state.db", "tracking.db", "loop.db")
_AGAIN = ("run", "cache", "manifests", "env", "online", "lake", "log", "steps")
"""Folders of the state that are made again, or are looked at in their own turn."""
_LOG = "log"
_CODE = ("*.py", "*.toml", "*.sql", "*.md", "*.R", "*.sh", "*.ipynb", "*.json", "*.yaml", "*.yml")
_LARGEST = 64 << 20
"""Files of the project's folder above this size are data, not what a project is written in."""


def backup(project: Project, *, to: str, check: bool = False, actor: str = "somebody") -> dict[str, Any]:
    """Copy all that the project knows to a folder, each content once; or check what is there.

    Parameters
    ----------
    project
        Its definitions, state, lake, releases, runs, answers and keys; in all its environments.
    to
        Folder of backups; made when missing. The next backup there copies only what is new.
    check
        Compare every content that is there with its hash instead.
    actor
        Who asks, for the ledger.

    Raises
    ------
    IntegrityError
        When a check finds a content that is not what was kept.
    UserError
        When the folder holds something else, or lies where the project keeps what is backed up.
    StorageFull
        When the disk is full; what was copied is kept for the next try.
    """
    folder = Path(to).resolve()
    objects = Objects(folder)
    if check:
        return _checked(objects)
    for inside in (project.places.state, project.places.lake):
        if folder.is_relative_to(inside.resolve()):
            raise UserError(
                f"{folder} is inside what is backed up", expected="a folder elsewhere, best on another disk"
            )
    objects.prepare()
    names = objects.names()
    before = objects.read(names[-1]).files if names else {}
    project.ledger.record(actor=actor, act="project.backup", subject=str(folder), detail={"after": names[-1:]})
    made = _Taking(objects, before, project.progress)
    with ExitStack() as held:
        scratch = held.enter_context(tempfile.TemporaryDirectory(dir=folder / "objects", prefix=SCRATCH))
        head = ""
        environments = list(_environments(project))
        for _, places in environments:
            held.enter_context(holding(places))
        for name, places in environments:
            head = made.environment(name, places, Path(scratch)) or head
        made.folder(project, Path(scratch))
    now = SystemClock().now().astimezone(UTC)
    done = Backup(
        name=_name(now, names),
        project=project.settings.name,
        made_at=now.isoformat(timespec="seconds"),
        made_by=actor,
        millstream=__version__,
        head=head,
        files=dict(sorted(made.files.items())),
        attached=_attached(project),
    )
    objects.write(done)
    return {
        **_told(done, folder),
        "copied_files": made.copied_files,
        "copied_bytes": made.copied_bytes,
        "attached": done.attached,
    }


class _Taking:
    """What has been copied so far."""

    def __init__(self, objects: Objects, before: Mapping[str, Kept], tell: Callable[[str], None]) -> None:
        self._objects = objects
        self._before = before
        self._tell = tell
        self.files: dict[str, Kept] = {}
        self.copied_files = self.copied_bytes = 0

    def environment(self, name: str, places: Places, scratch: Path) -> str:
        """Copy one environment; return the head of its ledger where it is production."""
        prefix = f"env/{name}/" if name else ""
        self.all(f"{prefix}state/{_LOG}", _inside(places.state / _LOG))
        places.lake.mkdir(parents=True, exist_ok=True)
        with lock(places.lake):
            state = _snapshot(places.state / "state.db", scratch / f"{name or 'prod'}-state.db")
            lake = list(_inside(places.lake, without=(".lock",)))
            moving = {path: file.read_bytes() for path, file in lake if file.name == "_last_checkpoint"}
        if state is None:
            return ""
        with closing(State(state)) as opened:
            head = Ledger(opened, SystemClock()).head().text
        state = _snapshot(state, scratch / f"{name or 'prod'}-whole.db")
        assert state is not None
        self.one(f"{prefix}state/state.db", state, again=True)
        for each in _DATABASES[1:]:
            found = _snapshot(places.state / each, scratch / f"{name or 'prod'}-{each}")
            if found is not None:
                self.one(f"{prefix}state/{each}", found, again=True)
        self._tell(f"{name or 'production'}: databases are copied; the lake has {len(lake):,} files")
        for path, body in moving.items():
            (scratch / "checkpoint").write_bytes(body)
            self.one(f"{prefix}lake/{path}", scratch / "checkpoint", again=True)
        self.all(f"{prefix}lake", ((path, file) for path, file in lake if path not in moving))
        left = (*_AGAIN, *(f"{each}{more}" for each in _DATABASES for more in ("", "-wal", "-shm")))
        self.all(f"{prefix}state", _inside(places.state, without=left, apart=(places.lake, places.online)))
        return "" if name else head

    def folder(self, project: Project, scratch: Path) -> None:
        """Copy what people wrote: the files git knows or would add, and git's own history."""
        root, places = project.root, project.places
        apart = (places.state, places.lake, places.online, *_owned(project))
        if git.commit(root) is not None:
            bundle = scratch / "git.bundle"
            words = ["git", "bundle", "create", "-q", str(bundle), "--all"]
            done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
            if done.returncode:
                raise IntegrityError(f"git cannot bundle the history of {root}: {done.stderr.strip()}", do="git fsck")
            self.one("git.bundle", bundle, again=True)
            listed = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
            said = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout
            found = [root / each for each in said.split("\0") if each]
        else:
            found = [each for pattern in _CODE for each in root.rglob(pattern)]
        small = (
            (str(each.relative_to(root)), each)
            for each in sorted(set(found))
            if each.is_file()
            and not any(each.is_relative_to(one) for one in apart)
            and not {".git", ".venv", "__pycache__", ".ipynb_checkpoints"} & set(each.relative_to(root).parts)
            and each.stat().st_size <= _LARGEST
        )
        self.all("project", small)

    def all(self, prefix: str, files: Iterator[tuple[str, Path]]) -> None:
        """Copy files under a prefix."""
        for path, file in files:
            self.one(f"{prefix}/{path}", file)

    def one(self, path: str, file: Path, *, again: bool = False) -> None:
        """Copy one file, unless the backup before has it as it is now."""
        stat, had = file.stat(), self._before.get(path)
        same = had is not None and (had.size, had.changed) == (stat.st_size, stat.st_mtime_ns) and not again
        if had is not None and same and self._objects.has(had):
            self.files[path] = had
            return
        kept = self._objects.take(file)
        if had is None or had.sha256 != kept.sha256:
            self.copied_files += 1
            self.copied_bytes += kept.size
            if self.copied_files % 500 == 0:
                self._tell(f"{self.copied_files:,} files, {self.copied_bytes / 1e6:,.0f} MB copied")
        self.files[path] = kept


def _environments(project: Project) -> Iterator[tuple[str, Places]]:
    """Give production (without a name) and each overlay with its places."""
    settings = read_settings(project.root, "prod")
    production = places_of(project.root, settings)
    yield "", production
    for each in sorted((production.state / "env").glob("*/state.db")):
        yield each.parent.name, places_of(project.root, read_settings(project.root, each.parent.name))


def _inside(folder: Path, *, without: tuple[str, ...] = (), apart: tuple[Path, ...] = ()) -> Iterator[tuple[str, Path]]:
    """Give the files below a folder by their path in it; ``without`` names what is left out at its top."""
    if not folder.is_dir():
        return
    for each in sorted(folder.rglob("*")):
        path = each.relative_to(folder)
        left = path.parts[0] in without or any(each.is_relative_to(one) for one in apart)
        if not left and each.is_file() and not each.is_symlink():
            yield str(path), each


def _snapshot(database: Path, to: Path) -> Path | None:
    """Copy a database as it is at one instant, however much is written meanwhile; None where there is none."""
    if not database.exists():
        return None
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)) as source,
            closing(sqlite3.connect(to)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as wrong:
        raise IntegrityError(f"{database} cannot be copied: {wrong}", do="millstream verify") from None
    return to


def _attached(project: Project) -> dict[str, str]:
    tables = project.manifest.tables.values()
    return {
        each.name: each.source.path
        for each in tables
        if isinstance(each.source, Delta) or (isinstance(each.source, Parquet) and each.source.attach)
    }


def _owned(project: Project) -> list[Path]:
    """Return what belongs to the owners of attached tables, wherever it lies: half a table is worse than none."""
    top = Path(project.root.anchor)
    lies = [(project.root / path).relative_to(top) for path in _attached(project).values()]
    return [each for path in lies for each in top.glob(str(path))]


def _name(now: datetime, names: list[str]) -> str:
    made = now.strftime("%Y%m%dT%H%M%SZ")
    same = sum(each.startswith(made) for each in names)
    return f"{made}-{same + 1}" if same else made


def _told(found: Backup, folder: Path) -> dict[str, Any]:
    return {
        "backup": found.name,
        "folder": str(folder),
        "files": len(found.files),
        "bytes": found.size,
        "head": found.head,
        "made_at": found.made_at,
        "made_by": found.made_by,
    }


def _checked(objects: Objects) -> dict[str, Any]:
    """Compare every content of every backup with its hash."""
    names = objects.names()
    if not names:
        raise NotFound(f"{objects.folder} holds no backup", do="leave --check out to take one")
    wrong: dict[str, str] = {}
    seen: set[str] = set()
    with told(objects.folder):
        for name in names:
            for path, kept in objects.read(name).files.items():
                if kept.sha256 not in seen:
                    seen.add(kept.sha256)
                    if says := objects.check(kept, path=path):
                        wrong[path] = f"{name}: {says}"
    if wrong:
        first = next(iter(wrong.values()))
        raise IntegrityError(
            f"{first}; {len(wrong)} of {len(seen)} contents are wrong", do="take a backup into another folder"
        )
    return {**_told(objects.read(names[-1]), objects.folder), "backups": names, "checked": len(seen)}
