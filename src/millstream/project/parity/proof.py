"""What a proof found, as plain data."""

from __future__ import annotations

from typing import Any

import msgspec

SHOWN = 100
"""Differences that are told one by one; all are counted."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One value that was served otherwise than a point-in-time read gives it.

    Parameters
    ----------
    id, at, key, release
        The answer: its id, instant, row and release.
    feature
        Name of the feature; empty where the record was altered beside its features.
    item
        Of a list, the item it is about.
    served, recomputed
        Both values; None is NULL, a text is told as the category the model saw.
    cause, says
        Why, in a word and in words.
    also
        Other causes that would explain it as well.
    """

    id: str
    at: str
    key: dict[str, Any]
    release: str
    feature: str
    served: Any
    recomputed: Any
    cause: str
    says: str
    also: tuple[str, ...] = ()
    item: Any = None


class Today(msgspec.Struct, kw_only=True):
    """How the same answers would read from the tables as they are now, which is what training sees.

    Parameters
    ----------
    compared, equal
        Answers that were computed again so (those that were served wrong are told already), and those that read the
        same.
    late
        Answers some fact of which was known, by its own clock, but came into the lake only after them.
    unseen
        Answers some fact of which was in the lake before them, but not yet in what is served.
    examples
        A few of them: ``id``, ``feature``, ``served``, ``today``, ``cause``.
    """

    compared: int = 0
    equal: int = 0
    late: int = 0
    unseen: int = 0
    examples: list[dict[str, Any]] = []


class Proof(msgspec.Struct, kw_only=True):
    """What a proof found of one model and span.

    Parameters
    ----------
    model, since, until
        What was proved; half-open.
    answers
        Logged in the span.
    compared
        Answers whose features were looked up, and could be computed again.
    equal
        Those whose every value is the same, or within rounding of floating sums.
    rounded
        Of the equal ones, those that are not the same bit by bit.
    different
        Those that are not equal, or whose record was altered.
    answered_by
        Answers by who gave them.
    apart
        Answers that have no features to prove, by why.
    unproved
        Answers that could not be computed again, by why: a table version is gone, a bundle does not open.
    digests
        Records by what their digest says: ``held``, ``altered``, ``none`` (written before there were digests).
    causes, features
        Of the different ones, answers by cause, and by feature.
    differences
        The first of them, value by value.
    today
        The same answers as training would see them now.
    """

    model: str
    since: str
    until: str
    answers: int = 0
    compared: int = 0
    equal: int = 0
    rounded: int = 0
    different: int = 0
    answered_by: dict[str, int] = {}
    apart: dict[str, int] = {}
    unproved: dict[str, int] = {}
    digests: dict[str, int] = {}
    causes: dict[str, int] = {}
    features: dict[str, int] = {}
    differences: list[Difference] = []
    today: Today = msgspec.field(default_factory=Today)
    claims: int = 0
    seconds: float = 0.0

    @property
    def says(self) -> str:
        """Tell it in one sentence."""
        if not self.answers:
            return "no answers in that span"
        if not self.compared:
            return f"none of {self.answers:,} answers has features that can be proved"
        told = f"{self.equal:,} of {self.compared:,} served vectors equal a point-in-time read"
        if self.different:
            causes = ", ".join(f"{count:,} {cause}" for cause, count in sorted(self.causes.items()))
            told += f"; {self.different:,} {'does' if self.different == 1 else 'do'} not ({causes})"
        if unproved := sum(self.unproved.values()):
            told += f"; {unproved:,} more could not be proved"
        return told


def count(counts: dict[str, int], name: str, by: int = 1) -> None:
    """Add to a count by name."""
    counts[name] = counts.get(name, 0) + by
