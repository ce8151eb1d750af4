"""Served features: step functions of time per entity, kept where a request can read them in microseconds.

``store`` keeps bytes under one transaction, ``layout`` says what the bytes are, ``writer`` (control plane, one per
project) computes and writes, ``lookup`` (scoring server) reads with the standard library, lmdb and msgspec alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.features.online.lookup import Lookup
    from millstream.features.online.store import LmdbOnline, OnlineStore, Snapshot
    from millstream.features.online.writer import Refreshed, Writer

_DOOR = {
    "LmdbOnline": "store",
    "Lookup": "lookup",
    "OnlineStore": "store",
    "Refreshed": "writer",
    "Snapshot": "store",
    "Writer": "writer",
}

__all__ = ["LmdbOnline", "Lookup", "OnlineStore", "Refreshed", "Snapshot", "Writer"]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {sorted(_DOOR)}")
    return getattr(importlib.import_module(f"{__name__}.{_DOOR[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
