"""What the other pages show: one decision, the decisions taken, one model; computed from their records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from millstream.console.board import UNJUDGED, alarm, by_day, clock, commands, day, decision_card, model_card, who

_TONES = {"yes": "good", "partly": "warn", "no": "bad"}
_WORDS = {"waiting": "waits for a person", "approved": "approved", "rejected": "rejected", "void": "void"}
_DECISION = re.compile(r"\bdecision (\d+)\b")
_TAGS = {"waiting": "warn", "approved": "good", "rejected": "bad", "void": "bad"}


def decision_page(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page of a decision needs to its record."""
    zone = ZoneInfo(record["timezone"])
    goal = record["goal"]
    return {
        **decision_card(record, zone),
        **clock(record),
        "title": f"Decision {record['id']}: {record['name']}",
        "status_says": _WORDS[record["status"]],
        "status_tone": _TAGS[record["status"]],
        "comparisons": [_compared(each, goal) for each in record["comparisons"]],
        "notes": [{**each, "on": day(each["at"], zone, year=True)} for each in record["notes"]],
        "days": by_day(record["history"], zone),
        "segments": _sides(record, "segments"),
        "segments_say": record.get("segments_say", ""),
        "worse_for": ", ".join(str(each["segment"]) for each in record.get("segments", ()) if each.get("worse")),
        "by_horizon": _sides(record, "by_horizon"),
    }


def decisions_page(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the list of decisions needs to its record."""
    zone = ZoneInfo(record["timezone"])
    return {
        **record,
        **clock(record),
        "title": "Decisions",
        "decisions": [_line(each, zone) for each in record["decisions"]],
    }


def model_page(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page of a model needs to its record."""
    zone = ZoneInfo(record["timezone"])
    judged = any(record["model"]["series"].values())
    return {
        **record,
        **clock(record),
        "calm": {
            "tone": "" if judged else "unwatched",
            "says": "Answers and outcomes are as they should be." if judged else UNJUDGED,
            "found": [],
        },
        "title": f"Model {record['model']['name']}",
        "model": model_card(record["model"], zone),
        "waiting": [decision_card(each, zone) for each in record["decisions"] if each["status"] == "waiting"],
        "decisions": [_line(each, zone) for each in record["decisions"]],
        "alarms": [alarm(each) for each in record["alarms"]],
        "versions": [
            {**each, "built_on": day(each["built_at"], zone, year=True), "built_by": who(each["built_by"])}
            for each in record["versions"]
        ],
        "jobs": [
            {**each, "asked_on": day(each["asked_at"], zone, year=True), "actor": who(each["actor"])}
            for each in record["jobs"]
        ],
        "features": _features(record["features"], zone),
        "ready": {
            **record["ready"],
            "points": [_pointed(each) for each in record["ready"]["points"]],
        },
    }


def _features(said: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Add to what is said of features the day of their audit, and their costs in words."""
    audit, lift = said["audit"], said["lift"]
    return {
        "audit": None if audit is None else {**audit, "on": day(audit["at"], zone, year=True)},
        "leaks": said["leaks"],
        "lift": None if lift is None else {**lift, "views": [_weighed(each) for each in lift["views"]]},
    }


def _weighed(view: Mapping[str, Any]) -> dict[str, Any]:
    gain, ms, lag = view["gain"], view["compute_ms"], view["lag_s"]
    return {
        "name": view["name"],
        "worth": "not measured" if gain is None else f"{gain:+.4f}",
        "range": "" if view["low"] is None else f"{view['low']:+.4f} to {view['high']:+.4f}",
        "missing": f"{view['missing']:.1%}",
        "cost": "with the request" if ms is None else f"{ms:.2f} ms",
        "late": "" if lag is None else f"{lag / 3600:g} h",
        "idle": view["low"] is not None and view["low"] <= 0,
    }


def _pointed(point: Mapping[str, Any]) -> dict[str, Any]:
    """Give a point its colour, and a link where its evidence is a decision."""
    named = _DECISION.search(point["evidence"])
    return {
        **point,
        "tone": _TONES[point["ready"]],
        "decision": int(named[1]) if named else None,
        "do": commands(point["do"]),
    }


def _line(decision: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    card = decision_card(decision, zone)
    return {**card, "status_says": _WORDS[card["status"]], "status_tone": _TAGS[card["status"]]}


def _sides(record: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Put the candidate beside what it was compared with, segment by segment or a day ahead at a time."""
    rows = list(record.get(part, ()))
    named_otherwise = not all("challenger" in each for each in rows)
    named = [each["against"] for each in record["comparisons"] if each["against"] != "baseline"]
    sides = (("champion", named[0] if named else "today"), ("baseline", "the simple rule"))
    return {
        "rows": rows,
        "columns": list(dict.fromkeys(key for row in rows for key in row)) if named_otherwise else [],
        "counted": any("rows" in each for each in rows),
        "besides": [side for side in sides if any(each.get(side[0]) is not None for each in rows)],
    }


def _compared(said: Mapping[str, Any], goal: str) -> dict[str, Any]:
    low, high = said["low"], said["high"]
    return {
        **said,
        "beside": "the simple rule" if said["against"] == "baseline" else said["against"],
        "goal": goal,
        "range": "not to be compared" if low is None or high is None else f"{low:+.4f} to {high:+.4f}",
    }
