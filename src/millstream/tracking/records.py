"""What goes into tracking, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Beside: TypeAlias = Literal["", "probabilities", "quantiles", "distances"]


class StoredModel(msgspec.Struct, frozen=True):
    """A model as stock MLflow needs it to load one.

    Parameters
    ----------
    kind
        ``lightgbm`` of one number loads through MLflow's own flavor; all others bring a small loader with them.
    features
        Names of the columns, in order; every one is a double.
    files
        Name to content. A LightGBM model of one number is ``model.txt``; the others are ``model.json`` and the files
        it names; a Python model has its own file and the project's code beside.
    beside
        What answers say beside their value, ``probabilities``, ``quantiles`` or ``distances``; empty for one number.
    packages
        Packages that a Python model needs besides.
    decides
        What is decided by its number, ``decision`` or ``flagged``, when a client asks for it with ``decide``; empty for
        a model without a threshold.
    """

    kind: str
    features: tuple[str, ...]
    files: dict[str, bytes]
    beside: Beside = ""
    packages: tuple[str, ...] = ()
    decides: Literal["", "decision", "flagged"] = ""

    @property
    def needs_lightgbm(self) -> bool:
        """Whether LightGBM is needed to load it."""
        return any(name.endswith(".txt") for name in self.files)


class RunRecord(msgspec.Struct, frozen=True):
    """One training, ready to be logged.

    Parameters
    ----------
    model
        Name of the model; its runs are one MLflow experiment.
    params
        What it was made with.
    metrics
        Name to value; names may have slashes (``baseline/roc_auc``). None is left out: MLflow knows no missing value.
    series
        Name to one value a step (``fold/roc_auc``), None where it cannot be had.
    pins
        Table to version. Each is a dataset input with the digest ``table@version``.
    tags
        Free texts, such as the git commit.
    started_at, ended_at
        Seconds since the epoch.
    note
        Why the run was made; shown as its description.
    """

    model: str
    params: Mapping[str, str]
    metrics: Mapping[str, float | None]
    pins: Mapping[str, int]
    started_at: float
    ended_at: float
    series: Mapping[str, tuple[float | None, ...]] = {}
    tags: Mapping[str, str] = {}
    note: str = ""


class TrackedRun(msgspec.Struct, frozen=True):
    """One run as MLflow has it; ``started_at`` is ISO 8601, UTC."""

    run_id: str
    model: str
    status: str
    started_at: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    datasets: tuple[str, ...]


class TrackedVersion(msgspec.Struct, frozen=True):
    """One registered model version as MLflow has it."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
