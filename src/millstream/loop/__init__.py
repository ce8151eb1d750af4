"""Acting on what was watched: a model is retrained on schedule or on harm, and a person decides.

A retrain is a candidate, a backtest against the champion, a gate, a signed release, a question to a person and a
swap. It survives a kill at any instant; each step is recorded for the page and in the ledger.
"""

from millstream.loop.retraining import Retraining, StepFailed
from millstream.loop.steps import Steps
from millstream.loop.triggers import Trigger, due

__all__ = ["Retraining", "StepFailed", "Steps", "Trigger", "due"]
