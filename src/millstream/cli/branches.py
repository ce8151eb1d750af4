"""Branches: overlays in which tables are changed for an experiment; each is shown, and then thrown away or released."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from millstream.cli import call as calls
from millstream.cli.words import JsonOption, ProjectOption
from millstream.errors import NotFound, Refused, UserError, near
from millstream.settings import PRODUCTION, VARIABLE, places, read

app = typer.Typer()


@app.command()
def branch(  # noqa: PLR0913 - its options are what a person may say
    name: Annotated[
        str | None, typer.Argument(help="Name of a branch, made when new; all are listed without.", show_default=False)
    ] = None,
    table: Annotated[str, typer.Option("--table", help="Table to change or show.", show_default=False)] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="'COLUMN = EXPRESSION' for its rows; may be repeated.", show_default=False),
    ] = None,
    where: Annotated[
        str, typer.Option("--where", help="Which rows, as an expression; all when left out.", show_default=False)
    ] = "",
    rows: Annotated[
        Path | None,
        typer.Option("--rows", help="CSV or Parquet file of rows to put in by their key.", show_default=False),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the rows of --where away.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what the branch changed.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --diff: write a table's changed rows here.", show_default=False)
    ] = None,
    rebase: Annotated[bool, typer.Option("--rebase", help="The same edits upon production's newest versions.")] = False,
    keep: Annotated[
        str, typer.Option("--keep", help="With --rebase: whose rows stay, mine or prod.", show_default=False)
    ] = "",
    discard: Annotated[bool, typer.Option("--discard", help="Throw it away with all it wrote.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before that.")] = False,
    to: Annotated[
        str,
        typer.Option("--to", help="prod: write its rows and a definition that has them.", show_default=False),
    ] = "",
    note: Annotated[str, typer.Option("--note", help="Why; kept with it.", show_default=False)] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change tables for an experiment without copying them: production's files stay, and only yours differ."""
    from millstream.cli import drawing

    edits = {
        "set": set_,
        "rows": str(rows.resolve()) if rows else None,
        "remove": remove or None,
        "where": where or None,
    }
    with calls.told(as_json=as_json):
        root = calls.find_root(project)
        action, arguments = _meant(
            name=name,
            said={"edit": any(edits.values()), "diff": diff, "rebase": rebase, "discard": discard, "to": bool(to)},
        )
        _refuse_lone(action, table=table, out=out, keep=keep, yes=yes)
        _stand(root, name, action)
        if action == "edit":
            if not table:
                raise UserError("no table was named to change", expected="--table NAME")
            arguments = {"table": table, "note": note, **{word: each for word, each in edits.items() if each}}
        elif action == "branch":
            arguments = {"note": note}
        elif action == "changes":
            arguments = {"table": table, "out": str(out.resolve()) if out else ""}
        elif action == "rebase":
            arguments = {"table": table, "keep": keep}
        elif action == "discard":
            arguments = {"name": name}
            _ask(str(name), yes=yes)
        elif action == "release_rows":
            if to != PRODUCTION:
                raise UserError(f"--to {to} is no way to release", expected=f"--to {PRODUCTION}")
            arguments = {"name": name, "table": table, "note": note}
        with drawing.working("branch", quiet=as_json):
            record = calls.call(root, action, arguments)
        calls.show(record, _SHOWS.get(action, _one), as_json=as_json)


def _meant(*, name: str | None, said: dict[str, bool]) -> tuple[str, dict[str, Any]]:
    """Return the command of the project that was meant."""
    given = [each for each, there in said.items() if there]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} were asked for at once", expected="one of them")
    if name is None:
        if given:
            raise UserError("no branch was named", expected="millstream branch NAME ...")
        return "branches", {}
    actions = {"diff": "changes", "to": "release_rows"}
    return (actions.get(given[0], given[0]) if given else "branch"), {}


