"""What people are told: one record per thing that went wrong, from the day it was noticed until it passed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from millstream.errors import NotFound
from millstream.state.database import State, Transaction

Severity: TypeAlias = Literal["note", "warn", "stop", "page"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS alarms (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    since TEXT NOT NULL,
    last_at TEXT NOT NULL,
    closed_at TEXT,
    value REAL,
    threshold REAL,
    says TEXT NOT NULL,
    next TEXT NOT NULL,
    planted INTEGER NOT NULL,
    calm_days INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS alarms_one_open ON alarms (model, kind, subject) WHERE closed_at IS NULL;
CREATE INDEX IF NOT EXISTS alarms_by_time ON alarms (opened_at);
CREATE INDEX IF NOT EXISTS alarms_open ON alarms (model, severity) WHERE closed_at IS NULL;
"""

_COLUMNS = (
    "id, model, kind, subject, severity, opened_at, since, last_at, closed_at, value, threshold, says, next, planted,"
    " calm_days, detail"
)


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One thing people are told.

    Parameters
    ----------
    id
        Follows from model, kind, subject and the judged day it was found on.
    model
        The model it is about; empty for alarms about data, which belong to every model that reads it.
    kind
        ``contract``, ``lag``, ``outcomes``, ``drift``, ``nulls``, ``performance``, ``harm``, ``bias``, ``latency``,
        ``degraded``, ``stopped``, ``slow``.
    subject
        What of it: a feature, ``table.column``, ``table.check``, a metric.
    severity
        ``note`` is information, ``warn`` wants a look, ``stop`` keeps data from being used, ``page`` wants a person.
    opened_at, since, last_at, closed_at
        When it was noticed, from when on it was so (ISO day or instant), when it was last seen, when it passed.
    value, threshold
        How bad, and what would have been tolerated.
    says
        What happened, in words.
    next
        The command (or button) that helps.
    planted
        Whether a demo caused it on purpose.
    calm_days
        Judged days in a row on which the value was back.
    detail
        Everything else, as plain data.
    """

    id: str
    model: str
    kind: str
    subject: str
    severity: Severity
    opened_at: str
    since: str
    last_at: str
    value: float | None
    threshold: float | None
    says: str
    next: str
    closed_at: str | None = None
    planted: bool = False
    calm_days: int = 0
    detail: dict[str, Any] = {}


def alarm_id(model: str, kind: str, subject: str, day: str) -> str:
    """Name an alarm by what it is about and the judged day it was found on: judging a day twice opens it once."""
    return hashlib.sha256("\0".join((model, kind, subject, day)).encode()).hexdigest()[:12]


def put(tx: Transaction, alarm: Alarm) -> None:
    """Open an alarm, or write down what became of it (the same id again replaces what changed).

    Raises
    ------
    sqlite3.IntegrityError
        When another alarm is open for the same model, kind and subject.
    """
    tx.execute(
        f"INSERT INTO alarms ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, last_at = excluded.last_at,"
        " closed_at = excluded.closed_at, value = excluded.value, threshold = excluded.threshold,"
        " says = excluded.says, next = excluded.next, planted = excluded.planted, calm_days = excluded.calm_days,"
        " detail = excluded.detail",
        (
            alarm.id,
            alarm.model,
            alarm.kind,
            alarm.subject,
            alarm.severity,
            alarm.opened_at,
            alarm.since,
            alarm.last_at,
            alarm.closed_at,
            alarm.value,
            alarm.threshold,
            alarm.says,
            alarm.next,
            int(alarm.planted),
            alarm.calm_days,
            msgspec.json.encode(alarm.detail).decode(),
        ),
    )


def get(state: State, id_: str) -> Alarm:
    """Return one alarm.

    Raises
    ------
    NotFound
        When no alarm has that id.
    """
    found = _read(state, "WHERE id = ?", (id_,))
    if not found:
        raise NotFound(f"there is no alarm {id_!r}", do="millstream monitor")
    return found[0]


def opened(state: State, model: str | None = None) -> list[Alarm]:
    """List the alarms that are open, worst first; of a model with those about data, or all of them."""
    found = _read(state, "WHERE closed_at IS NULL ORDER BY opened_at, kind, subject")
    rank = {"page": 0, "stop": 1, "warn": 2, "note": 3}
    return sorted(
        (each for each in found if model is None or each.model in ("", model)), key=lambda a: rank[a.severity]
    )


def of_tables(state: State, kind: str) -> dict[str, Alarm]:
    """Map the tables to their open alarms of one kind."""
    return {each.subject: each for each in _read(state, "WHERE closed_at IS NULL AND model = '' AND kind = ?", (kind,))}


def worst(state: State, *, model: str | None = None, limit: int) -> list[Alarm]:
    """List open alarms, worst first and then oldest, at most ``limit``; of a model with those about data, or of all."""
    where = (
        "WHERE closed_at IS NULL AND (? IS NULL OR model IN ('', ?)) ORDER BY CASE severity WHEN 'page' THEN 0"
        " WHEN 'stop' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END, opened_at, kind, subject LIMIT ?"
    )
    return _read(state, where, (model, model, limit))


def count(state: State, *, model: str | None = None, notes: bool = True) -> int:
    """Count the open alarms; of a model with those about data, or of all; with or without those that are notes."""
    found = state.query(
        "SELECT count(*) AS n FROM alarms WHERE closed_at IS NULL AND (? IS NULL OR model IN ('', ?))"
        " AND (? OR severity <> 'note')",
        (model, model, notes),
    )
    return int(found[0]["n"])


def history(state: State, *, since: str | None = None, limit: int = 1000) -> list[Alarm]:
    """List alarms, open and closed, newest first.

    Parameters
    ----------
    since
        Only those opened at or after this instant (ISO).
    limit
        At most so many.
    """
    return _read(state, "WHERE opened_at >= ? ORDER BY opened_at DESC, kind, subject LIMIT ?", (since or "", limit))


def _read(state: State, where: str, parameters: Sequence[Any] = ()) -> list[Alarm]:
    return [_alarm(row) for row in state.query(f"SELECT {_COLUMNS} FROM alarms {where}", parameters)]


def _alarm(row: sqlite3.Row) -> Alarm:
    said: dict[str, Any] = dict(row)
    said["planted"] = bool(said["planted"])
    said["detail"] = msgspec.json.decode(said["detail"])
    return Alarm(**said)
