"""Which code computes: what was kept by other code, or by another version of what it stands on, is not taken."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

import millstream

_ROOMS = ("definitions", "expressions", "features", "lake", "project/notebook", "sources", "state", "training")
"""Whose files have a say in a value."""


@cache
def engine() -> str:
    """Name the code of this process: a hash of the files that compute, and the versions of Python, Polars and NumPy."""
    import numpy as np
    import polars as pl

    root = Path(millstream.__file__).parent
    digest = hashlib.blake2b(f"{sys.version} {pl.__version__} {np.__version__}".encode(), digest_size=16)
    files = [each for room in _ROOMS for each in (root / room).rglob("*.py")]
    for each in sorted([*files, root / "types.py"]):
        digest.update(f"\0{each.relative_to(root)}\0".encode())
        digest.update(each.read_bytes())
    return digest.hexdigest()
