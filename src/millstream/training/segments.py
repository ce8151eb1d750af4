"""Segments: the same judgement on the rows of one carrier, one country, one kind of customer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.definitions.model import Model
from millstream.metrics.registry import Metric
from millstream.metrics.uncertainty import difference
from millstream.training.folds import Fold
from millstream.training.matrix import Array
from millstream.training.record import Segment
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows

MOST_VALUES = 20
"""Of a column with more values than this, the most frequent are judged."""

HORIZON, MOST_STEPS = "horizon", 62
"""Segment of rows whose target lies so many ticks ahead, and of how many such segments at most."""

FEWEST_ROWS = 100
"""Of a segment with fewer rows than this nothing is said in a verdict."""

SURE = 0.99
"""Many segments are looked at, so each must be surer than the whole."""

Mask = npt.NDArray[np.bool_]


class Part(msgspec.Struct, frozen=True):
    """A segment among the rows that were judged on: its column, its value, and which rows."""

    column: str
    value: str | None
    rows: Rows

    @property
    def named(self) -> str:
        """Name it for people."""
        if self.column == HORIZON:
            return f"targets {self.value} ahead"
        return f"{self.column} {self.value}" if self.value is not None else f"rows without {self.column}"


def parts(training: TrainingSet, model: Model, rows: Rows) -> Iterator[Part]:
    """Yield the segments of some rows, the frequent ones first; places are within those rows."""
    ahead = training.ahead
    if ahead is not None:
        for step in np.unique(ahead[rows])[:MOST_STEPS].tolist():
            yield Part(HORIZON, str(step), np.flatnonzero(ahead[rows] == step))
    for column in model.segments:
        values = np.array(training.segment(column).to_list(), dtype=object)[rows]
        found: dict[str | None, int] = {}
        for value in values.tolist():
            found[value] = found.get(value, 0) + 1
        frequent = sorted(found, key=lambda each: (-found[each], str(each)))[:MOST_VALUES]
        for value in frequent:
            yield Part(column, value, np.flatnonzero([each == value for each in values.tolist()]))


def segments_of(training: TrainingSet, model: Model, fold: Fold, *, metrics: Sequence[Metric]) -> tuple[Segment, ...]:
    """Measure the goal on every segment of a hold-out, for the model and the baseline."""
    goal = next(each for each in metrics if each.name == model.goal)
    return tuple(
        Segment(
            part.column,
            part.value,
            int(part.rows.size),
            goal.measure(fold.label[part.rows], fold.predicted[part.rows]),
            goal.measure(fold.label[part.rows], fold.baseline_predicted[part.rows]),
        )
        for part in parts(training, model, fold.split.test)
    )


def worse_for(
    goal: Metric, label: Array, ours: Array, theirs: Array, *, blocks: Rows, among: Sequence[Part], seed: int
) -> list[str]:
    """Say for which segments we are surely worse, with both values and the rows.

    Parameters
    ----------
    goal
        By what.
    label, ours, theirs, blocks
        Of all rows judged on; ``theirs`` is NaN where the two cannot be compared.
    among
        The segments, their places within those rows.
    seed
        Of the draws.
    """
    fresh = ~np.isnan(theirs if theirs.ndim == 1 else theirs[:, 0])
    found = []
    for part in among:
        rows = part.rows[fresh[part.rows]]
        if rows.size < FEWEST_ROWS:
            continue
        apart = difference(goal, label[rows], ours[rows], theirs[rows], blocks=blocks[rows], seed=seed, level=SURE)
        if apart.low is None or apart.high is None:
            continue
        if (apart.high < 0) if goal.greater_is_better else (apart.low > 0):
            mine, other = goal.measure(label[rows], ours[rows]), goal.measure(label[rows], theirs[rows])
            found.append(f"{part.named} ({mine:.4f} against {other:.4f} on {rows.size:,} rows)")
    return found
