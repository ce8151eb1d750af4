"""Which code computes: what was kept by other code, or by another version of what it stands on, is not taken."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import millstream

_ROOMS = ("definitions", "expressions", "features", "lake", "project/notebook", "sources", "state", "training")
"""Whose files have a say in a value."""
_STANDS_ON = ("polars", "numpy", "duckdb", "deltalake", "sqlglot", "tzdata", "holidays")


@cache
def engine() -> str:
    """Name the code of this process: a hash of the files that compute, and the versions of what they stand on."""
    root = Path(millstream.__file__).parent
    digest = hashlib.blake2b(f"{sys.version} {[_version(each) for each in _STANDS_ON]}".encode(), digest_size=16)
    files = [each for room in _ROOMS for each in (root / room).rglob("*.py")]
    for each in sorted([*files, root / "types.py"]):
        digest.update(f"\0{each.relative_to(root)}\0".encode())
        digest.update(each.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
