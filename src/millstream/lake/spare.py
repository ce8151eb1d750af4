"""Where a file of a table lies: with its owner, or, when the owner deleted it, its copy in the lake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

EDITED = "branch://"
"""Before the name of a file that an overlay wrote."""


@dataclass(frozen=True)
class Folders:
    """The folder of a table's files, and the one of their copies.

    Parameters
    ----------
    own
        Where the table lies.
    spare
        Where copies of pinned versions are; it need not exist.
    edited
        Where an overlay keeps the files of its edits, which are named with ``EDITED`` before them.
    """

    own: Path
    spare: Path
    edited: Path | None = None

    def copy(self, path: str) -> Path:
        """Return where the copy of a file is, if there is one."""
        return self.spare / f"{hashlib.sha256(path.encode()).hexdigest()[:40]}.parquet"

    def place(self, path: str) -> Path:
        """Return where to read a file: the owner's, its copy when that is gone, and the owner's when both are."""
        if self.edited is not None and path.startswith(EDITED):
            return self.edited / path.removeprefix(EDITED)
        own = self.own / path
        if own.exists():
            return own
        copy = self.copy(path)
        return copy if copy.exists() else own
