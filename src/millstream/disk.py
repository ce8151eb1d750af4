"""Force what was written to the disk: the one way every room does it."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file's bytes, or the names in a folder, to the disk, so that they survive power loss.

    Raises
    ------
    OSError
        When the disk refuses: what was to be forced there may not be.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
