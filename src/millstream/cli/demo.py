"""The demos: the whole loop on flights, and two incidents on retail data, told live in the terminal and on the page."""

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
from millstream.cli.retail import Retail
from millstream.cli.story import Story
from millstream.cli.teller import Teller, Wishes
from millstream.errors import Conflict, NotFound, UserError, near
from millstream.server.client import running
from millstream.server.supervisor import Supervisor
from millstream.settings import FILE, places, read

MARK = "demo.json"
"""Written into the state folder of a demo's project: only such a folder is ever started anew."""


@dataclass(frozen=True)
class Tale:
    """A demo.

    Parameters
    ----------
    story
        What tells it.
    data
        What its stand-in wrote.
    until
        Last day to replay where none is said.
    first, last
        Between which days that may lie.
    """

    story: type[Teller]
    data: str
    until: date
    first: date
    last: date


TALES = {
    "flights": Tale(
        Story,
        "336,776 flights, 26,115 hours of weather, one commit a day",
        date(2013, 8, 31),
        date(2013, 2, 2),
        date(2013, 12, 31),
    ),
    "retail": Tale(
        Retail,
        "real sales of 2017, the 12 stores and 22 categories with most lines of 457 and 303, one commit a day",
        date(2017, 9, 22),
        date(2017, 6, 14),
        date(2017, 12, 31),
    ),
}


def tell(wishes: Wishes) -> None:
    """Run the demo from an empty folder to a summary."""
    drawing.console.stderr = wishes.json  # with --json the story goes to standard error
    tale = TALES.get(wishes.name)
    if tale is None:
        raise NotFound(f"there is no demo {wishes.name!r}", do=near(wishes.name, TALES))
    until = _until(wishes, tale)
    begun = time.perf_counter()
    folder = wishes.folder or Path("millstream-demo" if wishes.name == "flights" else f"millstream-{wishes.name}")
    _make_room(folder)
    drawing.say("writing the stand-in for the company's own systems (not part of the story's time) ...")
    with redirect_stdout(sys.stderr) if wishes.json else nullcontext():
        write(wishes.name, folder)
    drawing.say(f"{tale.data}: {time.perf_counter() - begun:.1f} s", tone="good")
    root = folder.resolve()
    where = places(root, read(root))
    where.state.mkdir(parents=True, exist_ok=True)
    (where.state / MARK).write_text(json.dumps({"made_by": "millstream demo", "name": wishes.name}))
    supervisor = _supervise(root)
    try:
        supervisor.start()
        story = tale.story(root=root, supervisor=supervisor, standin=load_standin(root), until=until, wishes=wishes)
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


def _until(wishes: Wishes, tale: Tale) -> date:
    if wishes.until is None:
        return tale.last if wishes.full else tale.until
    try:
        until = date.fromisoformat(wishes.until)
    except ValueError:
        raise UserError(f"--until {wishes.until!r} is not a day", expected=f"for instance {tale.until}") from None
    if not tale.first <= until <= tale.last:
        raise UserError(f"--until {wishes.until} is outside the replay", expected=f"{tale.first} to {tale.last}")
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