def _refuse_lone(action: str, *, table: str, out: Path | None, keep: str, yes: bool) -> None:
    """Refuse options that say nothing without others: nobody should think that they did something."""
    lone = {
        "--table": bool(table) and action not in ("edit", "changes", "rebase", "release_rows"),
        "--out": out is not None and action != "changes",
        "--keep": bool(keep) and action != "rebase",
        "--yes": yes and action != "discard",
    }
    said = [each for each, there in lone.items() if there]
    if said:
        raise UserError(
            f"{', '.join(said)} says nothing by itself",
            expected="--set, --rows, --remove, --diff, --rebase, --to or --discard",
        )


def _stand(root: Path, name: str | None, action: str) -> None:
    """Stand in the branch that is named; a branch rests on production, never on another branch."""
    here = os.environ.get(VARIABLE) or PRODUCTION
    if name == PRODUCTION:
        raise Refused(f"{PRODUCTION} is production, not a branch of it", expected="a name of your own, such as exp")
    if here not in (PRODUCTION, name) and name is not None:
        raise Refused(
            f"a branch rests on production, and this is {here}",
            expected="no branch of a branch",
            do=f"millstream --env {PRODUCTION} branch {name}",
        )
    if action in ("changes", "rebase", "release_rows"):
        home = places(root, read(root, PRODUCTION)).state / "env"
        there = [each.parent.name for each in home.glob("[!.]*/state.db")]
        if name not in there:
            made = f"millstream branch {name} makes it"
            raise NotFound(f"there is no branch {name!r}", expected=near(str(name), there) if there else "", do=made)
    os.environ[VARIABLE] = PRODUCTION if action in ("branches", "discard", "release_rows") else str(name)


