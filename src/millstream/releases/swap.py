"""Going live and going back: one compare-and-set, then waiting until every server has followed."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from millstream.errors import Conflict, NotFound, Refused
from millstream.releases.desk import Desk, named
from millstream.releases.rehearsal import BASELINE
from millstream.releases.verify import Release
from millstream.state import Transaction, leases, outbox, pointer, releases
from millstream.state.pointer import Pointer
from millstream.state.releases import ReleaseRow

POLL_S = 0.004
STEPS = ("begin", "verified", "moving", "moved", "marked", "written", "told", "committed", "acknowledged")
"""Fault points of a swap (``swap:begin`` ...) and of a rollback (``rollback:begin`` ...), in order."""


class Swap(msgspec.Struct, frozen=True):
    """A pointer that moved.

    Parameters
    ----------
    model, release, name
        What is live now: the release's id, and ``late@3``.
    was
        What was live before.
    generation
        Of the pointer now.
    ms
        From the call until every server with a live lease followed, or its lease ran out.
    acknowledged, expired
        Servers that serve it now; servers whose lease ran out meanwhile, so they do not answer as champion.
    waiting
        Servers that hold a lease and had not followed when the patience ended; empty is what a caller wants.
    """

    model: str
    release: str
    name: str
    was: str | None
    generation: int
    ms: float
    acknowledged: tuple[str, ...]
    expired: tuple[str, ...]
    waiting: tuple[str, ...]


def swap(
    desk: Desk,
    model: str,
    release: Release | ReleaseRow | str,
    *,
    actor: str,
    reason: str,
    expected_generation: int | None = None,
    wait_s: float = 10.0,
) -> Swap:
    """Put an approved, rehearsed release live.

    Pointer, statuses, ledger row and outbox rows become true in one transaction; then it waits for the servers.

    Parameters
    ----------
    expected_generation
        Generation the caller looked at when deciding; now's when left out.
    wait_s
        Patience with servers that hold a lease and do not follow.

    Raises
    ------
    Refused
        When it was not approved, or its rollback not rehearsed.
    Conflict
        When somebody else moved the pointer first, or what it was rehearsed against is no longer live.
    IntegrityError
        When the bundle is not whole.
    """
    began = time.perf_counter()
    desk.fault("swap:begin")
    actor, reason = named(actor, "the actor's name"), named(reason, "the reason")
    row = desk.row(release)
    if row.model != model:
        raise NotFound(f"{row.name} is not a release of {model}", do=f"millstream release {model}")
    now = pointer.get(desk.state, model)
    if expected_generation is None:
        expected_generation = now.generation
    if now.generation == expected_generation and now.release == row.id:
        raise Conflict(f"{row.name} is live already", do="millstream status")
    desk.open(row)
    desk.fault("swap:verified")

    def move(tx: Transaction) -> Pointer:
        _refuse_unready(tx, row)
        moved = pointer.swap(tx, model=model, release=row.id, expected_generation=expected_generation, at=desk.now())
        _refuse_stale_rehearsal(tx, row, moved.previous)
        return moved

    generation = _commit(desk, row, now, move=move, act="swap", actor=actor, reason=reason)
    return _followed(desk, row, now, generation=generation, act="swap", began=began, wait_s=wait_s)


def rollback(desk: Desk, model: str, *, actor: str, reason: str, to: int | None = None, wait_s: float = 10.0) -> Swap:
    """Put a release back that was live before: model, feature code, schemas and environment together.

    Parameters
    ----------
    to
        Its version number; the one the live release stands on when left out.

    Raises
    ------
    NotFound
        When no such release is there to go back to.
    Conflict
        When somebody else moved the pointer first, or that release is live already.
    IntegrityError
        When its bundle is not whole.
    """
    began = time.perf_counter()
    desk.fault("rollback:begin")
    actor, reason = named(actor, "the actor's name"), named(reason, "the reason")
    now = pointer.get(desk.state, model)
    row = _target(desk, now, to)
    desk.open(row)
    desk.fault("rollback:verified")

    def move(tx: Transaction) -> Pointer:
        return pointer.back(tx, model=model, release=row.id, expected_generation=now.generation, at=desk.now())

    generation = _commit(desk, row, now, move=move, act="rollback", actor=actor, reason=reason)
    return _followed(desk, row, now, generation=generation, act="rollback", began=began, wait_s=wait_s)


def _target(desk: Desk, now: Pointer, to: int | None) -> ReleaseRow:
    were = dict.fromkeys(each["release"] for each in pointer.was_live(desk.state, now.model))
    others = [releases.get(desk.state, each).name for each in were if each != now.release]
    choice = f"millstream rollback {now.model} --to VERSION, one of: {', '.join(others)}" if others else ""
    if now.release is None:
        raise NotFound(f"no release of {now.model} is live", do=f"millstream release {now.model}")
    if to is not None:
        row = releases.named(desk.state, now.model, to)
        if row.id == now.release:
            raise Conflict(f"{row.name} is live already", do=choice or "millstream status")
        if row.id not in were:
            raise Refused(
                f"{row.name} was never live, so going there would be a release and not a rollback",
                expected="a release that was live before",
                do=choice or f"millstream release {now.model}",
            )
        return row
    if now.previous is None:
        live = releases.get(desk.state, now.release).name
        raise NotFound(
            f"there is no release before {live} to roll back to",
            expected="a release that was live before",
            do=choice or f"millstream release {now.model}; until then answers can come from the baseline",
        )
    return releases.get(desk.state, now.previous)


def _refuse_unready(tx: Transaction, row: ReleaseRow) -> None:
    status = releases.status_of(tx, row.id)
    if status != "approved":
        raise Refused(
            f"{row.name} is {status}, not approved",
            expected="an approval by a person",
            do="millstream approve DECISION",
        )


def _refuse_stale_rehearsal(tx: Transaction, row: ReleaseRow, previous: str | None) -> None:
    against = releases.rehearsed_against(tx, row.id)
    if against is None:
        raise Refused(
            f"going back from {row.name} was not rehearsed, or the rehearsal failed",
            expected="a rehearsal that passed",
            do=f"millstream release {row.model}",
        )
    if against != (previous or BASELINE):
        raise Conflict(
            f"{row.name} was rehearsed against {against[:12]}, but {(previous or BASELINE)[:12]} is live now",
            expected="a rehearsal against what is live",
            do=f"millstream release {row.model}, which rehearses again",
        )


def _commit(
    desk: Desk,
    row: ReleaseRow,
    now: Pointer,
    *,
    move: Callable[[Transaction], Pointer],
    act: str,
    actor: str,
    reason: str,
) -> int:
    """Make everything true at once; return the new generation."""
    with desk.state.transact() as tx:
        desk.fault(f"{act}:moving")
        moved = move(tx)
        desk.fault(f"{act}:moved")
        if now.release is not None:
            releases.mark(tx, now.release, "retired")
        releases.mark(tx, row.id, "live")
        desk.fault(f"{act}:marked")
        detail = {"release": row.id, "was": now.release, "generation": moved.generation, "reason": reason}
        desk.ledger.append(tx, actor=actor, act=f"pointer.{act}", subject=row.name, detail=detail)
        desk.fault(f"{act}:written")
        tell(tx, row, generation=moved.generation, what=act, actor=actor, reason=reason)
        desk.fault(f"{act}:told")
    desk.fault(f"{act}:committed")
    return moved.generation


def tell(tx: Transaction, row: ReleaseRow, *, generation: int, what: str, actor: str, reason: str) -> None:
    """Put what other systems must learn of a pointer's move into the outbox."""
    about = {"model": row.model, "release": row.id, "version": row.version, "generation": generation}
    if row.model_version is not None:
        outbox.put(tx, "alias", {**about, "alias": "champion", "model_version": row.model_version})
    outbox.put(tx, "notify", {**about, "what": what, "actor": actor, "reason": reason})


def _followed(
    desk: Desk, row: ReleaseRow, was: Pointer, *, generation: int, act: str, began: float, wait_s: float
) -> Swap:
    """Wait until every server with a live lease acknowledged the generation, or its lease ran out."""
    until = time.monotonic() + wait_s
    met: set[str] = set()
    while True:
        live = leases.live(desk.state, time.time())
        behind = {each.server for each in live if each.generations.get(row.model, 0) < generation}
        met |= behind
        if not behind or time.monotonic() >= until:
            break
        time.sleep(POLL_S)
    desk.fault(f"{act}:acknowledged")
    followed = {each.server for each in live} - behind
    return Swap(
        model=row.model,
        release=row.id,
        name=row.name,
        was=was.release,
        generation=generation,
        ms=(time.perf_counter() - began) * 1000,
        acknowledged=tuple(sorted(followed)),
        expired=tuple(sorted(met - followed - behind)),
        waiting=tuple(sorted(behind)),
    )
