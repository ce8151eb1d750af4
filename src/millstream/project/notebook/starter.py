"""The notebook a project starts with: it runs from top to bottom as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from millstream.definitions.features import Request
from millstream.definitions.manifest import Manifest
from millstream.definitions.model import Model
from millstream.errors import StorageFull

FILE = Path("notebooks") / "start.ipynb"

Cell = tuple[str, str]
"""Kind (``markdown`` or ``code``) and text."""


def write(root: Path, manifest: Manifest) -> bool:
    """Write the starter notebook of a project; one that is there stays as it is.

    Returns
    -------
    Whether it was written.

    Raises
    ------
    StorageFull
        When the disk refuses.
    """
    path = root / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    except OSError as wrong:
        raise StorageFull(
            f"{path} could not be written: {wrong}", do="look at the folder's owner and the disk"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(notebook(cells(manifest)), file, indent=1, ensure_ascii=False)
        file.write("\n")
    return True


def cells(manifest: Manifest) -> list[Cell]:
    """Return the cells of a project's starter notebook."""
    found: list[Cell] = [
        (
            "markdown",
            "# A first look\n\nThis notebook stands on the full data of the project. Every read names a table version "
            "and goes on the ledger; nothing here changes what is live.",
        ),
        ("code", 'import millstream\n\np = millstream.open(".")\np.tables()'),
    ]
    if manifest.tables:
        name = next(reversed(manifest.tables))
        found += [
            (
                "markdown",
                "## Tables\n\nA table stays at the version it was opened at. `frame()` is Polars, `to_pandas()` is "
                'pandas; `as_of="2013-01-20"` shows what was known at an instant, `between=(..., ...)` a span of event '
                "time. `p.sql` speaks DuckDB's dialect. A table that is *not read yet* wants `millstream ingest`.",
            ),
            ("code", f'{name} = p.table("{name}")\n{name}'),
            ("code", f'p.sql("select count(*) as n from {name}")'),
        ]
    if manifest.models:
        found += _learning(manifest, next(iter(manifest.models)))
    return found


def _learning(manifest: Manifest, name: str) -> list[Cell]:
    model = manifest.model(name)
    windowed = [
        f"{role.name}.{feature}"
        for role in model.features
        if not isinstance((view := manifest.view(role.view)).of, Request)
        for feature in view.features
    ]
    found: list[Cell] = [
        (
            "markdown",
            "## A training set\n\nRows joined to what was known when each was decided, and to labels that became known "
            "later. The same set again costs nothing; another feature computes that feature.",
        ),
        ("code", f'ts = p.training_set("{name}")\nts'),
    ]
    if windowed:
        text = "Why is a number what it is? The facts in its window, and those left out because they came too late."
        found += [("markdown", text), ("code", f'ts.why("{windowed[0]}", row=len(ts) - 1)')]
    found += [
        (
            "markdown",
            "## A try\n\n`but` changes any word of the definition: estimator, features, split ... The run is recorded "
            "with its table versions, in MLflow and in the registry.",
        ),
        (
            "code",
            f'{name} = p.model("{name}")\nrun = p.train({_change(model)})\nrun',
        ),
        ("code", f'before = p.train("{name}", note="as the files have it")\np.compare(run, before)'),
        ("code", f'p.runs("{name}")'),
        (
            "markdown",
            "## Into production\n\n`p.adopt(run)` writes what changed into the definition file. "
            f"Then `git commit -am ...`, `millstream release {name} --version N`, and another person approves.",
        ),
        ("code", "# p.adopt(run)"),
    ]
    return found


def _change(model: Model) -> str:
    """Return the change to try first: without the last feature view, where there are several."""
    *others, last = model.features
    if others:
        return f'{model.name}.but(features={model.name}.features[:-1]), note="without {last.name}"'
    return f'{model.name}.but(seed={model.seed + 1}), note="another seed"'


def notebook(said: list[Cell]) -> dict[str, Any]:
    """Return cells as a notebook file has them (nbformat 4.5)."""
    made = []
    for place, (kind, text) in enumerate(said):
        cell: dict[str, Any] = {
            "cell_type": kind, "id": f"cell-{place:02}", "metadata": {}, "source": text.splitlines(keepends=True)
        }  # fmt: skip
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
