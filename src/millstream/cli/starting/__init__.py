"""``init --from``: from a file or a table of a database to a project that runs, every guess with what it saw."""

from __future__ import annotations

from millstream.cli.starting.beginning import Design, Wishes, begin, begin_empty, design
from millstream.cli.starting.database import asked

__all__ = ["Design", "Wishes", "asked", "begin", "begin_empty", "design"]
