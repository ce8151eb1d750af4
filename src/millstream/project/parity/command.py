"""Prove the answers of a span when somebody asks."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import IntegrityError, UserError
from millstream.project.parity.proof import Proof
from millstream.project.parity.proving import Prover
from millstream.project.people import Person
from millstream.types import parse_duration, parse_instant

if TYPE_CHECKING:
    from millstream.project.root import Project

_LATELY = timedelta(days=7)


def parity(
    project: Project,
    *,
    model: str,
    since: str | None = None,
    until: str | None = None,
    actor: str = "somebody",
) -> dict[str, Any]:
    """Compute every served vector of a span again from the lake, and name what differs and why.

    ``since`` and ``until`` are instants or days, ``since`` also a length of time back from now; the last week when
    left out.
    """
    project.manifest.model(model)
    begun, now = time.perf_counter(), project.clock.now()
    end = now + timedelta(microseconds=1) if until is None else _instant(until, now)
    first = end - _LATELY if since is None else _instant(since, now)
    if first >= end:
        raise UserError(
            f"nothing lies between {first.isoformat()} and {end.isoformat()}", expected="--since before --until"
        )
    prover = Prover(project, model)
    proof = prover.prove(first, end)
    proof.seconds = round(time.perf_counter() - begun, 2)
    detail = summary(proof) | {"since": proof.since, "until": proof.until}
    project.ledger.record(actor=actor, act="features.parity", subject=model, detail=detail)
    return {
        **msgspec.to_builtins(_masked(project, prover, proof, actor)),
        "says": proof.says,
        "exit_code": IntegrityError.exit_code if proof.different else 0,
    }


def summary(proof: Proof) -> dict[str, Any]:
    """Say in counts what a proof found, for the ledger and for charts."""
    return {
        "answers": proof.answers,
        "compared": proof.compared,
        "equal": proof.equal,
        "rounded": proof.rounded,
        "different": proof.different,
        "apart": dict(proof.apart),
        "unproved": dict(proof.unproved),
        "causes": dict(proof.causes),
        "features": dict(proof.features),
        "late": proof.today.late,
        "unseen": proof.today.unseen,
        "digests": dict(proof.digests),
    }


def _instant(said: str, now: datetime) -> datetime:
    try:
        return now - parse_duration(said)
    except ValueError:
        pass
    try:
        return parse_instant(said)
    except ValueError as wrong:
        raise UserError(str(wrong), do="--since 2013-02-01, or a length of time such as --since 7d") from None


def _masked(project: Project, prover: Prover, proof: Proof, actor: str) -> Proof:
    """Show keys and values as the one who asks sees them."""
    reader = Person(project, actor)
    for released in prover.opened():
        masks = reader.masks_of_plan(released.plan)
        if not masks:
            continue
        proof.differences = [
            each
            if each.release != released.name
            else msgspec.structs.replace(
                each,
                key=reader.hide_values(each.key, masks),
                served=reader.hide_values({each.feature: each.served}, masks)[each.feature],
                recomputed=reader.hide_values({each.feature: each.recomputed}, masks)[each.feature],
            )
            for each in proof.differences
        ]
        for example in (each for each in proof.today.examples if each["release"] == released.name):
            for name in ("served", "today"):
                example[name] = reader.hide_values({example["feature"]: example[name]}, masks)[example["feature"]]
    return proof
