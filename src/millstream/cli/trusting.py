"""Quarantine and proposed contracts, as a person reads them in a terminal."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from millstream.cli.drawing import console, number, say, table

_ROWS = 20


def quarantine(record: dict[str, Any]) -> None:
    """Show what is in quarantine of a table, by check and by row, and what was let back."""
    if not record["count"]:
        say(f"nothing is in quarantine of [bold]{record['table']}[/]", tone="good")
    else:
        say(f"[bold]{record['table']}[/]: {number(record['count'])} keys in quarantine", tone="warn")
        named = [(escape(each["check"]), f"@{each['version']}", number(each["rows"])) for each in record["checks"]]
        table("check", "version", "rows", rows=named, right={1, 2})
        lines = [(escape(each["key"]), escape(each["reason"])) for each in record["rows"][:_ROWS]]
        table(escape(", ".join(record["key"])), "reason", rows=lines)
        if record["count"] > _ROWS:
            console.print(f"[dim]{_ROWS} rows are shown; millstream quarantine {record['table']} --json has more[/]")
    for each in record["released"]:
        said = f"{number(each['rows'])} rows of {each['check']} let back by {each['actor']}: {each['reason']}"
        say(f"[dim]{escape(said)}[/]", indent=4)


def let_back(record: dict[str, Any]) -> None:
    """Show how many rows trusted reads have again."""
    many = "row is" if record["keys"] == 1 else "rows are"
    say(f"[bold]{record['table']}[/]: {number(record['keys'])} {many} trusted again", tone="good")
    console.print(f"next: millstream refresh {record['table']}")


def suggest(record: dict[str, Any]) -> None:
    """Print proposed checks as Python to paste, with what was seen and how they would have done."""
    for each in record["tables"]:
        say(f"[bold]{each['table']}[/]@{each['version']}: {number(each['rows'])} rows, {escape(each['held'])}")
        if each["left_out"]:
            say(f"[dim]left out, since you see them masked: {escape(', '.join(each['left_out']))}[/]", indent=4)
        if not each["suggestions"]:
            say("[dim]no rows to propose anything from[/]", indent=4)
            continue
        console.print("    checks=[", highlight=False)
        for one in each["suggestions"]:
            mark = "" if one["kept"] else "# left out: "
            console.print(
                f"        {mark}{escape(one['code'])},  # {escape(one['says'])}", highlight=False, soft_wrap=True
            )
        console.print("    ],", highlight=False)


def missing(record: dict[str, Any]) -> None:
    """Show which expected rows are missing, check by check."""
    for each in record["tables"]:
        if not each["asked"]:
            say(f"[bold]{each['table']}[/]: no check says which rows it should have (checks.complete, checks.expected)")
            continue
        if not each["checks"]:
            say(f"[bold]{each['table']}[/]: no period is short of rows", tone="good")
        for one in each["checks"]:
            periods = f"{len(one['periods'])} {'period' if len(one['periods']) == 1 else 'periods'}"
            tone: Any = "warn" if one["count"] else "good"
            say(f"[bold]{escape(one['subject'])}[/]: {number(one['count'])} rows missing of {periods}", tone=tone)
            if one["count"]:
                table(
                    *map(escape, one["columns"]),
                    rows=[[escape(str(cell)) for cell in row] for row in one["rows"][:_ROWS]],
                )
            if one["count"] > _ROWS:
                console.print(f"[dim]{_ROWS} are shown; millstream check {each['table']} --missing --json has more[/]")
