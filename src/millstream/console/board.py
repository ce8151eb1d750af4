"""What the first page shows, computed from the status record: charts, words and the newest of everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from millstream.console.charts import Line, Mark, chart, day_in_words
from millstream.metrics import METRICS

_TIMELINE = 40
_ALARMS = 10
_DECISIONS = 5
_SYSTEM = "system:"
_HOW = {
    "attached": "read where it lies",
    "ingested": "copied in",
    "derived": "computed on read",
    "made": "made and stored",
    "own": "written here",
}
UNJUDGED = "No answer was judged yet: a day is judged when it is over."
_GATE = {True: ("good", "passed its gate"), False: ("bad", "did not pass its gate"), None: ("bad", "no verdict")}
_GOALS = {
    "roc_auc": "how well it ranks (roc_auc): 1 is perfect, 0.5 a guess",
    "log_loss": "how far its chances are off (log_loss): 0 is perfect",
    "brier": "how far its chances are off (brier): 0 is perfect",
    "accuracy": "share of right answers (accuracy): 1 is perfect",
    "rmse": "how far its numbers are off (rmse): 0 is perfect",
    "mae": "how far its numbers are off on average (mae): 0 is perfect",
}
CONTRACTS = {
    "none": "no checks",
    "ok": "holds",
    "unchecked": "not checked yet",
    "note": "noted",
    "warn": "warned",
    "stop": "broken",
}
"""What a table's contract came to, in words."""
_COMMAND = re.compile(
    r"""millstream [a-z]+(?: (?!(?:if|for|or|then|and|to|with)\b)(?:"[^"]*"|'[^']*'|[^\s,;:]*[^\s,;:.]))*"""
)
_WORD = 12
"""Letters of a name that stand beside a mark of a chart; of a longer one, only the version does."""


