"""Prove what was served: every logged vector computed again from the lake, on demand and each night."""

from millstream.project.parity.command import parity
from millstream.project.parity.nightly import nightly, stands

__all__ = ["nightly", "parity", "stands"]
