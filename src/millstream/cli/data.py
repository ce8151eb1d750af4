"""Commands about tables: bring them, check them, look at them, ask them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from millstream.cli import call as calls
from millstream.cli.words import JsonOption, ProjectOption
from millstream.cli.words import do as _do
from millstream.errors import UserError

app = typer.Typer()


@app.command()
def ingest(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables; all when left out.")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Notice new versions of attached tables and take in new or changed files; the same input twice changes nothing."""
    _do("ingest", project, as_json=as_json, tables=tables)


@app.command()
def refresh(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables; all when left out.")] = None,
    accept_schema: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-schema",
            metavar="TABLE",
            help="Agree to the columns this table waits for, and to no others; may be said again.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make these tables although nothing changed, all partitions or some.")
    ] = False,
    partition: Annotated[
        list[str] | None,
        typer.Option("--partition", help="With --again: only this partition, such as 2024-03; may be repeated."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", "--dry-run", help="Only say what would be made, and why; nothing is run.")
    ] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring every table to its newest version, remake what a step makes where something changed; says why."""
    words: dict[str, Any] = {"again": again or None, "partitions": partition, "plan": plan or None}
    _do("refresh", project, as_json=as_json, tables=tables, accept_schema=accept_schema or None, **words)


@app.command()
def pin(
    version: Annotated[
        str, typer.Argument(help="TABLE@VERSION, or TABLE for its newest; all pins when left out.", show_default=False)
    ] = "",
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy its files into the lake; reads use the copies when the owner deletes.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Let the pin go; copies stay.")] = False,
    note: Annotated[str, typer.Option("--note", help="Why; kept with the pin.")] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a version readable: what rests on which, what its owner deleted or may soon, and copies of its files."""
    _do("pin", project, as_json=as_json, version=version, copy=copy, drop=drop, note=note)


@app.command()
def check(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables; all when left out.")] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Propose checks from the data, held against its own past; run none.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Name each expected row of short periods that is still missing; run none.")
    ] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the contracts on what arrived since they last ran; the exit code says whether one of severity stop broke."""
    if suggest and missing:
        with calls.told(as_json=as_json):
            raise UserError("both --suggest and --missing were given", expected="one of them")
    if suggest or missing:
        _do("suggest" if suggest else "missing", project, as_json=as_json, tables=tables)
        return
    _do("check", project, as_json=as_json, tables=tables)


@app.command()
def quarantine(
    table: Annotated[str, typer.Argument(help="Name of a table.")],
    release: Annotated[
        list[str] | None, typer.Option("--release", help="Let this key back (its values, with commas); repeatable.")
    ] = None,
    check: Annotated[str, typer.Option("--check", help="Only what this check set aside.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Let them back, and why: kept on the ledger.")] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List rows in quarantine with their reasons; with --reason let keys, or all that a check set aside, back."""
    if reason or release:
        _do("let_back", project, as_json=as_json, table=table, keys=release or [], check=check, reason=reason)
    else:
        _do("quarantine", project, as_json=as_json, table=table, check=check)


@app.command()
def profile(
    table: Annotated[str, typer.Argument(help="Name of a table.")],
    label: Annotated[str, typer.Option("--label", help="Column to predict: say which others may tell it.")] = "",
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one self-contained page.", show_default=False)
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a table holds at its newest version: each column, keys, times, gaps, and what could mislead a model."""
    from millstream.cli import drawing, render

    with calls.told(as_json=as_json):
        root = calls.find_root(project)
        with drawing.working("profile", quiet=as_json):
            record = calls.call(root, "profile", {"table": table, "label": label})
        if html is not None:
            from millstream.console.profiled import write

            write(record, html)
            record["html"] = str(html.resolve())
        calls.show(record, render.profile, as_json=as_json)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A SELECT in DuckDB's dialect over the project's tables.")],
    csv: Annotated[Path | None, typer.Option("--csv", help="Write every row to this CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write every row to this Parquet file.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", help="As known at an instant: later facts and corrections left out.", show_default=False
        ),
    ] = None,
    as_seen: Annotated[
        str | None,
        typer.Option("--as-seen", help="At the versions that were the newest at an instant.", show_default=False),
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", help="TABLE=VERSION, for each table to read at one.", show_default=False)
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask pinned versions of the tables; the read goes on the ledger."""
    with calls.told(as_json=as_json):
        out = calls.one_file(csv=csv, parquet=parquet)
        pins = calls.pins(at)
    _do("sql", project, as_json=as_json, query=query, out=out, as_of=as_of, as_seen=as_seen, at=pins)
