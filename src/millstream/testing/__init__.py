"""Conformance suites, classes to inherit from: what a source, a store, a database, a lake, a feature engine must do.

A test of yours inherits a suite and gives it the one fixture it asks for; pytest runs the laws. Millstream's own parts
pass the same suites. Nothing here imports pytest.
"""

from __future__ import annotations

from millstream.testing.bench import Bench, Told, refused, require
from millstream.testing.databases import Database, DatabaseSuite
from millstream.testing.engines import FeatureEngineSuite
from millstream.testing.lakes import LakeSuite
from millstream.testing.onlines import OnlineOrigin, OnlineStoreSuite
from millstream.testing.sources import (
    BoundedSuite,
    NarrowedSuite,
    Origin,
    RedeliveredSuite,
    SourceSuite,
    rows,
)
from millstream.testing.stores import StoreOrigin, StoreSuite

__all__ = [
    "Bench",
    "BoundedSuite",
    "Database",
    "DatabaseSuite",
    "FeatureEngineSuite",
    "LakeSuite",
    "NarrowedSuite",
    "OnlineOrigin",
    "OnlineStoreSuite",
    "Origin",
    "RedeliveredSuite",
    "SourceSuite",
    "StoreOrigin",
    "StoreSuite",
    "Told",
    "refused",
    "require",
    "rows",
]
