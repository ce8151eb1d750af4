"""Asking a person about a release, and keeping what they said. Names are asserted, not yet authenticated."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from millstream.errors import IntegrityError, Refused, UserError
from millstream.releases.desk import Desk, named
from millstream.releases.verify import Release
from millstream.state import decisions, releases
from millstream.state.decisions import Decision
from millstream.state.releases import ReleaseRow

_SYSTEM = "system:"


def ask(desk: Desk, release: Release | ReleaseRow | str, verdict: Mapping[str, Any], *, actor: str) -> Decision:
    """Ask for approval of a release.

    Asking again while a question waits, or after the approval that holds, gives that one. A rejected release, and
    one that was live before, is asked about anew; the new question and its answer stand beside the old ones.

    Raises
    ------
    IntegrityError
        When the bundle is not whole.
    """
    row = desk.row(release)
    opened = desk.open(row)
    with desk.state.transact() as tx:
        held: list[decisions.Status] = ["waiting"]
        if releases.status_of(tx, row.id) in ("approved", "live"):
            held.append("approved")
        made = decisions.latest(tx, row.id, held)
        if made is None:
            trained_by = opened.said.trained_by
            made = decisions.ask(
                tx,
                model=row.model,
                release=row.id,
                at=desk.now(),
                by=actor,
                trained_by=trained_by,
                verdict=dict(verdict),
            )
            releases.mark(tx, row.id, "candidate")
            detail = {"decision": made, "release": row.id, "trained_by": trained_by, "verdict": dict(verdict)}
            desk.ledger.append(tx, actor=actor, act="decision.ask", subject=row.name, detail=detail)
    return decisions.get(desk.state, made)


def decide(
    desk: Desk, decision_id: int | str, approve: bool, *, by: str, reason: str, simulated: bool = False,
    before: Callable[[ReleaseRow], object] | None = None,
) -> Decision:  # fmt: skip
    """Answer a question; the release becomes approved or rejected, nothing goes live by it.

    Parameters
    ----------
    decision_id
        Of the question.
    approve
        The answer.
    by, reason
        Who answers, as asserted, and why; both are kept.
    simulated
        No person answers, as in a demonstration; kept and shown.
    before
        Called with a release that may be approved, before it is: what it raises leaves the question open.

    Raises
    ------
    Refused
        When the release was trained or built by the one who would approve it, or by a system.
    Conflict
        When it was answered already.
    IntegrityError
        When the bundle changed after it was asked about; the question is void then.
    """
    by, reason = named(by, "the name of who decides"), named(reason, "the reason")
    asked = decisions.get(desk.state, _number(decision_id))
    row = releases.get(desk.state, asked.release)
    if asked.status == "waiting" and approve:
        _refuse_own(desk, row, asked, by=by, simulated=simulated)
        _refuse_changed(desk, row, asked, by=by)
        if before is not None:
            before(row)
    status: decisions.Status = "approved" if approve else "rejected"
    with desk.state.transact() as tx:
        decisions.answer(tx, asked.id, status, by=by, at=desk.now(), reason=reason, simulated=simulated)
        releases.mark(tx, row.id, "approved" if approve else "rejected")
        detail = {"decision": asked.id, "release": row.id, "reason": reason, "simulated": simulated}
        act = "decision.approve" if approve else "decision.reject"
        desk.ledger.append(tx, actor=by, act=act, subject=row.name, detail=detail)
    return decisions.get(desk.state, asked.id)


def same_person(one: str, other: str) -> bool:
    """Say whether two asserted names are one: case, blanks and look-alike spellings do not make another person."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _refuse_own(desk: Desk, row: ReleaseRow, asked: Decision, *, by: str, simulated: bool) -> None:
    if _plain(by).startswith(_SYSTEM) and not simulated:
        raise Refused(f"{by} is a part of the system and cannot approve {row.name}", expected="a person")
    roles = [("built", row.built_by), ("trained", asked.trained_by)]
    registered = desk.ledger.rows(act="model.register", subject=f"{row.model}@{row.model_version}")
    roles += [("trained", each.actor) for each in registered if each.detail.get("run") == row.run_id]
    for did, name in roles:
        if name and same_person(by, name):
            raise Refused(
                f"{by} {did} {row.name} and cannot approve it",
                expected="somebody else",
                do=f"ask another person to run: millstream approve {asked.id}",
            )


def _refuse_changed(desk: Desk, row: ReleaseRow, asked: Decision, *, by: str) -> None:
    """Void the question when the bundle is not the one it was asked about."""
    try:
        desk.open(row)
    except IntegrityError as wrong:
        with desk.state.transact() as tx:
            decisions.answer(tx, asked.id, "void", by=by, at=desk.now(), reason=wrong.happened)
            releases.mark(tx, row.id, "rejected")
            detail = {"decision": asked.id, "release": row.id, "reason": wrong.happened}
            desk.ledger.append(tx, actor=by, act="decision.void", subject=row.name, detail=detail)
        raise IntegrityError(
            f"decision {asked.id} about {row.name} is void: {wrong.happened}",
            expected="the bundle that was asked about",
            do=f"build the release again and ask again: millstream release {row.model}",
        ) from wrong


def _number(decision_id: int | str) -> int:
    try:
        return int(decision_id)
    except ValueError:
        raise UserError(f"{decision_id!r} is not a decision's number", do="millstream status") from None
