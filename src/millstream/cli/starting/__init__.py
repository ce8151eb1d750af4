"""``init --from``: from a file to a project that runs, every guess written down with what it saw."""

from __future__ import annotations

from millstream.cli.starting.beginning import Design, Wishes, begin, begin_empty, design

__all__ = ["Design", "Wishes", "begin", "begin_empty", "design"]
