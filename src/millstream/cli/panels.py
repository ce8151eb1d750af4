"""The commands in the order a person meets them, each with one short line, for ``millstream --help``."""

from __future__ import annotations

import typer
from typer.core import TyperGroup

PANELS: dict[str, dict[str, str]] = {
    "Begin": {
        "init": "Write a project that runs: from your data, an example, or empty",
        "demo": "Run the whole loop on flights, or two incidents on retail data",
    },
    "Data": {
        "refresh": "Bring every table to its newest version; say why",
        "ingest": "Notice new versions and files; the same twice changes nothing",
        "check": "Run the contracts on what arrived",
        "pin": "Keep a version readable, by copies if you like",
        "branch": "Change tables for an experiment, without copying them",
        "quarantine": "Rows set aside and why; let repaired ones back",
        "profile": "Look at a table, and at what could mislead a model",
        "catalog": "What data there is, whose it is, and who depends on it",
        "lineage": "What something is made of, or what is made of it",
        "sql": "Ask pinned versions of the tables in DuckDB's dialect",
    },
    "Models": {
        "train": "Train a model beside its baseline",
        "backtest": "Replay the recipe over the past; the gate's verdict",
        "register": "Take a model that stock MLflow logged as a version",
        "release": "Sign, rehearse the rollback, ask for approval",
        "retrain": "Train, judge, sign, ask and swap, in one go",
        "score": "Answer for many rows at once with the live release",
    },
    "Decide": {
        "decision": "One decision in plain words",
        "decisions": "Decisions, waiting and taken",
        "note": "Leave a note with a decision",
        "approve": "Put a waiting release live; its trainer may not",
        "reject": "Leave everything as it is",
        "rollback": "Put the release before back, whole",
        "ready": "The eight points of a production set-up",
    },
    "Run and watch": {
        "up": "Run all of it: page, API, loop and scoring server",
        "serve": "Run the scoring server alone",
        "status": "Where everything stands",
        "monitor": "Judge every day not yet judged; show the alarms",
    },
    "Prove": {
        "why": "How one answer came about",
        "audit": "How a version came about",
        "reproduce": "Train a version again, compare the bytes",
        "reads": "Who read a table, which version and columns",
        "verify": "Ledger, tables and releases hold, or what does not",
        "features": "Trained on what was known, served what it was trained on: proved",
    },
    "Keep": {
        "backup": "Copy all that the project knows; only what is new, each time",
        "restore": "Make the project from a backup, every byte compared",
        "usage": "What each table holds, who read it last, what rests on it",
        "gc": "What may go, and what holds the rest; it goes when you say yes",
        "compact": "Write many small files anew as a few large ones",
    },
    "Notebooks": {
        "lab": "Open JupyterLab on the project",
        "mlflow": "Open MLflow's own page on the runs",
    },
}
"""Panel to command to its line."""


class InOrder(TyperGroup):
    """Lists commands, and groups of them, in the order of the panels."""

    def list_commands(self, ctx: object) -> list[str]:
        """Name the commands in order; one that is in no panel comes last."""
        order = [name for named in PANELS.values() for name in named]
        return sorted(self.commands, key=lambda each: order.index(each) if each in order else len(order))


def arrange(app: typer.Typer) -> None:
    """Put an app's commands into their panels, in order; one that is in none comes last, under its own words."""
    place = {name: (panel, short) for panel, named in PANELS.items() for name, short in named.items()}
    order = list(place)
    for each in app.registered_commands:
        panel, short = place.get(_name(each), ("More", None))
        each.rich_help_panel = panel
        each.short_help = short
    for group in app.registered_groups:
        panel, short = place.get(
            str(group.name or group.typer_instance.info.name if group.typer_instance else ""), ("More", None)
        )
        group.rich_help_panel, group.short_help = panel, short
    app.registered_commands.sort(key=lambda each: order.index(_name(each)) if _name(each) in order else len(order))


def _name(command: typer.models.CommandInfo) -> str:
    if command.name:
        return command.name
    assert command.callback is not None
    return str(command.callback.__name__).strip("_")
