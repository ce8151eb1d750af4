"""The champion as a judge's witness: its predictions on rows it cannot have learnt from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from millstream.errors import Conflict
from millstream.training.matrix import Array, matrix
from millstream.training.predictors import read_predictor
from millstream.training.record import read_record
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows
from millstream.types import parse_instant, to_micros


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
    """

    name: str
    predict: Callable[[TrainingSet, Rows], Array]
    since: datetime


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
        columns = {each.name: each for each in training.plan.columns}
        missing = [each for each in predictor.features if each not in columns]
        if missing:
            raise Conflict(
                f"the champion {name} reads {', '.join(missing)}, which the model no longer has",
                expected="the same features, to compare the two",
                do="keep the feature for one release, or train without comparing",
            )
        used = [columns[each] for each in predictor.features]
        return predictor.predict(matrix(training.frame[rows], used, predictor.categories))

    return Champion(name=name, predict=predict, since=since)


def champion_predicts(champion: Champion | None, training: TrainingSet, rows: Rows) -> Array:
    """Return the champion's predictions, NaN for rows it may have learnt from and without a champion."""
    predicted: Array = np.full(len(rows), np.nan)
    if champion is None:
        return predicted
    fresh = training.decided[rows] > to_micros(champion.since)
    if fresh.any():
        predicted[fresh] = champion.predict(training, rows[fresh])
    return predicted
