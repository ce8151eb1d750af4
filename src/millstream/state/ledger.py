"""Rows of the ledger, as stored. The ledger room says what they mean and chains them."""

from __future__ import annotations

SCHEMA = """
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
CREATE INDEX IF NOT EXISTS ledger_by_act ON ledger (json_extract(CAST(body AS TEXT), '$.act'));
CREATE INDEX IF NOT EXISTS ledger_by_subject ON ledger (json_extract(CAST(body AS TEXT), '$.subject'));
"""
