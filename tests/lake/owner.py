"""The owner of a Delta table: another process, which knows deltalake and nothing of Millstream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_PROGRAM = """
import json, sys
from datetime import datetime, timedelta
import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake

def rows(said):
    start = datetime(2013, 3, 8, 6)
    frame = pl.DataFrame({
        "id": list(range(said["first"], said["first"] + said["count"])),
        "leaves": [start + timedelta(hours=each) for each in range(said["first"], said["first"] + said["count"])],
        "delay": [float(said.get("delay", 1.0))] * said["count"],
    })
    return frame.with_columns(**{name: pl.lit(value) for name, value in said.get("also", {}).items()})

for line in sys.stdin:
    said = json.loads(line)
    act, path = said["act"], said["path"]
    if act == "append":
        write_deltalake(path, rows(said), mode="append", schema_mode="merge" if said.get("merge") else None,
                        configuration=said.get("configuration"))
    elif act == "overwrite":
        write_deltalake(path, rows(said), mode="overwrite", predicate=said.get("where"))
    elif act == "delete":
        DeltaTable(path).delete(said["where"])
    elif act == "update":
        DeltaTable(path).update(updates=said["set"], predicate=said["where"])
    elif act == "compact":
        DeltaTable(path).optimize.compact()
    elif act == "cluster":
        DeltaTable(path).optimize.z_order(["id"])
    elif act == "checkpoint":
        DeltaTable(path).create_checkpoint()
    elif act == "vacuum":
        DeltaTable(path).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    elif act == "storm":
        for number in range(said["commits"]):
            write_deltalake(path, rows({"first": said["first"] + number, "count": 1}), mode="append")
            if number % 5 == 4:
                DeltaTable(path).optimize.compact()
            print(json.dumps("committed"), flush=True)
    print(json.dumps("done"), flush=True)
"""


class Owner:
    """A foreign writer of one table; each act waits until the other process has committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, act: str, path: Path | None = None, **said: Any) -> None:
        """Begin an act."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"act": act, "path": str(path or self.path), **said}) + "\n")
        self._process.stdin.flush()

    def heard(self) -> str:
        """Wait for the next word of the other process."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the owner's process died"
        return str(json.loads(line))

    def do(self, act: str, path: Path | None = None, **said: Any) -> None:
        """Do an act and wait for it."""
        self.ask(act, path, **said)
        while self.heard() != "done":
            pass

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()
