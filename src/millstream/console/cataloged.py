"""What the pages of the catalog show: all tables, one table, and what something is made of; from their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from millstream.console.board import CONTRACTS, clock, day, who

TABLES, COLUMNS = 100, 200
"""Tables and columns drawn at once; the others are counted and found by a word, or listed by the command."""
_TONES = {"ok": "good", "note": "", "warn": "warn", "stop": "bad"}
_HOW = {"rows": "decides which rows there are", "key": "whom it is about", "label": "what is learnt"}
_COLUMNS_SHOWN = ("plays", "sensitive", "about", "origin", "known_at")
"""What is said of a column; what is said of none of a table's columns takes no room."""
_PAGES = {"table": "/catalog/", "column": "/catalog/", "model": "/models/"}
"""Kind of thing to where the page of it, or of its table, lies."""
_OPEN = 2
"""How deep what something is made of stands open when the page comes."""


def catalog_page(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the list of tables needs to its record."""
    return {
        **record,
        **clock(record),
        "title": "Catalog",
        "tables": [_line(each) for each in record["tables"][:TABLES]],
        "left": max(0, len(record["tables"]) - TABLES),
        "late": [each["name"] for each in record["tables"] if each["late"]],
        "says": _fresh(record["tables"], record["all"]),
    }


def table_page(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page of a table needs to its record."""
    zone = ZoneInfo(record["timezone"])
    checked = record["checked"]
    return {
        **record,
        **clock(record),
        "title": f"Table {record['table']['name']}",
        "table": {**_line(record["table"]), "posted_says": _posted(record["table"]["posted"])},
        "column_list": (columns := [_column(each) for each in record["column_list"][:COLUMNS]]),
        "left": max(0, len(record["column_list"]) - COLUMNS),
        "results": [] if checked is None else [{**each, "tone": _tone(each)} for each in checked["results"]],
        "versions": [{**each, "on": day(each["at"], zone, year=True)} for each in record["versions"]],
        "shown": {name: any(each[name] for each in columns) for name in _COLUMNS_SHOWN},
        "reads": [_read(each, record["table"]["name"], zone) for each in record["reads"]],
        "changed": [{**each, "on": day(each["at"], zone, year=True)} for each in record["schema_history"]],
    }


def _fresh(tables: Sequence[Mapping[str, Any]], count: int) -> str:
    """Say which tables are behind, and of which nothing is known yet."""
    late, unread = (
        sum(bool(each["late"]) for each in tables),
        sum(each["version"] is None for each in tables),
    )
    if late:
        return f"{late} table{' is' if late == 1 else 's are'} later than allowed."
    if unread and unread == len(tables):
        return "No table was read yet. Begin with millstream check."
    said = f"{count} table{'s' * (count != 1)}, none later than it may be"
    return f"{said}; {unread} not read yet." if unread else f"{said}."


def lineage_page(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what only the page of lineage needs to its record."""
    return {
        **record,
        **clock(record),
        "title": f"Lineage of {record['name']}",
        "about": f"{record['kind']} {record['name']}".capitalize(),
        "upstream": [_branch(each, 1) for each in record["upstream"]],
        "downstream": [_branch(each, 1) for each in record["downstream"]],
        "above_says": _counted(record["above"]),
        "below_says": _counted(record["below"]),
        "link": _PAGES.get(record["kind"], "") and f"{_PAGES[record['kind']]}{record['name'].partition('.')[0]}",
    }


def _line(said: Mapping[str, Any]) -> dict[str, Any]:
    consumers = said["consumers"]
    used = [
        f"{count} {kind[:-1] if count == 1 else kind}" for kind, count in consumers.items() if count and kind != "live"
    ]
    return {
        **said,
        "contract_says": CONTRACTS[said["contract"]],
        "tone": _TONES.get(said["contract"], ""),
        "behind_says": _length(said["seconds_behind"]),
        "allowed_says": _length(said["allowed_seconds"]),
        "lag_says": _length(said["lag_seconds"]) or "none",
        "used_says": ", ".join(used) or "nothing",
    }


def _column(said: Mapping[str, Any]) -> dict[str, Any]:
    return {**said, "origin": said["how"] or ", ".join(said["from"])}


def _read(said: Mapping[str, Any], name: str, zone: ZoneInfo) -> dict[str, Any]:
    """Say who read what; reads of what is derived from a table are reads of it, and name what was read."""
    version = f"version {said['version']}" if said["table"] == name else f"through {said['table']}@{said['version']}"
    return {
        **said,
        "on": day(said["at"], zone, year=True),
        "actor": who(said["actor"]),
        "version_says": version,
        "columns_say": _few(said["columns"]),
    }


def _branch(said: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if said["kind"] == "more":
        return {**said, "children": [], "notes": "", "open": False}
    how = [word for each in said["how"] if (word := _HOW.get(each, ""))]
    notes = [said["says"], *how, *(["shown above"] if said["again"] else [])]
    return {
        **said,
        "notes": "; ".join(each for each in notes if each),
        "open": depth <= _OPEN,
        "children": [_branch(each, depth + 1) for each in said["children"]],
        "link": "" if said["kind"] == "source" else f"/lineage/{said['name']}",
    }


def _counted(said: Mapping[str, int]) -> str:
    shown = {kind: count for kind, count in said.items() if kind != "part"}
    return ", ".join(f"{count:,} {kind}{'s' * (count != 1)}" for kind, count in shown.items()) or "nothing"


def _tone(result: Mapping[str, Any]) -> tuple[str, str]:
    return ("good", "holds") if result["ok"] else (_TONES[result["severity"]], f"does not hold ({result['severity']})")


def _few(columns: list[str] | str) -> str:
    if isinstance(columns, str):
        return "all columns"
    more = f" and {len(columns) - 6} more" if len(columns) > 6 else ""
    return f"{', '.join(columns[:6])}{more}" or "none of its columns by name"


def _posted(said: Mapping[str, Any] | None) -> str:
    """Say how many posted facts wait, for how long, and how long others took to be usable."""
    if said is None:
        return ""
    took, waits = said["usable_seconds"], said["waiting_seconds"]
    usable = f"usable after {_wait(took['p50'])}, 99 % within {_wait(took['p99'])}" if took else "served"
    return f"{usable}; {said['waiting']:,} wait, {_wait(waits or 0.0)}" if said["waiting"] else usable


def _wait(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else _length(seconds)


def _length(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
