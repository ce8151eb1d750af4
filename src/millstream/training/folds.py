"""One cut, carried out: fit on what was known at it, predict what was decided after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from millstream.definitions.model import Model
from millstream.definitions.tasks import Shape
from millstream.errors import BadData, DefinitionError
from millstream.metrics.registry import METRICS, Metric, metric
from millstream.training.calm import within
from millstream.training.clusters import fit_groups
from millstream.training.clusters import measured as measured_groups
from millstream.training.estimators import Fit, fit
from millstream.training.levels import fit_levels
from millstream.training.listed import Judged, fit_pairs, judge_lists, ranker_of
from millstream.training.matrix import Array, Categories, categories, matrix
from millstream.training.predictors import Fitted
from millstream.training.sets import TrainingSet
from millstream.training.shapes import labels_of
from millstream.training.simple import baseline
from millstream.training.splits import Rows, Split, by_key, rolling
from millstream.training.unlabelled import fit_scores, measured

_DAY = 86_400_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Fold:
    """What was fitted at a cut, and what it said of the rows after it.

    Parameters
    ----------
    split
        Which rows.
    model, baseline
        As fitted on the same rows.
    label, predicted, baseline_predicted
        Of the test rows, in their order.
    days
        Block each test row is of, as a number: the day (UTC) it was decided on, because rows of a day are not
        independent; under a horizon the day it is about, because all forecasts of a day share what happened on it,
        whenever they were made; of rows without time each is its own.
    said
        What can be said of a model without labels and of its baseline; its ``label`` is what is flagged. Of clusters
        ``label`` is the group and ``predicted`` the distance to its middle.
    lists
        Of a model that lists items, the lists that were judged. Then there is one row a list: ``label`` counts what was
        chosen, predictions say of each place whether its item was, and ``days`` number who asked.
    """

    split: Split
    model: Fit
    baseline: Fit
    label: Array
    predicted: Array
    baseline_predicted: Array
    days: Rows
    said: dict[str, dict[str, float | None]] | None = None
    lists: Judged | None = None

    def measured(self, metrics: list[Metric]) -> dict[str, dict[str, float | None]]:
        """Return every metric of ``model`` and ``baseline``."""
        if self.said is not None:
            return self.said
        predicted = {"model": self.predicted, "baseline": self.baseline_predicted}
        return {who: measure(metrics, self.label, each) for who, each in predicted.items()}


@dataclass(frozen=True)
class Given:
    """A model that was fitted elsewhere, judged as it is.

    Parameters
    ----------
    name
        What messages call it.
    fit, categories
        The model, and the texts whose codes it is given.
    learnt_to
        Latest decision it may have learnt from, microseconds, as somebody says; None where nobody does.
    """

    name: str
    fit: Fit
    categories: Categories
    learnt_to: int | None = None


def chosen_metrics(model: Model, shape: Shape) -> list[Metric]:
    """Return the model's metrics.

    Raises
    ------
    NotFound
        For one that does not exist; near matches are named.
    DefinitionError
        For one that does not fit the task, or a goal without a better side.
    """
    chosen = [metric(name, levels=shape.levels, scale=shape.scale) for name in model.metrics]
    fitting = [name for name, known in METRICS.items() if shape.task in known.tasks]
    if "mase" in model.metrics and shape.scale is None and shape.task == "regression":
        raise DefinitionError(
            f"metric 'mase' of model {model.name!r} is measured by the seasonal naive rule, which it has not",
            expected="task=tasks.Forecast() with rows=Every(..., horizon=...), and a rule that is sometimes wrong",
        )
    for each in chosen:
        if shape.task not in each.tasks:
            raise DefinitionError(
                f"metric {each.name!r} of model {model.name!r} is not for a {shape.task} task",
                expected=f"of {', '.join(fitting)}",
            )
    if metric(model.goal).signed:
        raise DefinitionError(
            f"the goal of model {model.name!r} is {model.goal!r}, which is 0 at its best",
            expected=f"one of {', '.join(each for each in fitting if not METRICS[each].signed)}",
        )
    return chosen


def measure(metrics: list[Metric], label: Array, predicted: Array) -> dict[str, float | None]:
    """Return every metric by name, None where it cannot be had."""
    return {each.name: each.measure(label, predicted) for each in metrics}


def origins(model: Model, training: TrainingSet) -> list[Split]:
    """Return the splits of a model, oldest first; the last is the hold-out. Rows without time are parted by key."""
    if training.static:
        return by_key(training.keys, training.decided, training.known, model.split, seed=model.seed)
    furthest = None if training.ahead is None else training.ahead == training.ahead.max()
    splits = rolling(training.decided, training.known, model.split, whole=furthest)
    return [each.with_waiting(training.waiting, sampled=training.sampled) for each in splits]


def fit_rows(model: Model, training: TrainingSet, rows: Rows, *, shape: Shape, threads: int) -> tuple[Fit, Categories]:
    """Fit the model's estimator on some rows; return it with the categories those rows hold.

    Of classes, the estimator sees those that the rows have; the model says of every other that it is impossible.
    """
    if shape.task == "clusters":
        return fit_groups(model, training, rows, threads=threads)
    if shape.task == "anomaly":
        return fit_scores(model, training, rows, threads=threads)
    if shape.task == "topk":
        return fit_pairs(model, training, rows, threads=threads)
    with within(model.fit_within, name=model.estimator.path):
        return _fit_labelled(model, training, rows, shape=shape, threads=threads)


def _fit_labelled(
    model: Model, training: TrainingSet, rows: Rows, *, shape: Shape, threads: int
) -> tuple[Fit, Categories]:
    columns = training.plan.columns
    frame = training.frame[rows]
    known = categories(frame, columns)
    features = matrix(frame, columns, known)
    label = labels_of(training, shape)[rows]
    if model.weight is not None and training.weight is None:
        raise BadData(f"the training set of {model.name!r} holds no weights", do="build_set(..., model=...)")
    weight = None if training.weight is None else training.weight[rows]
    words: dict[str, Any] = {"columns": columns, "seed": model.seed, "threads": threads, "weight": weight}
    if shape.task == "quantiles":
        return fit_levels(model.estimator, features, label, levels=shape.levels, **words), known
    if shape.task != "multiclass":
        return fit(model.estimator, features, label, task=shape.task, **words), known
    present = np.unique(label)
    _refuse_one_class(present, shape, len(label))
    fitted = fit(
        model.estimator, features, np.searchsorted(present, label).astype(np.float64), task=shape.task, **words
    )
    if present.size < len(shape.classes):
        spread = Spread(fitted.fitted, tuple(int(each) for each in present), len(shape.classes))
        fitted = msgspec.structs.replace(fitted, fitted=spread)
    return fitted, known


def run_fold(
    model: Model, training: TrainingSet, split: Split, *, shape: Shape, threads: int, given: Given | None = None
) -> Fold:
    """Fit model and baseline at one cut and predict the rows after it; a model that is given is not fitted."""
    days = (split.test if training.static else training.judged_at[split.test] // _DAY).astype(np.intp)
    if shape.task == "clusters":
        made, codes, away, told = measured_groups(model, training, split.fit, split.test, threads=threads)
        return Fold(split, made, Fit(None, {}, 0.0), codes, away, np.full_like(away, np.nan), days, told)
    if shape.task == "anomaly":
        ours, theirs = (
            measured(model, training, split.fit, split.test, threads=threads, robust=robust) for robust in (False, True)
        )
        refuse_absurd(ours[1], shape=shape, name=model.estimator.path)
        said = {"model": ours[3], "baseline": theirs[3]}
        return Fold(split, ours[0], theirs[0], ours[2], ours[1], theirs[1], days, said)
    if shape.task == "topk":
        pairs, most, judged = judge_lists(model, training, split, threads=threads)
        refuse_absurd(judged.ours.scores[judged.ours.items >= 0], shape=shape, name=model.estimator.path)
        who = ranker_of(training).choices.people(judged.decisions.frame).astype(np.intp)
        listed = judged.decisions.relevant, judged.ours.listed, judged.simple.listed
        return Fold(split, pairs, most, *listed, days=who, lists=judged)
    if given is not None:
        fitted, known = given.fit, given.categories
    else:
        fitted, known = fit_rows(model, training, split.fit, shape=shape, threads=threads)
    label = labels_of(training, shape)
    rule = training.simple
    simple = baseline(label[split.fit], shape=shape, rule=None if rule is None else rule[split.fit])
    features = matrix(training.frame[split.test], training.plan.columns, known)
    predicted = fitted.predict(features)
    refuse_absurd(predicted, shape=shape, name=model.estimator.path if given is None else given.name)
    return Fold(
        split=split,
        model=fitted,
        baseline=simple,
        label=label[split.test],
        predicted=predicted,
        baseline_predicted=simple.predict(features if rule is None else rule[split.test, None]),
        days=days,
    )


class Spread:
    """A model of some classes as one of all: those its rows did not have are impossible to it. It never ships."""

    kind = "spread"

    def __init__(self, fitted: Fitted, present: tuple[int, ...], width: int) -> None:
        self._fitted, self._present, self._width = fitted, list(present), width

    def predict(self, matrix: Array) -> Array:
        """Predict a probability a class."""
        answer: Array = np.zeros((len(matrix), self._width))
        answer[:, self._present] = self._fitted.predict(matrix)
        return answer


def refuse_absurd(predicted: Array, *, shape: Shape, name: str) -> None:
    """Refuse predictions that no caller should get.

    Raises
    ------
    BadData
        For a prediction that is not finite, a probability outside 0 to 1, or as many numbers a row as nobody wants.
    """
    wanted = (len(predicted),) if shape.width == 1 else (len(predicted), shape.width)
    if predicted.shape != wanted:
        raise BadData(f"estimator {name} predicts numbers of shape {predicted.shape}", expected=f"shape {wanted}")
    probable = shape.task in ("binary", "multiclass", "topk")
    wrong = ~np.isfinite(predicted)
    if probable:
        wrong |= (predicted < 0) | (predicted > 1 + _ROUNDING)
    if wrong.any():
        raise BadData(
            f"estimator {name} predicts {predicted[wrong][0]} for {int(wrong.sum())} of {predicted.size} answers",
            expected="probabilities from 0 to 1" if probable else "finite numbers",
        )


def _refuse_one_class(present: Array, shape: Shape, rows: int) -> None:
    if present.size < 2:
        only = shape.classes[int(present[0])] if present.size else "missing"
        raise BadData(
            f"all {rows:,} labels that could be learnt from are {only!r}",
            expected="some of at least two classes",
            do="train on a longer span, or look at the label",
        )
