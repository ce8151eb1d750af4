"""What a table holds: its columns, keys and times, and what in it could mislead a model.

Pure functions over a Polars frame that return records; ``init --from`` and ``profile`` both use them.
"""

from __future__ import annotations

from millstream.profiling.leaks import Suspect, suspects
from millstream.profiling.records import Column, Gap, Pitfall, Repeat, TableProfile, Timeline
from millstream.profiling.table import profile

__all__ = ["Column", "Gap", "Pitfall", "Repeat", "Suspect", "TableProfile", "Timeline", "profile", "suspects"]
