"""Where a file of a table lies: with its owner, or, when the owner deleted it, its copy in the lake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """The folder of a table's files, and the one of their copies.

    Parameters
    ----------
    own
        Where the table lies.
    spare
        Where copies of pinned versions are; it need not exist.
    """

    own: Path
    spare: Path

    def copy(self, path: str) -> Path:
        """Return where the copy of a file is, if there is one."""
        return self.spare / f"{hashlib.sha256(path.encode()).hexdigest()[:40]}.parquet"

    def place(self, path: str) -> Path:
        """Return where to read a file: the owner's, its copy when that is gone, and the owner's when both are."""
        own = self.own / path
        if own.exists():
            return own
        copy = self.copy(path)
        return copy if copy.exists() else own
