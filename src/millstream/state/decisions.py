"""Decisions of people about releases: what was asked, who answered, and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from millstream.errors import Conflict, NotFound
from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    release TEXT NOT NULL REFERENCES releases (id),
    status TEXT NOT NULL CHECK (status IN ('waiting', 'approved', 'rejected', 'void')),
    asked_at TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    trained_by TEXT NOT NULL,
    decided_by TEXT,
    decided_at TEXT,
    reason TEXT NOT NULL DEFAULT '',
    simulated INTEGER NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS decisions_one_waiting ON decisions (release) WHERE status = 'waiting';
CREATE INDEX IF NOT EXISTS decisions_by_release ON decisions (release, status);
"""

Status: TypeAlias = Literal["waiting", "approved", "rejected", "void"]


class Decision(msgspec.Struct, frozen=True):
    """A question about one release, and its answer.

    Parameters
    ----------
    status
        ``waiting``, ``approved``, ``rejected``, or ``void`` when the bundle changed after it was asked about.
    asked_by, trained_by, decided_by
        Names as asserted. Who trained or built a release cannot approve it.
    simulated
        True when no person answered, as in a demonstration; shown wherever the decision is shown.
    verdict
        The gate's verdict the question was asked with.
    """

    id: int
    model: str
    release: str
    status: Status
    asked_at: str
    asked_by: str
    trained_by: str
    decided_by: str | None
    decided_at: str | None
    reason: str
    simulated: bool
    verdict: dict[str, Any]


def ask(
    tx: Transaction, *, model: str, release: str, at: str, by: str, trained_by: str, verdict: dict[str, Any]
) -> int:
    """Open a question; return its id."""
    return tx.insert(
        "INSERT INTO decisions (model, release, status, asked_at, asked_by, trained_by, verdict)"
        " VALUES (?, ?, 'waiting', ?, ?, ?, ?)",
        (model, release, at, by, trained_by, msgspec.json.encode(verdict).decode()),
    )


def answer(tx: Transaction, id: int, status: Status, *, by: str, at: str, reason: str, simulated: bool = False) -> None:
    """Answer a waiting question.

    Raises
    ------
    Conflict
        When it was answered already.
    """
    changed = tx.execute(
        "UPDATE decisions SET status = ?, decided_by = ?, decided_at = ?, reason = ?, simulated = ?"
        " WHERE id = ? AND status = 'waiting'",
        (status, by, at, reason, int(simulated), id),
    )
    if not changed:
        was = tx.query("SELECT status, decided_by, decided_at FROM decisions WHERE id = ?", (id,))[0]
        raise Conflict(
            f"decision {id} was already {was['status']} by {was['decided_by']} at {was['decided_at']}",
            do="millstream status",
        )


def latest(tx: Transaction, release: str, among: Sequence[Status]) -> int | None:
    """Return the id of the newest decision about a release that has one of some statuses."""
    marks = ", ".join("?" * len(among))
    rows = tx.query(
        f"SELECT id FROM decisions WHERE release = ? AND status IN ({marks}) ORDER BY id DESC LIMIT 1",
        (release, *among),
    )
    return int(rows[0]["id"]) if rows else None


def lapse(tx: Transaction, id: int, *, reason: str) -> None:
    """Take the force from an approval: what it was about is not so any more."""
    tx.execute("UPDATE decisions SET status = 'void', reason = reason || ? WHERE id = ?", (f" (void: {reason})", id))


def get(state: State, id: int) -> Decision:
    """Read a decision.

    Raises
    ------
    NotFound
        When there is none with that id.
    """
    rows = state.query("SELECT * FROM decisions WHERE id = ?", (id,))
    if not rows:
        waits = ", ".join(str(each.id) for each in waiting(state)) or "none"
        raise NotFound(f"there is no decision {id}", expected=f"waiting: {waits}", do="millstream status")
    return _decision(rows[0])


def waiting(state: State, model: str | None = None, *, limit: int = -1) -> list[Decision]:
    """List the questions nobody answered yet, oldest first; all of them, or at most ``limit``."""
    rows = state.query(
        "SELECT * FROM decisions WHERE status = 'waiting' AND (? IS NULL OR model = ?) ORDER BY id LIMIT ?",
        (model, model, limit),
    )
    return [_decision(each) for each in rows]


def recent(state: State, *, model: str | None = None, before: int | None = None, limit: int = 20) -> list[Decision]:
    """List questions whatever became of them, newest first.

    Parameters
    ----------
    before
        Only those with a smaller id: the last one of the page before.
    limit
        At most so many.
    """
    rows = state.query(
        "SELECT * FROM decisions WHERE (? IS NULL OR model = ?) AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
        (model, model, before, before, limit),
    )
    return [_decision(each) for each in rows]


def count(state: State, *, waiting: bool = False) -> int:
    """Count the questions, or those nobody answered yet."""
    where = "WHERE status = 'waiting'" if waiting else ""
    return int(state.query(f"SELECT count(*) AS n FROM decisions {where}")[0]["n"])


def about(state: State, release: str, *, status: Status | None = None, limit: int = -1) -> list[Decision]:
    """List the decisions about one release, newest first; of one status or of all, all of them or at most ``limit``."""
    rows = state.query(
        "SELECT * FROM decisions WHERE release = ? AND (? IS NULL OR status = ?) ORDER BY id DESC LIMIT ?",
        (release, status, status, limit),
    )
    return [_decision(each) for each in rows]


def all(state: State) -> list[Decision]:
    """List every decision, oldest first."""
    return [_decision(each) for each in state.query("SELECT * FROM decisions ORDER BY id")]


def _decision(stored: sqlite3.Row) -> Decision:
    fields = dict(stored)
    fields["simulated"] = bool(fields["simulated"])
    fields["verdict"] = msgspec.json.decode(fields["verdict"])
    return Decision(**fields)
