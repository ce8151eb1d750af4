"""Rows of the ledger, as stored. The ledger room says what they mean and chains them."""

from __future__ import annotations

_VALID = "CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.{}') END"
ACT, SUBJECT = _VALID.format("act"), _VALID.format("subject")
"""What a row was and what about, as SQL; both are indexed. A row somebody spoilt has neither, and is still found by the
verification."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS ledger (
    sequence INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    body BLOB NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS ledger_never_changes BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_never_shrinks BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE INDEX IF NOT EXISTS ledger_by_act ON ledger ({ACT});
CREATE INDEX IF NOT EXISTS ledger_by_subject ON ledger ({SUBJECT});
"""
