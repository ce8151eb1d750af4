"""Predictions waiting for the truth, and how complete the truth of each day is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from typing import Literal, NamedTuple, TypeAlias

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

    def in_order(self) -> Settled:
        """Return the same in an order that is of the answers alone.

        Requests that are in flight together are logged as they come back, and sums of floats depend on their order in
        the last digit: two lives of the same days would be judged a digit apart.
        """
        columns = (self.block, self.about, self.asked, self.value, self.label, self.simple, *_columns(self.numbers))
        order = np.lexsort([each for each in reversed(columns) if each is not None])
        return replace(
            self,
            value=self.value[order],
            label=self.label[order],
            block=self.block[order],
            numbers=None if self.numbers is None else self.numbers[order],
            asked=None if self.asked is None else self.asked[order],
            about=None if self.about is None else self.about[order],
            simple=None if self.simple is None else self.simple[order],
        )


def _columns(table: Table | None) -> Sequence[Floats]:
    return () if table is None else list(table.T)


@dataclass(frozen=True)
class Answers:
    """How a day's requests were answered."""

    count: int
    degraded: int
    p95_ms: float
    odd: int = 0


class Reported(NamedTuple):
    """What was reported over HTTP: predictions it is about, contradicted by a table, and reports still waiting."""

    predictions: int
    contradicted: int
    waiting: int


class _Report(NamedTuple):
    """One reported outcome: when it was reported, which of several at once it is, and its label as a number."""

    at_us: int
    order: int
    label: float


_NEVER = _Report(1 << 63, 0, 0.0)


class _Answered:
    """How the requests of one day were answered."""

    def __init__(self) -> None:
        self.degraded = np.empty(0, np.bool_)
        self.latency_us = np.empty(0, np.float64)
        self.odd = 0

    def extend(self, frame: pl.DataFrame) -> None:
        """Append answers."""
        self.degraded = np.concatenate([self.degraded, frame["degraded"].fill_null(value=False).to_numpy()])
        self.latency_us = np.concatenate([self.latency_us, frame["latency_us"].cast(pl.Float64).to_numpy()])
        self.odd += int(frame["odd"].sum()) if "odd" in frame.columns else 0


