"""From what was found of a day to what is written down and what people are told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec

from millstream.definitions.monitors import Classic
from millstream.ledger import Ledger
from millstream.monitoring.drift import DriftWindow, drift_findings
from millstream.monitoring.finding import CALM_DAYS, Finding
from millstream.monitoring.nulls import null_findings
from millstream.monitoring.outcomes import DayOutcomes, OutcomeBook
from millstream.monitoring.performance import answer_findings, performance_findings
from millstream.monitoring.reference import Reference
from millstream.monitoring.requests import request_findings
from millstream.state import Transaction, alarms, observations
from millstream.state.alarms import Alarm
from millstream.state.observations import Observation

ACTOR = "system:monitor"
_LOOK_BACK = timedelta(days=14)


class Judgement(msgspec.Struct, frozen=True):
    """Everything a day's judging found; ``apply`` writes it down.

    Parameters
    ----------
    observations
        One per measured thing.
    opened, updated, closed
        Alarms as they are now; an alarm still open whose value is back is among ``updated``.
    """

    day: str
    observations: tuple[Observation, ...]
    opened: tuple[Alarm, ...]
    updated: tuple[Alarm, ...]
    closed: tuple[Alarm, ...]


class Watched(msgspec.Struct, frozen=True):
    """A model as it is watched.

    Parameters
    ----------
    model, monitors
        Its name and its definition's thresholds.
    reference
        Of the release that is live.
    """

    model: str
    monitors: Classic
    reference: Reference


def judge_day(
    day: date,
    *,
    watched: Watched,
    book: OutcomeBook,
    drift: DriftWindow,
    batches: Mapping[str, tuple[int, int]],
    opened: Sequence[Alarm],
    now: datetime,
) -> Judgement:
    """Judge a model's day; nothing is written.

    Parameters
    ----------
    day
        In the project's zone; its answers are in ``book``, its features in ``drift``.
    batches
        ``table.column`` to (rows, nulls) of what arrived that day, of the columns that features read.
    opened
        The model's open alarms.
    now
        By the project's clock, usually when the day has ended.
    """
    model, monitors, reference = watched.model, watched.monitors, watched.reference
    performance = (
        performance_findings(day, model=model, monitors=monitors, reference=reference, book=book, now=now)
        if reference.labelled
        else []
    )
    judged = [
        *(outcome_findings(day, model=model, book=book, now=now) if reference.labelled else []),
        *answer_findings(day, model=model, monitors=monitors, book=book),
        *request_findings(day, model=model, book=book),
        *null_findings(day, model=model, monitors=monitors, reference=reference, batches=batches),
        *performance,
        *drift_findings(
            day, model=model, monitors=monitors, reference=reference, window=drift, performance=performance
        ),
    ]
    mine = [each for each in opened if each.model == watched.model]
    return reconcile(day, judged, mine, now=now, live=reference.release)


def judge_data(day: date, findings: Iterable[Finding], *, opened: Sequence[Alarm], now: datetime) -> Judgement:
    """Judge a day's findings about data (``from_checks``, ``from_lag``); nothing is written."""
    return reconcile(day, list(findings), [each for each in opened if not each.model], now=now)


def apply(
    tx: Transaction, judgement: Judgement, *, ledger: Ledger, planted: Collection[tuple[str, str]] = frozenset()
) -> None:
    """Write a judgement down, with one ledger row per alarm opened or closed; doing it again changes nothing.

    Parameters
    ----------
    planted
        (kind, subject) of what a demo caused on purpose.
    """
    observations.put(tx, judgement.observations)
    for alarm in judgement.closed:
        alarms.put(tx, alarm)
        _record(tx, ledger, "alarm.close", alarm)
    for alarm in judgement.opened:
        alarms.put(tx, msgspec.structs.replace(alarm, planted=(alarm.kind, alarm.subject) in planted))
        _record(tx, ledger, "alarm.open", alarm)
    for alarm in judgement.updated:
        alarms.put(tx, alarm)


def outcome_findings(day: date, *, model: str, book: OutcomeBook, now: datetime) -> list[Finding]:
    """Say how complete the outcomes are of each day of the last fortnight whose labels are all due."""
    due = book.due_days(day - _LOOK_BACK - book.open_for, day, now)
    return [_outcome(each, model) for each in due]


