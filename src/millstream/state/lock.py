"""The project's lock: at most one process changes a project at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import IO

from millstream.errors import Conflict, StorageFull


class ProjectLock:
    """An advisory lock on a project, let go when the process ends, however it ends.

    Parameters
    ----------
    folder
        The project's run folder.
    holder
        What the holder is, for the message others get.

    Raises
    ------
    Conflict
        When another process holds it.
    StorageFull
        When the disk refuses to be written.
    """

    def __init__(self, folder: Path, *, holder: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / "lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            said = self._file.read()
            self._file.close()
            who = json.loads(said) if said.startswith("{") else {}
            raise Conflict(
                f"another process works on this project: {who.get('holder', 'unknown')}, process {who.get('pid', '?')}",
                expected="one command at a time where no server is up",
                do="wait for it to end, or start `millstream up` and send every command through it",
            ) from None
        try:
            self._file.truncate(0)
            self._file.write(json.dumps({"pid": os.getpid(), "holder": holder}))
            self._file.flush()
        except OSError as wrong:
            with contextlib.suppress(OSError):  # it tries once more to write
                self._file.close()
            raise StorageFull(
                f"{folder / 'lock'} could not be written: {wrong.strerror}", do="free some space and try again"
            ) from None

    def release(self) -> None:
        """Let go."""
        self._file.close()
