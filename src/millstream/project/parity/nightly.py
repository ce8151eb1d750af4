"""Each night the day that has ended is proved, by the control plane; what is not equal is an alarm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from millstream.project.parity.command import summary
from millstream.project.parity.proof import Proof
from millstream.project.parity.proving import Prover
from millstream.state import alarms, observations

if TYPE_CHECKING:
    from millstream.monitoring import Judgement
    from millstream.project.root import Project

ACTOR = "system:monitor"
_DAY = timedelta(days=1)
_BACK = 31
"""Days caught up with at most: what was served before a project proved anything is proved by the command."""
_SHOWN = 3
Span = Callable[[date], tuple[datetime, datetime]]
"""Says at which instants a day of the project's zone begins and ends."""


def nightly(project: Project, model: str, *, first: date, today: date, span: Span) -> list[Judgement]:
    """Prove every day that has ended and is not proved yet; write it down, open or close the model's alarm about it.

    Parameters
    ----------
    first
        Day from which the model answers.
    today
        The day that has not ended.
    span
        When a day begins and ends.
    """
    last = observations.series(project.state, model, "parity", "served", last=1)
    begin = max(date.fromisoformat(last[0].day) + _DAY if last else first, today - _BACK * _DAY)
    days = [begin + number * _DAY for number in range((today - begin).days)]
    prover = Prover(project, model)
    return [_write(project, model, day, prover.prove(*span(day))) for day in days]


def _write(project: Project, model: str, day: date, proof: Proof) -> Judgement:
    from millstream.monitoring import apply
    from millstream.monitoring.judge import reconcile

    now = project.clock.now()
    mine = [each for each in alarms.opened(project.state, model) if each.kind == "parity" and each.model == model]
    judgement = reconcile(day, [_finding(proof, model, day)], mine, now=now)
    with project.state.transact() as tx:
        apply(tx, judgement, ledger=project.ledger)
        if proof.answers:
            detail = summary(proof) | {"day": day.isoformat()}
            project.ledger.append(tx, actor=ACTOR, act="features.parity", subject=model, detail=detail)
    return judgement


def _finding(proof: Proof, model: str, day: date) -> Any:
    from millstream.monitoring import Finding

    share = None if not proof.compared else proof.equal / proof.compared
    first = [f"{each.feature or 'a record'}: {each.cause}" for each in proof.differences]
    shown = list(dict.fromkeys(first))[:_SHOWN]
    return Finding(
        day=day.isoformat(),
        model=model,
        kind="parity",
        subject="served",
        verdict="alarm" if proof.different else "unknown" if share is None or proof.unproved else "ok",
        value=share,
        threshold=1.0,
        says=f"{proof.says}; first {', '.join(shown)}" if shown else proof.says,
        since=day.isoformat(),
        next=f"millstream features parity {model} --since {day.isoformat()}",
        detail=summary(proof),
    )


def stands(project: Project, model: str) -> dict[str, Any] | None:
    """Say what the last nightly proof found that had answers to prove; None before the first one."""
    last = observations.series(project.state, model, "parity", "served", last=_BACK)
    found = next((each for each in reversed(last) if each.detail["answers"]), None)
    if found is None:
        return None
    return {"day": found.day, "verdict": found.verdict, "says": found.says, **found.detail}
