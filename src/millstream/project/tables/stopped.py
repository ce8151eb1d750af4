"""Tables being made: which step runs now, and alarms of those that could not be made, open until they are made."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.errors import MillstreamError
from millstream.project.tables.alarms import Wrong, settle, undefined
from millstream.state import alarms

if TYPE_CHECKING:
    from millstream.definitions.table import Table
    from millstream.project.root import Project

KIND = "stopped"
_TAIL = 2000


def tell_stopped(project: Project, looked: Collection[str], stopped: Mapping[str, MillstreamError]) -> None:
    """Open an alarm for each table that stopped, and close those of tables that were made, or that nobody defines now.

    Parameters
    ----------
    looked
        Tables that were brought to their newest version, or were to be.
    stopped
        Those that could not be, each with its error.
    """
    settle(
        project,
        KIND,
        wrong={
            name: Wrong(
                f"{name} was not made and stays as it is: {error.happened}",
                error.do or f"millstream refresh {name}",
                severity="stop",
            )
            for name, error in stopped.items()
        },
        over=lambda name: f"table {name} is made again" if name in looked else undefined(project, name),
    )


def away(project: Project, table: Table) -> str:
    """Say why a table without a step stays as it is, while whoever it comes from gives no rows; empty when it does."""
    if table.made:
        return ""
    open_ = alarms.of_tables(project.state, KIND).get(table.name)
    return open_.says if open_ is not None else ""


def running(project: Project, table: str) -> dict[str, str] | None:
    """Say since when (machine's clock) a table's step runs, and the last line it printed; None when it does not."""
    folder = project.places.state / "steps"
    try:
        said = msgspec.json.decode((folder / f"{table}.running").read_bytes(), type=dict[str, Any])
        os.kill(int(said["pid"]), 0)  # whoever was killed in the midst left the file behind
        with (folder / f"{table}.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            lines = [each for each in log.read().decode(errors="replace").splitlines() if each.strip()]
    except (OSError, msgspec.DecodeError, KeyError):
        return None
    return {"since": str(said["since"]), "last": lines[-1][:300] if lines else ""}
