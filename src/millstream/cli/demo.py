"""The demo: the whole loop on all flights of 2013, told live in the terminal and on the page."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from millstream.cli import drawing
from millstream.cli.examples import load_standin, write
from millstream.cli.story import Story
from millstream.errors import Conflict, UserError
from millstream.server.client import running
from millstream.server.supervisor import Supervisor
from millstream.settings import FILE, places, read

MARK = "demo.json"
"""Written into the state folder of a demo's project: only such a folder is ever started anew."""


@dataclass(frozen=True)
class Wishes:
    """What was asked of the demo.

    Parameters
    ----------
    folder
        The project's folder.
    exit, ask, full
        End at the end; wait for a person to approve; replay every flight.
    until
        Last day to replay.
    json
        Print only the summary on standard output.
    """

    folder: Path
    exit: bool
    ask: bool
    full: bool
    until: str
    json: bool


def tell(wishes: Wishes) -> None:
    """Run the demo from an empty folder to a summary."""
    drawing.console.stderr = wishes.json  # with --json the story goes to standard error
    until = _until(wishes.until)
    begun = time.perf_counter()
    _make_room(wishes.folder)
    drawing.say("writing the stand-in for the airline's own systems (not part of the story's time) ...")
    with redirect_stdout(sys.stderr) if wishes.json else nullcontext():
        write("flights", wishes.folder)
    drawing.say(
        f"336,776 flights, 26,115 hours of weather, one commit a day: {time.perf_counter() - begun:.1f} s", tone="good"
    )
    root = wishes.folder.resolve()
    where = places(root, read(root))
    where.state.mkdir(parents=True, exist_ok=True)
    (where.state / MARK).write_text(json.dumps({"made_by": "millstream demo"}))
    supervisor = _supervise(root)
    try:
        supervisor.start()
        story = Story(root=root, supervisor=supervisor, standin=load_standin(root), until=until, wishes=wishes)
        summary = asyncio.run(story.tell())
        (where.state / MARK).write_text(json.dumps(summary, indent=1))
        if wishes.json:
            sys.stdout.write(json.dumps(summary, indent=1) + "\n")
            sys.stdout.flush()
        if not wishes.exit:
            story.try_next()
            supervisor.wait()
    finally:
        supervisor.stop()


def _until(text: str) -> date:
    try:
        until = date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--until {text!r} is not a day", expected="for instance 2013-06-30") from None
    if not date(2013, 2, 2) <= until <= date(2013, 12, 31):
        raise UserError(f"--until {text} is outside the replay", expected="2013-02-02 to 2013-12-31")
    return until


def _make_room(folder: Path) -> None:
    """Start anew where a demo ran before; touch nothing else."""
    if not folder.exists() or not any(folder.iterdir()):
        drawing.say(f"a new project in [bold]{folder}[/]", tone="good")
        return
    if not (folder / FILE).exists():
        raise Conflict(
            f"{folder} holds something that is no demo",
            expected="a new or empty folder",
            do="choose another with --dir",
        )
    root = folder.resolve()
    where = places(root, read(root))
    if running(root) is not None:
        raise Conflict(f"a demo is up in {folder}", do="stop it with Ctrl-C, or choose another folder with --dir")
    if not (where.state / MARK).exists() and where.state.exists():
        raise Conflict(f"{folder} is a project, but not one a demo made", do="choose another folder with --dir")
    shutil.rmtree(folder)
    drawing.say(f"the demo in [bold]{folder}[/] starts anew (the one before is removed)", tone="warn")


def _supervise(root: Path) -> Supervisor:
    """Bind the project's ports, or free ones where those are taken."""
    try:
        return Supervisor(root)
    except Conflict:
        return Supervisor(root, scoring_port=0, control_port=0)
