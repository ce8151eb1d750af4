"""Commands about features: proofs that what a model was trained on was known."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from millstream.cli.words import JsonOption, ModelArgument, ProjectOption
from millstream.cli.words import do as _do

app = typer.Typer(name="features", no_args_is_help=True, help="Prove what a model was trained on and was served.")


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
    _do("features_audit", project, as_json=as_json, show=shown, model=model, version=version, rows=rows)


def shown(record: dict[str, Any]) -> None:
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
