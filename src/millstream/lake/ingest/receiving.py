"""Receiving deliveries: which they are, and their rows, file after file."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

import msgspec
import polars as pl

from millstream.definitions.sources import Csv, Files, Json, Parquet, Posted
from millstream.definitions.table import Table
from millstream.errors import BadData, Conflict, MillstreamError, Refused
from millstream.lake.catalog import Catalog
from millstream.lake.files import KINDS
from millstream.lake.ingest.landing import Landing
from millstream.lake.ingest.posted import PostedFiles, said_by
from millstream.sources.arrival import Delivery, frames, schema
from millstream.sources.csv_parts import Misled
from millstream.sources.drift import refuse_change
from millstream.sources.stores import Entry, Folder, Store, store
from millstream.state.taken import Content, Stamp
from millstream.types import content_hash

_TOLD_EVERY_S = 2.0
_COPIED = 8 << 20


@dataclass(frozen=True)
class Known:
    """A file that is there, and what it brings."""

    entry: Entry
    sha256: str
    what: str


@dataclass(frozen=True)
class FilesTable:
    """A table and the store its files lie in."""

    table: Table
    source: Files
    store: Store
    reading: str
    posted: PostedFiles

    @classmethod
    def of(cls, catalog: Catalog, table: Table) -> FilesTable:
        """Make it of a definition."""
        source = table.source
        said = said_by(source) if isinstance(source, Posted) else None
        posted = PostedFiles(catalog.places, table.name, said)
        if isinstance(source, Posted):
            return cls(table, posted.source, posted.store, content_hash(msgspec.to_builtins(source)), posted)
        assert isinstance(source, Csv | Json | Parquet)
        words = {key: each for key, each in msgspec.to_builtins(source).items() if key != "mirror" and each}
        return cls(table, source, store(source.path, catalog.places.root), content_hash(words), posted)

    def entries(self) -> list[Entry]:
        """List the files that were delivered, then those of rows that were posted, in order."""
        if isinstance(self.table.source, Posted):
            return self.posted.entries()
        return [*self.store.entries(where=self.where), *self.posted.entries()]

    def store_of(self, entry: Entry) -> Store:
        """Return where a file lies."""
        return self.posted.store if self.posted.holds(entry.path) else self.store

    def source_of(self, entry: Entry) -> Files:
        """Return how a file is read."""
        return self.posted.source if self.posted.holds(entry.path) else self.source

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return f"table {self.table.name!r}"

    def what(self, path: str, sha256: str) -> str:
        """Return what a name brings: its content, and the folder values that become columns."""
        parts = self.parts(path)
        return content_hash([sha256, parts]) if parts else sha256

    def parts(self, path: str) -> dict[str, str]:
        """Return the values of the folders that become columns.

        Raises
        ------
        BadData
            For a path without such a folder.
        """
        made: dict[str, str] = {}
        for name in () if self.posted.holds(path) else self.source.folders:
            found = re.search(rf"(?:^|/){re.escape(name)}=([^/]*)/", path)
            if found is None:
                raise BadData(
                    f"{path} of {self.where} lies in no folder {name}=...",
                    expected=f"a path such as .../{name}=2024-01-01/{path.rpartition('/')[2]}",
                    do=f"take {name!r} out of folders= of its source, or narrow its path",
                )
            made[name] = found[1]
        return made

    def refuse_unreadable(self, gone: Sequence[str]) -> None:
        """Refuse to read all anew while files are gone whose rows are still there.

        Raises
        ------
        Refused
            Always.
        """
        raise Refused(
            f"all files of {self.where} would have to be read anew, and {len(gone):,} of them are gone: "
            f"{', '.join(gone[:3])}",
            expected="every file that brought rows",
            do="put them back; or mirror=True in its source, to let their rows go",
        )


def identify(files: FilesTable, stamps: Mapping[str, Stamp]) -> list[Known]:
    """Find the files of a table and what each brings; one that did not change is not read for it."""
    made = []
    for entry in files.entries():
        kept, where = stamps.get(entry.path), files.store_of(entry)
        if kept is not None and kept.stamp == entry.stamp and kept.size == entry.size:
            sha256 = kept.sha256
        elif isinstance(where, Folder):
            with _said_of(entry, files.where), where.open(entry) as opened:
                sha256 = hashlib.file_digest(cast(BufferedReader, opened), "sha256").hexdigest()
        else:
            sha256 = content_hash(["etag", entry.stamp, entry.size])
        made.append(Known(entry, sha256, files.what(entry.path, sha256)))
    return made


def received(
    files: FilesTable,
    fresh: Sequence[Known],
    landing: Landing,
    *,
    expected: Mapping[str, str] | None,
    tell: Callable[[str], object],
    says: list[str],
) -> None:
    """Read the files that are new into data files; those that an earlier try had written are not read again."""
    there = landing.resume({each.what for each in fresh})
    if there:
        tell(f"{files.table.name}: {len(there):,} of {len(fresh):,} files were read before, it goes on from there")
    agreed = dict(expected) if expected is not None else landing.types()
    progress = _Progress(files.table.name, fresh, tell)
    number = landing.rows() + 1
    for each in fresh:
        if each.what not in there:
            before = landing.rows()
            agreed = _one(files, each, landing, agreed, number=number, says=says, progress=progress)
            number += landing.rows() - before
        progress.ended(each)
    landing.flush()


def _one(
    files: FilesTable,
    known: Known,
    landing: Landing,
    agreed: dict[str, str] | None,
    *,
    number: int,
    says: list[str],
    progress: _Progress,
) -> dict[str, str]:
    entry, source, store = known.entry, files.source_of(known.entry), files.store_of(known.entry)
    content = Content(known.what, entry.path, entry.size, 0, entry.at.isoformat())
    with _said_of(entry, files.where), locally(store, entry) as file:
        delivery = Delivery(file, files.parts(entry.path), entry.at.isoformat())
        kinds: dict[str, str] = dict(agreed or {})
        before = agreed
        while True:
            told: list[str] = []
            held: pl.DataFrame | None = None
            parts, at = 0, number
            try:
                for frame in frames(delivery, source, expected=kinds or None, where=files.where, tell=told.append):
                    if files.posted.holds(entry.path):
                        frame = files.posted.aligned(frame, agreed)
                    if source.row_number:
                        numbers = pl.int_range(at, at + frame.height, dtype=pl.Int64).alias(source.row_number)
                        frame = frame.select(numbers, pl.all())
                    at += frame.height
                    if agreed is None:
                        agreed = schema(frame)
                    frame = _without_values(frame, agreed)
                    where = f"{files.where}, file {entry.name}"
                    refuse_change(agreed, schema(frame), where=where, table=files.table)
                    refuse_change(agreed, schema(frame), where=where)  # where a table grows: files are kept as one
                    frame = frame.select(list(agreed))
                    if held is not None:
                        landing.add(held, content, whole=False, alone=True)
                        parts += 1
                        progress.read(held.height)
                    held = frame
                break
            except Misled as found:
                landing.drop(known.what)
                back = source.rename.get(found.name, found.name)
                kinds = {**kinds, back: str(found.kind)}
                agreed = before
        look = store.look(entry)
        if look is None or look.stamp != entry.stamp:
            landing.drop(known.what)
            raise _moving(entry, look, files.where)
        if held is not None:
            landing.add(held, content, whole=True, alone=parts > 0)
            progress.read(held.height)
        says.extend(told)
    assert agreed is not None
    return agreed


def _without_values(frame: pl.DataFrame, agreed: Mapping[str, str]) -> pl.DataFrame:
    """Give columns without any value the type that the table has: nothing in them says another."""
    wrong = [name for name, kind in frame.schema.items() if name in agreed and str(kind) != agreed[name]]
    none = [name for name in wrong if agreed[name] in KINDS and frame[name].null_count() == frame.height]
    return frame.with_columns(pl.lit(None, dtype=KINDS[agreed[name]]).alias(name) for name in none)


def _moving(entry: Entry, look: Entry | None, where: str) -> Conflict:
    said = "was taken away" if look is None else f"changed from {entry.size:,} to {look.size:,} bytes"
    return Conflict(
        f"{entry.path} of {where} {said} while it was read; nothing was taken",
        expected="files that are whole when they appear: written under another name, then renamed",
        do="refresh again when its writer is done; what else was read need not be read again",
    )


@contextmanager
def locally(where: Store, entry: Entry) -> Iterator[Path]:
    """Have a file on this machine: itself, or a copy of the object for as long as it is read."""
    if isinstance(where, Folder):
        yield where.place(entry)
        return
    with tempfile.TemporaryDirectory(prefix="millstream-") as folder:
        copy = Path(folder) / entry.name
        with where.open(entry) as opened, copy.open("wb") as made:
            while part := opened.read(_COPIED):
                made.write(part)
        try:
            yield copy
        except MillstreamError as wrong:
            raise wrong.but(wrong.happened.replace(str(copy), entry.path)) from None


@contextmanager
def _said_of(entry: Entry, where: str) -> Iterator[None]:
    """Say of a file that is gone or may not be read what it is about."""
    try:
        yield
    except FileNotFoundError:
        raise _moving(entry, None, where) from None
    except PermissionError as wrong:
        raise Refused(
            f"{entry.path} of {where} may not be read: {wrong.strerror}",
            expected="a file that this user may read",
            do=f"ls -l {entry.path}",
        ) from None


class _Progress:
    """Tells how far the reading is, every two seconds."""

    def __init__(self, name: str, files: Sequence[Known], tell: Callable[[str], object]) -> None:
        self._name, self._tell = name, tell
        self._files, self._bytes = len(files), sum(each.entry.size for each in files)
        self._done = self._read = self._rows = 0
        self._said = time.monotonic()

    def read(self, rows: int) -> None:
        """Count rows that were read."""
        self._rows += rows
        if time.monotonic() - self._said >= _TOLD_EVERY_S:
            self._said = time.monotonic()
            self._tell(
                f"{self._name}: {self._rows:,} rows, {self._done:,} of {self._files:,} files, "
                f"{self._read >> 20:,} of {self._bytes >> 20:,} MB"
            )

    def ended(self, known: Known) -> None:
        """Count a file that was read to its end."""
        self._done += 1
        self._read += known.entry.size