def board(status: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page needs to a status record."""
    zone = ZoneInfo(status["timezone"])
    return {
        **status,
        **clock(status),
        "headline": _headline(status),
        "models": _models(status, zone),
        "decisions": [decision_card(each, zone) for each in status["decisions"][:_DECISIONS]],
        "alarms": [alarm(each) for each in status["alarms"][:_ALARMS]],
        "tables": [_table(each) for each in status["tables"]],
        "days": by_day(status["timeline"][:_TIMELINE], zone),
        "calm": _calm(status),
        "attached": any(each["kind"] == "attached" for each in status["tables"]),
        "copied_bytes": sum(each["copied_bytes"] for each in status["tables"] if each["kind"] == "attached"),
    }


def _models(status: Mapping[str, Any], zone: ZoneInfo) -> list[dict[str, Any]]:
    """Draw the only model; several stand in a table, each with a page of its own."""
    if len(status["models"]) == 1:
        return [model_card(each, zone) for each in status["models"]]
    return [model_words(each, zone) for each in status["models"]]


def clock(record: Mapping[str, Any]) -> dict[str, str]:
    """Write a record's instant as people say it."""
    now, zone = record["now"], ZoneInfo(record["timezone"])
    at = moment(now, zone)
    return {"clock_says": f"{at:%a} {day(now, zone, year=True)}, {at:%H:%M}"}


def by_day(told: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> list[tuple[str, list[dict[str, Any]]]]:
    """Lay out what happened by day, in the order given."""
    timeline = [_told(each, zone) for each in told]
    return [(day, list(found)) for day, found in groupby(timeline, key=lambda each: each["day"])]


def decision_card(decision: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Say when a decision was asked for and taken."""
    taken = decision["decided_at"]
    return {
        **decision,
        "asked": day(decision["asked_at"], zone),
        "asked_on": day(decision["asked_at"], zone, year=True),
        "decided_on": day(taken, zone, year=True) if taken else "",
        "gate": _GATE[decision["passed"]],
        "trained_says": f"Trained by {who(decision['trained_by'])}"
        + (", who cannot approve it" if not decision["trained_by"].startswith(_SYSTEM) else ""),
        "trainer": who(decision["trained_by"]),
        "asker": who(decision["asked_by"]),
    }


def age(seconds: float | None) -> str:
    """Write a length of time as people say it.

    >>> age(30), age(5400), age(86400 * 3), age(None)
    ('seconds', '2 hours', '3 days', 'no time')
    """
    if seconds is None:
        return "no time"
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = round(seconds / length)
            return f"{count} {unit}{'s' * (count != 1)}"
    return "seconds"


def size(count: int) -> str:
    """Write a count of bytes.

    >>> size(0), size(35_791), size(4_200_000)
    ('0', '36 kB', '4.2 MB')
    """
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.2g} {unit}" if count < 99.5 * length else f"{count / length:.0f} {unit}"
    return str(count)


def _headline(status: Mapping[str, Any]) -> dict[str, str]:
    waiting, alarms = status["decisions_waiting"], status["alarms_serious"]
    says = []
    if waiting:
        says.append("a decision waits for you" if waiting == 1 else f"{waiting} decisions wait for you")
    if alarms:
        says.append(f"{alarms} alarm{'s are' if alarms > 1 else ' is'} open")
    for job in status["jobs"]:
        if job["status"] == "running":
            says.append(f"{job['model']} is being retrained" + (f": {job['step']}" if job["step"] else ""))
    if not says and not any(each["live"] for each in status["models"]):
        return {"tone": "", "says": "No model is live yet." if status["models"] else "No model is defined yet."}
    if not says:
        return {"tone": "good", "says": "All is well. Nothing needs you."}
    said = ", ".join(says)
    return {"tone": "warn" if waiting or alarms else "", "says": f"{said[0].upper()}{said[1:]}."}


def alarm(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """Say since when an alarm is open, and how bad it is."""
    bad = ""
    if alarm["value"] is not None and alarm["threshold"] is not None:
        bad = f"{alarm['value']:.3g}, limit {alarm['threshold']:.3g}"
    since = day_in_words(alarm["since"][:10], year=True)
    return {**alarm, "since_says": since, "bad": bad, "next": commands(alarm["next"])}


def _calm(status: Mapping[str, Any]) -> dict[str, Any]:
    """Say what no alarm means: only as much as was looked at."""
    tables = status["tables"]
    found = [each["name"] for each in tables if each["failed"]]
    checked = any(each["contract"] not in ("none", "unchecked") for each in tables)
    if not checked and not any(each["live"] for each in status["models"]):
        says = "Nothing was checked or judged yet. Begin with the data: millstream check."
        return {"tone": "unwatched", "says": commands(says), "found": found}
    data = "" if found or not checked else "The data are as they should be. "
    answers = "Answers and outcomes are as they should be." if status["predictions"] else UNJUDGED
    return {"tone": "found" if found else "", "says": f"{data}{answers}", "found": found}


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    behind, seen = table["seconds_behind"], table["seen_seconds_ago"]
    if behind is not None:
        newest = f"{age(behind)} old"
    elif table["inputs"]:
        newest = "as its inputs"
    else:
        newest = "·" if seen is None else f"read {age(seen)} ago"
    return {
        **table,
        "how": _HOW.get(table["kind"], table["kind"]),
        "age": newest,
        "copied": size(table["copied_bytes"]),
        "contract_says": CONTRACTS.get(table["contract"], table["contract"]),
        "of": " ".join(f"{name}@{version}" for name, version in table["inputs"].items()),
    }


def _told(row: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    told = {"day": day(row["at"], zone, year=True), "time": f"{moment(row['at'], zone):%H:%M}"}
    return {**row, **told, "who": who(row["actor"])}


def who(actor: str) -> str:
    """Name who acted: a person, or Millstream itself.

    >>> who("ann"), who("system:loop")
    ('ann', 'Millstream')
    """
    return "Millstream" if actor.startswith(_SYSTEM) else actor


def commands(said: str) -> Markup:
    """Mark the commands in a sentence, each to be taken as a whole.

    >>> commands("millstream retrain late, or millstream rollback late")
    Markup('<code>millstream retrain late</code>, or <code>millstream rollback late</code>')
    >>> commands("look at it; millstream check flights if it is <new>")
    Markup('look at it; <code>millstream check flights</code> if it is &lt;new&gt;')
    """
    drawn, done = Markup(""), 0
    for found in _COMMAND.finditer(said):
        drawn += Markup("{}<code>{}</code>").format(said[done : found.start()], found[0])
        done = found.end()
    return drawn + said[done:]


def model_words(model: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Say where a model stands without drawing it."""
    goal = model["goal"]
    better = "higher is better" if goal in METRICS and METRICS[goal].greater_is_better else "lower is better"
    return {
        **model,
        "trained_on": day(model["trained_at"], zone, year=True) if model["trained_at"] else "never",
        "live_since": day(model["live"]["since"], zone, year=True) if model["live"] else "",
        "better": better,
        "goal_says": _GOALS.get(goal, f"{goal}: {better}"),
    }


def model_card(model: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Draw where a model stands, and mark the days on which what is live changed."""
    series, goal = model["series"], model["goal"]
    marks = [
        Mark(
            day=moment(each["at"], zone).date().isoformat(),
            word=_short(each["subject"]),
            says=each["says"],
            style=each["kind"],
        )
        for each in reversed(model["moves"])
    ]
    performance = [
        ("model", series.get("performance", ()), "model"),
        ("tolerated", series.get("limit", ()), "limit"),
        ("simple rule", series.get("baseline", ()), "baseline"),
    ]
    shares = [("predicted", series.get("predicted", ()), "model"), ("actual", series.get("actual", ()), "actual")]
    return {
        **model_words(model, zone),
        "bars": _bars(model),
        "charted": any(series.values()),
        "performance": _draw(f"How good it is ({goal}) over rolling weeks", performance, marks),
        "bias": _draw("What it says on average, and what came true", shares, marks),
        "latency": _draw(
            "Answer time, 95 of 100 within", [("p95", series.get("latency", ()), "model")], (), unit=" ms"
        ),
    }


def _short(release: str) -> str:
    return release if len(release) <= _WORD else f"@{release.rpartition('@')[2]}"


def _bars(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put what the model reaches beside what it has to beat."""
    live, previous = model["live"], model["previous"]
    if not live:
        return []
    found = [
        {"says": "lately, on what came true", "value": model["lately"], "style": "model"},
        {"says": f"version {live['version']} when released", "value": live["value"], "style": "model soft"},
        {"says": "the simple rule then", "value": live["baseline"], "style": "baseline"},
    ]
    if previous:
        said = f"version {previous['version']} before it"
        found.insert(2, {"says": said, "value": previous["value"], "style": "previous"})
    most = max((abs(each["value"]) for each in found if each["value"] is not None), default=0.0) or 1.0
    return [{**each, "share": 0.0 if each["value"] is None else abs(each["value"]) / most * 100} for each in found]


def _draw(title: str, lines: Iterable[tuple[str, Sequence[Any], str]], marks: Sequence[Mark], *, unit: str = "") -> Any:
    kept = [(name, dict(points), style) for name, points, style in lines if points]
    days = _every_day([day for _, points, _ in kept for day in points])
    drawn = [
        Line(name=name, values=tuple(points.get(day) for day in days), style=style) for name, points, style in kept
    ]
    return chart(days, drawn, title=title, marks=marks, unit=unit)


def _every_day(days: Sequence[str]) -> list[str]:
    """List every day from the first to the last, so that a day without a value shows as a gap."""
    if not days:
        return []
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def moment(instant: str, zone: ZoneInfo) -> datetime:
    """Read an instant as people of a zone do."""
    return datetime.fromisoformat(instant).astimezone(zone)


def day(instant: str, zone: ZoneInfo, *, year: bool = False) -> str:
    """Write the day of an instant in a zone."""
    return day_in_words(moment(instant, zone).date().isoformat(), year=year)
