"""Rolling-origin replay of a recipe: how good it would have been, had it been trained again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.definitions.model import Model
from millstream.definitions.tasks import Shape
from millstream.errors import BadData
from millstream.metrics.binary import ranks
from millstream.metrics.registry import Metric
from millstream.training.champion import Champion, champion_predicts, refuse_other_answers
from millstream.training.estimators import default_threads
from millstream.training.folds import Fold, Given, chosen_metrics, measure, origins, run_fold
from millstream.training.listed import champions_lists, says
from millstream.training.matrix import Array
from millstream.training.record import Scores
from millstream.training.segments import Part, parts
from millstream.training.sets import TrainingSet
from millstream.training.shapes import rare, shape_of
from millstream.training.splits import Rows, Split, SplitCounts
from millstream.training.unlabelled import share_of
from millstream.types import from_micros

FEW_OF_A_CLASS = 10
"""Of a class with fewer rows than this nothing can be said."""


class FoldReport(msgspec.Struct, frozen=True):
    """One origin: its cut, what was counted, and how everyone did on the span after it.

    ``champion`` is None where it was trained on rows of the span (nothing could be learnt from that comparison).
    """

    cut: str
    end: str
    counts: SplitCounts
    candidate: Scores
    baseline: Scores
    champion: Scores | None


class BacktestReport(msgspec.Struct, frozen=True):
    """A backtest: its folds, and everyone's metrics over all their rows together.

    Parameters
    ----------
    model, task, goal, metrics
        What was judged, and by what.
    folds
        Oldest first; the last is the hold-out of a training.
    pooled
        ``candidate`` and ``baseline`` over all test rows; ``champion`` over those decided after it was trained, with
        ``candidate_beside_champion`` on the same rows. Metrics of order compare ranks within each fold.
    rows, days
        Test rows in all, and blocks they are drawn in: the days they were decided on.
    champion
        Name of the champion compared with, empty for none.
    pins
        Table versions that were read.
    blocks
        ``days``, ``rows`` where rows have no time of their own and each is drawn alone, or ``people`` of lists.
    classes, levels
        Of the answers, where they are of classes or quantiles.
    rare
        Classes of so few rows that nothing can be said of them, with how many.
    share
        Share of the rows that a model without labels is to flag, or that its smallest group is to have.
    lists, k
        How lists were judged, in words, and how many items they have; empty and 0 for other tasks.
    scale
        What ``mase`` is measured by: the mean absolute error of the seasonal naive rule.
    """

    model: str
    task: str
    goal: str
    metrics: tuple[str, ...]
    folds: tuple[FoldReport, ...]
    pooled: dict[str, dict[str, float | None]]
    rows: int
    days: int
    champion: str
    pins: dict[str, int]
    blocks: str = "days"
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    rare: dict[str, int] = {}
    share: float = 0.0
    lists: str = ""
    k: int = 0
    scale: float | None = None


@dataclass(frozen=True)
class Backtest:
    """A backtest's report, with the out-of-fold predictions it was made of.

    Parameters
    ----------
    report
        Plain data.
    folds
        What was fitted; the last can be given to ``train`` so that it is not fitted again.
    label, candidate, baseline, days
        Of all test rows.
    champion
        The champion's predictions, NaN for rows it cannot be compared on; None without a champion. As ``candidate``
        and ``baseline``, one column a class or quantile where there are several.
    origin
        Number of the fold each row is of.
    segments
        The model's segments among all test rows.
    witness
        The champion itself: groups are numbered as it numbers them.
    """

    report: BacktestReport
    folds: tuple[Fold, ...]
    label: Array
    candidate: Array
    baseline: Array
    days: Rows
    champion: Array | None
    origin: Rows
    segments: tuple[Part, ...] = ()
    witness: Champion | None = None


def backtest(
    model: Model,
    training: TrainingSet,
    *,
    champion: Champion | None = None,
    threads: int | None = None,
    tell: Callable[[str], None] | None = None,
    given: Given | None = None,
) -> Backtest:
    """Fit and judge a model at each rolling origin of its split.

    Parameters
    ----------
    model
        The recipe.
    training
        Rows to learn from and to judge on.
    champion
        Scored on the same test rows, as far as it cannot have learnt from them.
    threads
        Of the estimator; half the cores when left out.
    tell
        Called with one line a fold.
    given
        A model fitted elsewhere, judged in place of the recipe on the same rows, those it has learnt from left out.

    Raises
    ------
    BadData
        When there is nothing to fit or to judge.
    Conflict
        When the champion reads features the model no longer has.

    Notes
    -----
    Costs one fit a fold.
    """
    shape = shape_of(model, training)
    metrics = chosen_metrics(model, shape)
    used = threads or default_threads()
    folds: list[Fold] = []
    reports: list[FoldReport] = []
    champions: list[Array] = []
    for split in _after(origins(model, training), training, given):
        fold = run_fold(model, training, split, shape=shape, threads=used, given=given)
        folds.append(fold)
        champions.append(_champions(champion, training, fold, shape=shape))
        usable = compared(champions[-1])
        report = FoldReport(
            cut=from_micros(split.cut).isoformat(),
            end=from_micros(split.end).isoformat(),
            counts=split.counts,
            candidate=Scores(fold.measured(metrics)["model"], fold.model.train_s),
            baseline=Scores(fold.measured(metrics)["baseline"], fold.baseline.train_s),
            champion=Scores(measure(metrics, fold.label, champions[-1])) if usable.all() and not fold.said else None,
        )
        reports.append(report)
        if tell is not None:
            value = report.candidate.metrics[model.goal]
            shown = "not to be had" if value is None else f"{value:.4f}"
            where = f"{len(folds)} by key" if training.static else f"at {from_micros(split.cut):%Y-%m-%d}"
            judged = f"{split.counts.tested:,} rows" if fold.lists is None else f"{fold.label.size:,} lists"
            tell(f"fold {where}: {model.goal} {shown} on {judged}")
    return _pool(model, training, folds, reports=reports, champions=champions, champion=champion, shape=shape)


def _champions(champion: Champion | None, training: TrainingSet, fold: Fold, *, shape: Shape) -> Array:
    if fold.lists is None:
        return champion_predicts(champion, training, fold.split.test, shape=shape)
    if champion is None or training.static:
        return np.full(fold.predicted.shape, np.nan)
    refuse_other_answers(champion, shape)
    return champions_lists(champion, training, fold.lists)


def _after(splits: list[Split], training: TrainingSet, given: Given | None) -> list[Split]:
    """Leave out of what is judged the rows a given model says it has learnt from.

    Raises
    ------
    BadData
        When none is left.
    """
    if given is None or given.learnt_to is None:
        return splits
    found = []
    for each in splits:
        rows = each.test[training.decided[each.test] > given.learnt_to]
        if len(rows):
            counts = msgspec.structs.replace(each.counts, tested=len(rows))
            found.append(msgspec.structs.replace(each, test=rows, counts=counts))
    if not found:
        raise BadData(
            f"{given.name} has learnt from rows decided until {from_micros(given.learnt_to):%Y-%m-%d %H:%M} UTC, "
            "and every labelled row to judge it on is older",
            expected="labelled rows decided after that",
            do="fit it on an older span, or wait for newer labels",
        )
    return found


def _pool(
    model: Model, training: TrainingSet, folds: list[Fold], *, reports: list[FoldReport], champions: list[Array],
    champion: Champion | None, shape: Shape,
) -> Backtest:  # fmt: skip
    metrics = chosen_metrics(model, shape)
    label = np.concatenate([each.label for each in folds])
    candidate = np.concatenate([each.predicted for each in folds])
    simple = np.concatenate([each.baseline_predicted for each in folds])
    days = np.concatenate([each.days for each in folds])
    theirs = np.concatenate(champions)
    origin = np.repeat(np.arange(len(folds)), [each.label.size for each in folds]).astype(np.intp)

    def over(predicted: Array, rows: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        said = {each.name: comparable(each, predicted[rows], origin[rows]) for each in metrics}
        return {each.name: each.measure(label[rows], said[each.name]) for each in metrics}

    every, fresh = np.ones(label.size, dtype=bool), compared(theirs)
    if not shape.labelled:
        said = [(each.candidate.metrics, each.baseline.metrics) for each in reports]
        pooled = {"candidate": _mean([each for each, _ in said]), "baseline": _mean([each for _, each in said])}
    else:
        pooled = {"candidate": over(candidate, every), "baseline": over(simple, every)}
    if fresh.any() and shape.labelled:
        pooled["champion"] = over(theirs, fresh)
        pooled["candidate_beside_champion"] = over(candidate, fresh)
    report = BacktestReport(
        model=model.name,
        task=shape.task,
        goal=model.goal,
        metrics=model.metrics,
        folds=tuple(reports),
        pooled=pooled,
        rows=int(label.size),
        days=int(np.unique(days).size),
        champion=champion.name if champion else "",
        pins=dict(training.pins),
        blocks="people" if shape.task == "topk" else "rows" if training.static else "days",
        classes=shape.classes,
        levels=shape.levels,
        scale=shape.scale,
        rare=rare(training, shape, fewer_than=FEW_OF_A_CLASS),
        share=share_of(model) if not shape.labelled else 0.0,
        lists=says(model, [each.lists for each in folds if each.lists is not None]) if shape.task == "topk" else "",
        k=shape.k,
    )
    tested = np.concatenate([each.split.test for each in folds])
    return Backtest(
        report, tuple(folds), label, candidate, simple, days, theirs if champion else None, origin,
        segments=() if shape.task == "topk" else tuple(parts(training, model, tested)), witness=champion,
    )  # fmt: skip


def _mean(said: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each metric over folds, None where one of them cannot be had."""
    answer: dict[str, float | None] = {}
    for name in said[0]:
        values = [each[name] for each in said]
        known = [each for each in values if each is not None]
        answer[name] = sum(known) / len(known) if len(known) == len(values) else None
    return answer


def comparable(goal: Metric, predicted: Array, origin: Rows) -> Array:
    """Return predictions of several folds so that a metric over all of them is fair.

    A metric of order (``roc_auc``) would also compare rows of different folds, whose models differ: even a baseline
    would seem to rank, because its constant moves from fold to fold. For such a metric each prediction becomes its
    rank within its fold (0 to 1, equal ones alike); for all others predictions stay as they are.
    """
    if goal.terms is not None or goal.parts is not None:
        return predicted
    answer = np.empty_like(predicted)
    for fold in np.unique(origin):
        rows = origin == fold
        within = predicted[rows]
        ranked = ranks(within) if within.ndim == 1 else np.column_stack([ranks(each) for each in within.T])
        answer[rows] = (ranked - 0.5) / int(rows.sum())
    return answer


def compared(champion: Array) -> npt.NDArray[np.bool_]:
    """Say which rows a champion was asked about: those with predictions."""
    return ~np.isnan(champion) if champion.ndim == 1 else ~np.isnan(champion[:, 0])
