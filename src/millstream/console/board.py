"""What the page shows, computed from the status record: charts, words and the newest of everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from millstream.console.charts import Line, Mark, chart, day_in_words
from millstream.metrics import METRICS

_TIMELINE = 40
_SYSTEM = "system:"
_HOW = {
    "attached": "read where it lies",
    "ingested": "copied in",
    "derived": "computed on read",
    "made": "made by a step",
    "own": "written here",
}
_CONTRACT = {"ok": "holds", "none": "none declared", "unchecked": "not checked yet", "stop": "broken"}


def board(status: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page needs to a status record."""
    zone = ZoneInfo(status["timezone"])
    timeline = [_told(each, zone) for each in status["timeline"][:_TIMELINE]]
    return {
        **status,
        "clock_says": f"{_moment(status['now'], zone):%a} {_day(status['now'], zone, year=True)},"
        f" {_moment(status['now'], zone):%H:%M}",
        "headline": _headline(status),
        "models": [_model(each, status, zone) for each in status["models"]],
        "decisions": [{**each, "asked": _day(each["asked_at"], zone)} for each in status["decisions"]],
        "alarms": [_alarm(each) for each in status["alarms"]],
        "tables": [_table(each) for each in status["tables"]],
        "days": [(day, list(told)) for day, told in groupby(timeline, key=lambda each: each["day"])],
        "copied_bytes": sum(each["copied_bytes"] for each in status["tables"] if each["kind"] == "attached"),
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
    waiting, alarms = len(status["decisions"]), sum(each["severity"] != "note" for each in status["alarms"])
    says = []
    if waiting:
        says.append("a decision waits for you" if waiting == 1 else f"{waiting} decisions wait for you")
    if alarms:
        says.append(f"{alarms} alarm{'s are' if alarms > 1 else ' is'} open")
    for job in status["jobs"]:
        if job["status"] == "running":
            says.append(f"{job['model']} is being retrained" + (f": {job['step']}" if job["step"] else ""))
    if not says and not any(each["live"] for each in status["models"]):
        return {"tone": "", "says": "No model is live yet."}
    if not says:
        return {"tone": "good", "says": "All is well. Nothing needs you."}
    said = ", ".join(says)
    return {"tone": "warn" if waiting or alarms else "", "says": f"{said[0].upper()}{said[1:]}."}


def _alarm(alarm: Mapping[str, Any]) -> dict[str, Any]:
    bad = ""
    if alarm["value"] is not None and alarm["threshold"] is not None:
        bad = f"{alarm['value']:.3g}, limit {alarm['threshold']:.3g}"
    return {**alarm, "since_says": day_in_words(alarm["since"][:10], year=True), "bad": bad}


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
        "contract_says": _CONTRACT.get(table["contract"], table["contract"]),
        "of": " ".join(f"{name}@{version}" for name, version in table["inputs"].items()),
    }


def _told(row: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    who = "Millstream" if row["actor"].startswith(_SYSTEM) else row["actor"]
    return {**row, "day": _day(row["at"], zone, year=True), "time": f"{_moment(row['at'], zone):%H:%M}", "who": who}


def _model(model: Mapping[str, Any], status: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    series, goal = model["series"], model["goal"]
    marks = [
        Mark(
            day=_moment(each["at"], zone).date().isoformat(),
            word=each["subject"],
            says=each["says"],
            style=each["kind"],
        )
        for each in status["timeline"]
        if each["kind"] in {"swap", "rollback"} and each["subject"].partition("@")[0] == model["name"]
    ]
    performance = [
        ("model", series.get("performance", ()), "model"),
        ("tolerated", series.get("limit", ()), "limit"),
        ("simple rule", series.get("baseline", ()), "baseline"),
    ]
    shares = [("predicted", series.get("predicted", ()), "model"), ("actual", series.get("actual", ()), "actual")]
    return {
        **model,
        "live_since": _day(model["live"]["since"], zone, year=True) if model["live"] else "",
        "better": "higher is better" if goal in METRICS and METRICS[goal].greater_is_better else "lower is better",
        "bars": _bars(model),
        "performance": _draw(f"How good it is ({goal}) over rolling weeks", performance, marks),
        "bias": _draw("What it says on average, and what came true", shares, marks),
        "latency": _draw(
            "Answer time, 95 of 100 within", [("p95", series.get("latency", ()), "model")], (), unit=" ms"
        ),
    }


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


def _moment(instant: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(instant).astimezone(zone)


def _day(instant: str, zone: ZoneInfo, *, year: bool = False) -> str:
    return day_in_words(_moment(instant, zone).date().isoformat(), year=year)
