"""The champion as a judge's witness: its predictions on rows it cannot have learnt from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from millstream.definitions.tasks import Shape
from millstream.errors import Conflict
from millstream.training.matrix import Array, matrix
from millstream.training.predictors import read_predictor
from millstream.training.record import read_record
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows
from millstream.training.thresholds import read_threshold
from millstream.types import parse_instant, to_micros

if TYPE_CHECKING:
    import polars as pl

    from millstream.features.plan import FeaturePlan


@dataclass(frozen=True)
class Champion:
    """Who answers now.

    Parameters
    ----------
    name
        Such as ``late@3``.
    predict
        Takes the rows of a training set and gives one number a row.
    since
        Rows decided up to this instant may have been learnt from.
    shape
        Of its answers.
    features
        What it reads.
    given
        Of clusters: numbers ever given to them.
    threshold
        From which number on its answer is a yes; None where it has none.
    score
        Takes rows with the features of a plan and gives one number a row.
    """

    name: str
    predict: Callable[[TrainingSet, Rows], Array]
    since: datetime
    shape: Shape
    features: tuple[str, ...] = ()
    given: int = 0
    threshold: float | None = None
    score: Callable[[pl.DataFrame, FeaturePlan], Array] | None = None


def read_champion(folder: Path, *, name: str) -> Champion:
    """Read the champion to compare with from its artifact folder or release.

    Raises
    ------
    IntegrityError
        When the folder cannot be read.
    """
    predictor = read_predictor(folder)
    record = read_record(folder)
    since = parse_instant(record.learnt_to)

    def predict(training: TrainingSet, rows: Rows) -> Array:
        return score(training.frame[rows], training.plan)

    def score(frame: pl.DataFrame, plan: FeaturePlan) -> Array:
        columns = {each.name: each for each in plan.columns}
        missing = [each for each in predictor.features if each not in columns]
        if missing:
            raise Conflict(
                f"the champion {name} reads {', '.join(missing)}, which the model no longer has",
                expected="the same features, to compare the two",
                do="keep the feature for one release, or train without comparing",
            )
        used = [columns[each] for each in predictor.features]
        return predictor.predict(matrix(frame, used, predictor.categories))

    return Champion(
        name=name,
        predict=predict,
        since=since,
        shape=predictor.shape,
        features=predictor.features,
        given=record.clusters_given,
        threshold=read_threshold(folder),
        score=score,
    )


def champion_predicts(champion: Champion | None, training: TrainingSet, rows: Rows, *, shape: Shape) -> Array:
    """Return the champion's predictions, NaN for rows it may have learnt from and without a champion.

    Rows without time are never shown to it: it has learnt from all that were there, and nothing says which are new.
    Of classes that it did not know it says that they are impossible. Of clusters only the group is returned.

    Raises
    ------
    Conflict
        When it gives another kind of answer.
    """
    groups = shape.task == "clusters"
    predicted: Array = np.full(len(rows) if shape.width == 1 or groups else (len(rows), shape.width), np.nan)
    if champion is None or training.static:
        return predicted
    refuse_other_answers(champion, shape)
    fresh = training.decided[rows] > to_micros(champion.since)
    if fresh.any():
        said = champion.predict(training, rows[fresh])
        said = said[:, 0] if groups else said
        predicted[fresh] = (
            _aligned(said, champion.shape.classes, shape.classes) if shape.classes and not groups else said
        )
    return predicted


def refuse_other_answers(champion: Champion, shape: Shape) -> None:
    """Refuse to compare with a champion that gives another kind of answer."""
    theirs = champion.shape
    if (theirs.task, theirs.levels, theirs.k) != (shape.task, shape.levels, shape.k):
        raise Conflict(
            f"the champion {champion.name} answers a {theirs.task} task{_of(theirs)}, the model a {shape.task} task"
            f"{_of(shape)}",
            expected="the same kind of answer, to compare the two",
            do="give the model another name, or train without comparing",
        )


def _of(shape: Shape) -> str:
    return f" of {shape.k} items" if shape.k else ""


def _aligned(said: Array, theirs: tuple[str, ...], ours: tuple[str, ...]) -> Array:
    """Put a column of each of our classes beside another; the classes we do not have are left out."""
    answer: Array = np.zeros((len(said), len(ours)))
    for place, name in enumerate(ours):
        if name in theirs:
            answer[:, place] = said[:, theirs.index(name)]
    return answer
