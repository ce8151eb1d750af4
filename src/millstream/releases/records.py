"""Comparing what the state says about releases with the ledger: who decided, who built, what was live and when.

A row of the state can be changed by whoever can write its file; a row of the ledger cannot without breaking its chain.
So what an auditor is told of a decision is only as good as the two agreeing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millstream.errors import IntegrityError
from millstream.ledger import Ledger, LedgerRow
from millstream.releases.desk import Desk
from millstream.releases.outbox import Finding
from millstream.state import State, decisions, pointer, releases
from millstream.state.decisions import Decision
from millstream.state.releases import ReleaseRow
from millstream.types import parse_instant

_ACTS = (
    "release.build",
    "release.rehearse",
    "decision.ask",
    "decision.approve",
    "decision.reject",
    "decision.void",
    "pointer.swap",
    "pointer.rollback",
)
_ANSWERS = {"approved": "decision.approve", "rejected": "decision.reject", "void": "decision.void"}
_EVERY = 1 << 40
_MOMENT_S = 60.0


def against_ledger(desk: Desk) -> list[Finding]:
    """Compare decisions, releases and pointers with the ledger; one finding for each that differs, else one for all.

    A broken ledger proves nothing: it is a finding of its own, and nothing is compared with it.
    """
    if not desk.ledger.verify().ok:
        return []
    told = _told(desk.ledger)
    found = [*_decisions(desk.state, told), *_releases(desk, told), *_pointers(desk.state, told)]
    if found:
        return found
    rows = len(decisions.all(desk.state))
    return [Finding(True, "decisions", f"{rows} decisions, and what was live when, are as the ledger tells")]


def _told(ledger: Ledger) -> list[LedgerRow]:
    return ledger.rows(acts=_ACTS, limit=_EVERY, newest=False)


def _decisions(state: State, told: list[LedgerRow]) -> Iterator[Finding]:
    asked = {row.detail["decision"]: row for row in told if row.act == "decision.ask"}
    answered = {row.detail["decision"]: row for row in told if row.act in _ANSWERS.values()}
    lapsed = {row.detail["void"] for row in told if row.act == "release.rehearse" and "void" in row.detail}
    kept = {each.id: each for each in decisions.all(state)}
    for gone in sorted(asked.keys() - kept.keys()):
        row = asked[gone]
        yield Finding(False, f"decision {gone}", f"row {row.sequence} of the ledger asks it, and it is gone")
    for id, each in kept.items():
        said = _asked(each, asked.get(id)) or _answered(each, answered.get(id), lapsed=id in lapsed)
        if said:
            yield Finding(False, f"decision {id}", said)


def _asked(each: Decision, row: LedgerRow | None) -> str:
    if row is None:
        return "stands without a row of the ledger that asks it"
    return _differs(
        row,
        asked_by=(each.asked_by, row.actor),
        asked_at=_when(each.asked_at, row.at),
        trained_by=(each.trained_by, row.detail["trained_by"]),
        release=(each.release, row.detail["release"]),
        verdict=(each.verdict, row.detail["verdict"]),
    )


def _answered(each: Decision, row: LedgerRow | None, *, lapsed: bool) -> str:
    if row is None:
        return "" if each.status == "waiting" else f"is {each.status}, and no row of the ledger says so"
    status = next(status for status, act in _ANSWERS.items() if act == row.act)
    if lapsed and status == "approved":  # what made the approval lapse is written behind the reason
        fields = {"status": (each.status, "void"), "reason": (each.reason.partition(" (void: ")[0], _reason(row))}
    else:
        fields = {"status": (each.status, status), "reason": (each.reason, _reason(row))}
    return _differs(
        row,
        decided_by=(each.decided_by, row.actor),
        decided_at=_when(each.decided_at or "", row.at),
        simulated=(each.simulated, row.detail.get("simulated", False)),
        **fields,
    )


def _reason(row: LedgerRow) -> str:
    return str(row.detail["reason"])


def _releases(desk: Desk, told: list[LedgerRow]) -> Iterator[Finding]:
    built = {row.detail["release"]: row for row in told if row.act == "release.build"}
    kept = {each.id: each for each in releases.history(desk.state)}
    for gone in sorted(built.keys() - kept.keys()):
        says = f"row {built[gone].sequence} of the ledger builds it, and it is gone"
        yield Finding(False, f"release {gone[:12]}", says)
    for id, each in kept.items():
        row = built.get(id)
        said = _as_signed(desk, each)
        if row is None:
            said = "stands without a row of the ledger that builds it"
        elif not said:
            said = _differs(row, built_by=(each.built_by, row.actor), run=(each.run_id, row.detail["run"]))
        if said:
            yield Finding(False, f"release {each.name}", said)


def _as_signed(desk: Desk, row: ReleaseRow) -> str:
    """Say what of a release's row is not what its signed bundle says; a broken bundle is a finding elsewhere."""
    try:
        opened = desk.open(row)
        training = opened.load("training.json") if "training.json" in opened.said.files else {}
    except IntegrityError:
        return ""
    said = opened.said
    fields: dict[str, tuple[Any, Any]] = {
        "model": (row.model, said.model),
        "version": (row.version, said.version),
        "model_version": (row.model_version, said.model_version),
        "run": (row.run_id, said.run_id),
        "built_at": (row.built_at, said.built_at),
        "trained_by": (row.summary.get("trained_by"), said.trained_by),
        "code": (row.summary.get("code"), said.code),
        "pins": (row.summary.get("pins"), training.get("pins", {})),
    }
    goal, metrics = training.get("goal"), training.get("metrics") or {}
    fields["goal"] = (row.summary.get("goal") or goal, goal)
    fields["metrics"] = (row.summary.get("metrics"), metrics)
    fields["goal_value"] = (row.goal_value, (metrics.get("model") or {}).get(goal))
    wrong = [f"{name} is {kept!r}, signed was {signed!r}" for name, (kept, signed) in fields.items() if kept != signed]
    return "; ".join(wrong)


