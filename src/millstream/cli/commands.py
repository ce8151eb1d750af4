"""The commands. Each reads its words, calls the project, and prints the record it gets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from millstream.cli import branches, cataloged, data, featured, housekeeping, keeping
from millstream.cli import call as calls
from millstream.cli.panels import InOrder, arrange
from millstream.cli.words import JsonOption, ModelArgument, ProjectOption, ReasonOption
from millstream.cli.words import do as _do
from millstream.errors import UserError

app = typer.Typer(
    cls=InOrder,
    name="millstream",
    help="Puts models to work on the data that runs your business, and keeps them honest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 bad input, 3 not found, 4 refused, 5 conflict, 6 contract broken, 7 gate failed, "
    "8 integrity, 9 disk full, 10 not running.",
)


def run() -> None:
    """Run the command line."""
    app()


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
    environment: Annotated[
        str | None,
        typer.Option(
            "--env",
            "-e",
            envvar="MILLSTREAM_ENV",
            help="Where to stand: prod, or an overlay such as dev, which reads production's tables and writes its own.",
            show_default=False,
        ),
    ] = None,
) -> None:
    if environment:
        os.environ["MILLSTREAM_ENV"] = environment  # the processes this command starts stand there too
    if version:
        from millstream.version import __version__

        typer.echo(f"millstream {__version__}")
        raise typer.Exit


@app.command()
def init(  # noqa: PLR0913 - its options are what a person may say
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="Data to start from: CSV, CSV.gz, Parquet, a Delta table's folder, or postgresql://user@host/database "
            "with --table; may be repeated.",
        ),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Table of the database, schema.name; may be repeated.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Column to predict; COLUMN or TABLE.COLUMN.")] = "",
    timezone: Annotated[
        str, typer.Option("--timezone", help="Zone of times written without one; UTC is assumed and said.")
    ] = "",
    key: Annotated[list[str] | None, typer.Option("--key", help="Column that names a row; may be repeated.")] = None,
    time: Annotated[
        str,
        typer.Option("--time", help="Column that says when a row happened; COLUMN=%d/%m/%Y also how it is written."),
    ] = "",
    example: Annotated[
        str,
        typer.Option(
            "--example",
            help="A project that runs: flights, retail, churn, demand, failures, recommendations or anomalies.",
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write a project that runs: from your data, from an example, or a small commented one; with a git repository."""
    from millstream.cli import drawing, render

    with calls.told(as_json=as_json):
        if from_ and not label:
            raise UserError("init --from needs to know what to predict", expected="--label COLUMN")
        if not from_ and (label or key or time or table):
            raise UserError("--label, --key, --time and --table are about data", expected="--from FILE --label COLUMN")
        if from_ and example:
            raise UserError("--from and --example are two ways to start", expected="one of them")
        if from_:
            from millstream.cli.starting import Wishes, asked, begin

            wishes = Wishes(folder, asked(from_, table or ()), label, timezone, tuple(key or ()), time)
            with drawing.working("init", quiet=as_json):
                record = begin(wishes)
            calls.show(record, render.started, as_json=as_json)
        elif example:
            from millstream.cli.examples import models, write

            calls.show({**write(example, folder), "models": models(folder)}, render.init, as_json=as_json)
        else:
            from millstream.cli.starting import begin_empty

            calls.show(begin_empty(folder), render.started, as_json=as_json)


