"""What data there is, where it comes from and who reads it: three commands and how a terminal shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from millstream.cli import call as calls
from millstream.cli.drawing import age, console, number, say, table

ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", "-p", help="Folder of the project; else the nearest one upward.", show_default=False),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the record as JSON, and nothing else, on standard output.")
]
_HOW = {
    "rows": "decides which rows",
    "key": "key",
    "table": "",
    "source": "",
    "feature": "",
    "label": "label",
    "value": "",
}
_MOST_COLUMNS, _MOST_BROKEN = 100, 20


def catalog(
    name: Annotated[
        str, typer.Argument(metavar="[TABLE]", help="All about one table; every table when left out.")
    ] = "",
    find: Annotated[str, typer.Option("--find", help="Only what has this word in its names, words or tags.")] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what data there is: tables, columns, owners, what is sensitive, how fresh, how sound, who depends on it."""
    given = {"table": name, "find": find}
    _do(
        "catalog", project, {key: said for key, said in given.items() if said}, _tables if not name else _table, as_json
    )


def lineage(
    name: Annotated[
        str,
        typer.Argument(help="TABLE, TABLE.COLUMN, VIEW.FEATURE, MODEL, MODEL@VERSION, or the id of an answer."),
    ],
    down: Annotated[bool, typer.Option("--down", help="What is made of it, and what a rename would break.")] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trace a column, feature, model or answer to its sources, or with --down to all that is made of it."""
    _do("lineage", project, {"name": name}, _downstream if down else _upstream, as_json)


def reads(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="Name of a table.")],
    by: Annotated[str, typer.Option("--by", help="Only reads of one person.")] = "",
    since: Annotated[str, typer.Option("--since", help="Only reads from this instant on.")] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who read a table: people, commands and trainings, with version and columns, from the ledger."""
    given = {"table": name, "by": by, "since": since}
    _do("reads", project, {key: said for key, said in given.items() if said}, _reads, as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    for each in (catalog, lineage, reads):
        app.command()(each)


def _do(command: str, project: Path | None, given: dict[str, Any], draw: Callable[[Any], None], as_json: bool) -> None:
    with calls.told(as_json=as_json):
        record = calls.call(calls.find_root(project), command, given)
        calls.show(record, draw, as_json=as_json)


def _tables(record: dict[str, Any]) -> None:
    if not record["tables"]:
        said = (
            f"nothing has {record['find']!r} in its names, words or tags" if record["find"] else "no table is defined"
        )
        say(escape(said), tone="warn")
        return
    _where(record)
    rows = [
        (
            f"{each['name']}@{each['edited'] or each['version']}" if each["version"] is not None else each["name"],
            each["kind"],
            number(each["rows"]),
            each["columns"],
            escape(each["owner"]) or None,
            _behind(each),
            each["contract"],
            each["hops"],
            ", ".join(each["sensitive"]) or None,
            escape(", ".join(each["found_in"][:6]) if record["find"] else each["description"]) or None,
        )
        for each in record["tables"]
    ]
    last = "found in" if record["find"] else "what"
    heads = ("table", "how", "rows", "columns", "owner", "behind", "contract", "hops", "sensitive", last)
    table(*heads, rows=rows, right={2, 3, 7})
    counted = f"{_many(record['count'], 'table')}, {_many(record['columns'], 'column')}"
    say(f"{counted}; one of them: millstream catalog TABLE")


def _where(record: dict[str, Any]) -> None:
    """Say in which environment one stands, unless it is production."""
    if record["environment"] != "prod":
        console.print(f"[bold yellow]{escape(record['environment'])}[/]")


def _behind(said: dict[str, Any]) -> str:
    if said["seconds_behind"] is None:
        return "·"
    allowed = f" of {age(said['allowed_seconds'])}" if said["allowed_seconds"] is not None else ""
    late = f"{age(said['seconds_behind'])}{allowed}"
    return f"[red]{late}[/]" if said["late"] else late


def _table(record: dict[str, Any]) -> None:
    said = record["table"]
    version = f"@{said['version']}" if said["version"] is not None else ""
    version += f" ({said['edited']})" if said["edited"] else ""
    _where(record)
    console.print(
        f"[bold]{said['name']}[/]{version}  {said['kind']}, {number(said['rows'])} rows  {escape(said['owner'])}"
    )
    if said["description"]:
        console.print(f"[dim]{escape(said['description'])}[/]")
    way = " -> ".join(each["name"] for each in record["table"]["path"])
    console.print(
        f"{_many(said['hops'], 'hop')} from its source ({way or said['name']}), "
        f"{number(said['bytes_copied'])} bytes copied; {_behind(said)} behind, "
        f"declared lag {said['lag']}, {age(said['lag_seconds'])} from end to end"
    )
    rows = [
        (
            each["name"], each["type"], ", ".join(each["plays"]) or None, ", ".join(each["sensitive"]) or None,
            escape(each["about"]) or None, escape(_made(each)) or None,
        )
        for each in record["column_list"][:_MOST_COLUMNS]
    ]  # fmt: skip
    table("column", "type", "is", "sensitive", "what", "from", rows=rows)
    if len(record["column_list"]) > _MOST_COLUMNS:
        say(f"and {len(record['column_list']) - _MOST_COLUMNS:,} more columns: --json lists them all")
    for line in record["contract_lines"]:
        say(f"must hold: {escape(line)}")
    for each in record["checked"]["results"] if record["checked"] else ():
        if not each["ok"]:
            say(f"does not hold: {escape(each['check'])} {escape(each['subject'])} ({each['severity']})", tone="bad")
    used = [f"{kind} {', '.join(each)}" for kind, each in record["used_by"].items() if each]
    say(f"used by {escape('; '.join(used))}" if used else "used by nothing")
    for each in record["schema_history"]:
        who = f", accepted by {each['accepted_by']}" if each.get("accepted_by") else ""
        say(f"columns changed at {said['name']}@{each['version']}{escape(who)}: {escape(_changed(each))}", tone="warn")
    counted = f"{_many(record['version_count'], 'version')}; {_many(record['read_count'], 'read')}"
    say(f"{counted}: millstream reads {said['name']}")


def _made(column: dict[str, Any]) -> str:
    return column["how"] or ", ".join(column["from"])


def _changed(said: dict[str, Any]) -> str:
    told = [f"{name} is new" for name in said["new"]] + [f"{name} is gone" for name in said["gone"]]
    return ", ".join([*told, *(f"{name} was {old} and is {new}" for name, (old, new) in said["other"].items())])


def _upstream(record: dict[str, Any]) -> None:
    _told(record)
    _grown(record["upstream"], record, "comes from")
    if record["sources"]:
        console.print(f"source columns: {', '.join(record['sources'][:_MOST_COLUMNS])}")
    say(f"what is made of it: millstream lineage {escape(record['name'])} --down")


def _downstream(record: dict[str, Any]) -> None:
    _told(record)
    _grown(record["downstream"], record, "leads to")
    if record["kind"] == "column":
        if not record["breaks"]:
            say("if it had another name, nothing here would break", tone="good")
            return
        say("if it had another name, these would fail:", tone="warn")
        for each in record["breaks"][:_MOST_BROKEN]:
            say(f"{each['kind']} [bold]{each['name']}[/]  [dim]{escape(each['why'])}[/]", indent=4)
        if len(record["breaks"]) > _MOST_BROKEN:
            say(f"and {len(record['breaks']) - _MOST_BROKEN:,} more: --json lists them all", indent=4)


def _told(record: dict[str, Any]) -> None:
    _where(record)
    if "prediction" in record:
        answer = record["prediction"]
        console.print(f"prediction [bold]{answer['id']}[/] of {answer['at'][:19]}, answered by {answer['by']}")
    for name, version in record.get("pins", {}).items():
        console.print(f"[dim]learnt from {name}@{version}[/]")
    for line in record["says"]:
        say(escape(line), tone="warn")


def _grown(branches: list[dict[str, Any]], record: dict[str, Any], word: str) -> None:
    tree = Tree(
        f"{record['kind']} [bold]{escape(record['name'])}[/] {word if branches else 'has nothing on this side'}"
    )
    _grow(tree, branches)
    console.print(tree)


def _grow(tree: Tree, branches: list[dict[str, Any]]) -> None:
    for each in branches:
        if each["kind"] == "more":
            tree.add(f"[dim]{each['name']}: ask for one by its name, or --json[/]")
            continue
        how = ", ".join(said for word in each["how"] if (said := _HOW.get(word, word)))
        notes = [escape(each["says"]), how, "see above" if each["again"] else ""]
        told = "; ".join(note for note in notes if note)
        _grow(tree.add(f"{each['kind']} {escape(each['name'])}{f'  [dim]{told}[/]' if told else ''}"), each["children"])


def _reads(record: dict[str, Any]) -> None:
    if not record["reads"]:
        fewer = " in that span, or nobody of that name" if record["by"] or record["since"] else ""
        say(f"nobody read {record['table']}{fewer}")
        return
    rows = [
        (
            each["at"][:19].replace("T", " "), escape(each["actor"]), f"{each['table']}@{each['version']}",
            each["how"], number(each["rows"]), escape(_columns(each["columns"])),
            escape(str(each["what"])[:80]) or None,
        )
        for each in record["reads"]
    ]  # fmt: skip
    table("when", "who", "version", "by", "rows", "columns", "what", rows=rows, right={4})
    people = ", ".join(f"{escape(name)} {count:,}" for name, count in record["people"].items())
    say(f"{_many(record['count'], 'read')}, by {people}; names are asserted, not authenticated")


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _columns(said: list[str] | str) -> str:
    return said if isinstance(said, str) else ", ".join(said) or "none by name"
