"""Rows that were posted: a journal they are in before they are acknowledged, until a version of their table has them.

Each row has a number within its table, ascending and never used twice. By its mark, a hash of what it says, a row that
is sent again is recognised. Who posted is kept beside the rows, by ranges of numbers: one for all that a person posted
before another did.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS posted_rows (
    name TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at TEXT NOT NULL,
    aside TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (name, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posted_marks (
    name TEXT NOT NULL,
    mark BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (name, mark)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posted_counts (
    name TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS posted_by (
    name TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (name, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posted_newest (
    name TEXT PRIMARY KEY,
    at TEXT NOT NULL
) STRICT;
"""


class Posted(msgspec.Struct, frozen=True):
    """A row that is to be kept, or is.

    Parameters
    ----------
    mark
        Hash of what it says.
    body
        Its columns, as JSON.
    at
        When it came, by the project's clock.
    aside
        Why a check of its own row puts it in quarantine; empty where none does.
    sequence
        Its number within the table; 0 before it has one.
    """

    mark: bytes
    body: bytes
    at: str
    aside: str = ""
    sequence: int = 0


def add(tx: Transaction, name: str, rows: Sequence[Posted], *, actor: str = "") -> list[int]:
    """Keep rows of a table that somebody posted; a row that was kept before is not kept again.

    Returns
    -------
    list
        The number of each row, in order; of one that was here already the number it has, negative.
    """
    said = tx.query("SELECT sequence FROM posted_counts WHERE name = ?", (name,))
    before = last = int(said[0]["sequence"]) if said else 0
    numbers: list[int] = []
    for each in rows:
        known = tx.query("SELECT sequence FROM posted_marks WHERE name = ? AND mark = ?", (name, each.mark))
        if known:
            numbers.append(-int(known[0]["sequence"]))
            continue
        last += 1
        tx.execute("INSERT INTO posted_marks VALUES (?, ?, ?)", (name, each.mark, last))
        tx.execute("INSERT INTO posted_rows VALUES (?, ?, ?, ?, ?)", (name, last, each.at, each.aside, each.body))
        numbers.append(last)
    tx.execute(
        "INSERT INTO posted_counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence",
        (name, last),
    )
    if actor and last > before:
        grown = "UPDATE posted_by SET last = ? WHERE name = ? AND last = ? AND actor = ?"
        if not tx.execute(grown, (last, name, before, actor)):
            tx.execute("INSERT INTO posted_by VALUES (?, ?, ?, ?)", (name, before + 1, last, actor))
    return numbers


def by(state: State, name: str, *, after: int, upto: int) -> dict[str, int]:
    """Return who posted rows of a table after a number up to another, and how many; who posted most comes first.

    Rows from before names were kept are nobody's.
    """
    found = state.query(
        "SELECT actor, sum(min(last, ?) - max(first - 1, ?)) n FROM posted_by"
        " WHERE name = ? AND last > ? AND first <= ? GROUP BY actor ORDER BY n DESC, actor",
        (upto, after, name, after, upto),
    )
    return {each["actor"]: each["n"] for each in found}


def waiting(state: State, name: str, *, after: int, limit: int = -1) -> list[Posted]:
    """Return the kept rows of a table whose number is above one, in order."""
    found = state.query(
        "SELECT sequence, at, aside, body FROM posted_rows WHERE name = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        (name, after, limit),
    )
    return [Posted(b"", each["body"], each["at"], each["aside"], each["sequence"]) for each in found]


def last(state: State, name: str) -> int:
    """Return the number of the last row that was posted to a table; 0 where none was."""
    found = state.query("SELECT sequence FROM posted_counts WHERE name = ?", (name,))
    return int(found[0]["sequence"]) if found else 0


def see(tx: Transaction, name: str, at: str) -> None:
    """Note the instant (ISO 8601 in UTC, all digits of its microseconds) of an event that was posted to a table."""
    tx.execute(
        "INSERT INTO posted_newest VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET at = max(at, excluded.at)", (name, at)
    )


def newest(state: State, name: str) -> str | None:
    """Return the instant of the newest event that was posted and had happened, while rows are in the journal."""
    found = state.query("SELECT at FROM posted_newest WHERE name = ?", (name,))
    return found[0]["at"] if found else None


def came(state: State, name: str, *, after: int, upto: int) -> list[tuple[str, int]]:
    """Return when the rows of a table after a number up to another came, and how many with each request."""
    found = state.query(
        "SELECT at, count(*) n FROM posted_rows WHERE name = ? AND sequence > ? AND sequence <= ?"
        " GROUP BY at ORDER BY min(sequence)",
        (name, after, upto),
    )
    return [(each["at"], each["n"]) for each in found]


def oldest(state: State, name: str, *, after: int) -> str | None:
    """Return when the first kept row of a table beyond a number came; None where there is none."""
    found = state.query(
        "SELECT at FROM posted_rows WHERE name = ? AND sequence > ? ORDER BY sequence LIMIT 1", (name, after)
    )
    return found[0]["at"] if found else None


def counts(state: State) -> dict[str, tuple[int, int]]:
    """Return, by table, how many rows were ever posted and how many of them are still in the journal."""
    kept = {each["name"]: each["n"] for each in state.query("SELECT name, count(*) n FROM posted_rows GROUP BY name")}
    found = state.query("SELECT name, sequence FROM posted_counts ORDER BY name")
    return {each["name"]: (each["sequence"], kept.get(each["name"], 0)) for each in found}


def forget(tx: Transaction, name: str, *, upto: int) -> None:
    """Let go of rows that a version has, with all that is said of them but their marks; the ledger has who posted."""
    tx.execute("DELETE FROM posted_rows WHERE name = ? AND sequence <= ?", (name, upto))
    tx.execute("DELETE FROM posted_by WHERE name = ? AND last <= ?", (name, upto))
    if not tx.query("SELECT 1 FROM posted_rows WHERE name = ? LIMIT 1", (name,)):
        tx.execute("DELETE FROM posted_newest WHERE name = ?", (name,))
