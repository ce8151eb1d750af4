"""Long work: what was asked, by whom, how far it is and how it ended."""

from __future__ import annotations

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
"""