def _ask(name: str, *, yes: bool) -> None:
    """Ask before a branch is thrown away; where nobody can answer, only with a word."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"branch {name} would be thrown away with its runs, models and edits, and nobody is there to be asked",
            expected="--yes",
            do=f"millstream branch {name} --diff shows what would be lost",
        )
    if not typer.confirm(f"Throw branch {name} away, with its runs, models and edits?", err=True):
        raise Refused(f"branch {name} stays as it is")


def _listed(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import say, table

    if not record["branches"]:
        say("there is no branch: millstream branch NAME makes one")
        return
    rows = [
        tuple(map(escape, (each["name"], each["by"], each["since"][:16], _changed(each), _late(each))))
        for each in record["branches"]
    ]
    table("branch", "by", "since", "changed", "behind production", rows=rows)


def _changed(one: dict[str, Any]) -> str:
    said = [f"{each['table']} ({_edits(each)})" for each in one["tables"]]
    said += [f"{each['model']}@{each['version']}" for each in one["models"]]
    return ", ".join(said) or "nothing"


def _edits(one: dict[str, Any]) -> str:
    return f"{len(one['edits'])} edit{'s' * (len(one['edits']) != 1)}"


def _late(one: dict[str, Any]) -> str:
    return ", ".join(f"{each['table']} by {each['versions']}" for each in one["behind"]) or "no"


def _one(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, say

    name = escape(record["name"])
    new = " is made: production's tables as they are, no byte copied" if record["made"] else ""
    say(f"branch [bold]{name}[/] of {escape(record['by'])}, since {record['since'][:16]}{new}", tone="good")
    for each in record["tables"]:
        _edited(each)
    say(f"changed: {escape(_changed(record))}; behind production: {escape(_late(record))}")
    console.print(
        f"\nnext:\n  millstream branch {name} --table TABLE --set 'COLUMN = EXPRESSION'\n"
        f"  millstream --env {name} train MODEL\n  millstream branch {name} --diff"
    )


def _edited(each: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import number, say

    shared, own = number(each["bytes_shared"]), number(each["bytes_written"])
    rests = f"[bold]{escape(each['table'])}[/] rests on production's version {each['base']}"
    say(f"{rests}: {shared} bytes of it are read where they are, {own} are this branch's own")


def _edit(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, number, say

    if "base" not in record:
        say(f"nothing was changed: {escape(record['says'])}")
        return
    counted = f"{number(record['changed'])} rows changed, {number(record['new'])} new, {number(record['gone'])} gone"
    say(f"[bold]{escape(record['table'])}[/] in {escape(record['branch'])}: {counted}", tone="good")
    bytes_ = f"{number(record['bytes_shared'])} bytes of version {record['base']} are read where they are"
    say(f"{bytes_}, {number(record['bytes_written'])} were written; production is as it was")
    console.print(f"\nnext:\n  millstream --env {escape(record['branch'])} refresh")


def _diff(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, number, say

    if not record["tables"] and not record["models"] and not record["definitions"]:
        say(f"{escape(record['branch'])} changed nothing")
    for each in record["tables"]:
        counted = f"{number(each['changed'])} changed, {number(each['new'])} new, {number(each['gone'])} gone"
        say(f"[bold]{escape(each['table'])}[/]: {counted}, by {_edits(each)} upon version {each['base']}")
        for row in each["examples"]["changed"]:
            key = ", ".join(f"{name} {value}" for name, value in row["key"].items())
            cells = ", ".join(f"{name}: {old} → {new}" for name, (old, new) in row["columns"].items())
            say(f"{escape(key)}  {escape(cells)}", indent=4)
        for word, sign in (("new", "+"), ("gone", "-")):
            for row in each["examples"][word]:
                say(f"{sign} {escape(', '.join(f'{name} {value}' for name, value in row.items()))}", indent=2)
        if each.get("out"):
            say(f"written to {escape(each['out'])}", tone="good")
    for each in record["models"]:
        other = each["champion_value"]
        beside = f", production's champion {number(other)}" if other is not None else ", production has no champion"
        on = f"; trained on edited {', '.join(each['on_edits'])}" if each["on_edits"] else ""
        say(f"{escape(each['model'])}@{each['version']}: {each['metric']} {number(each['value'])}{beside}{escape(on)}")
    if record["definitions"]:
        say("definitions that differ from the commit (the folder is all environments'):")
        console.print(escape("\n".join(record["definitions"].splitlines()[:60])))
    _stale(record)


def _stale(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import say

    for each in record["behind"]:
        way = f"branch {record['branch']} --rebase" if each["edited"] else f"--env {record['branch']} refresh"
        count = f"{each['versions']} version{'s' * (each['versions'] != 1)}"
        say(
            f"{escape(each['table'])}@{each['base']} is {count} behind production: millstream {escape(way)}",
            tone="warn",
        )


def _rebased(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import say

    if not record["rebased"]:
        say("every edit rests on production's newest version already")
    for each in record["rebased"]:
        moved = f"[bold]{escape(each['table'])}[/] rests on version {each['base']} now, before on {each['since']}"
        say(moved + (f"; {escape(each['says'])}" if each["conflicts"] else ""), tone="good")
    _stale(record)


def _discarded(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import number, say

    say(f"branch [bold]{escape(record['discarded'])}[/] is gone: {number(record['bytes'])} bytes", tone="good")
    told = [(len(record["tables"]), "edited table"), (record["runs"], "model version")]
    counted = ", ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in told)
    say(f"it had {counted}; production's ledger keeps their names")


def _released(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, number, say

    counted = f"{number(record['changed'])} rows changed, {number(record['new'])} new, {number(record['gone'])} gone"
    new, files = escape(record["into"]), " ".join(map(escape, record["files"]))
    if not record["written"]:
        say(f"{files} say this already")
        return
    say(f"[bold]{new}[/] is {escape(record['table'])} with these rows: {counted}", tone="good")
    say(f"written: {files}; production has it once this is committed and refreshed")
    if record["used_by"]:
        say(f"{escape(record['table'])} is read by {escape(', '.join(record['used_by']))}: point them at {new}")
    console.print(f"\nnext:\n  git add {files}\n  git commit -m WHY\n  millstream refresh {new}")


_SHOWS = {
    "release_rows": _released,
    "branches": _listed,
    "edit": _edit,
    "changes": _diff,
    "rebase": _rebased,
    "discard": _discarded,
}
