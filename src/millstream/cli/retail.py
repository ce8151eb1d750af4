"""The retail story: two incidents on real sales, from the batch that brought them to the release after the repair."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.cli import drawing, render
from millstream.cli.cost import TESTED, measure
from millstream.cli.effect import said
from millstream.cli.replay import Tally, ask, ready
from millstream.cli.teller import Teller, bar, milliseconds, stage
from millstream.project import Project
from millstream.serving.client import Client

if TYPE_CHECKING:
    from millstream.cli.teller import Wishes
    from millstream.server.supervisor import Supervisor

MODEL = "demand"
_NAMED = 3


@dataclass
class Incident:
    """One thing that goes wrong, and what became of it.

    Parameters
    ----------
    name, says
        What it is called, and what happens.
    first, repaired
        First affected day, and the morning on which the repair arrives.
    noticed, rows, row_count
        Morning on which a check found it, the first rows it named, and how many it counted.
    alarms
        Alarms opened between the first affected batch and the repair, of any table.
    held, begun, live
        Mornings on which a retrain was due and held, on which it was begun, and on which its release went live.
    verdict
        The gate's.
    asked, answered_by
        Forecasts asked for from the first affected batch to the repair, and who answered.
    """

    name: str
    says: str
    first: date
    repaired: date
    noticed: date | None = None
    finding: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    row_count: int = 0
    alarms: list[str] = field(default_factory=list)
    held: list[date] = field(default_factory=list)
    begun: date | None = None
    live: date | None = None
    verdict: str = ""
    asked: int = 0
    answered_by: dict[str, int] = field(default_factory=dict)

    def at_work(self, day: date) -> bool:
        """Whether a morning lies between the first affected batch and the repair."""
        return self.first < day <= self.repaired


class Retail(Teller):
    """Tells the retail story once."""

    model = MODEL

    def __init__(self, *, root: Path, supervisor: Supervisor, standin: Any, until: date, wishes: Wishes) -> None:
        super().__init__(root=root, supervisor=supervisor, standin=standin, until=until, wishes=wishes)
        self.grocer = standin.Grocer(root / "ops")
        plan = self.planted
        self.incidents = [
            Incident(
                "lossy weekends",
                "weekend batches silently lack 15 % of the pairs of store and category",
                min(plan.lossy_weekends),
                plan.delivered,
            ),
            Incident(
                "zeros for a past",
                f"{standin.NEW} is new, and its first batch says 0 for {plan.zeros} days of which nobody knows",
                plan.listed,
                plan.corrected,
            ),
        ]
        self._held = ""

    async def tell(self) -> dict[str, Any]:
        """Tell all of it and return the summary."""
        await self._open()
        await self._trust()
        await self._learn("what a pair, a category and a store sold lately, as delivered by midnight")
        await self._ship()
        async with Client(self.supervisor.scoring_url) as client:
            await ready(client)
            await self._days(client)
        costs = await self._cost()
        return await self._prove(costs)

    # --- the parts -------------------------------------------------------------------------------------------

    async def _days(self, client: Client) -> None:
        days = (self.until - self.standin.HISTORY_ENDS).days - 1
        stage(5, "Answer", f"each of {days} mornings every store asks over HTTP what it will sell tomorrow")
        stage(6, "Watch", "each batch is checked before anything uses it; each day is judged")
        stage(7, "Act", "a retrain that is due waits while the data is bad, and goes on when it is repaired")
        progress = bar()
        with progress:
            task = progress.add_task("replay", total=days, day=str(self.standin.HISTORY_ENDS), says="")
            for number in range(days):
                day = self.standin.HISTORY_ENDS + timedelta(days=number + 2)
                await self._day(client, day)
                progress.update(task, advance=1, day=str(day), says=f"{len(self.alarms)} alarms so far")
        await self._settled(self.until)

    async def _day(self, client: Client, day: date) -> None:
        await self._take_in(day)
        seen = Tally()
        await asyncio.gather(ask(client, MODEL, self._bodies(day), seen), self._look(day))
        await self._settled(day)  # a retrain takes seconds; a simulated day is shorter than they are
        self._count(seen, day)

    def _publish(self, day: date) -> None:
        yesterday = day - timedelta(days=1)
        self.grocer.publish(yesterday)
        if day == self.planted.delivered:
            rows = self.grocer.deliver_lost(yesterday)
            drawing.say(f"{day}  the store systems deliver the {rows} lost rows", tone="good")
        if day == self.planted.corrected:
            rows = self.grocer.correct_zeros(yesterday)
            drawing.say(f"{day}  the store systems send the {rows} zeros again, as NULL", tone="good")
        self.clock.advance(self.standin.morning(day))  # type: ignore[attr-defined]

    async def _take_in(self, day: date) -> None:
        self._publish(day)
        checked = await asyncio.to_thread(self.control.send, "POST", "/api/tick", {"part": "take-in"})
        for report in checked["reports"]:
            broken = [each for each in report["results"] if not each["ok"] and each["severity"] != "note"]
            for each in sorted(broken, key=lambda result: result["check"] == "new_category"):
                self._noticed(each, report, day)

    def _noticed(self, result: dict[str, Any], report: dict[str, Any], day: date) -> None:
        """Tell the first finding of an incident, with the rows it names; one that sets rows aside before others."""
        incident = next((each for each in self.incidents if each.at_work(day) and each.noticed is None), None)
        if incident is None:
            return
        aside = self._set_aside(report) if report["quarantined"] else []
        incident.noticed, incident.finding = day, result["says"]
        incident.row_count = len(aside) or result["failed_rows"]
        missing = [
            {name: each[name] for name in each if name != "period"} | {"day": each["period"]}
            for each in result["detail"].get("missing", ())
        ]
        incident.rows = (aside or missing or list(result["rows"]))[:_NAMED]
        late = (day - incident.first).days - 1
        when = "in the first affected batch" if not late else f"{late} days after the first affected batch"
        drawing.say(f"{day}  [bold]{incident.name}[/] (planted) noticed {when}: {result['says']}", tone="warn")
        for each in incident.rows:
            drawing.console.print("    [dim]" + ", ".join(f"{name} {value}" for name, value in each.items()) + "[/]")
        if aside:
            drawing.say(f"{day}  {len(aside)} rows are set aside; trusted reads leave them out", tone="warn")

    def _set_aside(self, report: dict[str, Any]) -> list[dict[str, Any]]:
        """Name the rows that a check put in quarantine."""
        with Project(self.root) as project:
            masked = project.lake.quarantined(report["table"], report["version"])
        keys = [name for name in masked.columns if name not in ("version", "check", "reason")]
        rows = masked.select(keys).unique(maintain_order=True).sort(keys).to_dicts()
        return [{name: _local(value, self.zone) for name, value in row.items()} for row in rows]

    def _tell_turn(self, turned: dict[str, Any], day: date) -> None:
        working = [each for each in self.incidents if each.at_work(day)]
        for alarm in turned["opened"]:
            self.alarms[str(alarm["id"])] = {
                "kind": alarm["kind"],
                "subject": alarm["subject"],
                "at": str(day),
                "planted": bool(working) and alarm["kind"] == "contract",
            }
            for incident in working:
                incident.alarms.append(f"{alarm['kind']} {alarm['subject']}")
            drawing.say(f"{day}  alarm [bold]{alarm['kind']}[/] {alarm['subject']}", tone="warn")
        for alarm in turned["closed"]:
            drawing.say(f"{day}  alarm closed: {alarm['kind']} {alarm['subject']}", tone="good")
        for each in turned["held"]:
            self._told_held(each, day)
        if turned["says"] or turned["decisions"]:
            self._told_begun(turned, day)

    def _told_held(self, held: str, day: date) -> None:
        incident = next((each for each in reversed(self.incidents) if each.first < day), None)
        if incident is not None:
            if not incident.held:
                drawing.say(f"{day}  retrain due and held: {held}", tone="warn")
            incident.held.append(day)

    def _told_begun(self, turned: dict[str, Any], day: date) -> None:
        incident = next((each for each in reversed(self.incidents) if each.held and each.live is None), None)
        if incident is None:
            return
        incident.begun = incident.begun or day
        for decision in turned["decisions"]:
            incident.live, incident.verdict = day, decision["says"]

    def _count(self, seen: Tally, day: date) -> None:
        for name in ("ids", "latencies_ms"):
            getattr(self.tally, name).extend(getattr(seen, name))
        self.tally.failed += seen.failed
        for incident in self.incidents:
            if incident.at_work(day):
                incident.asked += len(seen.ids) + seen.failed
                _add(incident.answered_by, seen.answered_by)
        _add(self.tally.answered_by, seen.answered_by)
        for version, count in seen.versions.items():
            self.tally.versions[version] = self.tally.versions.get(version, 0) + count

    def _bodies(self, day: date) -> list[bytes]:
        """Write one request a store: what it carries, asked at six in the morning for tomorrow."""
        encode, at = msgspec.json.Encoder().encode, self.standin.morning(day)
        return [encode({"rows": rows, "at": at}) for rows in self.grocer.carried(day)]

    async def _cost(self) -> list[dict[str, Any]]:
        stage(8, "Count", f"what each did to the forecast of the {TESTED.days} days after its repair")
        costs: list[dict[str, Any]] = []
        for number, incident in enumerate(self.incidents):
            if incident.repaired + TESTED >= self.until:
                costs.append({})
                continue
            made = await asyncio.to_thread(measure, self.root, self.standin, number)
            for about, errors in (("all", "all rows"), ("concerned", made.concerned)):
                drawing.console.print(f"\n  [bold]{incident.name}[/]: {errors}")
                rows = said(made.errors, about)
                drawing.table("learnt from", "rmse", "bias", "over", "under", rows=rows, right={1, 2, 3, 4})
            costs.append(msgspec.to_builtins(made.errors))
        drawing.console.print(
            "  [dim]rmse: units a store, category and day. bias: all that was forecast over all that was sold, less 1."
            " over, under: units forecast too high and too low, each times the category's price (sales over units, in"
            " the data). An estimate, of a panel of households: what is ordered too much is not all lost, nor is all"
            " that is missing.[/]"
        )
        return costs

    async def _prove(self, costs: list[dict[str, Any]]) -> dict[str, Any]:
        stage(9, "Prove", "any answer, any version, all of it")
        render.why(await self._ask("why", prediction=self.tally.ids[len(self.tally.ids) // 2]))
        reproduced = await self._ask("reproduce", subject=f"{MODEL}@champion")
        render.reproduce(reproduced)
        verified = await self._ask("verify")
        render.verify(verified)
        status = await self._ask("status")
        model = status["models"][0]
        summary = {
            "seconds": round(time.perf_counter() - self._began, 1),
            "tables": {
                each["name"]: {"version": each["version"], "rows": each["rows"], "quarantined": each["quarantined"]}
                for each in status["tables"]
            },
            "model": {"name": MODEL, "version": model["live"]["version"], "goal": model["goal"]},
            "predictions": status["predictions"],
            "outcomes": status["outcomes"],
            "asked": len(self.tally.ids) + self.tally.failed,
            "failed": self.tally.failed,
            "lost": await self._lost(),
            "answered_by": self.tally.answered_by,
            "alarms": list(self.alarms.values()),
            "incidents": [_told(each, cost) for each, cost in zip(self.incidents, costs, strict=True)],
            "retrains": model["retrains"],
            "releases": model["releases"],
            "latency_ms": {"p50": self.tally.quantile(0.5), "p99": self.tally.quantile(0.99)},
            "reproduced": reproduced["equal"],
            "verify": verified["ok"],
        }
        _close(summary)
        return summary


def _local(value: Any, zone: Any) -> Any:
    return str(value.astimezone(zone).date()) if isinstance(value, datetime) else value


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _told(incident: Incident, cost: dict[str, Any]) -> dict[str, Any]:
    """Write an incident as plain data."""
    noticed, first = incident.noticed, incident.first
    return {
        "name": incident.name,
        "first_affected_day": str(first),
        "noticed": None if noticed is None else str(noticed),
        "batches_missed": None if noticed is None else (noticed - first).days - 1,
        "says": incident.finding,
        "rows": incident.rows,
        "row_count": incident.row_count,
        "alarms": incident.alarms,
        "held": [str(each) for each in incident.held],
        "repaired": str(incident.repaired),
        "retrain_begun": None if incident.begun is None else str(incident.begun),
        "live": None if incident.live is None else str(incident.live),
        "verdict": incident.verdict,
        "asked": incident.asked,
        "answered_by": incident.answered_by,
        "forecast": cost,
    }


def _close(summary: dict[str, Any]) -> None:
    drawing.console.print(f"\n[bold]Two incidents, told in {summary['seconds']:.0f} s.[/]")
    rows: list[tuple[str, str]] = []
    for each in summary["incidents"]:
        held = f"{len(each['held'])} days" if each["held"] else "was not due"
        rows += [
            (f"[bold]{each['name']}[/]", f"first affected day {each['first_affected_day']}"),
            ("  noticed", f"{each['noticed']}, {each['row_count']} rows"),
            ("  alarms while it lasted", f"{len(each['alarms'])}"),
            ("  retrain held", f"{held}; repaired {each['repaired']}, retrained {each['retrain_begun']}"),
            ("  forecasts asked meanwhile", f"{each['asked']:,}, answered by {_shares(each['answered_by'])}"),
        ]
    latency = summary["latency_ms"]
    rows += [
        ("requests failed / answers lost", f"{summary['failed']} / {summary['lost']}"),
        ("answer time of a store p50 / p99", f"{milliseconds(latency['p50'])} / {milliseconds(latency['p99'])}"),
        ("alarms in all", f"{len(summary['alarms'])}"),
        ("retrains / releases", f"{summary['retrains']} / {summary['releases']}"),
        ("retrained from pins to the same bytes", "yes" if summary["reproduced"] else "NO"),
        ("ledger, lake and releases verify", "yes" if summary["verify"] else "NO"),
    ]
    drawing.table("what", "figure", rows=rows)


def _shares(answered_by: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in answered_by.items())
