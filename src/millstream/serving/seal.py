"""Sealing segments: what the control plane does with the log of a writer that ended, and following a live one.

A sealed segment becomes one lake commit that carries its name and last sequence, and is deleted after that.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from millstream.disk import sync
from millstream.errors import Conflict
from millstream.serving.records import Logged, hint_file, next_whole, parse_segment, read, segments, whole_frame

DAMAGED = ".damaged"
"""Suffix of a segment that was put aside."""


class Seal(NamedTuple):
    """What a sealed segment holds, for the state database and the ledger.

    ``first`` and ``last`` are sequences; both are 0 for an empty segment. ``damaged`` counts the records between
    them that do not hold any more.
    """

    path: Path
    incarnation: str
    first: int
    last: int
    records: int
    sha256: str
    bytes: int
    damaged: int = 0


def seal(path: Path) -> Seal:
    """Cut a segment's torn tail, sync it and return its hash; doing it twice gives the same.

    Damage in the middle is counted and left as it is: what lies behind it was acknowledged.

    Raises
    ------
    Conflict
        While its writer lives and has it open.
    """
    incarnation, start = parse_segment(path)
    with path.open("r+b") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"{path.name} is still being written", expected="a segment whose writer ended it", do="try again later"
            ) from None
        data = file.read()
        at = records = first = last = damaged = 0
        while True:
            payload, sequence, after = whole_frame(data, at)
            if payload is None:
                at = next_whole(data, at, last or start - 1)
                payload, sequence, after = whole_frame(data, at)
                damaged += max(0, sequence - (last or start - 1) - 1)
            if payload is None:
                break
            first, last = first or sequence, sequence
            records += 1
            at = after
        if at < len(data):
            file.truncate(at)
        os.fsync(file.fileno())
    sync(path.parent)
    return Seal(path, incarnation, first, last, records, hashlib.sha256(data[:at]).hexdigest(), at, damaged)


def ended(*folders: Path) -> list[Path]:
    """List the segments that no living process writes."""
    return [path for path in segments(*folders) if _is_free(path)]


def discard(path: Path) -> None:
    """Delete a segment whose records are committed in the lake."""
    hint_file(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    sync(path.parent)


def put_aside(path: Path) -> Path:
    """Keep a damaged segment, whose whole records are committed, under another name, for somebody to look at."""
    hint_file(path).unlink(missing_ok=True)
    aside = path.with_suffix(DAMAGED)
    path.rename(aside)
    sync(path.parent)
    return aside


class Tail:
    """Follows the log as it grows, across segments and processes.

    Parameters
    ----------
    folders
        Where segments lie.
    offsets
        Where an earlier tail stopped: segment name to byte offset.
    """

    def __init__(self, *folders: Path, offsets: dict[str, int] | None = None) -> None:
        self._folders = folders
        self.offsets = dict(offsets or {})

    def follow(self, *folders: Path) -> None:
        """Look into these folders as well from now on."""
        self._folders = tuple(dict.fromkeys((*self._folders, *folders)))

    def poll(self) -> list[Logged]:
        """Return the records written since the last call, in order within each process."""
        found: list[Logged] = []
        present = segments(*self._folders)
        for path in present:
            offset = self.offsets.get(path.name, 0)
            try:
                if path.stat().st_size > offset:
                    records, self.offsets[path.name] = read(path, offset)
                    found += records
            except FileNotFoundError:
                continue
        names = {path.name for path in present}
        self.offsets = {name: offset for name, offset in self.offsets.items() if name in names}
        return found


def _is_free(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True
