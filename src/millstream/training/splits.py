"""Parting rows by time: fit on what was known at a cut, judge on what was decided after it.

At a cut, fitted rows were decided before it **and** their label was known at it; rows decided before the cut whose
label came later are purged, because somebody training at that instant could not have had them. Test rows were decided
in the span after the cut and have a label by now.

Rows without time are all decided at one instant. They are parted by a hash of seed and key: a row is on the same side
whenever and wherever it is parted, and rows that come later do not move those that are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.definitions.splits import Time
from millstream.errors import BadData
from millstream.types import MICROSECOND, from_micros, parse_duration

Instants: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = npt.NDArray[np.intp]

NEVER = int(np.iinfo(np.int64).max)
"""Known-at, in microseconds, of a label that nobody knows."""


class SplitCounts(msgspec.Struct, frozen=True):
    """What became of the rows at one cut.

    Parameters
    ----------
    total
        Rows of the training set.
    unlabelled
        Rows without a label, whenever decided.
    not_yet_known
        Rows whose label becomes known only after the set's end: its window is open, or it has not arrived.
    purged
        Rows decided before the cut whose label was known only after it.
    fitted, tested
        Rows learnt from and judged on.
    sampled
        Of the total, rows of items that were sampled beside what was chosen.
    later
        Labelled rows decided after the span judged on: under a horizon, those of which the furthest targets have no
        label yet. The model that ships learns from them.
    """

    total: int
    unlabelled: int
    purged: int
    fitted: int
    tested: int
    not_yet_known: int = 0
    sampled: int = 0
    later: int = 0


class Split(msgspec.Struct, frozen=True):
    """One cut: row numbers to fit and to test, and what was counted. Instants are microseconds since the epoch."""

    cut: int
    end: int
    fit: Rows
    test: Rows
    counts: SplitCounts

    def with_waiting(self, waiting: int, *, sampled: int = 0) -> Split:
        """Tell rows whose label is not known yet apart from those that have none; say how many were sampled."""
        counts = msgspec.structs.replace(
            self.counts, unlabelled=self.counts.unlabelled - waiting, not_yet_known=waiting, sampled=sampled
        )
        return msgspec.structs.replace(self, counts=counts)


def split_at(decided: Instants, known: Instants, *, cut: int, end: int) -> Split:
    """Part rows at one cut.

    Parameters
    ----------
    decided
        Instant each row is decided at, shape (n,).
    known
        Instant each row's label is known from, ``NEVER`` for none, shape (n,).
    cut, end
        Start and end of the test span.

    Examples
    --------
    >>> late = split_at(np.array([1, 2, 3, 4]), np.array([2, 9, 5, NEVER]), cut=3, end=5)
    >>> late.fit.tolist(), late.test.tolist(), late.counts.purged
    ([0], [2], 1)
    """
    labelled = known != NEVER
    before = labelled & (decided < cut)
    fit = before & (known <= cut)
    test = labelled & (decided >= cut) & (decided < end)
    counts = SplitCounts(
        total=int(decided.size),
        unlabelled=int((~labelled).sum()),
        purged=int((before & ~fit).sum()),
        fitted=int(fit.sum()),
        tested=int(test.sum()),
        later=int((labelled & (decided >= cut) & ~test).sum()),
    )
    return Split(cut=cut, end=end, fit=np.flatnonzero(fit), test=np.flatnonzero(test), counts=counts)


def by_key(keys: Iterable[str], decided: Instants, known: Instants, said: Time, *, seed: int) -> list[Split]:
    """Part rows without time into folds by a hash of their key; the last is the hold-out.

    Each fold tests another ``said.share`` of the keys and fits on all others, so no row is tested twice.

    Parameters
    ----------
    keys
        Key of each row, as one text.
    decided, known
        As for ``split_at``; all rows are decided at one instant.
    said
        How many folds, of what share.
    seed
        Another seed parts the rows otherwise.

    Raises
    ------
    BadData
        When there are too few rows to fit and to judge.
    """
    labelled = known != NEVER
    place = np.fromiter((_place(each, seed) for each in keys), dtype=np.float64, count=decided.size)
    folds = max(1, min(said.folds, int(1 / said.share + 1e-9)))
    at = int(decided.max())
    splits = []
    for fold in range(folds):
        test = labelled & (place >= fold * said.share) & (place < (fold + 1) * said.share)
        fit = labelled & ~test
        counts = SplitCounts(
            total=int(decided.size), unlabelled=int((~labelled).sum()), purged=0, fitted=int(fit.sum()),
            tested=int(test.sum()),
        )  # fmt: skip
        splits.append(Split(cut=at, end=at, fit=np.flatnonzero(fit), test=np.flatnonzero(test), counts=counts))
    usable = [each for each in splits if each.counts.fitted and each.counts.tested]
    if not usable:
        raise BadData(
            f"{int(labelled.sum())} labelled rows cannot be parted into some to fit and some to judge",
            expected="a few dozen labelled rows",
            do="look at the label, or wait for more rows",
        )
    return usable


def _place(key: str, seed: int) -> float:
    """Return where a key lies between 0 and 1."""
    digest = hashlib.blake2b(f"{seed}|{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def rolling(
    decided: Instants, known: Instants, said: Time, *, whole: npt.NDArray[np.bool_] | None = None
) -> list[Split]:
    """Part rows at each rolling origin, oldest first; the last is the hold-out.

    Test spans lie end to end and the last one ends with the latest labelled decision, so that every span is whole.
    Origins before which nothing could be fitted are left out. Under a horizon, ``whole`` names the rows about the
    furthest target: the last span ends where those have labels, or its last days would be judged on the nearest, and
    easiest, targets only.

    Raises
    ------
    BadData
        When no origin leaves rows both to fit and to judge.
    """
    span = parse_duration(said.test) // MICROSECOND
    labelled = decided[known != NEVER]
    if whole is not None and (whole & (known != NEVER)).any():
        labelled = decided[whole & (known != NEVER)]
    if not labelled.size:
        raise BadData(f"none of {decided.size} rows has a label", do="look at the label's columns and known_at")
    end = int(labelled.max()) + 1
    splits = [
        split_at(decided, known, cut=end - span * back, end=end - span * (back - 1))
        for back in range(max(said.folds, 1), 0, -1)
    ]
    usable = [each for each in splits if each.counts.fitted and each.counts.tested]
    if not usable or usable[-1] is not splits[-1]:
        raise BadData(
            f"a hold-out of {said.test} leaves {splits[-1].counts.fitted} rows to fit and "
            f"{splits[-1].counts.tested} to judge",
            expected=f"labels known before {from_micros(splits[-1].cut).isoformat()}",
            do="shorten split=splits.Time(test=...), or train on a longer span",
        )
    return usable
