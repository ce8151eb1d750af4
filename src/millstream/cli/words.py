"""Words that many commands take, and how a command is carried out and shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from millstream.cli import call as calls

ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", "-p", help="Folder of the project; else the nearest one upward.", show_default=False),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the record as JSON, and nothing else, on standard output.")
]
ModelArgument = Annotated[str, typer.Argument(help="Name of a model.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the ledger.")]


def do(
    command: str,
    project: Path | None,
    *,
    as_json: bool,
    show: Callable[[Any], None] | None = None,
    **arguments: Any,
) -> None:
    """Carry out a command of the project and show its record, by the function of its name unless another is given."""
    from millstream.cli import drawing, render

    with calls.told(as_json=as_json):
        root = calls.find_root(project)
        given = {name: value for name, value in arguments.items() if value is not None}
        with drawing.working(command, quiet=as_json):
            record = calls.call(root, command, given)
        calls.show(record, show or getattr(render, command), as_json=as_json)
        sys.exit(int(record.get("exit_code", 0)) if isinstance(record, dict) else 0)
