"""The eight parts of the demo's story, in order."""

from __future__ import annotations

import asyncio
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.cli import drawing, render
from millstream.cli.replay import ask, by_day, ready, requests
from millstream.cli.teller import Teller, bar, milliseconds, stage
from millstream.serving.client import Client

if TYPE_CHECKING:
    from millstream.cli.teller import Wishes
    from millstream.server.supervisor import Supervisor

MODEL = "late"
ONE_IN = 4
BAD_RELEASE_ON = date(2013, 5, 6)
ROLLED_BACK_AFTER = timedelta(days=3)
_FIELDS = ("flight_id", "carrier", "origin", "dest", "scheduled_departure", "distance")


class Story(Teller):
    """Tells the story once.

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

    model = MODEL

    def __init__(self, *, root: Path, supervisor: Supervisor, standin: Any, until: date, wishes: Wishes) -> None:
        super().__init__(root=root, supervisor=supervisor, standin=standin, until=until, wishes=wishes)
        self.airline = standin.Airline(root / "ops")
        self.rollback_ms: float | None = None
        self._bad: int | None = None

    async def tell(self) -> dict[str, Any]:
        """Tell all of it and return the summary."""
        decisions = asyncio.get_running_loop().run_in_executor(None, self._decisions)
        await self._open()
        await self._trust()
        await self._learn("features joined to every row as known two hours before departure")
        await self._ship()
        async with Client(self.supervisor.scoring_url) as client:
            await ready(client)
            await self._year(client, await decisions)
        return await self._prove()

    # --- the parts -------------------------------------------------------------------------------------------

    async def _year(self, client: Client, days: dict[date, list[dict[str, Any]]]) -> None:
        count = sum(len(each) for each in days.values())
        sample = "every flight" if self.wishes.full else f"one flight in {ONE_IN}"
        stage(
            5,
            "Answer",
            f"{count:,} decisions over HTTP in order of time ({sample}); every answer durable before it leaves",
        )
        stage(6, "Watch", "each day is judged: contracts, drift, outcomes, nulls, latency, bias, harm")
        stage(7, "Act", "harm or schedule retrains; a person approves; the swap drops no request")
        progress = bar()
        with progress:
            task = progress.add_task("replay", total=count, day="2013-02-01", says="")
            for day in sorted(days):
                await self._day(client, day, days[day])
                progress.update(task, advance=len(days[day]), day=str(day), says=f"{len(self.alarms)} alarms so far")
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
        stage(8, "Prove", "any answer, any version, all of it")
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
        return self._summary(status, reproduced=reproduced["equal"], verified=verified["ok"], lost=await self._lost())

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

    def _publish(self, day: date) -> None:
        self.airline.publish(day - timedelta(days=1))
        self.clock.advance(self.standin.midnight(day))  # type: ignore[attr-defined]

    def _tell_turn(self, turned: dict[str, Any], day: date) -> None:
        self._tell_alarms(turned["opened"], day)

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

    def try_next(self, *words: str) -> None:
        """Say what to try while everything is up."""
        super().try_next(
            'millstream sql "select carrier, avg(arr_delay) from flights group by 1 order by 2 desc"', *words
        )


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
            ("answer time p50 / p99", f"{milliseconds(latency['p50'])} / {milliseconds(latency['p99'])}"),
            ("alarms", f"{len(summary['alarms'])}, {planted} of them planted"),
            ("retrains / releases", f"{summary['retrains']} / {summary['releases']}"),
            ("rollback under traffic", milliseconds(summary["rollback_ms"])),
            ("retrained from pins to the same bytes", "yes" if summary["reproduced"] else "NO"),
            ("ledger, lake and releases verify", "yes" if summary["verify"] else "NO"),
        ],
    )
