"""When a model is retrained."""

from __future__ import annotations

import msgspec


class Harm(msgspec.Struct, frozen=True):
    """Measured loss on the goal metric beyond its tolerance (see ``monitors``)."""


class Every(msgspec.Struct, frozen=True):
    """Retrain on a schedule, and on harm where ``or_on`` says so.

    Parameters
    ----------
    period
        Time between scheduled retrains.
    or_on
        A further trigger.
    at_most_every
        A harm trigger within this time of the last retrain waits.
    """

    period: str
    or_on: Harm | None = None
    at_most_every: str = "7d"


def Weekly(*, or_on: Harm | None = None, at_most_every: str = "7d") -> Every:  # noqa: N802 - an option object
    """Retrain every seven days."""
    return Every(period="7d", or_on=or_on, at_most_every=at_most_every)


def Monthly(*, or_on: Harm | None = None, at_most_every: str = "7d") -> Every:  # noqa: N802 - an option object
    """Retrain every 28 days."""
    return Every(period="28d", or_on=or_on, at_most_every=at_most_every)
