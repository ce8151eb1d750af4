"""Where production data comes from: files and databases that are ingested; whether what arrives is what was agreed.

Delta tables are read where they lie; the lake names their files itself. The words of definitions (``Delta``, ``Csv``,
``Json``, ``Parquet``, ``Postgres`` ...) are here too: ``millstream.sources`` is this room once something imported it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from millstream.definitions.sources import Csv, Delta, Dlt, Files, Json, Parquet, Postgres, Source, Sql

if TYPE_CHECKING:
    from millstream.sources.arrival import Delivery, frames, read
    from millstream.sources.drift import SchemaChanged, refuse_change

__all__ = [
    "Csv",
    "Delivery",
    "Delta",
    "Dlt",
    "Files",
    "Json",
    "Parquet",
    "Postgres",
    "SchemaChanged",
    "Source",
    "Sql",
    "frames",
    "read",
    "refuse_change",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        file = "drift" if name in ("SchemaChanged", "refuse_change") else "arrival"
        return getattr(importlib.import_module(f"millstream.sources.{file}"), name)
    raise AttributeError(f"module 'millstream.sources' has no attribute {name!r}")
