"""Runs and registered models, kept in MLflow: the only door to it.

A stock MLflow client lists the runs with their parameters, metrics and dataset digests (``table@version``), sees the
model versions and the alias ``champion``, and loads a version without Millstream. MLflow takes seconds to import, so
nothing of it is imported before the first call.
"""

from millstream.tracking.records import RunRecord, StoredModel, TrackedRun, TrackedVersion
from millstream.tracking.store import CHAMPION, Tracking

__all__ = ["CHAMPION", "RunRecord", "StoredModel", "TrackedRun", "TrackedVersion", "Tracking"]