def reconcile(
    day: date, findings: Sequence[Finding], opened: Sequence[Alarm], *, now: datetime, live: str = ""
) -> Judgement:
    """Turn findings into alarms, one open per model, kind and subject.

    An alarm found again is updated; one whose value is back for ``CALM_DAYS`` judged days closes, one whose data are
    repaired at once; one about a release that is no longer live closes at once. What is unknown or incomplete changes
    nothing.
    """
    at, today = now.isoformat(), day.isoformat()
    kept = {(each.model, each.kind, each.subject): each for each in opened}
    fresh: list[Alarm] = []
    updated: dict[str, Alarm] = {}
    closed: dict[str, Alarm] = {}
    for alarm in opened:
        about = alarm.detail.get("about", "")
        if live and about and about != live:
            closed[alarm.id] = _close(alarm, at, f"{about} is no longer live, {live} is; it was: {alarm.says}")
            del kept[(alarm.model, alarm.kind, alarm.subject)]
    for finding in _latest(findings):
        place = (finding.model, finding.kind, finding.subject)
        known = kept.get(place)
        if _alarming(finding):
            if known is None:
                fresh.append(_open(finding, at, today))
            elif _judged(known) < today:
                updated[known.id] = _update(known, finding, at, today)
        elif known is not None and finding.verdict == "ok" and finding.calm and _judged(known) < today:
            calm = msgspec.structs.replace(
                known, calm_days=known.calm_days + 1, last_at=at, detail=known.detail | {"judged": today}
            )
            if finding.detail.get("repaired") or calm.calm_days >= CALM_DAYS[finding.kind]:
                closed[calm.id] = _close(calm, at, f"passed: {finding.says}")
            else:
                updated[calm.id] = calm
    return Judgement(
        day=day.isoformat(),
        observations=tuple(each.observation() for each in findings),
        opened=tuple(fresh),
        updated=tuple(updated.values()),
        closed=tuple(closed.values()),
    )


def _latest(findings: Sequence[Finding]) -> list[Finding]:
    """Of several days' findings of one thing, such as outcomes, the newest speaks."""
    newest: dict[tuple[str, str, str], Finding] = {}
    for each in sorted(findings, key=lambda finding: finding.day):
        newest[(each.model, each.kind, each.subject)] = each
    return list(newest.values())


def _outcome(outcome: DayOutcomes, model: str) -> Finding:
    incomplete = outcome.verdict == "incomplete"
    share = f"{outcome.share:.0%} of {outcome.due} arrived"
    return Finding(
        day=outcome.day.isoformat(),
        model=model,
        kind="outcomes",
        subject="arrived",
        verdict="incomplete" if incomplete else "ok",
        value=outcome.share,
        threshold=None,
        says=f"outcomes incomplete: {share} on {outcome.day}, usual is {outcome.habit:.0%}; the day is not judged"
        if incomplete
        else f"outcomes: {share} on {outcome.day}",
        severity="note",
        since=outcome.day.isoformat(),
        next="nothing: judging goes on with complete days; millstream check, if more should have arrived",
        detail={"due": outcome.due, "arrived": outcome.arrived, "habit": outcome.habit},
    )


def _alarming(finding: Finding) -> bool:
    return finding.verdict == ("incomplete" if finding.kind == "outcomes" else "alarm")


def _judged(alarm: Alarm) -> str:
    """Return the last day that had a say in an alarm: judging that day again must not count it again."""
    return str(alarm.detail.get("judged", ""))


def _open(finding: Finding, at: str, today: str) -> Alarm:
    return Alarm(
        id=alarms.alarm_id(finding.model, finding.kind, finding.subject, today),
        model=finding.model,
        kind=finding.kind,
        subject=finding.subject,
        severity=finding.severity,
        opened_at=at,
        since=finding.since or finding.day,
        last_at=at,
        value=finding.value,
        threshold=finding.threshold,
        says=finding.says,
        next=finding.next,
        detail=finding.detail | {"judged": today} | ({"about": finding.about} if finding.about else {}),
    )


def _update(alarm: Alarm, finding: Finding, at: str, today: str) -> Alarm:
    said = _open(finding, at, today)
    return msgspec.structs.replace(
        said, id=alarm.id, opened_at=alarm.opened_at, since=alarm.since, planted=alarm.planted
    )


def _close(alarm: Alarm, at: str, says: str) -> Alarm:
    return msgspec.structs.replace(alarm, closed_at=at, detail=alarm.detail | {"closed": says})


def _record(tx: Transaction, ledger: Ledger, act: str, alarm: Alarm) -> None:
    detail = {"id": alarm.id, "model": alarm.model, "says": alarm.detail.get("closed", alarm.says)}
    ledger.append(tx, actor=ACTOR, act=act, subject=f"{alarm.kind} {alarm.subject}", detail=detail)
