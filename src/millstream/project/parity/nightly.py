"""Each night the day that has ended is proved, by the control plane; what is not equal is an alarm."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from millstream.project.parity.command import summary
from millstream.project.parity.proof import Proof
from millstream.project.parity.proving import Prover
from millstream.state import alarms, observations

if TYPE_CHECKING:
    from millstream.monitoring import Judgement
    from millstream.project.root import Project

ACTOR = "system:monitor"
_SHOWN = 3


def nightly(project: Project, model: str, day: date, span: tuple[datetime, datetime]) -> Judgement:
    """Prove what was served on a day, write it down, and open or close the model's alarm about it.

    Parameters
    ----------
    day, span
        A day of the project's zone, and the instants at which it begins and ends.
    """
    from millstream.monitoring import apply
    from millstream.monitoring.judge import reconcile

    proof = Prover(project, model).prove(*span)
    now = project.clock.now()
    mine = [each for each in alarms.opened(project.state, model) if each.kind == "parity" and each.model == model]
    judgement = reconcile(day, [_finding(proof, model, day)], mine, now=now)
    with project.state.transact() as tx:
        apply(tx, judgement, ledger=project.ledger)
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
        verdict="unknown" if share is None else "alarm" if proof.different else "ok",
        value=share,
        threshold=1.0,
        says=f"{proof.says}; first {', '.join(shown)}" if shown else proof.says,
        since=day.isoformat(),
        next=f"millstream features parity {model} --since {day.isoformat()}",
        detail=summary(proof),
    )


def stands(project: Project, model: str) -> dict[str, Any] | None:
    """Say what the last nightly proof of a model found; None before the first one."""
    last = observations.series(project.state, model, "parity", "served", last=1)
    if not last:
        return None
    (found,) = last
    return {"day": found.day, "verdict": found.verdict, "says": found.says, **found.detail}
