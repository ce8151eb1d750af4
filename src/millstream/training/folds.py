"""One cut, carried out: fit on what was known at it, predict what was decided after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millstream.definitions.model import Model
from millstream.definitions.tasks import Binary
from millstream.errors import BadData, DefinitionError, near
from millstream.metrics.registry import METRICS, Metric, metric
from millstream.training.estimators import Fit, baseline, fit
from millstream.training.matrix import Array, Categories, categories, matrix
from millstream.training.predictors import TaskName
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows, Split, rolling

_DAY = 86_400_000_000


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
        Day (UTC) each test row was decided on, as a number: rows of a day are not independent.
    """

    split: Split
    model: Fit
    baseline: Fit
    label: Array
    predicted: Array
    baseline_predicted: Array
    days: Rows


def task_of(model: Model, training: TrainingSet) -> TaskName:
    """Return the kind of answer: as defined, else by the label's type.

    Raises
    ------
    DefinitionError
        When the label is a text, or is not of the kind the model says.
    """
    dtype = training.plan.label_dtype
    if dtype not in ("boolean", "bigint", "double"):
        raise DefinitionError(
            f"the label of model {model.name!r} is {dtype or 'missing'}",
            expected="a truth value (the answer is a probability) or a number (the answer is a mean)",
        )
    if model.task is None:
        return "binary" if dtype == "boolean" else "regression"
    if not isinstance(model.task, Binary):
        return "regression"
    odd = training.label[~np.isnan(training.label) & (training.label != 0) & (training.label != 1)]
    if odd.size:
        raise DefinitionError(
            f"model {model.name!r} has task Binary and a label of {odd[0]:g}", expected="labels that are true or false"
        )
    return "binary"


def chosen_metrics(model: Model, task: TaskName) -> list[Metric]:
    """Return the model's metrics.

    Raises
    ------
    NotFound
        For one that does not exist; near matches are named.
    DefinitionError
        For one that does not fit the task, or a goal without a better side.
    """
    chosen = [metric(name) for name in model.metrics]
    for each in chosen:
        if task not in each.tasks:
            fitting = [name for name, known in METRICS.items() if task in known.tasks]
            raise DefinitionError(
                f"metric {each.name!r} of model {model.name!r} is not for a {task} task", expected=near("", fitting)
            )
    if metric(model.goal).signed:
        raise DefinitionError(
            f"the goal of model {model.name!r} is {model.goal!r}, which is 0 at its best", expected="for instance rmse"
        )
    return chosen


def measure(metrics: list[Metric], label: Array, predicted: Array) -> dict[str, float | None]:
    """Return every metric by name, None where it cannot be had."""
    return {each.name: each.measure(label, predicted) for each in metrics}


def origins(model: Model, training: TrainingSet) -> list[Split]:
    """Return the rolling origins of a model's split, oldest first; the last is the hold-out."""
    return [each.with_waiting(training.waiting) for each in rolling(training.decided, training.known, model.split)]


def fit_rows(
    model: Model, training: TrainingSet, rows: Rows, *, task: TaskName, threads: int
) -> tuple[Fit, Categories]:
    """Fit the model's estimator on some rows; return it with the categories those rows hold."""
    columns = training.plan.columns
    frame = training.frame[rows]
    known = categories(frame, columns)
    features = matrix(frame, columns, known)
    label = training.label[rows]
    return fit(model.estimator, features, label, task=task, columns=columns, seed=model.seed, threads=threads), known


def run_fold(model: Model, training: TrainingSet, split: Split, *, task: TaskName, threads: int) -> Fold:
    """Fit model and baseline at one cut and predict the rows after it."""
    fitted, known = fit_rows(model, training, split.fit, task=task, threads=threads)
    simple = baseline(training.label[split.fit], task=task)
    features = matrix(training.frame[split.test], training.plan.columns, known)
    predicted = fitted.predict(features)
    refuse_absurd(predicted, task=task, name=model.estimator.path)
    return Fold(
        split=split,
        model=fitted,
        baseline=simple,
        label=training.label[split.test],
        predicted=predicted,
        baseline_predicted=simple.predict(features),
        days=(training.decided[split.test] // _DAY).astype(np.intp),
    )


def refuse_absurd(predicted: Array, *, task: TaskName, name: str) -> None:
    """Refuse predictions that no caller should get.

    Raises
    ------
    BadData
        For a prediction that is not finite, or a probability outside 0 to 1.
    """
    wrong = ~np.isfinite(predicted)
    if task == "binary":
        wrong |= (predicted < 0) | (predicted > 1)
    if wrong.any():
        raise BadData(
            f"estimator {name} predicts {predicted[wrong][0]} for {int(wrong.sum())} of {predicted.size} rows",
            expected="probabilities from 0 to 1" if task == "binary" else "finite numbers",
        )
