"""Columns that would tell a model the answer: the label in disguise, and what became known only after the event.

A column is suspected when it is the label under another name (equal up to relabelling), when a rule on it alone
predicts the label almost perfectly on rows the rule was not made on, when it is named like a later version of the
label, when its times lie after the event, or when it is named like something known only afterwards.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from millstream.metrics.binary import roc_auc
from millstream.profiling.columns import kind_of, words_of

Reason: TypeAlias = Literal["relabelled", "rule", "name", "later"]
ALMOST = 0.99
LATER_SHARE = 0.1
_ROWS = 50_000
_FEWEST = 10
_AFTERWARDS = {
    "after",
    "end",
    "ended",
    "closed",
    "resolved",
    "outcome",
    "completed",
    "finished",
    "cancelled",
    "canceled",
    "final",
    "result",
    "returned",
    "delivered",
    "resolution",
    "settled",
}
_Codes: TypeAlias = npt.NDArray[np.int64]
_Numbers: TypeAlias = npt.NDArray[np.float64]


class Suspect(msgspec.Struct, frozen=True):
    """A column that should not be a feature, and why.

    Parameters
    ----------
    column, reason
        Which, and what kind of suspicion.
    says
        What was seen, in a sentence.
    """

    column: str
    reason: Reason
    says: str


@np.errstate(over="ignore", invalid="ignore")
def suspects(frame: pl.DataFrame, label: str, *, event_time: str | None = None) -> tuple[Suspect, ...]:
    """Name the columns that would tell a model the label.

    Parameters
    ----------
    frame
        Rows; beyond 50,000 a sample with a fixed seed is judged.
    label, event_time
        Columns of it.
    """
    seen = frame.filter(pl.col(label).is_not_null())
    if seen.height > _ROWS:
        seen = seen.sample(_ROWS, seed=7)
    found = []
    target = _Target(seen[label]) if seen.height >= 2 * _FEWEST else None
    for name in frame.columns:
        if name in (label, event_time):
            continue
        said = _by_name(name, label) or _by_time(frame, name, event_time)
        if said is None and target is not None:
            told = target.told_by(seen[name])
            said = None if told is None else told[:2]
        if said is not None:
            found.append(Suspect(name, *said))
    return tuple(found)


@np.errstate(over="ignore", invalid="ignore")
def telling(frame: pl.DataFrame, label: str) -> dict[str, tuple[Reason, str, float]]:
    """Name the columns that tell the label by what they hold, whatever they are called.

    Returns
    -------
    dict
        Column to the reason, what was seen, and how well it tells the label: AUC, accuracy or share explained on rows
        held out, 1 where each of its values goes with one of the label's.
    """
    seen = frame.filter(pl.col(label).is_not_null())
    seen = seen.sample(_ROWS, seed=7) if seen.height > _ROWS else seen
    if seen.height < 2 * _FEWEST:
        return {}
    target = _Target(seen[label])
    told = {name: target.told_by(seen[name]) for name in frame.columns if name != label}
    return {name: said for name, said in told.items() if said is not None}


def _by_name(name: str, label: str) -> tuple[Reason, str] | None:
    words, theirs = words_of(name), words_of(label)
    if theirs and words[: len(theirs)] == theirs and len(words) > len(theirs):
        return "name", f"it is named like something about the label {label!r}"
    if re.sub(r"\W|_|\d", "", name).lower() == re.sub(r"\W|_|\d", "", label).lower() and any(map(str.isalpha, name)):
        return "name", f"it is named like another version of the label {label!r}"
    late = [each for each in words if each in _AFTERWARDS]
    if late:
        return "name", f"its name ({late[0]!r}) says that it is known only afterwards"
    return None


def _by_time(frame: pl.DataFrame, name: str, event_time: str | None) -> tuple[Reason, str] | None:
    if event_time is None or kind_of(frame.schema[name]) not in ("time", "date"):
        return None
    instant = pl.Datetime("us")
    days = kind_of(frame.schema[name]) == "date"
    event = pl.col(event_time).cast(instant)
    later = pl.col(name).cast(instant) > (event.dt.truncate("1d") if days else event)
    share = frame.select(later.mean()).item()
    if share is not None and share >= LATER_SHARE:
        return "later", f"in {share:.0%} of the rows it lies after {event_time!r}"
    return None


class _Target:
    """A label, and how well one column alone tells it on rows held out."""

    def __init__(self, label: pl.Series) -> None:
        kind = kind_of(label.dtype)
        self.codes: _Codes = label.cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
        self.classes = int(self.codes.max()) + 1
        self.named = kind in ("boolean", "text") or self.classes == 2
        self.numbers = None if self.named else label.cast(pl.Float64).to_numpy()
        order = np.random.default_rng(7).permutation(self.codes.size)
        self.made, self.held = order[: order.size // 2], order[order.size // 2 :]

    def told_by(self, column: pl.Series) -> tuple[Reason, str, float] | None:
        """Say how the column tells the label, if it does, and how well."""
        kind = kind_of(column.dtype)
        if kind == "other" or self.classes < 2:
            return None
        groups = _groups(column)
        if 2 * self.classes <= groups.size and self._same(groups):
            return (
                "relabelled",
                "it is the label under another name: each of its values goes with one of the label's",
                1.0,
            )
        if self.numbers is not None:
            return self._number(column, groups)
        share = self._ranked(groups) if self.classes == 2 else self._accuracy(groups)
        if share is None or share < ALMOST:
            return None
        word = "ranks" if self.classes == 2 else "names"
        measure = "AUC" if self.classes == 2 else "accuracy"
        return "rule", f"a rule on it alone {word} the label with {measure} {share:.3f} on rows held out", share

    def _same(self, groups: _Codes) -> bool:
        pairs = np.unique(np.stack([groups, self.codes]), axis=1).shape[1]
        return bool(pairs == self.classes == np.unique(groups).size)

    def _means(self, bins: _Codes, values: _Numbers) -> _Numbers:
        """Predict held-out rows by the mean of their bin among the others."""
        width = int(bins.max()) + 1
        count = np.bincount(bins[self.made], minlength=width)
        total = np.bincount(bins[self.made], weights=values[self.made], minlength=width)
        overall = float(values[self.made].mean())
        means = np.where(count > 0, total / np.maximum(count, 1), overall)
        predicted: _Numbers = means[bins[self.held]]
        return predicted

    def _ranked(self, groups: _Codes) -> float | None:
        truth = (self.codes == 1).astype(np.float64)
        positives = int(truth[self.held].sum())
        if min(positives, self.held.size - positives) < _FEWEST:
            return None
        return float(roc_auc(truth[self.held], self._means(_binned(groups), truth)))

    def _accuracy(self, groups: _Codes) -> float | None:
        bins = _binned(groups)
        table = np.zeros((int(bins.max()) + 1, self.classes))
        np.add.at(table, (bins[self.made], self.codes[self.made]), 1)
        usual = int(np.bincount(self.codes[self.made], minlength=self.classes).argmax())
        rule = np.where(table.sum(axis=1) > 0, table.argmax(axis=1), usual)
        right = float((rule[bins[self.held]] == self.codes[self.held]).mean())
        simple = float((self.codes[self.held] == usual).mean())
        return right if simple < 0.95 else None

    def _number(self, column: pl.Series, groups: _Codes) -> tuple[Reason, str, float] | None:
        assert self.numbers is not None
        truth = self.numbers[self.held]
        spread = float(((truth - truth.mean()) ** 2).sum())
        if not spread or not np.isfinite(spread):
            return None
        guesses = [self._means(_binned(groups), self.numbers)]
        if column.dtype.is_numeric():
            values = column.cast(pl.Float64).to_numpy()
            line = self._line(values)
            guesses += [] if line is None else [line, self._curve(values)]
        best = max(1 - float(((truth - each) ** 2).sum()) / spread for each in guesses)
        if best < ALMOST:
            return None
        return "rule", f"a rule on it alone explains {best:.1%} of the label on rows held out", best

    def _line(self, values: _Numbers) -> _Numbers | None:
        assert self.numbers is not None
        values = np.where(np.isfinite(values), values, np.nanmean(values) if np.isfinite(values).any() else 0.0)
        x, y = values[self.made], self.numbers[self.made]
        wide = float(x.var())
        if not wide or not np.isfinite(wide):
            return None
        slope = float(((x - x.mean()) * (y - y.mean())).mean()) / wide
        predicted: _Numbers = y.mean() + slope * (values[self.held] - x.mean())
        return predicted

    def _curve(self, values: _Numbers) -> _Numbers:
        """Predict held-out rows between their neighbours among the others: finds any smooth function of few rows."""
        assert self.numbers is not None
        values = np.where(np.isfinite(values), values, np.nanmean(values))
        places, which = np.unique(values[self.made], return_inverse=True)
        means = np.bincount(which, weights=self.numbers[self.made]) / np.bincount(which)
        predicted: _Numbers = np.interp(values[self.held], places, means)
        return predicted


def _groups(column: pl.Series) -> _Codes:
    """Number the values of a column in their order, 0 for NULL."""
    ranked = column.cast(pl.String) if kind_of(column.dtype) in ("text", "boolean") else column
    return ranked.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _binned(groups: _Codes, *, most: int = 200) -> _Codes:
    """Put numbered values into at most so many neighbouring bins of about equal size; NULL keeps its own."""
    if int(groups.max()) <= most:
        return groups
    places = np.argsort(np.argsort(groups, kind="stable"), kind="stable")
    first = np.full(int(groups.max()) + 1, groups.size, dtype=np.int64)
    np.minimum.at(first, groups, places)
    bins: _Codes = np.where(groups == 0, 0, 1 + first[groups] * most // groups.size)
    return bins
