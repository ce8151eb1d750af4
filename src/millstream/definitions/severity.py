"""How bad it is when a check does not hold."""

from __future__ import annotations

from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["note", "warn", "stop"]
"""``note`` is written down, ``warn`` raises an alarm, ``stop`` keeps everything downstream from using the version."""
