"""One thing measured of a day: the observation it leaves, and what to say if it is an alarm."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.state.alarms import Severity
from millstream.state.observations import Observation, Verdict

CALM_DAYS = {
    "outcomes": 3,
    "latency": 3,
    "degraded": 3,
    "requests": 3,
    "nulls": 3,
    "lag": 3,
    "parity": 3,
    "contract": 8,
    "drift": 7,
    "performance": 7,
    "bias": 7,
    "harm": 7,
}
"""Judged days in a row on which a value must be back before its alarm closes, by kind.

A day's own number is back after three days. A rolling number moves slowly and waits a week, so that it does not
flicker around its threshold. A contract waits eight, so that what breaks every weekend is one alarm, not many.
"""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One measured thing.

    Parameters
    ----------
    day
        ISO date the observation is written under.
    since
        From when on it is so, if it is an alarm; ISO date.
    severity, next
        Of the alarm; ``severity`` ``note`` never opens one except for ``outcomes``.
    about
        The release it judges; its alarm ends with the release. Empty where the release does not matter.
    calm
        Whether an ``ok`` value is far enough below its threshold to count towards the end of an alarm.
    """

    day: str
    model: str
    kind: str
    subject: str
    verdict: Verdict
    value: float | None
    threshold: float | None
    says: str
    severity: Severity = "warn"
    since: str = ""
    next: str = ""
    about: str = ""
    calm: bool = True
    detail: dict[str, Any] = {}

    def observation(self) -> Observation:
        """Return the record of the measurement."""
        return Observation(
            day=self.day,
            model=self.model,
            kind=self.kind,
            subject=self.subject,
            value=self.value,
            threshold=self.threshold,
            verdict=self.verdict,
            says=self.says,
            detail=self.detail,
        )
