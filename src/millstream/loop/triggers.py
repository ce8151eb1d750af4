"""When a model is due for a retrain, and why it has to wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from millstream.definitions.loop import Every
from millstream.state.alarms import Alarm
from millstream.types import parse_duration

_SETTLED_DAYS = 3
"""Judged days without the breach after which data counts as whole again."""
_UNTIL_CLOSED = ("expected", "zeros")
"""Checks whose breach stays in the data until it is repaired: what they say holds until their alarm is closed."""


class Trigger(msgspec.Struct, frozen=True):
    """A reason to retrain.

    Parameters
    ----------
    held
        Whether it has to wait because data is broken; ``says`` tells which.
    """

    model: str
    kind: Literal["schedule", "harm"]
    says: str
    held: bool = False


def due(
    model: str, retrain: Every | None, *, last_at: datetime, alarms: Sequence[Alarm], now: datetime
) -> Trigger | None:
    """Say whether a model is due.

    Parameters
    ----------
    retrain
        The model's definition; None never is due by itself.
    last_at
        When the last retrain was asked for, or the first release was made.
    alarms
        The open ones.
    now
        By the project's clock.

    Returns
    -------
    Trigger or None
        ``held`` while data the model may learn from is broken: training on it would teach the break.
    """
    if retrain is None:
        return None
    waited = now - last_at
    harm = [each for each in alarms if each.kind == "harm" and each.model == model and each.closed_at is None]
    if harm and retrain.or_on is not None and waited >= parse_duration(retrain.at_most_every):
        trigger = Trigger(model, "harm", f"measured harm since {harm[0].since}: {harm[0].says}")
    elif waited >= parse_duration(retrain.period):
        trigger = Trigger(model, "schedule", f"every {retrain.period}; the last was {waited.days} days ago")
    else:
        return None
    broken = [each for each in alarms if breaks_data(each)]
    if not broken:
        return trigger
    words = "; ".join(f"{each.subject} since {each.since}" for each in broken)
    says = f"{trigger.says} (held: the data contract is broken, {words})"
    return Trigger(model, trigger.kind, says, held=True)


def breaks_data(alarm: Alarm) -> bool:
    """Whether an open alarm says that data may not be learnt from: a stop, rows that are missing, or false zeros."""
    if alarm.kind != "contract" or alarm.closed_at is not None or alarm.severity == "note":
        return False
    if alarm.detail.get("check") in _UNTIL_CLOSED:
        return True
    if alarm.calm_days >= _SETTLED_DAYS:
        return False
    return alarm.severity == "stop" or alarm.detail.get("check") == "complete"
