"""Accepting the columns that a table waits for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from millstream.errors import MillstreamError, UserError
from millstream.state import schemas

if TYPE_CHECKING:
    from millstream.project.root import Project


def accept(project: Project, tables: Iterable[str], *, actor: str) -> None:
    """Agree to the columns that tables wait for, to exactly those; the next refresh brings them.

    Raises
    ------
    UserError
        When a table waits for nothing.
    MillstreamError
        When accepting would not do, because the definition needs what the columns have not.
    """
    for name in tables:
        table = project.manifest.table(name)
        if not table.made and not _waits(project, name):
            stopped: dict[str, MillstreamError] = {}
            project.lake.refresh([name], actor=actor, stopped=stopped)
            if name in stopped and not _waits(project, name):
                raise stopped[name]
            if name not in stopped:
                raise UserError(
                    f"the columns of table {name!r} are as agreed: nothing of it waits to be accepted",
                    do="millstream status names the tables that wait",
                )
        project.lake.accept_schema(name, actor=actor)


def waits(project: Project, table: str) -> str:
    """Say which columns a table waits to have accepted; empty when none."""
    found = schemas.waiting(project.state, table)
    return found.says if found is not None and not found.accepted_by else ""


def _waits(project: Project, table: str) -> bool:
    return bool(waits(project, table))
