"""Where production data comes from: files and databases that are ingested; whether what arrives is what was agreed.

Delta tables are read where they lie; the lake names their files itself. The words of definitions (``Delta``, ``Csv``,
``Parquet``, ``Postgres`` ...) are here too: ``millstream.sources`` is this room once something imported it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from millstream.definitions.sources import Csv, Delta, Dlt, Parquet, Postgres, Source, Sql

if TYPE_CHECKING:
    from millstream.sources.arrival import Arrival, Watch, read, refuse_change

__all__ = ["Arrival", "Csv", "Delta", "Dlt", "Parquet", "Postgres", "Source", "Sql", "Watch", "read", "refuse_change"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("millstream.sources.arrival"), name)
    raise AttributeError(f"module 'millstream.sources' has no attribute {name!r}")
