"""Segments: the same judgement on the rows of one carrier, one country, one kind of customer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.definitions.model import Model
from millstream.definitions.tasks import HORIZON
from millstream.metrics.registry import Metric
from millstream.metrics.uncertainty import difference
from millstream.training.folds import Fold
from millstream.training.matrix import Array
from millstream.training.record import Segment
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows

MOST_VALUES = 20
"""Of a column with more values than this, the most frequent are judged."""

MOST_STEPS = 62
"""Most distances of a horizon that are judged each on its own."""

FEWEST_ROWS = 100
"""Of a segment with fewer rows than this nothing is said in a verdict."""

SURE = 0.99
"""Many segments are looked at, so each must be surer than the whole."""

CHANCE = 0.05
"""Chance, over all segments, that one is named wrongly."""

_AT_SURE = 2.5758293035489004
"""Standard deviations to either side that hold 99 % of a normal distribution."""

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


class Beside(msgspec.Struct, frozen=True):
    """The candidate against one other on the rows of one segment.

    Parameters
    ----------
    against
        ``baseline``, or the champion's name.
    named, column, value
        Which rows, for people and as data.
    rows, days
        What was compared on; ``days`` are the blocks that are drawn.
    candidate, other
        Values of the goal metric; None where it cannot be had.
    gain, low, high
        How much better the candidate is (negative is worse), with a 99 % interval from drawing whole days; None for
        too few rows, or where it cannot be had.
    p
        Chance of a difference as large without any, corrected for all segments that were looked at (Holm).
    standing
        ``worse`` or ``better`` for sure, ``unsure``, or ``few`` where nothing can be said.
    """

    against: str
    named: str
    column: str
    value: str | None
    rows: int
    days: int
    candidate: float | None
    other: float | None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    standing: Literal["worse", "better", "unsure", "few"] = "few"

    @property
    def says(self) -> str:
        """Say who is better for it, with both values and the rows."""
        ours, theirs = (_number(each) for each in (self.candidate, self.other))
        return f"{self.named} ({ours} against {theirs} on {self.rows:,} rows)"


def beside(
    goal: Metric,
    label: Array,
    ours: Array,
    theirs: Array,
    *,
    blocks: Rows,
    among: Sequence[Part],
    against: str,
    seed: int,
) -> tuple[Beside, ...]:
    """Compare two on every segment; those we are surely worse for come first.

    Parameters
    ----------
    goal
        By what.
    label, ours, theirs, blocks
        Of all rows judged on; ``theirs`` is NaN where the two cannot be compared.
    among
        The segments, their places within those rows.
    against
        Who the other is.
    seed
        Of the draws.

    Notes
    -----
    Many segments are looked at, so that some differ by chance. A difference is sure when its own 99 % interval is on
    one side of 0 and its probability, corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979) for all
    segments compared with the same other, is under 5 %: in at most 5 of 100 verdicts one or more are named wrongly.
    The probability is the normal one of the interval, which is rough for few days.
    """
    fresh = ~np.isnan(theirs if theirs.ndim == 1 else theirs[:, 0])
    found = [_one(goal, label, ours, theirs, blocks=blocks, part=each, fresh=fresh, seed=seed) for each in among]
    found = [msgspec.structs.replace(each, against=against) for each in found if each.rows]
    corrected = holm([each.p for each in found if each.p is not None])
    judged = iter(corrected)
    placed = [each if each.p is None else _standing(each, next(judged)) for each in found]
    return tuple(sorted(placed, key=lambda each: _ORDER.index(each.standing)))


_ORDER = ("worse", "better", "unsure", "few")


def holm(chances: Sequence[float]) -> list[float]:
    """Correct probabilities for how many there are, each in its place: Holm's method.

    >>> holm([0.01, 0.04, 0.02])
    [0.03, 0.04, 0.04]
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    answer, most = [0.0] * len(chances), 0.0
    for place, each in enumerate(order):
        most = max(most, min(1.0, (len(chances) - place) * chances[each]))
        answer[each] = most
    return answer


def _one(
    goal: Metric, label: Array, ours: Array, theirs: Array, *, blocks: Rows, part: Part, fresh: Mask, seed: int
) -> Beside:  # fmt: skip
    rows = part.rows[fresh[part.rows]]
    mine, other = goal.measure(label[rows], ours[rows]), goal.measure(label[rows], theirs[rows])
    days = int(np.unique(blocks[rows]).size)
    said = Beside("", part.named, part.column, part.value, int(rows.size), days, mine, other)
    if rows.size < FEWEST_ROWS:
        return said
    apart = difference(goal, label[rows], ours[rows], theirs[rows], blocks=blocks[rows], seed=seed, level=SURE)
    if apart.estimate is None or apart.low is None or apart.high is None:
        return said
    way = 1 if goal.greater_is_better else -1
    low, high = sorted((way * apart.low, way * apart.high))
    spread = (high - low) / (2 * _AT_SURE)
    gain = way * apart.estimate
    chance = math.erfc(abs(gain) / spread / math.sqrt(2)) if spread else float(gain == 0)
    return msgspec.structs.replace(said, gain=gain, low=low, high=high, p=chance, standing="unsure")


def _standing(said: Beside, chance: float) -> Beside:
    sure = chance < CHANCE and said.low is not None and said.high is not None
    standing: Literal["worse", "better", "unsure"] = "unsure"
    if sure and said.high is not None and said.high < 0:
        standing = "worse"
    elif sure and said.low is not None and said.low > 0:
        standing = "better"
    return msgspec.structs.replace(said, p=chance, standing=standing)


def _number(value: float | None) -> str:
    return "not to be had" if value is None else f"{value:.4f}"
