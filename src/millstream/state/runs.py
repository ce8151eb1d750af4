"""Runs of steps and stored queries: what each made, from what, why it ran and how long it took.

A table that is made as a whole has one piece, called ``""``. The newest run of each piece up to a version says what the
piece rests on there.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS step_runs (
    name TEXT NOT NULL,
    piece TEXT NOT NULL,
    version INTEGER NOT NULL,
    at TEXT NOT NULL,
    seconds REAL NOT NULL,
    rows INTEGER NOT NULL,
    why TEXT NOT NULL,
    rests BLOB NOT NULL,
    gone INTEGER NOT NULL,
    PRIMARY KEY (name, piece, version)
) STRICT;
CREATE INDEX IF NOT EXISTS step_runs_by_version ON step_runs (name, version);
"""


class Run(msgspec.Struct, frozen=True):
    """One run that became part of a version.

    Parameters
    ----------
    piece
        The partition; empty for a whole table.
    seconds, rows
        How long it took, and how many rows it gave.
    why
        Why it ran.
    rests
        Input to the digest of the rows it read.
    gone
        Whether the piece went, because no rows of its inputs are left.
    version, at
        Filled in when it is written down: the version it became part of, and when (project's clock).
    """

    piece: str
    seconds: float
    rows: int
    why: str
    rests: dict[str, str] = {}
    gone: bool = False
    version: int = -1
    at: str = ""


def put(tx: Transaction, table: str, version: int, runs: Iterable[Run], *, at: str) -> None:
    """Write down the runs that made a version."""
    tx.execute_many(
        "INSERT OR REPLACE INTO step_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                table,
                each.piece,
                version,
                at,
                each.seconds,
                each.rows,
                each.why,
                msgspec.json.encode(each.rests),
                each.gone,
            )
            for each in runs
        ],
    )


def pieces(state: State, table: str, version: int) -> dict[str, Run]:
    """Return the newest run of each piece a version has."""
    found = state.query(
        "SELECT r.* FROM step_runs r JOIN (SELECT piece, max(version) AS version FROM step_runs"
        " WHERE name = ? AND version <= ? GROUP BY piece) newest"
        " ON r.piece = newest.piece AND r.version = newest.version WHERE r.name = ? ORDER BY r.piece",
        (table, version, table),
    )
    return {each["piece"]: run for each in found if not (run := _run(each)).gone}


def of_version(state: State, table: str, version: int) -> list[Run]:
    """Return the runs that made a version."""
    found = state.query("SELECT * FROM step_runs WHERE name = ? AND version = ? ORDER BY piece", (table, version))
    return [_run(each) for each in found]


def latest(state: State, table: str, *, before: int | None = None, limit: int = 20) -> list[Run]:
    """Return the last runs of a table that took time, newest first, before a version if one is given."""
    found = state.query(
        "SELECT * FROM step_runs WHERE name = ? AND gone = 0 AND seconds > 0 AND version < ?"
        " ORDER BY version DESC, piece DESC LIMIT ?",
        (table, 1 << 60 if before is None else before, limit),
    )
    return [_run(each) for each in found]


def _run(row: object) -> Run:
    said = dict(row)  # type: ignore[call-overload]
    said.pop("name")
    rests = msgspec.json.decode(said.pop("rests"), type=dict[str, str])
    return Run(**(said | {"rests": rests, "gone": bool(said["gone"])}))
