"""Leases of scoring servers: until when each may answer as champion, and which generations it serves.

Expiry is the machine's clock, never the replay's: a lease is about processes, not about the story they replay.
"""

from __future__ import annotations

import time

import msgspec

from millstream.state.database import State, Transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
    server TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    pid INTEGER NOT NULL,
    generations TEXT NOT NULL,
    expires_at REAL NOT NULL
) STRICT;
"""


class Lease(msgspec.Struct, frozen=True):
    """A server's right to answer as champion.

    Parameters
    ----------
    server
        Identity of one incarnation of a process; a restarted server is another one.
    generations
        Model name to the pointer generation it serves now: its acknowledgement.
    expires_at
        Seconds since the epoch by the machine's clock. After it the server answers by its fallbacks only.
    """

    server: str
    url: str
    pid: int
    generations: dict[str, int]
    expires_at: float


def renew(tx: Transaction, lease: Lease, *, now_s: float | None = None) -> tuple[str, ...]:
    """Take or prolong a lease and acknowledge what is served; return the models the server is behind on.

    A server whose lease ran out (or that has none yet) and that is behind on any model gets none: a swap may have
    returned without waiting for it, so it must load what is live first. Nothing is written then.
    """
    now_s = time.time() if now_s is None else now_s
    behind = tuple(
        each["model"]
        for each in tx.query("SELECT model, generation FROM pointer ORDER BY model")
        if lease.generations.get(each["model"], 0) < each["generation"]
    )
    kept = tx.query("SELECT expires_at FROM leases WHERE server = ?", (lease.server,))
    if behind and not (kept and kept[0]["expires_at"] > now_s):
        return behind
    tx.execute(
        "INSERT INTO leases (server, url, pid, generations, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (server) DO UPDATE SET url = excluded.url, pid = excluded.pid,"
        " generations = excluded.generations, expires_at = excluded.expires_at",
        (lease.server, lease.url, lease.pid, msgspec.json.encode(lease.generations).decode(), lease.expires_at),
    )
    return behind


def end(tx: Transaction, server: str) -> None:
    """Give a lease back: the server has stopped answering."""
    tx.execute("DELETE FROM leases WHERE server = ?", (server,))


def forget(tx: Transaction, before_s: float) -> int:
    """Delete leases that ran out before an instant; return how many."""
    return tx.execute("DELETE FROM leases WHERE expires_at < ?", (before_s,))


def live(state: State, now_s: float) -> list[Lease]:
    """List the leases that have not run out, by server."""
    rows = state.query("SELECT * FROM leases WHERE expires_at > ? ORDER BY server", (now_s,))
    return [Lease(**{**dict(each), "generations": msgspec.json.decode(each["generations"])}) for each in rows]
