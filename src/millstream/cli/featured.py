"""Commands about features: proofs that what a model was trained on was known, and is what it is served."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from millstream.cli.words import JsonOption, ModelArgument, ProjectOption, do

app = typer.Typer(name="features", no_args_is_help=True, help="Prove what a model was trained on and was served.")
_FEW = 12


@app.callback()
def _features() -> None:
    """Prove what a model was trained on and was served."""


@app.command()
def audit(
    model: ModelArgument,
    version: Annotated[int | None, typer.Option("--version", help="The newest when left out.")] = None,
    rows: Annotated[int, typer.Option("--rows", help="Rows to sample of its training set.", metavar="K")] = 100,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute samples of what a model was trained on from raw facts cut at each decision; name what differs."""
    do("features_audit", project, as_json=as_json, show=_audit, model=model, version=version, rows=rows)


@app.command()
def parity(
    model: ModelArgument,
    since: Annotated[
        str, typer.Option("--since", help="Instant, day or length of time back, such as 24h, to begin with.")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option("--until", help="Instant or day to stop before; else now.", show_default=False)
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove, row by row, that what was served is what a point-in-time read gives.

    Every logged vector is computed again from the lake, by its release's own definitions, at its instant and at the
    table versions it named. A difference is told with its feature, row, both values and cause; the exit code is 8.
    """
    do("features_parity", project, as_json=as_json, show=_parity, model=model, since=since, until=until)


def _audit(record: dict[str, Any]) -> None:
    """Show what an audit found, feature by feature."""
    from rich.markup import escape

    from millstream.cli.drawing import number, say, table

    say(escape(record["says"]), tone="good" if record["ok"] else "bad")
    table(
        "feature",
        "equal",
        "all",
        rows=[
            (each["feature"], number(each["equal"]), number(each["all"]) if not each["unproven"] else each["unproven"])
            for each in record["features"]
        ],
        right={1, 2},
    )
    say(
        escape(record["seen"]["says"]),
        tone="bad" if record["seen"]["later"] else "good" if record["seen"]["rows"] else "",
    )
    for each in record["seen"]["findings"][:10]:
        say(escape(each["says"]), tone="warn")
    for each in record["differences"][:10]:
        say(escape(each["says"]), tone="warn")
    hidden = record["different"] - min(10, len(record["differences"]))
    if hidden > 0:
        say(f"and {hidden:,} more: --json has the first {len(record['differences'])}", tone="warn")


def _parity(record: dict[str, Any]) -> None:
    from rich.markup import escape

    from millstream.cli.drawing import console, number, say, table

    wrong = record["different"]
    whole = record["compared"] and not record["unproved"]
    say(escape(record["says"]), tone="bad" if wrong else "good" if whole else "warn")
    table(
        "answer", "row", "feature", "served", "recomputed", "cause",
        rows=[
            (
                each["id"],
                escape("|".join(map(str, each["key"].values()))),
                escape(each["feature"]) + (f" (item {each['item'] + 1})" if each["item"] is not None else ""),
                _value(each["served"]),
                _value(each["recomputed"]),
                each["cause"],
            )
            for each in record["differences"][:_FEW]
        ],
    ) if record["differences"] else None  # fmt: skip
    for says in list(dict.fromkeys(each["says"] for each in record["differences"]))[:_FEW]:
        console.print(f"    {escape(says)}", highlight=False)
    if len(record["differences"]) > _FEW:
        console.print(f"    [dim]{number(wrong)} answers in all: --json tells the first hundred values[/]")
    for why, count in {**record["apart"], **record["unproved"]}.items():
        say(f"{count:,} apart: {escape(why)}", tone="warn" if why in record["unproved"] else "")
    if record["rounded"]:
        console.print(f"    [dim]{record['rounded']:,} of them within rounding, not bit by bit[/]")
    today = record["today"]
    if moved := today["late"] + today["unseen"]:
        say(
            f"{moved:,} would read otherwise in training today: {today['late']:,} for a late fact,"
            f" {today['unseen']:,} for one not yet seen"
            f"{'; lag= of the table says how late facts come' if today['late'] else ''}"
        )
    span = f"{record['since'][:16]} to {record['until'][:16]}"
    console.print(f"    [dim]{record['answers']:,} answers, {span}, {record['seconds']:.1f} s[/]")


def _value(value: Any) -> str:
    from rich.markup import escape

    return "NULL" if value is None else escape(value) if isinstance(value, str) else repr(value)
