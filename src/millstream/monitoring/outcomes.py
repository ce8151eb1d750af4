"""Predictions waiting for the truth, and how complete the truth of each day is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Literal, TypeAlias

import numpy as np
import polars as pl

from millstream.types import to_micros

Completeness: TypeAlias = Literal["empty", "open", "complete", "incomplete"]

FAR_BELOW_HABIT = 0.7
"""A day of which less than this part of the usual share arrived is incomplete. Ordinary bad days stay above it."""

_HABIT_DAYS = 28
_HABIT_FROM = 5
_FEWEST_MISSING = 5

Floats: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
Table: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
Integers: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"


@dataclass(frozen=True)
class DayOutcomes:
    """How much of the truth about a day's decisions has arrived.

    Parameters
    ----------
    day
        Day of the decisions.
    predicted, due, arrived
        Predictions made; those whose label should be here; those of them whose label is.
    habit
        Share that usually arrives: the median of the last 28 days that are due.
    verdict
        ``open`` until every label is due; ``incomplete`` when far fewer than usual arrived.
    """

    day: date
    predicted: int
    due: int
    arrived: int
    habit: float
    verdict: Completeness

    @property
    def share(self) -> float:
        """Arrived over due, 1 when nothing is due."""
        return self.arrived / self.due if self.due else 1.0


@dataclass(frozen=True)
class Settled:
    """Predictions whose truth arrived, of the complete days of a window.

    Parameters
    ----------
    value, label
        Answer and truth (booleans as 0 and 1), of equal length. Of classes the answer is the probability of the class
        that was said, and the truth its code, -1 for a class the release does not know.
    block
        Ordinal of the day each is judged with: the blocks of a bootstrap.
    first, last
        Ends of the window, both included.
    left_out
        Days of the window that are incomplete.
    numbers
        All numbers of each answer, shape (n, k), where it is of classes or quantiles; else None.
    asked, about
        Instants (microseconds) each was decided at and is about; they differ under a horizon only.
    simple
        What the seasonal naive rule said of each at its decision, NaN where it knew nothing or there is none.
    """

    value: Floats
    label: Floats
    block: Integers
    first: date
    last: date
    left_out: tuple[date, ...]
    numbers: Table | None = None
    asked: Integers | None = None
    about: Integers | None = None
    simple: Floats | None = None

    @property
    def predicted(self) -> Floats | Table:
        """What metrics judge: all numbers of the answers where there are several."""
        return self.value if self.numbers is None else self.numbers

    @property
    def days(self) -> int:
        """Days that have outcomes."""
        return len(np.unique(self.block))


@dataclass(frozen=True)
class Answers:
    """How a day's requests were answered."""

    count: int
    degraded: int
    p95_ms: float


class _Answered:
    """How the requests of one day were answered."""

    def __init__(self) -> None:
        self.degraded = np.empty(0, np.bool_)
        self.latency_us = np.empty(0, np.float64)

    def extend(self, frame: pl.DataFrame) -> None:
        """Append answers."""
        self.degraded = np.concatenate([self.degraded, frame["degraded"].fill_null(value=False).to_numpy()])
        self.latency_us = np.concatenate([self.latency_us, frame["latency_us"].cast(pl.Float64).to_numpy()])


