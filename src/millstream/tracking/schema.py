"""MLflow's database schema, kept as text so that a new project need not replay years of migrations.

MLflow makes a new SQLite database by running some sixty migrations, 4 s and more. ``schema.sql`` is what they lead to
for one exact version of MLflow. Another version migrates as MLflow does, and a test compares the two. ``refresh``
writes it anew.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
import tempfile
from pathlib import Path

from millstream.tracking import quiet

FILE = Path(__file__).with_name("schema.sql")
_HEAD = "-- The schema of mlflow-skinny "


def prepare(database: Path) -> None:
    """Put a database in WAL mode, and give an empty one its tables if the installed MLflow is the known version."""
    connection = sqlite3.connect(database, timeout=20.0, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        if FILE.exists() and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            text = FILE.read_text(encoding="utf-8")
            if text.startswith(_head()):
                connection.executescript(f"BEGIN;\n{text}\nCOMMIT;")
    finally:
        connection.close()


def written(database: Path) -> str:
    """Write a migrated database down as SQL: its tables, indexes, and the rows that migrations put in."""
    connection = sqlite3.connect(database)
    try:
        made = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
            "ORDER BY instr('table index view trigger', type), name"
        )
        lines = [f"{sql};" for (sql,) in made]
        # The default experiment is made by MLflow's store, with the address of its artifacts.
        inserts = [each for each in connection.iterdump() if each.startswith("INSERT INTO")]
        lines += [
            each for each in inserts if not each.startswith(('INSERT INTO "experiments"', 'INSERT INTO "sqlite_'))
        ]
    finally:
        connection.close()
    return "\n".join([f"{_head()}, as its own migrations leave it.", *lines]) + "\n"


def migrate_afresh(database: Path) -> None:
    """Make a database by MLflow's own migrations."""
    quiet.client(f"sqlite:///{database}").get_experiment_by_name("Default")


def refresh() -> None:
    """Write ``schema.sql`` for the installed MLflow: run once by whoever raises its version."""
    with tempfile.TemporaryDirectory() as folder:
        migrate_afresh(Path(folder) / "new.db")
        FILE.write_text(written(Path(folder) / "new.db"), encoding="utf-8")


def _head() -> str:
    return f"{_HEAD}{importlib.metadata.version('mlflow-skinny')}"