@app.command()
def demo(
    name: Annotated[str, typer.Argument(help="Which: flights (the whole loop) or retail (two incidents).")] = "flights",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder of the project; millstream-demo when left out.", show_default=False),
    ] = None,
    exit_: Annotated[bool, typer.Option("--exit", help="End when the story ends; leave nothing running.")] = False,
    ask: Annotated[
        bool, typer.Option("--ask", help="Wait for a person to approve, on the page or at the prompt.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Replay to the year's end, and every flight, not one in four.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option("--until", help="Last day to replay; 2013-08-31 or 2017-09-22 when left out.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop on all flights of 2013, or two incidents on real sales of 2017, and show it on one page."""
    from millstream.cli.demo import tell
    from millstream.cli.teller import Wishes

    with calls.told(as_json=as_json):
        tell(Wishes(name=name, folder=folder, exit=exit_, ask=ask, full=full, until=until, json=as_json))


@app.command()
def train(
    model: ModelArgument,
    note: Annotated[str, typer.Option("--note", help="Kept with the run.")] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model beside its baseline, and record the run with the table versions that made it."""
    _do("train", project, as_json=as_json, model=model, note=note)


@app.command()
def backtest(
    model: ModelArgument,
    version: Annotated[int | None, typer.Option("--version", help="Model version; the newest when left out.")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the recipe over rolling origins against baseline and champion, and give the gate's verdict."""
    _do("backtest", project, as_json=as_json, model=model, version=version)


@app.command()
def retrain(
    model: ModelArgument,
    reason: ReasonOption = "asked for",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Candidate, backtest, verdict, signed release; then wait for approval and swap."""
    _do("retrain", project, as_json=as_json, model=model, reason=reason)


@app.command()
def register(
    model: ModelArgument,
    logged: Annotated[
        str, typer.Argument(help="A model stock MLflow logged in the project's store: runs:/ID/NAME, or models:/m-...")
    ],
    learnt_to: Annotated[
        str | None, typer.Option("--learnt-to", help="Latest decision it was fitted on; later rows judge it.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why; kept with the version.")] = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a model that stock MLflow logged the next version, judged on the hold-out; then release it."""
    _do("register", project, as_json=as_json, model=model, logged=logged, learnt_to=learnt_to, note=note)


@app.command()
def release(
    model: ModelArgument,
    version: Annotated[int | None, typer.Option("--version", help="Model version; the newest when left out.")] = None,
    dirty: Annotated[
        bool, typer.Option("--dirty", help="Release with uncommitted definitions; the patch is kept.")
    ] = False,
    note: Annotated[str, typer.Option("--note", help="Kept with the release.")] = "",
    to: Annotated[
        str | None,
        typer.Option("--to", help="From an overlay: prod trains the committed recipe and asks there."),
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a signed release, rehearse its rollback and ask for approval."""
    if to is not None:
        from millstream.cli.promote import promote

        promote(project, model=model, version=version, note=note, to=to, as_json=as_json)
        return
    _do("release", project, as_json=as_json, model=model, version=version, dirty=dirty, note=note)


@app.command()
def approve(
    decision: Annotated[str | None, typer.Argument(help="Decision; the only one waiting when left out.")] = None,
    reason: ReasonOption = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a waiting release and put it live; its trainer may not."""
    _do("approve", project, as_json=as_json, decision=decision, reason=reason)


@app.command()
def reject(
    decision: Annotated[str | None, typer.Argument(help="Decision; the only one waiting when left out.")] = None,
    reason: ReasonOption = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject a waiting release; nothing changes for callers."""
    _do("reject", project, as_json=as_json, decision=decision, reason=reason)


@app.command()
def decision(
    decision: Annotated[
        str | None, typer.Argument(help="Decision; the only one waiting when left out.", show_default=False)
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a decision in plain words: what changes, better or worse, how sure, what if no; its notes and history."""
    _do("decision", project, as_json=as_json, decision=decision)


@app.command()
def decisions(
    model: Annotated[str | None, typer.Option("--model", help="Only about this model.", show_default=False)] = None,
    before: Annotated[
        int | None, typer.Option("--before", help="Only those with a smaller number.", show_default=False)
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List decisions, waiting and taken, newest first, twenty at a time."""
    _do("decisions", project, as_json=as_json, model=model, before=before)


@app.command()
def note(
    decision: Annotated[str, typer.Argument(help="Number of a decision, waiting or taken.")],
    text: Annotated[str, typer.Option("--text", "-m", help="What to keep with it; also a row of the ledger.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave a note at a decision, before or after it is taken."""
    _do("note", project, as_json=as_json, decision=decision, text=text)


@app.command()
def ready(
    model: ModelArgument,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a model against the eight points of a production set-up, with evidence or the command that gives it."""
    _do("ready", project, as_json=as_json, model=model)


@app.command()
def rollback(
    model: ModelArgument,
    to: Annotated[int | None, typer.Option("--to", help="Release version; the one before when left out.")] = None,
    reason: ReasonOption = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the release before back: model, feature code, schemas and environment together."""
    _do("rollback", project, as_json=as_json, model=model, to=to, reason=reason)


@app.command()
def score(
    model: ModelArgument,
    since: Annotated[str | None, typer.Option("--since", help="First decision instant.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Decision instant to stop before.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Parquet or CSV file to write.")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score rows in batch with the live release: the same scorer as the server's."""
    target = str(out.resolve()) if out else None
    _do("score", project, as_json=as_json, model=model, since=since, until=until, out=target)


@app.command()
def monitor(
    model: Annotated[str | None, typer.Argument(help="Name of a model; all when left out.")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge every day not yet judged: drift, performance, nulls, latency, bias, harm; show the alarms."""
    _do("monitor", project, as_json=as_json, model=model)


@app.command()
def status(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """Show where everything stands: tables, models, alarms, decisions, servers."""
    _do("status", project, as_json=as_json)


@app.command()
def why(
    prediction: Annotated[str, typer.Argument(help="Id of a prediction.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how one answer came about: who gave it, from which features of which table versions."""
    _do("why", project, as_json=as_json, prediction=prediction)


@app.command()
def audit(
    subject: Annotated[str, typer.Argument(help="MODEL@VERSION or MODEL@champion.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how a version came about: data, code, environment, people."""
    _do("audit", project, as_json=as_json, subject=subject)


@app.command()
def reproduce(
    subject: Annotated[str, typer.Argument(help="MODEL@VERSION or MODEL@champion.")],
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a version again from its pins, and compare the bytes."""
    _do("reproduce", project, as_json=as_json, subject=subject)


@app.command()
def verify(
    anchor: Annotated[
        Path | None,
        typer.Option(
            "--anchor",
            help="File of the ledger's heads, kept elsewhere: compared with, then the present head is added.",
            show_default=False,
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every byte of attached tables too; keeps hashes for the next time.")
    ] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify ledger, tables, models, releases and answers; name the first thing of each that does not hold."""
    _do("verify", project, as_json=as_json, anchor=None if anchor is None else str(anchor.resolve()), deep=deep)


@app.command()
def lab(
    project: ProjectOption = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port; 0, or none said, takes a free one.", min=0, max=65_535)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Write a starter notebook if there is none, and open JupyterLab on the project."""
    with calls.told(as_json=as_json):
        from millstream.cli import notebooks

        notebooks.lab(calls.find_root(project), port=port, browser=browser, as_json=as_json)


@app.command()
def mlflow(
    project: ProjectOption = None,
    port: Annotated[
        int, typer.Option("--port", help="Port of the page; 0 takes a free one.", min=0, max=65_535)
    ] = 5000,
    as_json: JsonOption = False,
) -> None:
    """Open MLflow's own page on the project's runs, or say how to."""
    with calls.told(as_json=as_json):
        from millstream.cli import notebooks

        notebooks.mlflow(calls.find_root(project), port=port, as_json=as_json)


@app.command()
def serve(
    project: ProjectOption = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 takes a free one.", min=0, max=65_535)] = None,
) -> None:
    """Run the scoring server alone."""
    import subprocess

    with calls.told(as_json=False):
        root = calls.find_root(project)
        from millstream.settings import read

        settings = read(root)
        chosen = settings.server.scoring_port if port is None else port
        command = [sys.executable, "-m", "millstream.serving.server", "--project", str(root), "--port", str(chosen)]
        if settings.replay is not None:
            command.append("--replay")
        sys.exit(subprocess.call(command))


@app.command()
def up(
    project: ProjectOption = None,
    scoring_port: Annotated[
        int | None, typer.Option("--scoring-port", help="0 takes a free one.", min=0, max=65_535)
    ] = None,
    control_port: Annotated[
        int | None, typer.Option("--control-port", help="0 takes a free one.", min=0, max=65_535)
    ] = None,
) -> None:
    """Run all of it, one process tree: page, API, loop, workers and scoring server."""
    with calls.told(as_json=False):
        root = calls.find_root(project)
        from millstream.server.client import running

        already = running(root)
        if already is not None:
            raise UserError(f"this project is up already at {already.address.url}", do="millstream status")
        from millstream.cli import render
        from millstream.server.supervisor import Supervisor

        supervisor = Supervisor(root, scoring_port=scoring_port, control_port=control_port)
        supervisor.start()
        try:
            control = supervisor.ready()
            render.up(control.address, supervisor.scoring_url)
            supervisor.wait()
        finally:
            supervisor.stop()


app.registered_commands += branches.app.registered_commands
app.registered_commands += data.app.registered_commands
app.registered_commands += keeping.app.registered_commands
app.registered_commands += housekeeping.app.registered_commands
cataloged.register(app)
app.add_typer(featured.app)
arrange(app)
