"""Reads of tables: chosen and counted by the database, so that a million other rows cost no decoding."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from millstream.errors import IntegrityError
from millstream.ledger.chain import LedgerRow
from millstream.state import State
from millstream.state.ledger import ACT, SUBJECT

READ = "table.read"
_ACTOR = "json_extract(CAST(body AS TEXT), '$.actor')"


def reads_of(
    state: State, tables: Sequence[str], *, by: str = "", since: str = "", limit: int
) -> tuple[list[LedgerRow], dict[str, int]]:
    """Return the newest reads of any of some tables, and how often each person read one.

    Parameters
    ----------
    state
        Where the ledger is.
    tables
        Names, one at least; a read of several tables is one of each, and told once.
    by, since
        Only of one person; only from an instant on, as the ledger writes it. Empty for all.
    limit
        Rows returned; the counts are of all.

    Raises
    ------
    IntegrityError
        When a row cannot be read.
    """
    any_ = " OR ".join(f"instr(' ' || {SUBJECT}, ?) > 0" for _ in tables)
    wanted, given = [f"{ACT} = ?", f"({any_})"], [READ, *(f" {each}@" for each in tables)]
    if by:
        wanted.append(f"{_ACTOR} = ?")
        given.append(by)
    if since:
        wanted.append("at >= ?")
        given.append(since)
    where = " AND ".join(wanted)
    try:
        found = state.query(
            f"SELECT sequence, at, body, hash FROM ledger WHERE {where} ORDER BY sequence DESC LIMIT ?", (*given, limit)
        )
        people = state.query(
            f"SELECT {_ACTOR} AS actor, COUNT(*) AS many FROM ledger WHERE {where} GROUP BY 1 ORDER BY 2 DESC, 1", given
        )
        rows = [
            LedgerRow(sequence=each["sequence"], at=each["at"], hash=each["hash"], **_body(each["body"]))
            for each in found
        ]
    except (sqlite3.OperationalError, msgspec.MsgspecError, UnicodeDecodeError, TypeError):
        raise IntegrityError(
            "a row of the ledger cannot be read: it was changed",
            expected="the bytes that were written",
            do="millstream verify, which names the row",
        ) from None
    return rows, {each["actor"]: each["many"] for each in people}


def _body(stored: bytes) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(stored)
    return said