def _pointers(state: State, told: list[LedgerRow]) -> Iterator[Finding]:
    moved = {
        (row.subject.rpartition("@")[0], row.detail["generation"]): row
        for row in told
        if row.act in ("pointer.swap", "pointer.rollback")
    }
    now = {each.model: each for each in pointer.all(state)}
    for model in sorted({name for name, _ in moved} | now.keys()):
        history = {each["generation"]: each for each in pointer.was_live(state, model)}
        wanted = {generation for name, generation in moved if name == model}
        said = ""
        if wanted != history.keys():
            odd = sorted(wanted ^ history.keys())
            said = f"its moves {', '.join(map(str, odd))} are in the ledger or in the history, but not in both"
        for generation in sorted(wanted & history.keys()):
            row, kept = moved[model, generation], history[generation]
            release = (kept["release"], row.detail["release"])
            said = said or _differs(row, release=release, at=_when(kept["at"], row.at))
        last = history.get(max(history)) if history else None
        at = now.get(model)
        if not said and last is not None:
            shown = None if at is None else (at.generation, at.release, at.changed_at)
            if shown != (last["generation"], last["release"], last["at"]):
                said = f"it shows {shown}, its last move was to {last['release'][:12]} at {last['at'][:19]}"
        if said:
            yield Finding(False, f"pointer {model}", said)


def _when(kept: str, said: str) -> tuple[str, str]:
    """Take two instants of one act for the same: a row and its ledger row look at the clock one after the other."""
    try:
        near = abs((parse_instant(kept) - parse_instant(said)).total_seconds()) < _MOMENT_S
    except ValueError:
        near = False
    return (said, said) if near else (kept, said)


def _differs(row: LedgerRow, **fields: tuple[Any, Any]) -> str:
    wrong = [f"{name} is {kept!r}" for name, (kept, said) in fields.items() if kept != said]
    if not wrong:
        return ""
    meant = {name: said for name, (kept, said) in fields.items() if kept != said}
    return f"{', '.join(wrong)}; row {row.sequence} of the ledger says {meant}"
