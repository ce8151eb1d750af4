"""The mean of known labels by key, drawn toward everybody's: target encoding that cannot leak.

Of a table with time the labels of an entity are those known at the instant, as for every window, and everybody's mean
is the one that was known when the day (UTC) began: it moves once a day, so that what is served stays small. Of a table
without time a row is encoded by the labels of rows in other folds, never its own; what is served is encoded by all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.features.active import Active, Values
from millstream.features.facts import ALWAYS, FOREVER, NOBODY, Codes, Facts, Instants
from millstream.features.intervals import Asked, Line
from millstream.features.plan import Span, WindowPlan
from millstream.features.sums import Floats
from millstream.features.windows import Windows

AGGREGATE = "target"
FOLDS = 5
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Everybody:
    """All facts of a table as those of one entity.

    Parameters
    ----------
    facts
        Under one knowledge.
    values
        The label of each.
    """

    facts: Facts
    values: Values

    @cached_property
    def _windows(self) -> tuple[Windows, Line]:
        facts = self.facts
        one = np.where(facts.entity == NOBODY, NOBODY, 0)
        all_ = Facts(one, facts.event, facts.known, facts.superseded, facts.successor)
        line = Line([all_.start, all_.superseded], entities=1)
        return Windows(all_, line), line

    def at(self, instants: Instants) -> Floats:
        """Return everybody's mean as it was known when the day of each instant began; NaN before any label was."""
        days, place = np.unique(day_begins(instants), return_inverse=True)
        windows, line = self._windows
        count, total = sums(windows, self.values, Span(None), Asked(np.zeros(len(days), dtype=np.int64), days, line))
        mean = np.full(len(days), np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return mean[place]

    def changes(self, since: int, until: int) -> Instants:
        """Return the midnights at which that mean may change."""
        there = self.facts.entity != NOBODY
        instants = np.concatenate([self.facts.start[there], self.facts.superseded[there]])
        instants = instants[(instants != ALWAYS) & (instants < FOREVER - DAY_US)]
        days = np.unique(-(-instants // DAY_US) * DAY_US)
        return days[(days >= since) & (days < until)]


def encoded(window: WindowPlan, values: Values, windows: Windows, asked: Asked, usual: Floats) -> pl.Series:
    """Evaluate a target mean at every question; NULL for an entity none of whose labels is known."""
    count, total = sums(windows, values, window.span, asked)
    return drawn(count, total, usual, smooth=window.smooth or 0.0)


def sums(windows: Windows, values: Values, span: Span, asked: Asked) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return how many labels are known at each question, and their sum."""
    active = Active(windows.facts, windows.of_span(span), asked)
    count = active.count(values.present)
    numbers = values.numbers
    if numbers.dtype == np.int64:
        return count, active.whole(numbers).astype(np.float64)
    high, low = active.total(numbers)
    return count, high + low


def drawn(count: npt.NDArray[Any], total: Floats, usual: Floats, *, smooth: float) -> pl.Series:
    """Draw means toward the usual one.

    >>> drawn(np.array([3, 0]), np.array([3.0, 0.0]), np.array([0.5, 0.5]), smooth=1.0).to_list()
    [0.875, None]
    """
    toward = smooth * usual if smooth else np.zeros(len(total))  # drawn toward nothing, nothing need be known of it
    mean = (total + toward) / np.maximum(count + smooth, 1e-300)
    return pl.Series(np.where(count > 0, mean, np.nan)).fill_nan(None)


def day_begins(instants: Instants) -> Instants:
    """Return the last midnight (UTC) at or before each instant."""
    return instants - instants % DAY_US


def fold_of(key: Iterable[Any]) -> int:
    """Return the fold of a row without time: by its key, so that it is the same whenever and wherever it is asked."""
    return zlib.crc32("|".join(map(str, key)).encode()) % FOLDS


def folds_of(frame: pl.DataFrame, key: Sequence[str]) -> Codes:
    """Return the fold of every row."""
    return np.fromiter(
        (fold_of(each) for each in frame.select(pl.col(key).to_physical()).iter_rows()),
        dtype=np.int64,
        count=len(frame),
    )


def out_of_fold(
    window: WindowPlan,
    values: Values,
    facts: Facts,
    folds: tuple[Codes, Codes],
    entity: Codes,
) -> pl.Series:
    """Encode rows of a table without time, each by the labels of rows that are in other folds than it.

    Parameters
    ----------
    window, values, facts
        The labels, by entity.
    folds
        Of every fact, and of every row that is encoded.
    entity
        Code of the entity of every row that is encoded.
    """
    of_facts, of_rows = folds
    there = (facts.entity != NOBODY) & (facts.superseded == FOREVER)
    if values.present is not None:
        there &= values.present
    numbers = np.where(there, values.numbers, 0).astype(np.float64)
    width = int(max(facts.entity.max(initial=0), entity.max(initial=0))) + 1
    count, total = (np.zeros((width, FOLDS)) for _ in range(2))
    np.add.at(count, (facts.entity[there], of_facts[there]), 1)
    np.add.at(total, (facts.entity[there], of_facts[there]), numbers[there])
    known = np.where(entity == NOBODY, 0, entity)
    ours = count.sum(axis=1)[known] - count[known, of_rows]
    theirs = total.sum(axis=1)[known] - total[known, of_rows]
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = (total.sum() - total.sum(axis=0)) / (count.sum() - count.sum(axis=0))
    return drawn(np.where(entity == NOBODY, 0, ours), theirs, usual[of_rows], smooth=window.smooth or 0.0)
