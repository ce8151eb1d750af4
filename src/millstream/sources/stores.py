"""Where delivered files lie: a folder of this machine, or an object store. One road for both.

A store says which files there are, with what one recognises a changed one by, and opens one. That is all the lake asks
for; everything else about reading is the same whatever the store.
"""

from __future__ import annotations

import fnmatch
import importlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from millstream.errors import NotFound, Refused, near

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Entry:
    """A file as its store lists it.

    Parameters
    ----------
    path
        Relative to the project where the source says it so, which a copied or restored project understands; else
        an absolute path, or an address.
    size
        Bytes.
    stamp
        Something that changes whenever the file is written: its times and inode, or an object's etag.
    at
        When it was last written.
    """

    path: str
    size: int
    stamp: str
    at: datetime

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition("/")[2]


class Store(Protocol):
    """Where files lie."""

    def entries(self, *, where: str) -> list[Entry]:
        """List the files that match, by path; none is an error that names what lies near."""
        ...

    def look(self, entry: Entry) -> Entry | None:
        """Look at one file again; None where it is gone."""
        ...

    def open(self, entry: Entry) -> IO[bytes]:
        """Open one file to read from its start."""
        ...


class Folder:
    """Files of this machine.

    Parameters
    ----------
    pattern
        Path or glob; ``**`` stands for any folders.
    root
        What it is relative to, unless it is absolute.
    """

    local = True

    def __init__(self, pattern: str, root: Path) -> None:
        absolute = Path(pattern).is_absolute()
        self._root = "" if absolute else f"{root}/"
        magic = _MAGIC.search(pattern) and not (root / pattern).is_file()
        self._pattern = pattern if absolute else f"{_escape(str(root)) if magic else root}/{pattern}"

    def entries(self, *, where: str) -> list[Entry]:
        """List the files that match, by path.

        A folder that links back into itself is walked once.

        Raises
        ------
        NotFound
            When there is none, naming what lies near.
        Refused
            For a folder or file that this user may not read.
        """
        wanted = Path(self._pattern)
        if wanted.is_file():  # a name that holds a * or [ of its own
            return [self._entry(str(wanted))]
        found = sorted(_matching(self._pattern, where=where)) if _MAGIC.search(self._pattern) else []
        if not found:
            beside = [each.name for each in wanted.parent.iterdir()] if wanted.parent.is_dir() else []
            raise NotFound(
                f"{where} has no file: nothing matches {wanted}",
                expected="a file or glob relative to the project, or absolute",
                do=near(wanted.name, beside),
            )
        return [self._entry(each) for each in found]

    def look(self, entry: Entry) -> Entry | None:
        """Look at one file again; None where it is gone."""
        try:
            return self._entry(str(self.place(entry)))
        except FileNotFoundError:
            return None

    def open(self, entry: Entry) -> IO[bytes]:
        """Open one file."""
        return self.place(entry).open("rb")

    def place(self, entry: Entry) -> Path:
        """Say where a file lies on this machine."""
        return Path(self._root + entry.path)

    def _entry(self, path: str) -> Entry:
        stat = Path(path).stat()
        stamp = f"{stat.st_mtime_ns}:{stat.st_size}:{stat.st_ino}"
        at = datetime.fromtimestamp(stat.st_mtime, UTC)
        return Entry(path=path.removeprefix(self._root), size=stat.st_size, stamp=stamp, at=at)


def store(path: str, root: Path) -> Store:
    """Return where the files of a source lie.

    Parameters
    ----------
    path
        File or glob, relative to the project, absolute, or an address such as ``s3://bucket/day=*/part-*.csv``.
    root
        The project.
    """
    if "://" in path:
        made: Store = importlib.import_module("millstream.integrations.object_stores").Objects(path)
        return made
    return Folder(path, root)


def files(path: str, root: Path, *, where: str) -> list[Path]:
    """List the files of this machine that a source means."""
    found = Folder(path, root)
    return [found.place(each) for each in found.entries(where=where)]


def pattern_of(glob: str) -> re.Pattern[str]:
    """Compile a glob over ``/``-separated paths: ``*`` stays inside a part, ``**/`` is any folders, dots are named."""
    made = ""
    for number, part in enumerate(glob.split("/")):
        if part == "**":
            made += r"(?:[^/.][^/]*/)*"
            continue
        said = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z") if _MAGIC.search(part) else ""
        said = said.replace(".*", "[^/]*") if said else re.escape(part)
        hidden = r"(?!\.)" if _MAGIC.match(part) else ""
        made += f"{hidden}{said}/"
        del number
    return re.compile(f"^{made.removesuffix('/')}$", re.DOTALL)


def _escape(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)


def _matching(pattern: str, *, where: str) -> Iterator[str]:
    """Walk the folders that can hold a match, each real folder once."""
    parts = pattern.split("/")
    fixed = next(number for number, each in enumerate(parts) if _MAGIC.search(each))
    while fixed < len(parts) and re.fullmatch(r"(?:[^*?\[]|\[[*?\[]\])*", parts[fixed]):
        fixed += 1  # only escaped characters
    start = re.sub(r"\[([*?\[])\]", r"\1", "/".join(parts[:fixed])) or "/"
    rest = parts[fixed:]
    deep = "**" in rest
    wanted = pattern_of("/".join(rest))
    seen: set[str] = set()

    def refuse(wrong: OSError) -> None:
        raise Refused(
            f"{where}: {wrong.filename} cannot be read: {wrong.strerror}",
            expected="a folder that this user may read",
            do=f"ls -ld {wrong.filename}",
        )

    if not Path(start).is_dir():
        return
    for folder, inner, names in os.walk(start, followlinks=True, onerror=refuse):
        below = os.path.relpath(folder, start)
        depth = 0 if below == "." else below.count("/") + 1
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        if not deep:
            inner[:] = [each for each in inner if depth < len(rest) - 1 and _part(rest[depth], each)]
        inner.sort()
        for name in names:
            path = name if below == "." else f"{below}/{name}"
            if wanted.match(path) and Path(folder, name).is_file():
                yield str(Path(folder, name))


def _part(pattern: str, name: str) -> bool:
    return bool(pattern_of(pattern).match(name))
