"""What a training leaves behind, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from millstream.errors import IntegrityError
from millstream.training.numbering import Cluster
from millstream.training.splits import SplitCounts


class Leak(msgspec.Struct, frozen=True):
    """Something that tells a model what nobody could have known.

    Parameters
    ----------
    kind
        ``disguise``: one feature tells the label; ``parts``: two together do; ``group``: a feature is the mean of the
        labels of the rows that have it; ``duplicates``: rows are on both sides of the split; ``late``: facts come
        later than their table declares.
    features
        Which; empty where it is about rows.
    refused
        Whether nothing is trained with it, unless the definition vouches for the features.
    says
        What was seen, in a sentence.
    """

    kind: Literal["disguise", "parts", "group", "duplicates", "late"]
    features: tuple[str, ...]
    refused: bool
    says: str


class Worth(msgspec.Struct, frozen=True):
    """What one view, or one feature, is worth to a model, and what it costs.

    Parameters
    ----------
    name
        Of a view, or ``view.feature``.
    gain
        How much the goal metric loses without it, better is positive; None where nobody could measure it.
    low, high
        Its range over repeated draws.
    compute_ms
        Milliseconds to compute it for a thousand rows; None for a single feature, which is computed with its view.
    missing
        Share of the judged rows for which it has no value.
    lag_s
        How late its facts may be, as their tables declare; None for what comes with the request.
    """

    name: str
    gain: float | None
    low: float | None
    high: float | None
    missing: float
    compute_ms: float | None = None
    lag_s: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing shows that it helps."""
        return self.low is not None and self.low <= 0


class Lift(msgspec.Struct, frozen=True):
    """What the features of a model are worth: how much worse it answers when one is shuffled among the judged rows.

    Parameters
    ----------
    goal
        The metric.
    rows, repeats
        Judged rows used, and how often each was shuffled.
    views, features
        Worth most first.
    seconds
        What it took.
    cut
        Whether time ran out before every feature was measured.
    says
        What to make of it, in words.
    """

    goal: str
    rows: int
    repeats: int
    views: tuple[Worth, ...]
    features: tuple[Worth, ...]
    seconds: float
    cut: bool
    says: str


class Scores(msgspec.Struct, frozen=True):
    """Metrics of one predictor on one set of rows; None where a metric cannot be had."""

    metrics: dict[str, float | None]
    train_s: float = 0.0


class Segment(msgspec.Struct, frozen=True):
    """How a model does on the rows of one segment of the hold-out.

    Parameters
    ----------
    column, value
        Which rows: those whose column has this value, as a text; None is NULL.
    rows
        How many.
    model, baseline
        The goal metric of each on them; None where it cannot be had.
    """

    column: str
    value: str | None
    rows: int
    model: float | None
    baseline: float | None


class TrainingRecord(msgspec.Struct, frozen=True):
    """One training, as ``training.json`` keeps it.

    Parameters
    ----------
    model, task, goal
        What was trained, for which kind of answer, judged by which metric.
    estimator, params
        Import path, and the parameters as used: the definition's and those fixed for sameness.
    pins
        Table to the version that was read.
    since, until
        Rows decided from and before these instants (ISO 8601) were used; None is without bound.
    static_at
        Instant at which rows of a table without event time were decided.
    manifest_digest, plan_digest
        Hash of the definitions and of the feature plan.
    counts
        Rows at the hold-out's cut.
    cut, test_end
        The hold-out's span.
    metrics
        ``model`` and ``baseline`` on the hold-out, both fitted on what was known at the cut.
    train_s
        Seconds each took to fit.
    learnt_to
        Latest decision among the rows the shipped model was fitted on.
    shipped_rows
        Rows the shipped model was fitted on: every row whose label was known at ``until``.
    says
        One sentence about what is shipped and what was judged.
    seed, threads
        Fixed for sameness.
    content_hash
        SHA-256 of the model's files: equal data and definitions give an equal hash.
    started_at, ended_at
        ISO 8601, by the machine's clock.
    run_id
        The run in tracking, once logged.
    classes, levels
        Of the answers, where they are of classes or quantiles.
    assumptions
        What was assumed in fitting, such as what stands in for a missing feature.
    threshold
        Where answers become decisions and what that does, in words; empty for a model without.
    segments
        How it does on each segment of the hold-out; under a horizon also on each ``horizon``, in ticks ahead.
    clusters, clusters_given
        Of clusters: each group described, and how many numbers were ever given to groups.
    k
        Items of a list; 0 for other tasks.
    scale
        What ``mase`` is measured by; None without a seasonal naive rule.
    season
        Season of that rule, empty without.
    logged
        Address of the model that somebody logged with stock MLflow; empty for one fitted here.
    printed
        The end of what the estimator printed while the shipped model was fitted.
    leaks
        What may not have been known, and was not refused.
    lift
        What each view and feature is worth, and what it costs; None where nobody asked.
    """

    model: str
    task: str
    goal: str
    estimator: str
    params: dict[str, object]
    features: tuple[str, ...]
    pins: dict[str, int]
    since: str | None
    until: str | None
    static_at: str | None
    manifest_digest: str
    plan_digest: str
    counts: SplitCounts
    cut: str
    test_end: str
    metrics: dict[str, dict[str, float | None]]
    train_s: dict[str, float]
    learnt_to: str
    shipped_rows: int
    says: str
    seed: int
    threads: int
    content_hash: str
    started_at: str
    ended_at: str
    run_id: str = ""
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    assumptions: tuple[str, ...] = ()
    threshold: str = ""
    segments: tuple[Segment, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    clusters_given: int = 0
    k: int = 0
    scale: float | None = None
    season: str = ""
    logged: str = ""
    printed: str = ""
    leaks: tuple[Leak, ...] = ()
    lift: Lift | None = None

    @property
    def goal_value(self) -> float | None:
        """Return the goal metric of the model on the hold-out."""
        return self.metrics["model"].get(self.goal)


def read_record(folder: Path) -> TrainingRecord:
    """Read ``training.json`` of an artifact folder or release.

    Raises
    ------
    IntegrityError
        When it is missing or not what training writes.
    """
    path = folder / "training.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainingRecord)
    except (OSError, msgspec.MsgspecError) as wrong:
        raise IntegrityError(f"{path} cannot be read: {wrong}", do="train again, or restore the folder") from None
