"""Commands that keep the lake in order: what may go, small files, who uses what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from millstream.cli.words import JsonOption, ProjectOption, do

app = typer.Typer()
_FEW = 6


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Let it go; else only the plan is shown.")] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what may go, how much that is and what holds the rest; with --yes let it go, and prove that no more went.

    Versions go when their time is over ([retention] in millstream.toml; for ever where nothing is said) and nothing
    names them: no pin, release, model version, run, backtest or environment. Newest versions never go, attached tables
    are left alone.
    """
    do("gc", project, as_json=as_json, show=_show_gc, yes=yes)


@app.command()
def compact(
    table: Annotated[str | None, typer.Argument(help="Name of a table; else every one with many small files.")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the small files of a table anew as a few large ones: no row comes or goes, and no batch is checked again.

    Earlier versions keep their files until gc lets them go.
    """
    do("compact", project, as_json=as_json, show=_show_compact, table=table)


@app.command()
def usage(
    days: Annotated[int, typer.Option("--days", help="Mark what nobody read for so long and nothing uses.")] = 90,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each table holds, when it was last read and by whom, what uses it, and what else takes room.

    Tables, columns and features that nobody reads and nothing uses are named.
    """
    do("usage", project, as_json=as_json, show=_show_usage, days=days)


def _show_gc(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, say
    from millstream.cli.drawing import table as draw

    draw(
        "table", "goes", "files", "size", "held", "not yet old", "stays",
        rows=[
            (each["table"], _ranges(each["goes"]) or None, each["files"], _size(each["bytes"]), len(each["held"]),
             sum(last - first + 1 for first, last in each["young"]), _size(each["kept_bytes"]))
            for each in record["tables"]
        ],
        right={2, 3, 4, 5, 6},
    )  # fmt: skip
    for each in record["tables"]:
        for why in each["why"]:
            say(f"{each['table']}: {_ranges(each['goes'])} {why}", indent=2)
            break
        for number, who in list(each["held"].items())[-_FEW:]:
            say(f"[dim]{each['table']}@{number} is held by {escape(', '.join(who))}[/]", indent=2)
    for each in record["others"]:
        say(f"{each['files']:,} files, {_size(each['bytes'])}: {each['says']}", indent=2)
        say(f"[dim]{escape(each['first'][0])}{' ...' if each['files'] > 1 else ''}[/]", indent=2)
    if record["interrupted"]:
        say(f"{record['interrupted']:,} files are left of a cleaning that was interrupted", tone="warn")
    total = f"{record['versions']:,} versions, {record['files']:,} files, {_size(record['bytes'])}"
    if not record["done"]:
        if not record["files"] and not record["versions"]:
            say("nothing may go: all is held, not yet old, or kept for ever (retention in millstream.toml)")
            return
        say(f"would go: {total}")
        console.print("\nnext:\n  millstream gc --yes")
        return
    proof = record["proof"]
    say(f"went: {total}" if record["files"] or record["versions"] else "nothing went", tone="good")
    said = f"{proof['files']:,} files of {proof['versions']:,} kept versions are there with their sizes"
    read = f"; of {proof['hashed']:,} every byte was read and is as registered" if proof["hashed"] else ""
    say(said + read, tone="good")


def _show_compact(record: dict[str, Any]) -> None:
    from millstream.cli.drawing import say

    for each in record["tables"]:
        if each["version"] is None:
            say(f"{each['table']}: {each['files']:,} files, {each['small']:,} of them small: left as they are")
            continue
        said = f"{each['files']:,} files into {each['into']:,}, {_size(each['bytes'])} into {_size(each['into_bytes'])}"
        say(f"{each['table']}@{each['version']}: {said}; the same {each['rows']:,} rows", tone="good")
    if not record["tables"]:
        say("no table is stored in the lake: there is nothing to write anew")


def _show_usage(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import say
    from millstream.cli.drawing import table as draw

    draw(
        "table", "kind", "versions", "files", "newest", "earlier", "last read", "used by",
        rows=[
            (each["table"], each["kind"], each["versions"], each["files"], _size(each["bytes"]),
             _size(each["older_bytes"]), _read(each["last_read"]), _first(each["uses"], shown=2) or None)
            for each in record["tables"]
        ],
        right={2, 3, 4, 5},
    )  # fmt: skip
    say(", ".join(f"{name} {_size(size)}" for name, size in record["folders"].items()), indent=2)
    if record["prep"]["times"]:
        say(_prep(record["prep"], record["days"]), indent=2)
    for each in record["backups"]:
        there = "" if each["there"] else " (not there now)"
        say(f"backup of {each['at'][:16]} in {escape(each['folder'])}{there}", indent=2)
    for each in record["quota"]:
        say(f"quota: {each['says']}", tone="bad" if each["full"] else "warn" if each["near"] else "good")
    for each in record["tables"]:
        if each["unused"]:
            say(f"{each['table']}: nobody read it for {record['days']} days, and nothing uses it", tone="warn")
        if each["unread"]:
            say(f"{each['table']}: {_many(each['unread'], 'column')} nobody read or uses: {_first(each['unread'])}")
    if record["features"]:
        say(f"{_many(record['features'], 'feature')} no model uses: {_first(record['features'])}", tone="warn")


def _prep(told: dict[str, float], days: int) -> str:
    """Say what it took to make rows to learn from, and what it would have taken besides."""
    said = f"rows to learn from: made {told['times']:,} times in {days} days, in {told['seconds']:,.1f} s"
    if not told["kept"]:
        return said
    all_ = told["computed"] + told["kept"]
    return f"{said}; {told['kept']:,} of {all_:,} features were kept from before, which saved {told['saved_s']:,.1f} s"


def _many(found: list[str], what: str) -> str:
    return f"{len(found):,} {what}{'s' * (len(found) != 1)}"


def _first(names: list[str], *, shown: int = _FEW) -> str:
    from rich.markup import escape

    left = len(names) - shown
    return escape(", ".join(names[:shown]) + (f" and {left:,} more" if left > 0 else ""))


def _read(last: dict[str, str] | None) -> str | None:
    return None if last is None else f"{last['at'][:10]} by {last['by']}"


def _ranges(said: list[list[int]]) -> str:
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in said[:_FEW])
    return f"{shown} ..." if len(said) > _FEW else shown


def _size(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return ""
