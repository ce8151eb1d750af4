"""A folder of files by the hash of their bytes, and lists of what a backup is made of.

``objects/ab/abcd…`` holds each content once, however many backups have it; ``backups/NAME.json`` lists one backup and
is written last, so a backup is either whole or not there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from millstream.disk import sync
from millstream.errors import IntegrityError, NotFound, StorageFull, UserError, near

SCRATCH = "taking-"
"""How the folder begins in which databases are copied; one that is left belongs to a backup that was stopped."""
_PIECE = 1 << 20
_FORMAT = 1
_ELSE = "restore another backup, or another copy of this folder"


class Kept(msgspec.Struct, frozen=True):
    """One file of a backup.

    Parameters
    ----------
    sha256, size
        Hash of its bytes and how many they are.
    mode
        Permissions.
    changed
        When it was changed last, in nanoseconds, by which the next backup knows that it need not be read again; 0
        where it must be.
    """

    sha256: str
    size: int
    mode: int = 0o600
    changed: int = 0


class Backup(msgspec.Struct, frozen=True):
    """What one backup is made of.

    Parameters
    ----------
    name
        Its name, which says when it was taken.
    project, made_at, made_by, millstream
        Which project, when by the machine's clock, who asked, and which version of Millstream wrote it.
    head
        Head of the ledger in it.
    files
        Path (``project/…``, ``state/…``, ``lake/…``, ``git.bundle``) to its content.
    attached
        Attached tables whose data is not in it, with the folder each is read from.
    """

    name: str
    project: str
    made_at: str
    made_by: str
    millstream: str
    head: str
    files: dict[str, Kept]
    attached: dict[str, str] = {}
    format: int = _FORMAT

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(each.size for each in self.files.values())


class Objects:
    """Where backups are kept.

    Parameters
    ----------
    folder
        Made when it is missing, readable by its owner only: signing keys are in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folders.

        Raises
        ------
        UserError
            When the folder holds something else, or cannot be made.
        """
        strange = [each.name for each in self._inside() if each.name not in ("objects", "backups")]
        if strange:
            raise UserError(
                f"{self.folder} holds something else: {strange[0]}",
                expected="an empty folder, or one that millstream backup made",
            )
        with told(self.folder):
            for each in (self.folder, self.folder / "objects", self.folder / "backups"):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in (self.folder / "objects").glob("*.partial"):
                left.unlink()
            for left in (self.folder / "objects").glob(f"{SCRATCH}*"):
                shutil.rmtree(left)

    def take(self, file: Path) -> Kept:
        """Copy a file, synced; one that is there already is not written again."""
        stat = file.stat()
        digest = hashlib.sha256()
        scratch = self.folder / "objects" / f"{os.getpid()}.partial"
        size = 0
        with told(self.folder), file.open("rb") as read, scratch.open("wb") as written:
            while piece := read.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                written.write(piece)
            written.flush()
            os.fsync(written.fileno())
        name = digest.hexdigest()
        target = self.path(name)
        with told(self.folder):
            if target.exists() and target.stat().st_size == size:
                scratch.unlink()
            else:
                target.parent.mkdir(mode=0o700, exist_ok=True)
                scratch.replace(target)
                target.chmod(0o600)
                sync(target.parent)
        return Kept(name, size, stat.st_mode & 0o777, stat.st_mtime_ns)

    def has(self, kept: Kept) -> bool:
        """Say whether a content is there, by name and size."""
        try:
            return self.path(kept.sha256).stat().st_size == kept.size
        except OSError:
            return False

    def path(self, sha256: str) -> Path:
        """Return where a content lies."""
        return self.folder / "objects" / sha256[:2] / sha256

    def put_back(self, kept: Kept, to: Path, *, path: str) -> None:
        """Write a file of a backup, its hash compared on the way.

        Raises
        ------
        IntegrityError
            When the content is gone or is not what was kept.
        """
        source, digest = self.path(kept.sha256), hashlib.sha256()
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            read = source.open("rb")
        except OSError as wrong:
            raise IntegrityError(f"{path} cannot be read from the backup: {wrong.strerror}", do=_ELSE) from None
        with read, told(to), to.open("wb") as written:
            while piece := read.read(_PIECE):
                digest.update(piece)
                written.write(piece)
            written.flush()
            os.fsync(written.fileno())
        if digest.hexdigest() != kept.sha256:
            raise IntegrityError(f"{path} in the backup is not what was kept", do=_ELSE)
        to.chmod(kept.mode)

    def check(self, kept: Kept, *, path: str) -> str:
        """Say what is wrong with a content; empty when it is what was kept."""
        try:
            if digest_of(self.path(kept.sha256)) == kept.sha256:
                return ""
        except FileNotFoundError:
            return f"{path} is gone from the backup"
        except OSError as wrong:
            return f"{path} cannot be read from the backup: {wrong.strerror}"
        return f"{path} in the backup is not what was kept"

    def write(self, backup: Backup) -> None:
        """Write the list of a backup, which makes it one."""
        target = self._list(backup.name)
        scratch = target.with_suffix(".partial")
        with told(self.folder):
            with scratch.open("wb") as written:
                written.write(msgspec.json.encode(backup))
                written.flush()
                os.fsync(written.fileno())
            scratch.chmod(0o600)
            scratch.replace(target)
            sync(target.parent)

    def names(self) -> list[str]:
        """Name the backups, oldest first."""
        return sorted(each.stem for each in (self.folder / "backups").glob("*.json"))

    def read(self, name: str | None = None) -> Backup:
        """Read the list of a backup; of the newest where none is named.

        Raises
        ------
        NotFound
            When there is none, or none of that name.
        IntegrityError
            When the list cannot be read.
        """
        names = self.names()
        if not names:
            raise NotFound(f"{self.folder} holds no backup", do="millstream backup FOLDER, in the project")
        if name is not None and name not in names:
            raise NotFound(f"{self.folder} holds no backup {name!r}", do=near(name, names))
        file = self._list(name or names[-1])
        try:
            found = msgspec.json.decode(file.read_bytes(), type=Backup)
        except (OSError, msgspec.DecodeError) as wrong:
            raise IntegrityError(
                f"{file} is not the list of a backup: {wrong}",
                do=f"take another one: {', '.join(names[:-1]) or 'none'}",
            ) from None
        if found.format != _FORMAT:
            raise UserError(
                f"{file} was written by Millstream {found.millstream}", expected=f"backups of format {_FORMAT}"
            )
        return found

    def _list(self, name: str) -> Path:
        return self.folder / "backups" / f"{name}.json"

    def _inside(self) -> Iterator[Path]:
        with told(self.folder):
            if self.folder.exists():
                yield from self.folder.iterdir()


def digest_of(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Say in words what the disk refuses."""
    try:
        yield
    except OSError as wrong:
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise StorageFull(
                f"{wrong.filename or folder} could not be written: {wrong.strerror}",
                do="make room there and say it again: what was copied is kept",
            ) from None
        raise UserError(f"{wrong.filename or folder}: {wrong.strerror}", expected="a folder to write to") from None
