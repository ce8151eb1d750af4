"""The prediction log's writer: an answer leaves only after its record is safe.

Records wait while the records before them are being synced, then are written and synced together (group commit).
After a failed write or sync the segment is sealed and never tried again: the records go to a new segment, on the
second path where there is one, else the caller is told 507. A record's id is given when it is written, so a record
that had to be written again has a new id and its first copy is a row whose answer never left.
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import threading
import time
from asyncio import Future, get_running_loop
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from millstream.disk import sync
from millstream.errors import StorageFull, Unavailable
from millstream.serving.records import (
    STRIDE,
    Record,
    encode,
    find,
    frame,
    hint_file,
    pack_offset,
    read,
    record_id,
    segment_name,
)
from millstream.state.segments import Begun

__all__ = ["Acknowledgement", "PredictionLog", "find", "new_incarnation", "read"]

Acknowledgement: TypeAlias = Literal["fsynced", "written"]
"""``fsynced`` survives power loss; ``written`` survives the death of the process only."""

Sync: TypeAlias = Callable[[int], None]

_RETRY_S = 0.5
_LARGEST_BATCH = 4096


class _Waiting:
    """Records of one caller, and how to tell it their ids."""

    __slots__ = ("payloads", "tell")

    def __init__(self, payloads: list[bytes], tell: Callable[[int, BaseException | None], None]) -> None:
        self.payloads = payloads
        self.tell = tell


class PredictionLog:
    """Appends records durably; one per scoring process.

    Parameters
    ----------
    folder
        Where segments are written.
    spool
        Second path, for when the first refuses a write; None for none.
    acknowledge
        When an append is acknowledged.
    rotate_bytes, rotate_s
        A segment is ended at this size or age, so that it can be sealed.
    sync, write
        How a file is synced and written; tests put failing disks here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        spool: Path | None = None,
        acknowledge: Acknowledgement = "fsynced",
        rotate_bytes: int = 64 << 20,
        rotate_s: float = 600.0,
        sync: Sync = os.fdatasync,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self.incarnation = new_incarnation()
        self.acknowledge = acknowledge
        self.folder = folder
        self.spool = spool
        self.records = 0
        self.failures = 0
        self.spooling = False
        self._rotate = (rotate_bytes, rotate_s)
        self._sync, self._write = sync, write
        self._next = 1
        self._segment: _Segment | None = None
        self._begun: dict[str, Begun] = {}
        self._refuse_until = 0.0
        self._waiting: list[_Waiting] = []
        self._condition = threading.Condition()
        self._writing = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        if acknowledge == "fsynced":
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    async def append(self, records: Sequence[Record]) -> list[str]:
        """Write records; return their ids once they are as safe as ``acknowledge`` says.

        Raises
        ------
        StorageFull
            When no path takes them; none of them is acknowledged.
        Unavailable
            When the log is closed.
        """
        payloads = [encode(each) for each in records]
        if self.acknowledge == "written":
            with self._writing:
                first = self._commit(payloads)
        else:
            first = await self._enqueue(payloads)
        return [record_id(self.incarnation, first + index) for index in range(len(payloads))]

    async def _enqueue(self, payloads: list[bytes]) -> int:
        loop = get_running_loop()
        done: Future[int] = loop.create_future()

        def settle(first: int, wrong: BaseException | None) -> None:
            if done.done():
                return
            if wrong is None:
                done.set_result(first)
            else:
                done.set_exception(wrong)

        def tell(first: int, wrong: BaseException | None) -> None:
            loop.call_soon_threadsafe(settle, first, wrong)

        with self._condition:
            if self._closed:
                raise Unavailable("the prediction log is closed", expected="a server that is not stopping")
            self._waiting.append(_Waiting(payloads, tell))
            self._condition.notify()
        return await done

    def rotate(self) -> None:
        """End the current segment, so that it can be sealed; the next record opens another."""
        with self._writing:
            self._end_segment()

    def begun(self) -> list[Begun]:
        """Return the segments begun by now and how far acknowledged records reach in each, for others to miss them.

        ``told`` takes what was told to the state database; a segment that has grown since is returned again.
        """
        return list(self._begun.values())

    def told(self, begun: Sequence[Begun]) -> None:
        """Forget segments that somebody else knows of by now, unless they have grown since."""
        for each in begun:
            if self._begun.get(each.name) == each and (self._segment is None or self._segment.path.name != each.name):
                self._begun.pop(each.name, None)

    def close(self) -> None:
        """Write what waits, sync and stop."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
        with self._writing:
            self._end_segment()

    def _run(self) -> None:
        try:
            while True:
                with self._condition:
                    while not self._waiting and not self._closed:
                        self._condition.wait()
                    batch, self._waiting = self._waiting[:_LARGEST_BATCH], self._waiting[_LARGEST_BATCH:]
                if not batch:
                    return
                self._commit_batch(batch)
        finally:
            self._closed = True

    def _commit_batch(self, batch: list[_Waiting]) -> None:
        wrong: BaseException | None = Unavailable("the prediction log's writer stopped", do="millstream status")
        first = 0
        try:
            with self._writing:
                first = self._commit([payload for each in batch for payload in each.payloads])
            wrong = None
        except StorageFull as refused:
            wrong = refused
        finally:
            for each in batch:
                each.tell(first, wrong)
                first += len(each.payloads)

    def _commit(self, payloads: list[bytes]) -> int:
        """Write and sync records on the first path that takes them; return the first sequence."""
        if time.monotonic() < self._refuse_until:
            raise self._full("a disk refused a write a moment ago")
        said = ""
        for folder in self._folders():
            try:
                return self._commit_to(folder, payloads)
            except OSError as wrong:
                said = str(wrong)
                self.failures += 1
                self._abandon()
        self._refuse_until = time.monotonic() + _RETRY_S
        raise self._full(said)

    def _folders(self) -> list[Path]:
        folders = [self.folder, self.spool] if self.spool else [self.folder]
        here = self._segment.path.parent if self._segment else self.folder
        return sorted(folders, key=lambda folder: folder != here)

    def _commit_to(self, folder: Path, payloads: list[bytes]) -> int:
        first = self._next
        self._next += len(payloads)
        segment = self._segment
        if segment is None:
            segment = self._segment = _Segment(folder, self.incarnation, first, self._rotate[1])
            self.spooling = folder == self.spool
        segment.write([frame(payload, first + index) for index, payload in enumerate(payloads)], self._write)
        if self.acknowledge == "fsynced":
            self._sync(segment.descriptor)
        self.records += len(payloads)
        known = self._begun.get(segment.path.name)
        self._begun[segment.path.name] = Begun(
            segment.path.name,
            str(folder.resolve()) if known is None else known.folder,
            first if known is None else known.first_sequence,
            self._next - 1,
            datetime.now(UTC).isoformat(timespec="seconds") if known is None else known.begun_at,
        )
        if segment.size >= self._rotate[0] or time.monotonic() >= segment.until:
            self._end_segment()
        return first

    def _abandon(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            self._sync(segment.descriptor)
        except OSError:
            self.failures += 1
        segment.close()

    def _full(self, said: str) -> StorageFull:
        tried = f"{self.folder} and {self.spool}" if self.spool else str(self.folder)
        return StorageFull(
            f"the prediction log could not be written in {tried}: {said}",
            expected="a disk that takes writes; an answer that is not logged does not leave",
            do="free some space; start the server with --spool DIR on another disk",
        )


class _Segment:
    """One open file; its lock tells other processes that its writer lives."""

    def __init__(self, folder: Path, incarnation: str, first: int, age_s: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / segment_name(incarnation, first)
        self.size = 0
        self.until = time.monotonic() + age_s
        self._frames = 0
        self._hints: int | None = None
        self.descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sync(folder)
            self._hints = os.open(hint_file(self.path), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except BaseException:
            self.close()
            raise

    def write(self, frames: Sequence[bytes], write: Callable[[int, bytes], int]) -> None:
        hints: list[bytes] = []
        size = self.size
        for each in frames:
            if self._frames % STRIDE == 0:
                hints.append(pack_offset(size))
            self._frames += 1
            size += len(each)
        data = b"".join(frames)
        while data:
            data = data[write(self.descriptor, data) :]
        if hints and self._hints is not None:
            os.write(self._hints, b"".join(hints))
        self.size = size

    def close(self) -> None:
        for descriptor in (self.descriptor, self._hints):
            if descriptor is not None:
                os.close(descriptor)


def new_incarnation() -> str:
    """Name a life of a process: 48 bits of milliseconds, so that names sort by time, and 32 random bits."""
    raw = time.time_ns() // 1_000_000
    return base64.b32hexencode(raw.to_bytes(6) + secrets.token_bytes(4)).decode().lower()
