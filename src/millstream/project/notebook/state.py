"""What a trusted read of a table at a version depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from millstream.state import quarantine
from millstream.types import content_hash

if TYPE_CHECKING:
    from millstream.project.root import Project

_SILENT = ("checks", "owner", "description")
"""Words of a definition that say nothing of its rows."""


def state_of(project: Project, table: str, version: int) -> list[Any]:
    """Say what rows of a version are read: its files, the definition, what is masked, and the same of its inputs."""
    at = project.lake.version(table, version)
    masked = ""
    if quarantine.latest(project.state, table):
        masked = content_hash([msgspec.to_builtins(each) for each in quarantine.upto(project.state, table, version)])
    inputs = sorted(at.inputs.items()) if at.kind == "derived" else []
    said = [table, version, at.kind, at.files_hash, at.registered_at, masked, _definition(project, table)]
    return [*said, [state_of(project, name, number) for name, number in inputs]]


def _definition(project: Project, table: str) -> Any:
    """Return what a definition says about rows; None for a table the lake wrote itself."""
    if table not in project.manifest.tables:
        return None
    said = msgspec.to_builtins(project.manifest.tables[table])
    return {name: value for name, value in said.items() if name not in _SILENT}
