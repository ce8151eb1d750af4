"""Appending to the chain, reading it and verifying it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from millstream.errors import IntegrityError
from millstream.state import State, Transaction
from millstream.state.ledger import ACT, SUBJECT
from millstream.types import Clock, canonical_json

GENESIS = "0" * 64


def _unreadable() -> IntegrityError:
    return IntegrityError(
        "a row of the ledger cannot be read: it was changed",
        expected="the bytes that were written",
        do="millstream verify, which names the row",
    )


class LedgerRow(msgspec.Struct, frozen=True):
    """One act.

    Parameters
    ----------
    sequence
        Position, from 1, without gaps.
    at
        Instant by the project's clock.
    recorded_at
        Instant by the machine's clock (differs under a replay clock).
    actor
        Who did it, as asserted (``ann``, ``system:loop``).
    act
        What was done, ``noun.verb`` (``release.build``, ``pointer.swap``, ``table.read``).
    subject
        To what (``late@3``, ``flights@12``).
    detail
        Everything else worth proving, as plain data.
    hash
        SHA-256 of the previous hash, the sequence and the stored bytes.
    """

    sequence: int
    at: str
    recorded_at: str
    actor: str
    act: str
    subject: str
    detail: dict[str, Any]
    hash: str


class Anchor(msgspec.Struct, frozen=True):
    """The head of the chain, to be kept somewhere else; ``where`` says where it was."""

    sequence: int
    hash: str
    where: str = "elsewhere"

    @property
    def text(self) -> str:
        """Write it in one word, ``sequence:hash``."""
        return f"{self.sequence}:{self.hash}"

    @classmethod
    def read(cls, text: str, *, where: str) -> Anchor:
        """Read what ``text`` wrote.

        Raises
        ------
        ValueError
            When it is none.
        """
        sequence, _, kept = text.partition(":")
        if len(kept) != len(GENESIS) or set(kept) - set("0123456789abcdef"):
            raise ValueError(f"{text[:80]!r} is no head of a ledger")
        return cls(int(sequence), kept, where)


class Verification(msgspec.Struct, frozen=True):
    """What reading the whole chain found."""

    ok: bool
    rows: int
    head: str
    first_bad: int | None
    says: str


class Ledger:
    """The one appender and reader of the ledger."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def append(
        self, tx: Transaction, *, actor: str, act: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> int:
        """Append a row inside a transaction that changes state; return its sequence."""
        last = tx.query("SELECT sequence, hash FROM ledger ORDER BY sequence DESC LIMIT 1")
        sequence, previous = (last[0]["sequence"] + 1, last[0]["hash"]) if last else (1, GENESIS)
        at = self._clock.now().isoformat()
        body = canonical_json(
            {
                "actor": actor,
                "act": act,
                "subject": subject,
                "detail": dict(detail or {}),
                "recorded_at": _machine_now(),
            }
        )
        tx.execute(
            "INSERT INTO ledger (sequence, at, body, previous, hash) VALUES (?, ?, ?, ?, ?)",
            (sequence, at, body, previous, row_hash(previous, sequence, at, body)),
        )
        return sequence

    def record(self, *, actor: str, act: str, subject: str, detail: Mapping[str, Any] | None = None) -> int:
        """Append a row for an act that changes no other state, such as a read of data by a person."""
        with self._state.transact() as tx:
            return self.append(tx, actor=actor, act=act, subject=subject, detail=detail)

    def rows(
        self,
        *,
        act: str | None = None,
        acts: Sequence[str] = (),
        subject: str | None = None,
        subjects: Sequence[str] = (),
        limit: int = 1000,
        newest: bool = True,
    ) -> list[LedgerRow]:
        """Read rows, newest first unless said.

        ``act`` and ``subject`` match a prefix and read the whole ledger; ``acts`` and ``subjects`` name whole ones and
        read only theirs.

        Raises
        ------
        IntegrityError
            When a row is none any more, wherever it stands: nobody can say whether it was asked for.
        """
        wanted: list[str] = ["1"]
        given: list[Any] = []
        for said, prefix in ((ACT, act), (SUBJECT, subject)):
            if prefix:
                wanted.append(f"substr({said}, 1, ?) = ?")
                given += [len(prefix), prefix]
        for said, whole in ((ACT, acts), (SUBJECT, subjects)):
            if whole:
                wanted.append(f"{said} IN ({', '.join('?' * len(whole))})")
                given += list(whole)
        order = "DESC" if newest else "ASC"
        where = f"WHERE {' AND '.join(wanted)} ORDER BY sequence {order} LIMIT ?"
        asked = f"SELECT sequence, at, body, hash FROM ledger {where}"
        if self._state.query(f"SELECT 1 FROM ledger WHERE {ACT} IS NULL LIMIT 1"):
            raise _unreadable()
        try:
            return [
                LedgerRow(
                    sequence=stored["sequence"],
                    at=stored["at"],
                    hash=stored["hash"],
                    **msgspec.json.decode(stored["body"]),
                )
                for stored in self._state.query(asked, (*given, limit))
            ]
        except (sqlite3.OperationalError, msgspec.MsgspecError, UnicodeDecodeError, TypeError):
            raise _unreadable() from None

    def head(self) -> Anchor:
        """Return the head of the chain, to be kept elsewhere."""
        last = self._state.query("SELECT sequence, hash FROM ledger ORDER BY sequence DESC LIMIT 1")
        return Anchor(last[0]["sequence"], last[0]["hash"]) if last else Anchor(0, GENESIS)

    def verify(self, anchor: Anchor | None = None, *, anchors: Iterable[Anchor] = ()) -> Verification:
        """Recompute the whole chain, and compare it with heads kept elsewhere.

        Without an anchor a cut tail cannot be noticed; with one it is, as far as the newest reaches.
        """
        kept: dict[int, list[Anchor]] = {}
        for each in (*anchors, *([anchor] if anchor is not None else [])):
            kept.setdefault(each.sequence, []).append(each)
        kept.pop(0, None)
        previous, expected = GENESIS, 1
        for stored in self._state.query("SELECT sequence, at, body, previous, hash FROM ledger ORDER BY sequence"):
            sequence = stored["sequence"]
            if sequence != expected:
                return _bad(expected, previous, f"row {expected} is missing")
            if stored["previous"] != previous:
                return _bad(sequence, previous, f"row {sequence} does not follow row {sequence - 1}")
            if stored["hash"] != row_hash(previous, sequence, stored["at"], stored["body"]):
                return _bad(sequence, previous, f"row {sequence} was changed")
            other = next((each for each in kept.pop(sequence, ()) if each.hash != stored["hash"]), None)
            if other is not None:
                return _bad(sequence, previous, f"row {sequence} is not the one whose hash was kept {other.where}")
            previous, expected = stored["hash"], sequence + 1
        rows = expected - 1
        if kept:
            last = kept[max(kept)][0]
            return _bad(
                expected,
                previous,
                f"the chain ends at row {rows}, but row {last.sequence} was kept {last.where}: its tail was cut",
            )
        return Verification(ok=True, rows=rows, head=previous, first_bad=None, says=f"{rows} rows, unbroken")


def row_hash(previous: str, sequence: int, at: str, body: bytes) -> str:
    """Hash one stored row together with the hash before it."""
    return hashlib.sha256(f"{previous}\n{sequence}\n{at}\n".encode() + body).hexdigest()


def _machine_now() -> str:
    return datetime.now().astimezone().isoformat()


def _bad(sequence: int, head: str, says: str) -> Verification:
    return Verification(ok=False, rows=sequence - 1, head=head, first_bad=sequence, says=says)
