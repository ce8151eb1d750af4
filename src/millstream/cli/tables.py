"""What became of tables, as a person reads it in a terminal: what moved, was made, is pinned or waits."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from millstream.cli.drawing import number, say, table


def ingest(record: dict[str, Any]) -> None:
    """Show which tables moved."""
    if "plan" in record:
        planned(record["plan"])
        return
    if not record["versions"]:
        say("nothing new")
    else:
        table(
            "table",
            "version",
            "rows",
            "how",
            "bytes copied",
            "why",
            rows=[
                (
                    each["table"],
                    each["version"],
                    number(each["rows"]),
                    each["kind"],
                    number(each["bytes_copied"]),
                    escape(each["why"] + took(each)),
                )
                for each in record["versions"]
            ],
            right={1, 2, 4},
        )
    for each in record["reports"]:
        contract(each)
    stopped(record)
    standing(record["pins"])
    for each in record["assumptions"]:
        say(f"[dim]assumed: {escape(each)}[/]")


refresh = ingest


def took(version: dict[str, Any]) -> str:
    """Say how long making a table took, beside its habit; nothing of a table that is not made."""
    return f" ({version['took']})" if version["took"] else ""


def made_lately(table: dict[str, Any]) -> None:
    """Show how a table that is made was made last, and whether it is just being made."""
    if table["lately"] and table["lately"]["usual"] is not None:
        last, usual = table["lately"]["runs"][0], table["lately"]["usual"]
        said = f"took {last['seconds']:.1f} s to be made ({last['why']}), usual {usual:.1f} s"
        say(f"[dim]{table['name']} {escape(said)}[/]")
    if table["running"]:
        since, line = table["running"]["since"], table["running"]["last"]
        say(f"[bold]{table['name']}[/] is being made since {since[:16]}{escape(f': {line}' if line else '')}")


def planned(plan: list[dict[str, Any]]) -> None:
    """Show what a refresh would do."""
    moving = [each for each in plan if each["does"] != "nothing"]
    if not moving:
        say("nothing would be done: every table is as its inputs, code and environment have it", tone="good")
        return
    rows = []
    for each in moving:
        count = f"{len(each['pieces'])} of {len(each['pieces']) + each['unchanged']}" if each["pieces"] else ""
        about = "" if each["seconds"] is None else f"about {each['seconds']:.1f} s"
        rows.append((each["table"], each["does"], count, about, escape(each["why"])))
    table("table", "would", "partitions", "takes", "why", rows=rows, right={2, 3})
    say("nothing was run")


def standing(pins: list[dict[str, Any]]) -> None:
    """Show the pinned versions of which the owner deleted files, or may soon."""
    for each in pins:
        says = each["says"] if each["leaving"] and not each["missing"] else f"unreadable: {each['says']}"
        say(escape(says), tone="bad" if each["missing"] else "warn")
        say(f"next: {escape(each['next'])}", indent=4)


def pin(record: dict[str, Any]) -> None:
    """Show what was pinned, and all pins."""
    if record["copied"]:
        say(f"copied {number(record['copied'])} files, {number(record['bytes_copied'])} bytes", tone="good")
    if record["pins"]:
        made = [
            (f"{each['table']}@{each['version']}", each["at"][:16], each["actor"], each["note"])
            for each in record["pins"]
        ]
        table("pinned", "since", "by", "why", rows=[tuple(map(escape, each)) for each in made])
    else:
        say("nothing is pinned by anybody; versions that models were trained on are watched without it")
    standing(record["standing"])


def stopped(record: dict[str, Any]) -> None:
    """Show the tables that could not be made, and why."""
    for each in record["stopped"]:
        say(f"[bold]{each['table']}[/] was not made: {escape(each['detail'])}", tone="bad")
        for word, said in (("expected", each["expected"]), ("do next", each["do"])):
            if said:
                say(f"{word}: {escape(said)}", indent=4)


def contract(report: dict[str, Any]) -> None:
    """Show what one contract found."""
    failed = [each for each in report["results"] if not each["ok"]]
    tone = "bad" if any(each["severity"] == "stop" for each in failed) else "warn" if failed else "good"
    say(
        f"[bold]{report['table']}[/]@{report['version']}  {len(report['results'])} checks on "
        f"{number(report['rows'])} rows, {number(report['quarantined'])} in quarantine",
        tone=tone,
    )
    for each in failed:
        say(f"{each['severity']}: {escape(each['says'])}", indent=4)
