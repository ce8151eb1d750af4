"""Telling other systems what became true: at least once, in order, one teller at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec

from millstream.errors import MillstreamError
from millstream.releases.desk import Desk
from millstream.state import State, outbox, pointer, releases
from millstream.state.outbox import Entry
from millstream.types import Clock

Handler: TypeAlias = Callable[[dict[str, Any]], None]
"""Tell one entry. May be called again with the same one, so it must be idempotent; it raises when it could not."""


class Finding(msgspec.Struct, frozen=True):
    """What looking at stores that should agree found."""

    ok: bool
    subject: str
    says: str


def project_outbox(state: State, handlers: Mapping[str, Handler], *, clock: Clock) -> int:
    """Tell what was not told yet; return how many entries are done now.

    Entries are told in the order they became true, by one process at a time. Of several aliases of a model only the
    newest is told: an alias is where the pointer is, not where it has been. An entry that could not be told stays,
    with the reason; the ones of its kind and model behind it wait for it. Kinds without a handler stay.
    """
    with _one_at_a_time(state):
        entries = outbox.pending(state)
        newest = {each.body.get("model"): each.id for each in entries if each.kind == "alias"}
        stuck: set[tuple[str, Any]] = set()
        count = 0
        for each in entries:
            handler = handlers.get(each.kind)
            about = (each.kind, each.body.get("model"))
            if handler is None or about in stuck:
                continue
            stale = each.kind == "alias" and newest[each.body.get("model")] != each.id
            if stale or _told(state, each, handler):
                with state.transact() as tx:
                    outbox.done(tx, each.id, clock.now().isoformat())
                count += 1
            else:
                stuck.add(about)
        return count


def reconcile(state: State, champion_of: Callable[[str], int | None]) -> list[Finding]:
    """Compare the champion aliases in the registry with the pointers; the pointers are the truth.

    An alias that somebody else moved is a finding, to be raised as an alarm: it releases nothing. A model whose
    alias still waits in the outbox is not compared.

    Parameters
    ----------
    champion_of
        Registry version a model's alias ``champion`` names; None when it has none.
    """
    waiting = {each.body.get("model") for each in outbox.pending(state) if each.kind == "alias"}
    found: list[Finding] = []
    for each in pointer.all(state):
        if each.release is None or each.model in waiting:
            continue
        row = releases.get(state, each.release)
        if row.model_version is None:
            continue
        names = champion_of(each.model)
        if names == row.model_version:
            found.append(Finding(True, each.model, f"the alias champion names version {names}, which is live"))
            continue
        says = (
            f"the alias champion of {each.model} names {'nothing' if names is None else f'version {names}'}, but "
            f"{row.name} (version {row.model_version}) is live: somebody else moved the alias. Nothing was released; "
            f"to release a version: millstream release {each.model}"
        )
        found.append(Finding(False, each.model, says))
    return found


def realign(desk: Desk, model: str, *, actor: str, reason: str) -> int:
    """Put the alias back to what is live, by way of the outbox; return the outbox entry's id, 0 for nothing to do."""
    now = pointer.get(desk.state, model)
    if now.release is None:
        return 0
    row = releases.get(desk.state, now.release)
    if row.model_version is None:
        return 0
    body = {"model": model, "release": row.id, "version": row.version, "generation": now.generation}
    body |= {"alias": "champion", "model_version": row.model_version}
    with desk.state.transact() as tx:
        entry = outbox.put(tx, "alias", body)
        detail = {"model_version": row.model_version, "reason": reason}
        desk.ledger.append(tx, actor=actor, act="alias.realign", subject=row.name, detail=detail)
    return entry


def _told(state: State, entry: Entry, handler: Handler) -> bool:
    try:
        handler(entry.body | {"id": entry.id})
    except (MillstreamError, OSError) as wrong:
        with state.transact() as tx:
            outbox.failed(tx, entry.id, f"{type(wrong).__name__}: {wrong}")
        return False
    return True


@contextmanager
def _one_at_a_time(state: State) -> Iterator[None]:
    """Hold a lock that dies with its process, so a slow teller cannot overtake a later one."""
    with state.path.with_name("outbox.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
