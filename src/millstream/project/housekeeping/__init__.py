"""Housekeeping: what may go and what is held, small files made large, who uses what, and how much there may be."""

from __future__ import annotations

from millstream.project.housekeeping.clean import gc
from millstream.project.housekeeping.small import compact
from millstream.project.housekeeping.used import usage

__all__ = ["compact", "gc", "usage"]
