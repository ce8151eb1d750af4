"""Long work: what was asked, by whom, how far it is and how it ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from millstream.errors import NotFound
from millstream.state.database import State, Transaction

JobStatus: TypeAlias = Literal["running", "waiting", "done", "refused", "rejected", "failed", "cancelled"]
StepStatus: TypeAlias = Literal["running", "waiting", "done", "failed"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    step TEXT NOT NULL,
    asked_at TEXT NOT NULL,
    ended_at TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    result TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS jobs_one_at_work ON jobs (kind, model) WHERE ended_at IS NULL;
CREATE TABLE IF NOT EXISTS job_steps (
    job TEXT NOT NULL REFERENCES jobs (id),
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    attempts INTEGER NOT NULL,
    result TEXT,
    PRIMARY KEY (job, name)
) STRICT;
"""

_JOB = "id, kind, model, status, step, asked_at, ended_at, actor, reason, result"
_STEP = "job, name, status, started_at, ended_at, attempts, result"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of long work.

    Parameters
    ----------
    status
        ``waiting`` is for a person; ``refused`` did not pass its gate; ``rejected`` was decided against by a person.
    step
        The step it is in, or ended in.
    asked_at, ended_at
        Instants (ISO).
    actor, reason
        Who asked, and why.
    result
        How it ended, as plain data.
    """

    id: str
    kind: str
    model: str
    status: JobStatus
    step: str
    asked_at: str
    actor: str
    reason: str
    ended_at: str | None = None
    result: dict[str, Any] | None = None


class JobStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a job; ``attempts`` beyond one were begun again after a stop."""

    job: str
    name: str
    status: StepStatus
    started_at: str
    ended_at: str | None
    attempts: int
    result: dict[str, Any] | None


def start(tx: Transaction, job: Job) -> bool:
    """Write down a job; return False when one of this kind and model is at work (nothing is written)."""
    return bool(
        tx.execute(
            f"INSERT OR IGNORE INTO jobs ({_JOB}) VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, NULL)",
            (job.id, job.kind, job.model, job.status, job.step, job.asked_at, job.actor, job.reason),
        )
    )


def begin_step(tx: Transaction, job: str, name: str, *, at: str) -> None:
    """Write down that a step has begun, or begun again."""
    tx.execute(
        f"INSERT INTO job_steps ({_STEP}) VALUES (?, ?, 'running', ?, NULL, 1, NULL)"
        " ON CONFLICT (job, name) DO UPDATE SET status = 'running', attempts = attempts + 1, ended_at = NULL",
        (job, name, at),
    )
    tx.execute("UPDATE jobs SET status = 'running', step = ? WHERE id = ? AND ended_at IS NULL", (name, job))


def wait_step(tx: Transaction, job: str, name: str, *, at: str) -> bool:
    """Write down that a job waits for a person; return False, and change nothing, when that was written before."""
    news = tx.execute(
        f"INSERT INTO job_steps ({_STEP}) VALUES (?, ?, 'waiting', ?, NULL, 1, NULL)"
        " ON CONFLICT (job, name) DO NOTHING",
        (job, name, at),
    )
    if news:
        tx.execute(
            "UPDATE jobs SET status = 'waiting', step = ? WHERE id = ? AND ended_at IS NULL",
            (name, job),
        )
    return bool(news)


def end_step(
    tx: Transaction, job: str, name: str, *, status: StepStatus, at: str, result: Mapping[str, Any] | None
) -> bool:
    """Write down how a step ended; return False when that was written before."""
    return bool(
        tx.execute(
            "UPDATE job_steps SET status = ?, ended_at = ?, result = ?"
            " WHERE job = ? AND name = ? AND NOT (status = ? AND ended_at IS NOT NULL)",
            (status, at, _encoded(result), job, name, status),
        )
    )


def finish(tx: Transaction, job: str, *, status: JobStatus, at: str, result: Mapping[str, Any] | None) -> bool:
    """Write down how a job ended; return False when it had ended before."""
    return bool(
        tx.execute(
            "UPDATE jobs SET status = ?, ended_at = ?, result = ? WHERE id = ? AND ended_at IS NULL",
            (status, at, _encoded(result), job),
        )
    )


def get(state: State, id_: str) -> Job:
    """Return one job.

    Raises
    ------
    NotFound
        When no job has that id.
    """
    found = _jobs(state, "WHERE id = ?", (id_,))
    if not found:
        raise NotFound(f"there is no job {id_!r}", do="millstream status")
    return found[0]


def at_work(state: State, *, kind: str | None = None, model: str | None = None) -> list[Job]:
    """List the jobs that have not ended, oldest first."""
    found = _jobs(state, "WHERE ended_at IS NULL ORDER BY asked_at, id")
    return [each for each in found if kind in (None, each.kind) and model in (None, each.model)]


def recent(state: State, *, model: str | None = None, limit: int = 100) -> list[Job]:
    """List jobs, newest first, of one model or of all."""
    where = "WHERE ? IS NULL OR model = ? ORDER BY asked_at DESC, id DESC LIMIT ?"
    return _jobs(state, where, (model, model, limit))


def count(state: State, *, kind: str, model: str) -> int:
    """Count the jobs of a kind, whatever became of them."""
    found = state.query("SELECT count(*) AS n FROM jobs WHERE kind = ? AND model = ?", (kind, model))
    return int(found[0]["n"])


def last_started(state: State, *, kind: str, model: str) -> str | None:
    """Return when (ISO) the last job of a kind was asked for, whatever became of it."""
    found = state.query("SELECT max(asked_at) AS at FROM jobs WHERE kind = ? AND model = ?", (kind, model))
    at: str | None = found[0]["at"]
    return at


def steps(state: State, job: str) -> list[JobStep]:
    """List the steps of a job in the order they began."""
    found = state.query(f"SELECT {_STEP} FROM job_steps WHERE job = ? ORDER BY started_at, rowid", (job,))
    return [JobStep(**_decoded(row)) for row in found]


def _jobs(state: State, where: str, parameters: Sequence[Any] = ()) -> list[Job]:
    return [Job(**_decoded(row)) for row in state.query(f"SELECT {_JOB} FROM jobs {where}", parameters)]


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    said: dict[str, Any] = dict(row)
    said["result"] = None if said["result"] is None else msgspec.json.decode(said["result"])
    return said


def _encoded(result: Mapping[str, Any] | None) -> str | None:
    return None if result is None else msgspec.json.encode(dict(result)).decode()
