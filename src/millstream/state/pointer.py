"""The live pointer: one row a model, changed only by compare-and-set on its generation.

Beside it stands a history that nobody rewrites. Each generation knows the one *below* it, the one a rollback returns
to: a swap stands on what was live, a rollback stands on what its target stood on. So two rollbacks go back twice, and
the release that was just rolled away from never becomes the fallback.
"""

from __future__ import annotations

import sqlite3

import msgspec

from millstream.errors import Conflict
from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS pointer (
    model TEXT PRIMARY KEY,
    release TEXT NOT NULL REFERENCES releases (id),
    previous TEXT REFERENCES releases (id),
    generation INTEGER NOT NULL CHECK (generation > 0),
    changed_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS pointer_history (
    model TEXT NOT NULL,
    generation INTEGER NOT NULL,
    release TEXT NOT NULL REFERENCES releases (id),
    below INTEGER,
    at TEXT NOT NULL,
    PRIMARY KEY (model, generation)
) STRICT;
CREATE TRIGGER IF NOT EXISTS pointer_history_never_changes BEFORE UPDATE ON pointer_history
    BEGIN SELECT RAISE(ABORT, 'the history of the pointer is append-only'); END;
CREATE TRIGGER IF NOT EXISTS pointer_history_never_shrinks BEFORE DELETE ON pointer_history
    BEGIN SELECT RAISE(ABORT, 'the history of the pointer is append-only'); END;
"""


class Pointer(msgspec.Struct, frozen=True):
    """Which release of a model is live.

    Parameters
    ----------
    release
        The live release; None before the first.
    previous
        The release a rollback returns to, and the first fallback; None when there is none.
    generation
        How often the pointer has moved; 0 before the first release. Servers acknowledge it.
    changed_at
        Instant of the last move, by the project's clock.
    """

    model: str
    release: str | None
    previous: str | None
    generation: int
    changed_at: str


def get(state: State, model: str) -> Pointer:
    """Read a model's pointer; generation 0 when it never had a release."""
    rows = state.query("SELECT * FROM pointer WHERE model = ?", (model,))
    return Pointer(**dict(rows[0])) if rows else Pointer(model, None, None, 0, "")


def all(state: State) -> list[Pointer]:
    """Read the pointers of every model that ever had a release, by name."""
    return [Pointer(**dict(each)) for each in state.query("SELECT * FROM pointer ORDER BY model")]


def swap(tx: Transaction, *, model: str, release: str, expected_generation: int, at: str) -> Pointer:
    """Point at another release; what was live becomes ``previous``.

    Raises
    ------
    Conflict
        When the pointer is not at the expected generation: somebody else moved it first.
    """
    below = expected_generation or None
    return _move(tx, model=model, release=release, expected_generation=expected_generation, below=below, at=at)


def back(tx: Transaction, *, model: str, release: str, expected_generation: int, at: str) -> Pointer:
    """Point at a release that was live before; ``previous`` becomes what that one stood on.

    Raises
    ------
    Conflict
        When the pointer is not at the expected generation, or the release was never live.
    """
    was = tx.query(
        "SELECT below FROM pointer_history WHERE model = ? AND release = ? ORDER BY generation DESC LIMIT 1",
        (model, release),
    )
    if not was:
        raise Conflict(f"release {release} of {model} was never live", do=f"millstream status, then roll {model} back")
    below = was[0]["below"]
    return _move(tx, model=model, release=release, expected_generation=expected_generation, below=below, at=at)


def was_live(state: State, model: str) -> list[sqlite3.Row]:
    """List every move of a model's pointer, newest first: generation, release, below, at."""
    return state.query(
        "SELECT generation, release, below, at FROM pointer_history WHERE model = ? ORDER BY generation DESC", (model,)
    )


def _move(
    tx: Transaction, *, model: str, release: str, expected_generation: int, below: int | None, at: str
) -> Pointer:
    rows = tx.query("SELECT generation FROM pointer WHERE model = ?", (model,))
    found = rows[0]["generation"] if rows else 0
    if found != expected_generation:
        raise Conflict(
            f"the live pointer of {model} is at generation {found}: somebody else moved it first",
            expected=f"generation {expected_generation}",
            do="millstream status, look at what is live now, then decide again",
        )
    stood = tx.query("SELECT release FROM pointer_history WHERE model = ? AND generation = ?", (model, below))
    moved = Pointer(
        model=model,
        release=release,
        previous=stood[0]["release"] if stood else None,
        generation=expected_generation + 1,
        changed_at=at,
    )
    tx.execute(
        "INSERT INTO pointer_history (model, generation, release, below, at) VALUES (?, ?, ?, ?, ?)",
        (model, moved.generation, release, below, at),
    )
    tx.execute(
        "INSERT INTO pointer (model, release, previous, generation, changed_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (model) DO UPDATE SET release = excluded.release, previous = excluded.previous,"
        " generation = excluded.generation, changed_at = excluded.changed_at",
        (model, release, moved.previous, moved.generation, at),
    )
    return moved
