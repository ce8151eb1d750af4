"""What features are worth: how much worse a model answers when one is shuffled among rows it has not learnt from.

A view is shuffled whole, its columns together, so that features of one view that say the same do not hide its worth.
Judged rows are parted by the day they are about; the range comes from how much the loss differs from part to part.
Breiman (2001), "Random forests"; Fisher, Rudin and Dominici (2019) for groups of columns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from millstream.definitions.model import Model
from millstream.metrics.registry import Metric
from millstream.training.backtests import Backtest
from millstream.training.folds import Fold, chosen_metrics
from millstream.training.matrix import Array, categories, matrix
from millstream.training.record import Lift, Worth
from millstream.training.sets import TrainingSet
from millstream.training.shapes import labels_of, shape_of
from millstream.training.splits import Rows

ROWS, BUDGET_S = 4_000, 5.0
PARTS, REPEATS = 5, 2
_T = 2.776
"""Student's t for a 95 % range of a mean over five parts."""
WITHOUT = ("topk", "anomaly", "clusters")
"""Tasks whose goal is no sum over single rows that have a label."""


def lift(
    model: Model,
    training: TrainingSet,
    tested: Backtest,
    *,
    lag_s: Mapping[str, float] | None = None,
    budget_s: float = BUDGET_S,
) -> Lift | None:
    """Measure what each view and feature is worth on the hold-out, and what it costs.

    Parameters
    ----------
    model, training
        The recipe and its rows.
    tested
        Its backtest: the last fold's model is asked, on the rows it was judged on.
    lag_s
        View to how late its facts may be, in seconds.
    budget_s
        No shuffle is begun after so many seconds; views come first.

    Returns
    -------
    Lift or None
        None for models that answer with lists or groups, or without label.

    Notes
    -----
    Two predictions of at most 4,000 rows for each view and feature; nothing is fitted.
    """
    shape, fold = shape_of(model, training), tested.folds[-1]
    if shape.task in WITHOUT or fold.lists is not None or not training.plan.names:
        return None
    began = time.monotonic()
    rows = _some(fold.split.test)
    metric = next(each for each in chosen_metrics(model, shape) if each.name == model.goal)
    columns = training.plan.columns
    known = categories(training.frame[fold.split.fit], columns)
    asked = _Asked(fold, metric, matrix(training.frame[rows], columns, known), labels_of(training, shape)[rows])
    asked.part(training.judged_at[rows])
    places: dict[str, list[int]] = {}
    for place, name in enumerate(training.plan.names):
        places.setdefault(name.partition(".")[0], []).append(place)
    missing = np.isnan(asked.features).mean(axis=0)
    late = lag_s or {}
    views, features, cut = [], [], False
    for name, of_view in places.items():
        cut = cut or time.monotonic() - began > budget_s
        gain = (None, None, None) if cut else asked.without(of_view)
        took = training.took.get(name)
        per_thousand = None if took is None else round(took * 1e6 / training.rows, 3)
        absent = float(missing[of_view].mean())
        views.append(Worth(name, *gain, missing=absent, compute_ms=per_thousand, lag_s=late.get(name)))
    for place, name in enumerate(training.plan.names):
        cut = cut or time.monotonic() - began > budget_s
        gain = (None, None, None) if cut else asked.without([place])
        view = name.partition(".")[0]
        features.append(Worth(name, *gain, missing=float(missing[place]), lag_s=late.get(view)))
    ordered = tuple(sorted(views, key=_worst_last))
    return Lift(
        goal=model.goal,
        rows=len(rows),
        repeats=REPEATS,
        views=ordered,
        features=tuple(sorted(features, key=_worst_last)),
        seconds=round(time.monotonic() - began, 2),
        cut=cut,
        says=says(model.goal, ordered, cut=cut),
    )


def says(goal: str, views: Sequence[Worth], *, cut: bool = False) -> str:
    """Say what to make of it: what carries the model, and what could be left out."""
    measured = [each for each in views if each.gain is not None]
    if not measured:
        return f"Nobody could measure what features are worth by {goal}."
    best = measured[0]
    said = f"{best.name} carries most: without it {goal} would be {best.gain:.4g} worse."
    if best.idle:
        said = f"No view alone shows that it helps {goal}."
    idle = [each.name for each in measured if each.idle]
    if idle and not best.idle:
        said += f" Nothing shows that {_listed(idle)} help{'s' * (len(idle) == 1)}: try without."
    return said + (" Time ran out before all were measured." if cut else "")


class _Asked:
    """A fitted model on judged rows, asked again and again with columns shuffled."""

    def __init__(self, fold: Fold, metric: Metric, features: Array, label: Array) -> None:
        self._fold, self._metric, self.features, self._label = fold, metric, features, label
        self._parts: list[Rows] = []
        self._whole: list[float | None] = []

    def part(self, about: Array | Rows) -> None:
        """Part the rows by the day they are about, days in turn; where there are few days, by chance."""
        days = np.unique(np.asarray(about) // 86_400_000_000, return_inverse=True)[1]
        if days.max(initial=0) + 1 < 2 * PARTS:
            days = np.random.default_rng(7).permutation(len(days))
        self._parts = [np.flatnonzero(days % PARTS == each) for each in range(PARTS)]
        self._whole = self._measured(self.features)

    def without(self, places: Sequence[int]) -> tuple[float | None, float | None, float | None]:
        """Return how much worse the model answers with some columns shuffled together, and the range of that."""
        gains: list[list[float]] = []
        for repeat in range(REPEATS):
            order = np.random.default_rng([7, repeat]).permutation(len(self.features))
            shuffled = self.features.copy()
            columns = np.asarray(places, dtype=np.intp)
            shuffled[:, columns] = self.features[order][:, columns]
            pairs = zip(self._measured(shuffled), self._whole, strict=True)
            loss = self._metric.loss
            gains.append([loss(one) - loss(other) for one, other in pairs if one is not None and other is not None])
        if min(map(len, gains)) < 2:
            return None, None, None
        each = np.mean(gains, axis=0)
        middle, away = float(each.mean()), _T * float(each.std(ddof=1)) / np.sqrt(len(each))
        return middle, middle - float(away), middle + float(away)

    def _measured(self, features: Array) -> list[float | None]:
        predicted = self._fold.model.predict(features)
        return [self._metric.measure(self._label[rows], predicted[rows]) for rows in self._parts]


def _some(rows: Rows) -> Rows:
    if len(rows) <= ROWS:
        return rows
    return np.sort(np.random.default_rng(7).choice(rows, ROWS, replace=False))


def _worst_last(each: Worth) -> float:
    return -each.gain if each.gain is not None else np.inf


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
