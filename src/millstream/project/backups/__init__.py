"""Backups: all that a project knows, in a folder elsewhere, each file by its hash; and a project made from one."""

from __future__ import annotations

from millstream.project.backups.restoring import restore
from millstream.project.backups.taking import backup

__all__ = ["backup", "restore"]
