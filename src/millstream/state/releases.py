"""Releases as registered: which bundles exist, where they lie and how far each came.

A row is written only after its bundle is whole and synced. Paths are kept relative to the state folder, so a project
that was moved or restored elsewhere still finds its bundles; records carry them absolute.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from millstream.errors import Conflict, NotFound, near
from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    path TEXT NOT NULL,
    artifact TEXT NOT NULL,
    previous TEXT,
    run_id TEXT NOT NULL,
    model_version INTEGER,
    status TEXT NOT NULL CHECK (status IN ('candidate', 'approved', 'live', 'retired', 'rejected')),
    built_at TEXT NOT NULL,
    built_by TEXT NOT NULL,
    goal_value REAL,
    rehearsed_against TEXT,
    summary TEXT NOT NULL,
    UNIQUE (model, version)
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS releases_one_live ON releases (model) WHERE status = 'live';
"""

Status: TypeAlias = Literal["candidate", "approved", "live", "retired", "rejected"]


class ReleaseRow(msgspec.Struct, frozen=True):
    """One registered release.

    Parameters
    ----------
    id
        SHA-256 of the exact bytes of its ``release.json``.
    model, version
        The model, and the number people use: ``late@3``.
    path
        The bundle's folder, absolute.
    run_id, model_version
        Where tracking keeps the run, and the registry the model; None where neither was written.
    status
        ``candidate`` → ``approved`` → ``live`` → ``retired``, or ``rejected``. At most one of a model is live.
    built_at, built_by
        Instant by the project's clock; name as asserted.
    goal_value
        The goal metric on the test rows.
    summary
        Plain data for pages: goal, metrics, baseline, rows, note.
    artifact
        Content hash of the artifact folder.
    previous
        Release that was live when this one was built.
    rehearsed_against
        Release (or ``baseline``) the passed rehearsal swapped from and rolled back to; None when none passed.
    """

    id: str
    model: str
    version: int
    path: str
    run_id: str
    model_version: int | None
    status: Status
    built_at: str
    built_by: str
    goal_value: float | None
    summary: dict[str, Any]
    artifact: str = ""
    previous: str | None = None
    rehearsed_against: str | None = None

    @property
    def name(self) -> str:
        """Return what people call it: ``late@3``."""
        return f"{self.model}@{self.version}"


def add(tx: Transaction, row: ReleaseRow, *, root: Path) -> None:
    """Register a release whose bundle is whole and synced; ``root`` is the state folder its path is kept relative to.

    Raises
    ------
    Conflict
        When another process took the version number first.
    """
    path = Path(row.path)
    kept = path.relative_to(root) if path.is_relative_to(root) else path
    try:
        tx.execute(
            "INSERT INTO releases (id, model, version, path, artifact, previous, run_id, model_version, status,"
            " built_at, built_by, goal_value, rehearsed_against, summary) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                row.id,
                row.model,
                row.version,
                str(kept),
                row.artifact,
                row.previous,
                row.run_id,
                row.model_version,
                row.status,
                row.built_at,
                row.built_by,
                row.goal_value,
                row.rehearsed_against,
                msgspec.json.encode(row.summary).decode(),
            ),
        )
    except sqlite3.IntegrityError as wrong:
        raise Conflict(
            f"release {row.name} was registered by another process meanwhile ({wrong})", do="try again"
        ) from None


def get(state: State, release: str) -> ReleaseRow:
    """Read a release by its id.

    Raises
    ------
    NotFound
        When no release has that id.
    """
    rows = state.query("SELECT * FROM releases WHERE id = ?", (release,))
    if not rows:
        raise NotFound(f"no release has the id {release}", do="millstream status")
    return _row(state, rows[0])


def named(state: State, model: str, version: int) -> ReleaseRow:
    """Read a release by its model and version number, naming those that exist when it does not."""
    rows = state.query("SELECT * FROM releases WHERE model = ? AND version = ?", (model, version))
    if not rows:
        raise NotFound(
            f"there is no release {model}@{version}",
            expected=near(f"{model}@{version}", [each.name for each in history(state)]),
            do="millstream status",
        )
    return _row(state, rows[0])


def history(state: State, model: str | None = None, *, limit: int = -1) -> list[ReleaseRow]:
    """List releases, newest version first, of one model or of all; all of them, or at most ``limit``."""
    rows = state.query(
        "SELECT * FROM releases WHERE ? IS NULL OR model = ? ORDER BY model, version DESC LIMIT ?",
        (model, model, limit),
    )
    return [_row(state, each) for each in rows]


def count(state: State, model: str) -> int:
    """Count the releases of a model."""
    return int(state.query("SELECT count(*) AS n FROM releases WHERE model = ?", (model,))[0]["n"])


def next_version(state: State, model: str) -> int:
    """Return the number the next release of a model would have."""
    rows = state.query("SELECT coalesce(max(version), 0) + 1 AS n FROM releases WHERE model = ?", (model,))
    return int(rows[0]["n"])


def status_of(tx: Transaction, release: str) -> Status:
    """Read a status inside the transaction that is about to depend on it."""
    status: Status = tx.query("SELECT status FROM releases WHERE id = ?", (release,))[0]["status"]
    return status


def mark(tx: Transaction, release: str, status: Status) -> None:
    """Change a release's status."""
    tx.execute("UPDATE releases SET status = ? WHERE id = ?", (status, release))


def rehearsed(tx: Transaction, release: str, against: str | None) -> None:
    """Keep what a passed rehearsal swapped from, or None when it failed."""
    tx.execute("UPDATE releases SET rehearsed_against = ? WHERE id = ?", (against, release))


def rehearsed_against(tx: Transaction, release: str) -> str | None:
    """Return what the last passed rehearsal of a release swapped from; None when there was none or it failed."""
    against: str | None = tx.query("SELECT rehearsed_against FROM releases WHERE id = ?", (release,))[0][0]
    return against


def _row(state: State, stored: sqlite3.Row) -> ReleaseRow:
    fields = dict(stored)
    fields["path"] = str(state.path.parent / fields["path"])
    fields["summary"] = msgspec.json.decode(fields["summary"])
    return ReleaseRow(**fields)
