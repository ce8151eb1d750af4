"""``init --from``: from a file to a project that runs, every guess written down with what it saw."""

from __future__ import annotations

from millstream.cli.starting.begin import Wishes, begin, begin_empty

__all__ = ["Wishes", "begin", "begin_empty"]
