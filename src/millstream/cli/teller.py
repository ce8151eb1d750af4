"""What every demo's story does: look at the data, learn, ship, ask for approval, and turn the wheel a day."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from millstream.cli import drawing, render
from millstream.cli.replay import Tally
from millstream.errors import Refused
from millstream.settings import clock as project_clock
from millstream.settings import places, read

if TYPE_CHECKING:
    from millstream.server.supervisor import Supervisor

APPROVER = "Ada (simulated approver)"
TRAINER = "system:demo"
LOOP = "system:loop"
_IDS_A_CALL = 30_000
"""Ids sent at a time: the control plane reads a megabyte at most."""
_SWAP_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Wishes:
    """What was asked of the demo.

    Parameters
    ----------
    name
        Which one.
    folder
        The project's folder; ``millstream-demo`` for the flights, ``millstream-NAME`` for others, where none is said.
    exit, ask, full
        End at the end; wait for a person to approve; replay every flight.
    until
        Last day to replay; None is the demo's own.
    json
        Print only the summary on standard output.
    """

    name: str
    folder: Path | None
    exit: bool
    ask: bool
    full: bool
    until: str | None
    json: bool


class Teller:
    """Tells a story about one model once.

    Parameters
    ----------
    root, supervisor
        The project and its processes.
    standin
        The stand-in's module.
    until
        Last day to replay.
    wishes
        What was asked of the demo.
    """

    model: str

    def __init__(self, *, root: Path, supervisor: Supervisor, standin: Any, until: date, wishes: Wishes) -> None:
        self.root = root
        self.supervisor = supervisor
        self.standin = standin
        self.until = until
        self.wishes = wishes
        settings = read(root)
        self.zone = ZoneInfo(settings.timezone)
        self.clock = project_clock(settings, places(root, settings))
        self.tally = Tally()
        self.alarms: dict[str, dict[str, Any]] = {}
        self.planted = standin.planted()
        self._began = 0.0

    async def tell(self) -> dict[str, Any]:
        """Tell all of it and return the summary."""
        raise NotImplementedError

    async def _open(self) -> None:
        """Wait for the control plane, and say where the page is."""
        self._began = time.perf_counter()
        control = await asyncio.to_thread(self.supervisor.ready)
        self.control = control
        drawing.say(
            f"the page fills as this runs: [bold]{control.address.url}/?token={control.address.token}[/]", tone="good"
        )

    async def _trust(self) -> None:
        stage(1, "Read and trust", "tables read where they lie; contracts run in one pass")
        moved = await self._ask("refresh")
        checked = await self._ask("check")
        reports = {each["table"]: each for each in checked["reports"]}
        rows = [
            (
                each["table"],
                each["kind"],
                f"{each['version']}",
                drawing.number(each["rows"]),
                drawing.number(each["bytes_copied"]),
                _contract(reports.get(each["table"])),
            )
            for each in moved["versions"]
        ]
        drawing.table("table", "how", "version", "rows", "bytes copied", "contract", rows=rows, right={2, 3, 4})

        for report in checked["reports"]:
            for each in report["results"]:
                if not each["ok"]:
                    drawing.say(f"[bold]{report['table']}[/] {each['severity']}: {each['says']}", tone="warn")

    async def _learn(self, described: str) -> None:
        stage(2, "Describe", described)
        for name, features in (await self._ask("views", model=self.model))["views"].items():
            drawing.console.print(f"  [bold]{name}[/]  [dim]{', '.join(features)}[/]")
        stage(3, "Learn", "LightGBM beside the simple rule, on splits that purge what was not known yet")
        trained = await self._ask("train", model=self.model, note="first model", actor=TRAINER)
        render.learnt(trained)
        tested = await self._ask("backtest", model=self.model, actor=TRAINER)
        render.backtest(tested)

    async def _ship(self) -> None:
        stage(4, "Ship", "signed, its rollback rehearsed, approved by somebody who did not train it")
        released = await self._ask("release", model=self.model, actor=TRAINER)
        live = f"{self.model}@{released['version']}"
        drawing.say(f"release [bold]{live}[/] signed; {released['rehearsal']}", tone="good")
        if not await self._approve(released["decision"], released["version"], "better than the simple rule"):
            raise Refused(
                f"{live} was not approved, so nobody answers and the story ends here",
                expected="an approval of the first release",
                do="run the demo again; without --ask a simulated approver decides",
            )

    async def _approve(self, decision: Any, version: int, reason: str) -> bool:
        """Have a release approved, by the simulated approver or by a person; say whether it is live."""
        if not self.wishes.ask:
            said = await self._ask("approve", decision=decision, reason=reason, actor=APPROVER, simulated=True)
            drawing.say(f"{said['says']} [dim](simulated approver)[/]", tone="good")
            return True
        drawing.say(
            f"decision [bold]{decision}[/] waits for you: on the page, or in another terminal:"
            f" millstream approve {decision} -m REASON -p {self.root} (or reject)",
            tone="warn",
        )
        status = await self._ask("status")
        while any(each["id"] == decision for each in status["decisions"]):
            await asyncio.sleep(0.2)
            status = await self._ask("status")
        deadline = time.monotonic() + _SWAP_PATIENCE_S  # a decision is made a moment before its release is live
        while (live := status["models"][0]["live"]) is None or live["version"] != version:
            if time.monotonic() > deadline:
                drawing.say(f"{self.model}@{version} did not go live; what was live stays live", tone="warn")
                return False
            await asyncio.sleep(0.05)
            status = await self._ask("status")
        drawing.say(f"{self.model}@{version} is live, as you decided", tone="good")
        return True

    async def _take_in(self, day: date) -> None:
        """Begin a day: what was delivered is committed, the clock moves, features become current."""
        self._publish(day)
        await asyncio.to_thread(self.control.send, "POST", "/api/tick", {"part": "take-in"})

    def _publish(self, day: date) -> None:
        """Have the foreign systems commit what they knew when the day began, and move the clock there."""
        raise NotImplementedError

    async def _look(self, day: date) -> None:
        """Have the days that ended judged; tell what was found, and approve what the loop asks."""
        turned = await asyncio.to_thread(self.control.send, "POST", "/api/tick", {"part": "look"})
        self._tell_turn(turned, day)
        for said in turned["says"]:
            drawing.say(f"{day}  {said}", tone="good")
        for decision in turned["decisions"]:
            if decision["asked_by"] == LOOP:
                drawing.say(f"{day}  candidate {self.model}@{decision['version']}: {decision['says']}", tone="good")
                await self._approve(decision["id"], decision["version"], "the gate says it is no worse")

    def _tell_turn(self, turned: dict[str, Any], day: date) -> None:
        """Tell what a turn of the wheel found: alarms, and what was held."""
        raise NotImplementedError

    async def _settled(self, day: date) -> None:
        """Let a retrain that is at work come to its end: its release was rehearsed against what is live now."""
        while (await self._ask("status"))["jobs"]:
            await self._look(day)
            await asyncio.sleep(0.1)

    async def _lost(self) -> int:
        """Count the answers a caller has that the project does not."""
        lost = 0
        for start in range(0, len(self.tally.ids), _IDS_A_CALL):
            said = await self._ask("lost", ids=self.tally.ids[start : start + _IDS_A_CALL])
            lost += said["lost"]
        return lost

    async def _ask(self, command: str, **arguments: Any) -> Any:
        arguments.setdefault("actor", "demo")
        return await asyncio.to_thread(self.control.command, command, arguments)

    def try_next(self, *words: str) -> None:
        """Say what to try while everything is up."""
        address = self.control.address
        said = "".join(f"  {each}\n" for each in words)
        drawing.console.print(
            f"\n[bold]Everything is still up.[/] Try, in another terminal:\n"
            f"  open      {address.url}/?token={address.token}\n"
            f"  cd {self.root}\n"
            f"  millstream status\n  millstream why {self.tally.ids[-1]}\n  millstream audit {self.model}@champion\n"
            f"{said}"
            f"  millstream rollback {self.model} -m 'trying it'\n"
            f"Ctrl-C stops all of it."
        )


def stage(number: int, title: str, says: str) -> None:
    """Begin a part of the story."""
    drawing.console.print(f"\n[bold cyan]{number}[/] [bold]{title}[/]  [dim]{says}[/]")


def bar() -> Progress:
    """Make the bar that shows where the replay stands."""
    return Progress(
        TextColumn("[bold]{task.fields[day]}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[says]}"),
        TimeElapsedColumn(),
        console=drawing.console,
        transient=True,
    )


def milliseconds(value: float | None) -> str:
    """Write a time in ms; a dot for none."""
    return "·" if value is None else f"{value:.1f} ms"


def _contract(report: dict[str, Any] | None) -> str:
    if report is None:
        return "[dim]none[/]"
    failed = [each for each in report["results"] if not each["ok"]]
    count = len(report["results"])
    return f"[yellow]{len(failed)} of {count} failed[/]" if failed else f"[green]{count} hold[/]"
