"""The eight parts of the demo's story, in order."""

from __future__ import annotations

import asyncio
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from millstream.cli import drawing, render
from millstream.cli.replay import Tally, ask, by_day, ready, requests
from millstream.errors import Refused
from millstream.serving.client import Client
from millstream.settings import clock as project_clock
from millstream.settings import places, read

if TYPE_CHECKING:
    from millstream.cli.demo import Wishes
    from millstream.server.supervisor import Supervisor

MODEL = "late"
APPROVER = "Ada (simulated approver)"
TRAINER = "system:demo"
LOOP = "system:loop"
ONE_IN = 4
BAD_RELEASE_ON = date(2013, 5, 6)
ROLLED_BACK_AFTER = timedelta(days=3)
_IDS_A_CALL = 30_000
"""Ids sent at a time: the control plane reads a megabyte at most."""
_SWAP_PATIENCE_S = 10.0
_FIELDS = ("flight_id", "carrier", "origin", "dest", "scheduled_departure", "distance")


class Story:
    """Tells the story once.

    Parameters
    ----------
    root, supervisor
        The project and its processes.
    airline
        The stand-in's module.
    until
        Last day to replay.
    wishes
        What was asked of the demo.
    """

    def __init__(self, *, root: Path, supervisor: Supervisor, airline: Any, until: date, wishes: Wishes) -> None:
        self.root = root
        self.supervisor = supervisor
        self.standin = airline
        self.airline = airline.Airline(root / "ops")
        self.until = until
        self.wishes = wishes
        settings = read(root)
        self.zone = ZoneInfo(settings.timezone)
        self.clock = project_clock(settings, places(root, settings))
        self.tally = Tally()
        self.alarms: dict[str, dict[str, Any]] = {}
        self.rollback_ms: float | None = None
        self.planted = airline.planted()
        self._began = 0.0
        self._bad: int | None = None

    async def tell(self) -> dict[str, Any]:
        """Tell all of it and return the summary."""
        self._began = time.perf_counter()
        decisions = asyncio.get_running_loop().run_in_executor(None, self._decisions)
        control = await asyncio.to_thread(self.supervisor.ready)
        self.control = control
        drawing.say(
            f"the page fills as this runs: [bold]{control.address.url}/?token={control.address.token}[/]", tone="good"
        )
        await self._trust()
        await self._learn()
        await self._ship()
        async with Client(self.supervisor.scoring_url) as client:
            await ready(client)
            await self._year(client, await decisions)
        return await self._prove()

    # --- the parts -------------------------------------------------------------------------------------------

    async def _trust(self) -> None:
        _stage(1, "Read and trust", "tables read where they lie; contracts run in one pass")
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

    async def _learn(self) -> None:
        _stage(2, "Describe", "features joined to every row as known two hours before departure")
        for name, features in (await self._ask("views", model=MODEL))["views"].items():
            drawing.console.print(f"  [bold]{name}[/]  [dim]{', '.join(features)}[/]")
        _stage(3, "Learn", "LightGBM beside the simple rule, on splits that purge what was not known yet")
        trained = await self._ask("train", model=MODEL, note="first model", actor=TRAINER)
        render.learnt(trained)
        tested = await self._ask("backtest", model=MODEL, actor=TRAINER)
        render.backtest(tested)

    async def _ship(self) -> None:
        _stage(4, "Ship", "signed, its rollback rehearsed, approved by somebody who did not train it")
        released = await self._ask("release", model=MODEL, actor=TRAINER)
        drawing.say(f"release [bold]{MODEL}@{released['version']}[/] signed; {released['rehearsal']}", tone="good")
        if not await self._approve(released["decision"], released["version"], "better than the simple rule"):
            raise Refused(
                f"{MODEL}@{released['version']} was not approved, so nobody answers and the story ends here",
                expected="an approval of the first release",
                do="run the demo again; without --ask a simulated approver decides",
            )

    async def _year(self, client: Client, days: dict[date, list[dict[str, Any]]]) -> None:
        count = sum(len(each) for each in days.values())
        sample = "every flight" if self.wishes.full else f"one flight in {ONE_IN}"
        _stage(
            5,
            "Answer",
            f"{count:,} decisions over HTTP in order of time ({sample}); every answer durable before it leaves",
        )
        _stage(6, "Watch", "each day is judged: contracts, drift, outcomes, nulls, latency, bias, harm")
        _stage(7, "Act", "harm or schedule retrains; a person approves; the swap drops no request")
        progress = Progress(
            TextColumn("[bold]{task.fields[day]}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[says]}"),
            TimeElapsedColumn(),
            console=drawing.console,
            transient=True,
        )
        with progress:
            bar = progress.add_task("replay", total=count, day="2013-02-01", says="")
            for day in sorted(days):
                await self._day(client, day, days[day])
                progress.update(bar, advance=len(days[day]), day=str(day), says=f"{len(self.alarms)} alarms so far")
        # what the last day brought
        await self._take_in(self.until + timedelta(days=1))
        await self._look(self.until + timedelta(days=1))

    async def _day(self, client: Client, day: date, decisions: list[dict[str, Any]]) -> None:
        """Live one day: take in what midnight brought, then answer while the days before it are judged."""
        await self._take_in(day)
        if day == BAD_RELEASE_ON:
            await self._settled(day)
            await self._bad_release(day)
        work = [ask(client, MODEL, requests(decisions, fields=_FIELDS), self.tally), self._look(day)]
        if self._bad is not None and day == BAD_RELEASE_ON + ROLLED_BACK_AFTER:
            work.append(self._roll_back())
        await asyncio.gather(*work)

    async def _prove(self) -> dict[str, Any]:
        _stage(8, "Prove", "any answer, any version, all of it")
        chosen = self.tally.ids[len(self.tally.ids) // 2]
        render.why(await self._ask("why", prediction=chosen))
        audited = await self._ask("audit", subject=f"{MODEL}@champion")
        render.audit({**audited, "history": audited["history"][-6:]})
        reproduced = await self._ask("reproduce", subject=f"{MODEL}@champion")
        render.reproduce(reproduced)
        verified = await self._ask("verify")
        render.verify(verified)
        status = await self._ask("status")
        for each in status["tables"]:
            if each["rows"] is None:  # a derived table is computed when it is read
                counted = await self._ask("sql", query=f"select count(*) from {each['name']}")
                each["rows"] = counted["rows"][0][0]
        lost = 0
        for start in range(0, len(self.tally.ids), _IDS_A_CALL):
            said = await self._ask("lost", ids=self.tally.ids[start : start + _IDS_A_CALL])
            lost += said["lost"]
        return self._summary(status, reproduced=reproduced["equal"], verified=verified["ok"], lost=lost)

    def _summary(self, status: dict[str, Any], *, reproduced: bool, verified: bool, lost: int) -> dict[str, Any]:
        live = status["models"][0]["live"]
        summary = {
            "seconds": round(time.perf_counter() - self._began, 1),
            "copied_bytes": sum(each["copied_bytes"] for each in status["tables"] if each["kind"] == "attached"),
            "tables": {
                each["name"]: {"version": each["version"], "rows": each["rows"], "quarantined": each["quarantined"]}
                for each in status["tables"]
            },
            "model": {
                "name": MODEL,
                "version": live["version"],
                "goal": status["models"][0]["goal"],
                "value": live["value"],
                "baselines": {"simple rule": live["baseline"]},
            },
            "predictions": status["predictions"],
            "outcomes": status["outcomes"],
            "lost": lost,
            "alarms": [
                {name: each[name] for name in ("kind", "subject", "at", "planted", "noticed_after_days")}
                for each in self.alarms.values()
            ],
            "retrains": status["models"][0]["retrains"],
            "releases": status["models"][0]["releases"],
            "rollback_ms": self.rollback_ms,
            "latency_ms": {"p50": self.tally.quantile(0.5), "p99": self.tally.quantile(0.99)},
            "reproduced": reproduced,
            "verify": verified,
        }
        _close(summary, failed=self.tally.failed, answered_by=self.tally.answered_by)
        return summary

    # --- acting ----------------------------------------------------------------------------------------------

    async def _take_in(self, day: date) -> None:
        """Begin a day: the airline commits what it knew by midnight, the clock moves, features become current."""
        self.airline.publish(day - timedelta(days=1))
        self.clock.advance(self.standin.midnight(day))  # type: ignore[attr-defined]
        await asyncio.to_thread(self.control.send, "POST", "/api/tick", {"part": "take-in"})

    async def _look(self, day: date) -> None:
        """Have the days that ended judged; tell what was found, and approve what the loop asks."""
        turned = await asyncio.to_thread(self.control.send, "POST", "/api/tick", {"part": "look"})
        self._tell_alarms(turned["opened"], day)
        for said in turned["says"]:
            drawing.say(f"{day}  {said}", tone="good")
        for decision in turned["decisions"]:
            if decision["asked_by"] == LOOP:
                drawing.say(f"{day}  candidate {MODEL}@{decision['version']}: {decision['says']}", tone="good")
                await self._approve(decision["id"], decision["version"], "the gate says it is no worse")

    def _tell_alarms(self, opened: list[dict[str, Any]], day: date) -> None:
        """Count every alarm; tell each, but drift of one day together."""
        drifted = [each["subject"] for each in opened if each["kind"] == "drift"]
        for alarm in opened:
            planted = self._is_planted(alarm)
            self.alarms[str(alarm["id"])] = {
                "kind": alarm["kind"],
                "subject": alarm["subject"],
                "at": str(day),
                "planted": planted is not None,
                "noticed_after_days": (day - planted).days - 1 if planted else None,
            }
            if alarm["kind"] != "drift":
                mark = " [dim](planted)[/]" if planted else ""
                drawing.say(f"{day}  [bold]{alarm['kind']}[/] {alarm['subject']}{mark}: {alarm['says']}", tone="warn")
        if drifted:
            drawing.say(f"{day}  [bold]drift[/] of {', '.join(drifted)}; no harm by itself", tone="warn")

    def _is_planted(self, alarm: dict[str, Any]) -> date | None:
        """Return the first day of the planted incident an alarm is about, if it is about one."""
        since = date.fromisoformat(alarm["since"][:10])
        near = timedelta(days=1)
        incidents = {"weather.visib": self.planted.sensor_dead, "movements.complete": self.planted.lossy_weekends}
        for subject, days in incidents.items():
            if alarm["subject"].startswith(subject) and days and any(abs(since - each) <= near for each in days):
                return date.fromisoformat(str(min(days)))
        return None

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
                drawing.say(f"{MODEL}@{version} did not go live; what was live stays live", tone="warn")
                return False
            await asyncio.sleep(0.05)
            status = await self._ask("status")
        drawing.say(f"{MODEL}@{version} is live, as you decided", tone="good")
        return True

    async def _settled(self, day: date) -> None:
        """Let a retrain that is at work come to its end: its release was rehearsed against what is live now."""
        while (await self._ask("status"))["jobs"]:
            await self._look(day)
            await asyncio.sleep(0.1)

    async def _bad_release(self, day: date) -> None:
        """Somebody trains on two weeks of January only, and somebody else approves it against the verdict."""
        trained = await self._ask("train", model=MODEL, note="a bad idea", until="2013-01-17", actor="intern")
        released = await self._ask("release", model=MODEL, version=trained["version"], actor="intern")
        if not await self._approve(
            released["decision"], released["version"], "approved against the verdict, to show a rollback"
        ):
            return
        self._bad = released["version"]
        drawing.say(f"{day}  a bad release is live: {MODEL}@{self._bad}, trained on two weeks of January", tone="bad")

    async def _roll_back(self) -> None:
        rolled = await self._ask("rollback", model=MODEL, reason="worse than the one before", actor="on call")
        self.rollback_ms = rolled["ms"]
        self._bad = None
        drawing.say(f"{rolled['says']} in {rolled['ms']:.0f} ms, under traffic", tone="good")

    async def _ask(self, command: str, **arguments: Any) -> Any:
        arguments.setdefault("actor", "demo")
        return await asyncio.to_thread(self.control.command, command, arguments)

    def _decisions(self) -> dict[date, list[dict[str, Any]]]:
        """Read what the airline's booking system would ask: its schedule, decided two hours before departure."""
        import polars as pl

        schedule = self.standin.read_year(self.standin.Incidents())["schedule"]
        if not self.wishes.full:
            schedule = schedule.filter(pl.col("flight_id") % ONE_IN == 0)
        decided = pl.col("scheduled_departure") - timedelta(hours=2)
        rows = schedule.select(*_FIELDS, decided_at=decided).sort("decided_at").to_dicts()
        days = by_day(rows, zone=self.zone)
        return {day: days[day] for day in days if self.standin.HISTORY_ENDS < day <= self.until}

    def try_next(self) -> None:
        """Say what to try while everything is up."""
        address = self.control.address
        live = f"{MODEL}@champion"
        drawing.console.print(
            f"\n[bold]Everything is still up.[/] Try, in another terminal:\n"
            f"  open      {address.url}/?token={address.token}\n"
            f"  cd {self.root}\n"
            f"  millstream status\n  millstream why {self.tally.ids[-1]}\n  millstream audit {live}\n"
            f'  millstream sql "select carrier, avg(arr_delay) from flights group by 1 order by 2 desc"\n'
            f"  millstream rollback {MODEL} -m 'trying it'\n"
            f"Ctrl-C stops all of it."
        )


def _stage(number: int, title: str, says: str) -> None:
    drawing.console.print(f"\n[bold cyan]{number}[/] [bold]{title}[/]  [dim]{says}[/]")


def _contract(report: dict[str, Any] | None) -> str:
    if report is None:
        return "[dim]none[/]"
    failed = [each for each in report["results"] if not each["ok"]]
    count = len(report["results"])
    return f"[yellow]{len(failed)} of {count} failed[/]" if failed else f"[green]{count} hold[/]"


def _ms(value: float | None) -> str:
    return "·" if value is None else f"{value:.1f} ms"


def _close(summary: dict[str, Any], *, failed: int, answered_by: dict[str, int]) -> None:
    drawing.console.print(f"\n[bold]The wheel turned in {summary['seconds']:.0f} s.[/]")
    latency = summary["latency_ms"]
    planted = sum(each["planted"] for each in summary["alarms"])
    drawing.table(
        "what",
        "figure",
        rows=[
            ("bytes copied of attached tables", drawing.number(summary["copied_bytes"])),
            ("predictions / outcomes joined", f"{summary['predictions']:,} / {summary['outcomes']:,}"),
            ("requests failed / answers lost", f"{failed} / {summary['lost']}"),
            ("answered by", ", ".join(f"{name} {count:,}" for name, count in answered_by.items())),
            ("answer time p50 / p99", f"{_ms(latency['p50'])} / {_ms(latency['p99'])}"),
            ("alarms", f"{len(summary['alarms'])}, {planted} of them planted"),
            ("retrains / releases", f"{summary['retrains']} / {summary['releases']}"),
            ("rollback under traffic", _ms(summary["rollback_ms"])),
            ("retrained from pins to the same bytes", "yes" if summary["reproduced"] else "NO"),
            ("ledger, lake and releases verify", "yes" if summary["verify"] else "NO"),
        ],
    )
