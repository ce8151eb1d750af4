"""Opening a release: nothing of it is used before its signature and every file were checked.

The scoring server imports this file; it needs the standard library, msgspec and cryptography only.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from millstream.errors import IntegrityError
from millstream.releases import keys as keys_

RELEASE = "release.json"
SIGNATURE = "signature"
SCHEMA_VERSION = 1
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ID = re.compile(r"[0-9a-f]{64}")
_LARGEST_MANIFEST = 4 << 20
_CHUNK = 1 << 20
_RESTORE = "millstream restore, roll back to another release, or build this one again"


class BundleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of a bundle must be."""

    sha256: str
    size: int


class ReleaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``release.json`` says; its exact bytes are signed and their hash is the release's id.

    Parameters
    ----------
    schema
        Version of this format.
    model, version
        Its name: ``late@3``.
    artifact
        Content hash of the files training wrote.
    previous
        Release that was live when this one was built.
    run_id, model_version
        The run in tracking and the version in the registry, where there are any.
    built_at, built_by, trained_by
        When by the project's clock, and by whom as asserted.
    code
        ``commit`` of the definitions, or ``snapshot``, their content hash.
    files
        Path in the bundle to what it must be, of every file but this one and the signature.
    ledger
        Head of the ledger when it was built, ``sequence:hash``: a ledger cut behind it is found out.
    """

    schema: int
    model: str
    version: int
    artifact: str
    previous: str | None
    run_id: str
    model_version: int | None
    built_at: str
    built_by: str
    trained_by: str
    note: str
    code: dict[str, str]
    files: dict[str, BundleFile]
    ledger: str = ""


class Release(msgspec.Struct, frozen=True):
    """A verified release.

    Parameters
    ----------
    id
        SHA-256 of the exact bytes of ``release.json``.
    path
        Its folder.
    key
        Id of the key that signed it.
    said
        What ``release.json`` says.
    """

    id: str
    path: Path
    key: str
    said: ReleaseFile

    @property
    def model(self) -> str:
        """Return its model's name."""
        return self.said.model

    @property
    def version(self) -> int:
        """Return its number."""
        return self.said.version

    @property
    def name(self) -> str:
        """Return what people call it: ``late@3``."""
        return f"{self.said.model}@{self.said.version}"

    def read(self, name: str) -> bytes:
        """Read a file, checked again as it is read.

        Raises
        ------
        IntegrityError
            When it is not in the release or not what was signed.
        """
        wanted = self.said.files.get(name)
        if wanted is None:
            raise _broken(self.path, name, "is not part of the release")
        content = b"".join(_chunks(self.path, name, wanted.size))
        if hashlib.sha256(content).hexdigest() != wanted.sha256:
            raise _broken(self.path, name, "was changed")
        return content

    def load(self, name: str) -> Any:
        """Read a JSON file."""
        return msgspec.json.decode(self.read(name))


def open_release(path: Path, keys: Path, *, expected: str | None = None) -> Release:
    """Verify a bundle and return what it says.

    Parameters
    ----------
    path
        Its folder. A folder named like an id must hold the release of that id.
    keys
        Folder of trusted public keys and the list of revoked ones.
    expected
        The id it must have, where the caller knows it from elsewhere.

    Raises
    ------
    IntegrityError
        Naming the file that is missing, extra, changed, not a plain file, or the signature that does not hold.

    Notes
    -----
    Costs one read of every file, about 1 ms a MB.
    """
    if path.is_symlink() or not path.is_dir():
        raise IntegrityError(f"{path} is not a folder", expected="the folder of a release", do=_RESTORE)
    found = set(_names(path))
    for name in (RELEASE, SIGNATURE):
        if name not in found:
            raise _broken(path, name, "is missing")
    manifest = b"".join(_chunks(path, RELEASE, None))
    signature = b"".join(_chunks(path, SIGNATURE, None))
    key = keys_.check(keys, manifest, signature, where=str(path / SIGNATURE))
    made = hashlib.sha256(manifest).hexdigest()
    wanted = expected or (path.name if _ID.fullmatch(path.name) else made)
    if made != wanted:
        raise _broken(path, RELEASE, f"belongs to release {made[:12]}, not {wanted[:12]}")
    said = _decode(path, manifest)
    _check_files(path, said.files, found - {RELEASE, SIGNATURE})
    return Release(id=made, path=path, key=key, said=said)


def is_safe_name(name: str) -> bool:
    """Say whether a path may stand in a bundle: plain segments, relative, no dots that climb."""
    return 0 < len(name) <= 512 and all(_SEGMENT.fullmatch(each) for each in name.split("/"))


def _decode(path: Path, manifest: bytes) -> ReleaseFile:
    try:
        said = msgspec.json.decode(manifest, type=ReleaseFile)
    except msgspec.MsgspecError as wrong:
        raise _broken(path, RELEASE, f"cannot be read: {wrong}") from None
    if said.schema != SCHEMA_VERSION:
        raise IntegrityError(
            f"{path / RELEASE} has format {said.schema}",
            expected=f"format {SCHEMA_VERSION}",
            do="use the version of Millstream that built it",
        )
    return said


def _check_files(path: Path, wanted: Mapping[str, BundleFile], found: set[str]) -> None:
    for name in sorted(wanted):
        if not is_safe_name(name):
            raise _broken(path, repr(name), "is not a path a release may hold")
    for name in sorted(set(wanted) - found):
        raise _broken(path, name, "is missing")
    for name in sorted(found - set(wanted)):
        raise _broken(path, name, "is not part of the release")
    for name, said in sorted(wanted.items()):
        digest = hashlib.sha256()
        for chunk in _chunks(path, name, said.size):
            digest.update(chunk)
        if digest.hexdigest() != said.sha256:
            raise _broken(path, name, "was changed")


def _names(root: Path, inside: str = "") -> Iterator[str]:
    """List what lies in a bundle, refusing whatever is neither a folder nor a plain file."""
    with os.scandir(root / inside) as entries:
        for each in sorted(entries, key=lambda entry: entry.name):
            name = f"{inside}{each.name}"
            if each.is_symlink():
                raise _broken(root, name, "is a link")
            if each.is_dir(follow_symlinks=False):
                below = list(_names(root, f"{name}/"))
                if not below:
                    raise _broken(root, name, "is an empty folder that is not part of the release")
                yield from below
            elif each.is_file(follow_symlinks=False):
                yield name
            else:
                raise _broken(root, name, "is not a plain file")


def _chunks(root: Path, name: str, size: int | None) -> Iterator[bytes]:
    """Read a plain file of exactly the wanted size, never through a link."""
    try:
        fd = os.open(root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _broken(root, name, "is missing") from None
    except OSError as wrong:
        raise _broken(root, name, f"cannot be read: {wrong.strerror}") from None
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise _broken(root, name, "is not a plain file")
        if size is None and about.st_size > _LARGEST_MANIFEST:
            raise _broken(root, name, f"has {about.st_size} bytes, more than any release's")
        if size is not None and about.st_size != size:
            raise _broken(root, name, f"has {about.st_size} bytes instead of {size}")
        while chunk := file.read(_CHUNK):
            yield chunk


def _broken(path: Path, name: str, says: str) -> IntegrityError:
    return IntegrityError(
        f"{name} of the release in {path} {says}", expected="the bundle exactly as it was signed", do=_RESTORE
    )