class _Day:
    """Columns of the predictions judged with one day; the label is NaN until it arrives.

    ``label`` is what counts: what a table says (``of_table``), else what was reported (``reported``).
    """

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.arrived = 0
        self.last_at = 0
        self.at = np.empty(0, np.int64)
        self.asked = np.empty(0, np.int64)
        self.simple = np.empty(0, np.float64)
        self.value = np.empty(0, np.float64)
        self.label = np.empty(0, np.float64)
        self.of_table = np.empty(0, np.bool_)
        self.reported = np.empty(0, np.float64)
        self.reported_at = np.empty(0, np.int64)
        self.numbers: list[list[float] | None] = []
        self.release = np.empty(0, np.int64)
        self.degraded = np.empty(0, np.bool_)

    def extend(self, frame: pl.DataFrame) -> int:
        """Append rows; return the position of the first."""
        start = len(self.at)
        asked = frame["asked" if "asked" in frame.columns else "at"]
        self.asked = np.concatenate([self.asked, asked.dt.epoch("us").to_numpy()])
        self.simple = np.concatenate([self.simple, np.full(frame.height, np.nan)])
        self.ids.update({each: start + place for place, each in enumerate(frame["id"].to_list())})
        self.at = np.concatenate([self.at, frame["at"].dt.epoch("us").to_numpy()])
        self.value = np.concatenate([self.value, frame["value"].cast(pl.Float64).to_numpy()])
        self.label = np.concatenate([self.label, np.full(frame.height, np.nan)])
        self.of_table = np.concatenate([self.of_table, np.zeros(frame.height, np.bool_)])
        self.reported = np.concatenate([self.reported, np.full(frame.height, np.nan)])
        self.reported_at = np.concatenate([self.reported_at, np.zeros(frame.height, np.int64)])
        self.numbers += frame["numbers"].to_list() if "numbers" in frame.columns else [None] * frame.height
        self.release = np.concatenate([self.release, frame["version"].cast(pl.Int64).fill_null(0).to_numpy()])
        self.degraded = np.concatenate([self.degraded, frame["degraded"].fill_null(value=False).to_numpy()])
        self.last_at = int(self.at.max())
        return start

    def settle(self, position: int, label: float) -> bool:
        """Write down what a table says; return whether it is news. It stands above what was reported."""
        self.of_table[position] = True
        return self._write(position, label)

    def settle_reported(self, position: int, report: _Report) -> bool:
        """Write down what was reported, unless something was later; return whether it is news."""
        if report.at_us < self.reported_at[position]:
            return False
        self.reported[position], self.reported_at[position] = report.label, report.at_us
        return not self.of_table[position] and self._write(position, report.label)

    def _write(self, position: int, label: float) -> bool:
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
        self._reports: dict[str, list[_Report]] = {}
        self._open: set[str] = set()
        self._order = 0

    def add_predictions(self, frame: pl.DataFrame) -> int:
        """Take in predictions; return how many were new.

        Parameters
        ----------
        frame
            Columns ``id`` and ``key`` (text), ``at`` (instant of the decision, of a forecast the one it is about),
            ``day`` (its date in the project's zone), ``value``, ``version`` (of the release), ``degraded``,
            ``latency_us``, ``odd`` (whether its request was), and ``numbers`` (a list) where answers are of classes or
            quantiles. Forecasts also have ``asked`` and ``asked_day``, the instant and date of the decision.
            More are ignored.
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
                    if key in self._reports:  # reported before it was asked, or of a row that is asked again
                        self._open.add(key)
            added += rows.height
        return added

    def settle(self, labels: pl.DataFrame, now: datetime) -> int:
        """Join labels that are known by now to their predictions; return how many predictions got one or a new one.

        Parameters
        ----------
        labels
            Columns ``key``, ``label`` (boolean, number, or the text of a class; NULL is no label) and
            ``label_known_at``; of lists, ``label`` counts what was chosen and ``numbers`` says of each place whether
            its item was; where there is a seasonal naive rule, ``simple`` is what it says. Give those that became known
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
        places = known["numbers"].to_list() if "numbers" in known.columns else [None] * known.height
        simple = known["simple"].to_list() if "simple" in known.columns else [None] * known.height
        for key, label, several, rule in zip(known["key"].to_list(), numbers, places, simple, strict=True):
            for day, position in self._places.get(key, ()):
                settled += self._days[day].settle(position, label)
                if several is not None:
                    self._days[day].numbers[position] = several
                if rule is not None:
                    self._days[day].simple[position] = rule
        return settled

    def report(self, about: str, label: bool | float | str, *, at_us: int) -> None:
        """Take in an outcome somebody reported; ``settle_reported`` joins it.

        Parameters
        ----------
        about
            Id of one prediction, or the key of a row: every prediction of that row.
        label
            The truth, of classes the class.
        at_us
            When it was reported, which is when it became known (microseconds since the epoch). Of several about the
            same thing the last one known counts; the same again changes nothing.
        """
        number = float(self._classes.setdefault(label, len(self._classes))) if isinstance(label, str) else float(label)
        self._order += 1
        self._reports.setdefault(about, []).append(_Report(at_us, self._order, number))
        self._open.add(about)

    def settle_reported(self, now: datetime) -> int:
        """Join what was reported by now to its predictions; return how many predictions got a label or a new one.

        Where a table has said what became true, that stays; ``reported`` counts the contradictions. What is about a
        prediction nobody has seen waits for it, until ``forget`` drops it.
        """
        now_us, settled = to_micros(now), 0
        for about in sorted(self._open, key=lambda each: self._last(each, now_us) or _NEVER):
            last, places = self._last(about, now_us), self._of(about)
            if last is None or not places:
                continue
            for day, position in places:
                settled += self._days[day].settle_reported(position, last)
            if last == max(self._reports[about]):
                self._open.discard(about)
        return settled

    @property
    def reported(self) -> Reported:
        """Count what was reported: predictions it is about, those of which a table says otherwise, what waits."""
        known = contradicted = 0
        for each in self._days.values():
            told = ~np.isnan(each.reported)
            known += int(told.sum())
            contradicted += int((told & each.of_table & (each.reported != each.label)).sum())
        return Reported(known, contradicted, sum(not self._of(each) for each in self._open))

    def _last(self, about: str, now_us: int) -> _Report | None:
        return max((each for each in self._reports[about] if each.at_us <= now_us), default=None)

    def _of(self, about: str) -> list[tuple[date, int]]:
        """Say where the predictions are that an outcome is about."""
        found = self._places.get(about)
        if found is None:
            found = [(day, kept.ids[about]) for day, kept in self._days.items() if about in kept.ids]
        return found

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
        width: int = 0,
    ) -> Settled:
        """Return the settled predictions of the complete days of a window that ends on a day, in one order always.

        Parameters
        ----------
        version
            Only answers of this release that were not degraded; all answers when left out.
        classes
            Of the release, where its answers are of classes.
        width
            Numbers an answer of the release has, 0 for one alone; answers of another width are left out.
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
            if width:
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
            numbers=np.array(numbers, dtype=np.float64).reshape(len(numbers), width) if width else None,
            asked=np.concatenate(asked),
            about=np.concatenate(about),
            simple=np.concatenate(simple),
        ).in_order()

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
        return Answers(len(kept.degraded), int(kept.degraded.sum()), p95, kept.odd)

    def odd_before(self, day: date) -> list[tuple[int, int]]:
        """Return of each kept day before one, oldest first, the answers and those whose request was odd."""
        return [(len(kept.degraded), kept.odd) for each, kept in sorted(self._answered.items()) if each < day]

    def totals(self) -> tuple[int, int]:
        """Count predictions and settled predictions."""
        days = self._days.values()
        return sum(len(each.at) for each in days), sum(each.arrived for each in days)

    def forget(self, before: date) -> None:
        """Drop days before a date."""
        for day in [each for each in self._days if each < before]:
            del self._days[day]
        start_us = to_micros(datetime.combine(before, time(), tzinfo=UTC))
        self._reports = {
            about: late for about, told in self._reports.items() if (late := [e for e in told if e.at_us >= start_us])
        }
        self._open &= self._reports.keys()
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
