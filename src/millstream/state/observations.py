"""What was measured of each judged day: the numbers behind charts, alarms and their absence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from millstream.state.database import State, Transaction

Verdict: TypeAlias = Literal["ok", "alarm", "incomplete", "unknown"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS observations (
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    day TEXT NOT NULL,
    value REAL,
    threshold REAL,
    verdict TEXT NOT NULL,
    says TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (model, kind, subject, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS observations_by_day ON observations (day);
"""

_COLUMNS = "day, model, kind, subject, value, threshold, verdict, says, detail"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One number of one day.

    Parameters
    ----------
    day
        ISO date in the project's zone. For ``outcomes`` the day of the decisions, else the judged day.
    model
        Empty for what is about data.
    kind, subject
        As of alarms.
    value, threshold
        What was measured and what is tolerated; a value of None could not be measured.
    verdict
        ``unknown`` is too little to judge on, ``incomplete`` a day whose outcomes did not arrive.
    says
        In words.
    detail
        Everything else, as plain data.
    """

    day: str
    model: str
    kind: str
    subject: str
    value: float | None
    threshold: float | None
    verdict: Verdict
    says: str
    detail: dict[str, Any] = {}


def put(tx: Transaction, observations: Iterable[Observation]) -> None:
    """Write observations; judging a day again replaces what was written of it."""
    tx.execute_many(
        f"INSERT OR REPLACE INTO observations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.day,
                each.model,
                each.kind,
                each.subject,
                each.value,
                each.threshold,
                each.verdict,
                each.says,
                msgspec.json.encode(each.detail).decode(),
            )
            for each in observations
        ],
    )


def series(state: State, model: str, kind: str, subject: str, *, last: int = -1) -> list[Observation]:
    """Return one number through the days, oldest first; of all days, or of the ``last`` so many."""
    where = "WHERE model = ? AND kind = ? AND subject = ? ORDER BY day DESC LIMIT ?"
    return _read(state, where, (model, kind, subject, last))[::-1]


def of_day(state: State, day: str, *, model: str | None = None) -> list[Observation]:
    """Return everything measured of a day."""
    found = _read(state, "WHERE day = ? ORDER BY model, kind, subject", (day,))
    return [each for each in found if model is None or each.model in ("", model)]


def newest(state: State, kind: str, prefix: str) -> Observation | None:
    """Return what was measured last of data whose subject is a prefix and a number (``orders@14``), if anything."""
    where = (
        "WHERE model = '' AND kind = ? AND substr(subject, 1, length(?)) = ?"
        " ORDER BY CAST(substr(subject, length(?) + 1) AS INTEGER) DESC LIMIT 1"
    )
    found = _read(state, where, (kind, prefix, prefix, prefix))
    return found[0] if found else None


def subjects(state: State, model: str) -> list[tuple[str, str]]:
    """List the (kind, subject) pairs that were measured of a model."""
    found = state.query(
        "SELECT DISTINCT kind, subject FROM observations WHERE model = ? ORDER BY kind, subject", (model,)
    )
    return [(row["kind"], row["subject"]) for row in found]


def last_day(state: State, model: str) -> str | None:
    """Return the last day on which a model was judged, from which judging goes on after a restart."""
    found = state.query("SELECT max(day) AS day FROM observations WHERE model = ? AND kind = 'degraded'", (model,))
    day: str | None = found[0]["day"]
    return day


def _read(state: State, where: str, parameters: Sequence[Any]) -> list[Observation]:
    return [_observation(row) for row in state.query(f"SELECT {_COLUMNS} FROM observations {where}", parameters)]


def _observation(row: sqlite3.Row) -> Observation:
    said: dict[str, Any] = dict(row)
    said["detail"] = msgspec.json.decode(said["detail"])
    return Observation(**said)
