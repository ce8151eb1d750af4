"""Commands that keep what there is: backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from millstream.cli import call as calls
from millstream.cli.words import JsonOption, ProjectOption, do

app = typer.Typer()


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Folder of backups, best on another disk; made when missing.")],
    check: Annotated[
        bool, typer.Option("--check", help="Take none: compare every content that is there with its hash.")
    ] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy all that the project knows while it runs; the next backup into the same folder copies only what is new.

    Definitions with their history, state, ledger, lake, runs, releases, answers and signing keys. Attached tables stay
    with their owner, and what can be made again (caches, served features) is left out.
    """
    do("backup", project, as_json=as_json, show=_show_backup, to=str(folder.resolve()), check=check)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="Folder of backups.")],
    to: Annotated[Path, typer.Argument(help="Where the project is to be; nothing may be there.")],
    name: Annotated[
        str | None, typer.Option("--backup", help="Name of the backup; the newest where none is said.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the project from a backup, every byte compared with its hash, and the ledger read from its first row."""
    from millstream.cli import drawing
    from millstream.settings import whoami

    with calls.told(as_json=as_json):
        from millstream.project.backups import restore as make

        with drawing.working("restore", quiet=as_json):
            record = make(source, to, name=name, actor=whoami())
        calls.show(record, _restored, as_json=as_json)


def _restored(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, say

    say(f"restored [bold]{escape(record['project'])}[/] from {escape(record['backup'])}: {_size(record)}", tone="good")
    say(f"ledger head {record['head']}, as when the backup was taken", tone="good")
    for table, path in record["attached"].items():
        say(f"{table} is attached: it is read from {escape(path)}, and is not in a backup", tone="warn")
    console.print(f"\nnext:\n  cd {escape(record['project'])}\n  millstream verify")


def _show_backup(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import say

    if "checked" in record:
        said = f"{len(record['backups'])} backups, {record['checked']:,} contents: each is what was kept"
        say(f"{said}; the newest is {escape(record['backup'])}", tone="good")
        return
    say(f"backup [bold]{escape(record['backup'])}[/] in {escape(record['folder'])}: {_size(record)}", tone="good")
    new = f"{record['copied_files']:,} files, {record['copied_bytes'] / 1e6:,.1f} MB were new"
    say(f"{new}; the signing keys are in it: keep it as you keep them")
    for table, path in record["attached"].items():
        say(f"{table} is attached: its data stays with its owner at {escape(path)}", tone="warn")


def _size(record: dict[str, Any]) -> str:
    return f"{record['files']:,} files, {record['bytes'] / 1e6:,.1f} MB"
