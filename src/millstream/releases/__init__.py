"""Ships models: immutable signed releases, rehearsed, approved, put live and taken back.

A release is a folder named by the hash of what it says, holding a model with its feature definitions, schemas,
environment, data pins, reference profile and replay sample. Which one answers is a single row, moved by
compare-and-set; everything else that knows about it is told afterwards.
"""

from millstream.releases.approval import ask, decide
from millstream.releases.bundle import build
from millstream.releases.outbox import Finding, project_outbox, reconcile
from millstream.releases.rehearsal import Rehearsal, Score, rehearse
from millstream.releases.room import Releases
from millstream.releases.swap import Swap, rollback, swap
from millstream.releases.verify import Release, open_release

__all__ = [
    "Finding",
    "Rehearsal",
    "Release",
    "Releases",
    "Score",
    "Swap",
    "ask",
    "build",
    "decide",
    "open_release",
    "project_outbox",
    "reconcile",
    "rehearse",
    "rollback",
    "swap",
]
