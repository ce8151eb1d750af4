"""Watching what was shipped: each day is judged, and people are told what is wrong, since when, how bad, what next.

Predictions meet their outcomes as these arrive; features and source columns are held against what the release learnt
from; the goal metric against what it was when released. Judging is a function from records to records; ``apply``
writes what it found in one transaction.
"""

from millstream.monitoring.drift import DriftWindow
from millstream.monitoring.finding import Finding
from millstream.monitoring.judge import Judgement, Watched, apply, judge_data, judge_day
from millstream.monitoring.outcomes import OutcomeBook
from millstream.monitoring.reference import NullHabit, Reference, null_habits

__all__ = [
    "DriftWindow",
    "Finding",
    "Judgement",
    "NullHabit",
    "OutcomeBook",
    "Reference",
    "Watched",
    "apply",
    "judge_data",
    "judge_day",
    "null_habits",
]