class _Day:
    """Columns of the predictions judged with one day; the label is NaN until it arrives."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.arrived = 0
        self.last_at = 0
        self.at = np.empty(0, np.int64)
        self.asked = np.empty(0, np.int64)
        self.simple = np.empty(0, np.float64)
        self.value = np.empty(0, np.float64)
        self.label = np.empty(0, np.float64)
        self.numbers: list[list[float] | None] = []
        self.release = np.empty(0, np.int64)
        self.degraded = np.empty(0, np.bool_)

    def extend(self, frame: pl.DataFrame) -> int:
        """Append rows; return the position of the first."""
        start = len(self.at)
        asked = frame["asked" if "asked" in frame.columns else "at"]
        self.asked = np.concatenate([self.asked, asked.dt.epoch("us").to_numpy()])
        self.simple = np.concatenate([self.simple, np.full(frame.height, np.nan)])
        self.ids.update(frame["id"].to_list())
        self.at = np.concatenate([self.at, frame["at"].dt.epoch("us").to_numpy()])
        self.value = np.concatenate([self.value, frame["value"].cast(pl.Float64).to_numpy()])
        self.label = np.concatenate([self.label, np.full(frame.height, np.nan)])
        self.numbers += frame["numbers"].to_list() if "numbers" in frame.columns else [None] * frame.height
        self.release = np.concatenate([self.release, frame["version"].cast(pl.Int64).fill_null(0).to_numpy()])
        self.degraded = np.concatenate([self.degraded, frame["degraded"].fill_null(value=False).to_numpy()])
        self.last_at = int(self.at.max())
        return start

    def settle(self, position: int, label: float) -> bool:
        """Write a label down; return whether it is news."""
        before = self.label[position]
        if before == label:
            return False
        self.arrived += bool(np.isnan(before))
        self.label[position] = label
        return True


class OutcomeBook:
    """Predictions by the day they are judged with, each joined by its key to the truth when that arrives.

    That is the day of the decision; of forecasts the day that was predicted, so that a day is judged as soon as its
    own truth is there, with every forecast that was ever made of it.

    Kept in memory (about 80 bytes and one key a prediction) and filled again from the lake at start; ``forget``
    bounds it. Adding a prediction twice changes nothing; a label corrected later replaces the earlier.

    Parameters
    ----------
    due_after
        How long after its decision a label should be here: what the label waits for plus the table's lag. Days are
        judged only when all their labels are due, because good news arrives sooner than bad.
    habit
        Share of labels that usually arrives, until five days taught it (training rows that were labelled).
    """

    def __init__(self, *, due_after: timedelta = timedelta(days=2), habit: float = 1.0) -> None:
        self.due_after = due_after
        self._usual = due_after
        self._first_habit = habit
        self._days: dict[date, _Day] = {}
        self._answered: dict[date, _Answered] = {}
        self._places: dict[str, list[tuple[date, int]]] = {}
        self._classes: dict[str, int] = {}

    def add_predictions(self, frame: pl.DataFrame) -> int:
        """Take in predictions; return how many were new.

        Parameters
        ----------
        frame
            Columns ``id`` and ``key`` (text), ``at`` (instant of the decision, of a forecast the one it is about),
            ``day`` (its date in the project's zone), ``value``, ``version`` (of the release), ``degraded``,
            ``latency_us``, and ``numbers`` (a list) where answers are of classes or quantiles. Forecasts also have
            ``asked`` and ``asked_day``, the instant and date of the decision. More are ignored.
        """
        added = 0
        for day in frame["day"].unique().sort().to_list():
            kept = self._days.setdefault(day, _Day())
            rows = frame.filter(pl.col("day") == day).unique("id", keep="first", maintain_order=True)
            if kept.ids:
                rows = rows.filter(pl.Series([each not in kept.ids for each in rows["id"].to_list()], dtype=pl.Boolean))
            if rows.height:
                start = kept.extend(rows)
                answered = "asked_day" if "asked_day" in rows.columns else "day"
                for (when,), part in rows.group_by(answered):
                    self._answered.setdefault(when, _Answered()).extend(part)
                for offset, key in enumerate(rows["key"].to_list()):
                    self._places.setdefault(key, []).append((day, start + offset))
            added += rows.height
        return added

    def settle(self, labels: pl.DataFrame, now: datetime) -> int:
        """Join labels that are known by now to their predictions; return how many predictions got one or a new one.

        Parameters
        ----------
        labels
            Columns ``key``, ``label`` (boolean, number, or the text of a class; NULL is no label) and
            ``label_known_at``, and ``simple`` where there is a seasonal naive rule. Give those that became known
            since the last call; keys nobody predicted are passed over. Cost: 0.3 ms per 1,000.
        now
            Nothing known later is used.
        """
        known = labels.filter(pl.col("label").is_not_null() & (pl.col("label_known_at") <= now))
        settled = 0
        if known.schema["label"] == pl.String:
            numbers = [float(self._classes.setdefault(each, len(self._classes))) for each in known["label"].to_list()]
        else:
            numbers = known["label"].cast(pl.Float64).to_list()
        simple = known["simple"].to_list() if "simple" in known.columns else [None] * known.height
        for key, label, rule in zip(known["key"].to_list(), numbers, simple, strict=True):
            for day, position in self._places.get(key, ()):
                settled += self._days[day].settle(position, label)
                if rule is not None:
                    self._days[day].simple[position] = rule
        return settled

    @property
    def open_for(self) -> timedelta:
        """How much longer than usual labels wait, because they look ahead: windows of judging reach back by it."""
        return timedelta(days=max(self.due_after - self._usual, timedelta()).days)

    def outcomes(self, day: date, now: datetime) -> DayOutcomes:
        """Say how complete the truth about a day's decisions is at an instant."""
        return self._outcomes(day, now, self._habit(now))

    def due_days(self, since: date, until: date, now: datetime) -> list[DayOutcomes]:
        """List the days between two dates (both included) whose labels are all due."""
        habit = self._habit(now)
        days = [self._outcomes(each, now, habit) for each in sorted(self._days) if since <= each <= until]
        return [each for each in days if each.verdict not in ("empty", "open")]

    def settled(
        self,
        last: date,
        span: timedelta,
        now: datetime,
        *,
        version: int | None = None,
        classes: Sequence[str] = (),
        width: int = 1,
    ) -> Settled:
        """Return the settled predictions of the complete days of a window that ends on a day.

        Parameters
        ----------
        version
            Only answers of this release that were not degraded; all answers when left out.
        classes
            Of the release, where its answers are of classes.
        width
            Numbers an answer of the release has; answers of another width are left out.
        """
        first = last - span - self.open_for + timedelta(days=1)
        values, labels, blocks, left_out = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)], []
        asked, about, simple = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
        numbers: list[list[float]] = []
        for outcome in self.due_days(first, last, now):
            if outcome.verdict == "incomplete":
                left_out.append(outcome.day)
                continue
            kept = self._days[outcome.day]
            wanted = ~np.isnan(kept.label) & ~np.isnan(kept.value)
            if version is not None:
                wanted &= (kept.release == version) & ~kept.degraded
            if width > 1:
                wanted &= np.array([each is not None and len(each) == width for each in kept.numbers], dtype=np.bool_)
                numbers += [each for each, used in zip(kept.numbers, wanted, strict=True) if used and each is not None]
            values.append(kept.value[wanted])
            labels.append(kept.label[wanted])
            asked.append(kept.asked[wanted])
            about.append(kept.at[wanted])
            simple.append(kept.simple[wanted])
            blocks.append(np.full(int(wanted.sum()), outcome.day.toordinal(), np.int64))
        truth = np.concatenate(labels)
        return Settled(
            value=np.concatenate(values),
            label=self._coded(truth, classes) if classes else truth,
            block=np.concatenate(blocks),
            first=first,
            last=last,
            left_out=tuple(left_out),
            numbers=np.array(numbers, dtype=np.float64).reshape(len(numbers), width) if width > 1 else None,
            asked=np.concatenate(asked),
            about=np.concatenate(about),
            simple=np.concatenate(simple),
        )

    def _coded(self, labels: Floats, classes: Sequence[str]) -> Floats:
        """Turn this book's codes of classes into a release's, -1 for those it does not know."""
        place = {name: float(at) for at, name in enumerate(classes)}
        theirs = np.array([place.get(name, -1.0) for name in self._classes], dtype=np.float64)
        return theirs[labels.astype(np.intp)] if len(theirs) else labels

    def answers(self, day: date) -> Answers:
        """Count a day's answers, the degraded ones and the 95th percentile of answer time."""
        kept = self._answered.get(day)
        if kept is None or not len(kept.degraded):
            return Answers(0, 0, float("nan"))
        timed = kept.latency_us[~np.isnan(kept.latency_us)]
        p95 = float(np.percentile(timed, 95)) / 1000 if len(timed) else float("nan")
        return Answers(len(kept.degraded), int(kept.degraded.sum()), p95)

    def totals(self) -> tuple[int, int]:
        """Count predictions and settled predictions."""
        days = self._days.values()
        return sum(len(each.at) for each in days), sum(each.arrived for each in days)

    def forget(self, before: date) -> None:
        """Drop days before a date."""
        for day in [each for each in self._days if each < before]:
            del self._days[day]
        self._answered = {day: kept for day, kept in self._answered.items() if day >= before}
        self._places = {
            key: kept
            for key, places in self._places.items()
            if (kept := [each for each in places if each[0] >= before])
        }

    def _outcomes(self, day: date, now: datetime, habit: float) -> DayOutcomes:
        kept = self._days.get(day)
        if kept is None or not len(kept.at):
            return DayOutcomes(day, 0, 0, 0, habit, "empty")
        due_by = to_micros(now - self.due_after)
        if kept.last_at <= due_by:
            due, arrived = len(kept.at), kept.arrived
        else:
            is_due = kept.at <= due_by
            due, arrived = int(is_due.sum()), int((is_due & ~np.isnan(kept.label)).sum())
        return DayOutcomes(day, len(kept.at), due, arrived, habit, _verdict(len(kept.at), due, arrived, habit))

    def _habit(self, now: datetime) -> float:
        due_by = to_micros(now - self.due_after)
        recent = [each for each in self._in_order() if each.last_at <= due_by][-_HABIT_DAYS:]
        if len(recent) < _HABIT_FROM:
            return self._first_habit
        return median(each.arrived / len(each.at) for each in recent)

    def _in_order(self) -> list[_Day]:
        return [self._days[each] for each in sorted(self._days) if len(self._days[each].at)]


def _verdict(predicted: int, due: int, arrived: int, habit: float) -> Completeness:
    if due < predicted:
        return "open"
    missing = due - arrived
    return "incomplete" if arrived < FAR_BELOW_HABIT * habit * due and missing >= _FEWEST_MISSING else "complete"
