"""How many requests had fields that the contract or training does not know, against how many usually have."""

from __future__ import annotations

import math
from datetime import date
from statistics import median

from millstream.monitoring.finding import Finding
from millstream.monitoring.outcomes import OutcomeBook

FEWEST = 20
"""Answers of a day without which a share says nothing."""
_DAYS, _FEWEST_DAYS = 28, 3
_BEYOND, _SURE = 0.02, 4.0


def request_findings(day: date, *, model: str, book: OutcomeBook) -> list[Finding]:
    """Judge the share of a day's requests that were odd; nothing where none was on any day.

    It alarms when the share is, almost surely, above twice its habit (the median of the last 28 days) and 2 % more;
    with fewer than three days there is no habit, and 0 is what training has seen.
    """
    answers, before = book.answers(day), book.odd_before(day)[-_DAYS:]
    if not answers.odd and not any(odd for _, odd in before):
        return []
    shares = [odd / count for count, odd in before if count >= FEWEST]
    usual = median(shares) if len(shares) >= _FEWEST_DAYS else 0.0
    limit = 2 * usual + _BEYOND
    judged = answers.count >= FEWEST
    share = answers.odd / answers.count if answers.count else None
    alarm = judged and share is not None and _surely(answers.odd, answers.count) > limit
    return [
        Finding(
            day=day.isoformat(),
            model=model,
            kind="requests",
            subject="odd",
            verdict="unknown" if not judged else "alarm" if alarm else "ok",
            value=share,
            threshold=limit,
            says=(
                f"{answers.odd:,} of {answers.count:,} requests had a field that the contract or training does not"
                f" know; usual is {usual:.1%}"
            ),
            since=day.isoformat(),
            next="look at the warnings of a day's answers: millstream why PREDICTION; who sends these?",
            calm=share is not None and share <= limit,
        )
    ]


def _surely(found: int, of: int) -> float:
    """Return the share that is at least so, almost surely (Wilson 1927)."""
    share, square = found / of, _SURE**2 / of
    half = _SURE * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (share + square / 2 - half) / (1 + square))
