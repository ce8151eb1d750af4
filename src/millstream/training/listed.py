"""One cut of a model that lists items: fit on choices and samples, judge on lists of all candidates."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from millstream.definitions.model import Model
from millstream.definitions.tasks import Ranking
from millstream.errors import BadData
from millstream.features.listed import SAMPLED
from millstream.training.calm import within
from millstream.training.champion import Champion
from millstream.training.estimators import Fit, fit
from millstream.training.lists import Decisions, Lists, Ranker
from millstream.training.matrix import Array, Categories, matrix
from millstream.training.predictors import Constant
from millstream.training.sets import TrainingSet
from millstream.training.splits import NEVER, Rows, Split
from millstream.types import to_micros

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Judged:
    """Lists that were made after a cut.

    Parameters
    ----------
    decisions
        For whom and when, and what was chosen.
    ours, simple
        The model's lists, and those of the most chosen items.
    popular
        How often each item was chosen before the cut.
    """

    decisions: Decisions
    ours: Lists
    simple: Lists
    popular: dict[Any, float]

    @property
    def shown(self) -> pl.DataFrame:
        """The pairs the model listed, with their features."""
        assert self.ours.shown is not None
        return self.ours.shown


def popular(training: TrainingSet, rows: Rows) -> dict[Any, float]:
    """Count how often each item was a good choice among some rows, the most chosen first, then by key."""
    import polars as pl

    item = ranker_of(training).ranking.item
    chosen = training.frame[rows].filter((pl.col(SAMPLED) == 0) & pl.col("label").fill_null(False))
    counted = chosen.group_by(item).len().sort("len", item, descending=[True, False])
    return {name: float(count) for name, count in counted.rows()}


def judge_lists(model: Model, training: TrainingSet, split: Split, *, threads: int) -> tuple[Fit, Fit, Judged]:
    """Fit at a cut and make the lists after it; return the fit, the simple rule's, and the lists.

    Raises
    ------
    BadData
        When nothing that could have been listed was chosen after the cut.
    """
    ranker = ranker_of(training)
    fitted, known = fit_pairs(model, training, split.fit, threads=threads)
    began = time.perf_counter()
    counts = popular(training, split.fit)
    simple = Fit(Constant(float(max(counts.values(), default=0.0))), {}, time.perf_counter() - began)
    until = None if training.until is None else to_micros(training.until)
    decisions = ranker.decisions(_whole(training, split, ranker), most=most_judged(model), known_by=until)
    if not decisions.chosen:
        raise BadData(
            f"after the cut nobody chose anything that could have been listed; {decisions.out_of_reach} choices were"
            " of items not known yet or chosen before",
            expected="choices of candidates within tasks.TopK(within=...) of their decision",
            do="look at within=, decide_at and the candidates' known_at",
        )
    columns = training.plan.columns

    def ours(pairs: pl.DataFrame) -> Array:
        return fitted.predict(matrix(pairs, columns, known))

    def by_count(pairs: pl.DataFrame) -> Array:
        return np.array([counts.get(each, 0.0) for each in pairs[ranker.ranking.item].to_list()])

    made, most = ranker.lists(decisions, [ours, by_count], popular=counts)
    return fitted, simple, Judged(decisions, made, most, counts)


def fit_pairs(model: Model, training: TrainingSet, rows: Rows, *, threads: int) -> tuple[Fit, Categories]:
    """Fit what scores pairs of somebody and an item."""
    from millstream.training.matrix import categories

    columns, frame = training.plan.columns, training.frame[rows]
    known = categories(frame, columns)
    label = training.label[rows]
    with within(model.fit_within, name=model.estimator.path):
        made = fit(
            model.estimator, matrix(frame, columns, known), label, task="binary", columns=columns, seed=model.seed,
            threads=threads,
        )  # fmt: skip
    return made, known


def champions_lists(champion: Champion, training: TrainingSet, judged: Judged) -> Array:
    """Return the places of a champion's lists, NaN for decisions it may have learnt from."""
    since_us, scores = to_micros(champion.since), champion.score
    assert scores is not None
    decisions, ranker = judged.decisions, ranker_of(training)
    listed: Array = np.full(judged.ours.listed.shape, np.nan)
    fresh = decisions.frame["decided_at"].to_physical().to_numpy() > since_us
    if fresh.any():
        rows = np.flatnonzero(fresh)
        part = Decisions(
            decisions.frame[rows], tuple(decisions.chosen[each] for each in rows.tolist()), decisions.of,
            decisions.out_of_reach, decisions.candidates,
        )  # fmt: skip
        made = ranker.lists(part, [lambda pairs: scores(pairs, training.plan)], popular=judged.popular)
        listed[rows] = made[0].listed
    return listed


def ranker_of(training: TrainingSet) -> Ranker:
    """Return what makes the lists of a training set."""
    if training.ranker is None:
        raise BadData(
            f"the training set of {training.plan.model!r} was made without its candidates", do="build_set(...)"
        )
    return training.ranker


def most_judged(model: Model) -> int:
    """Return how many lists at most are made at each cut."""
    assert isinstance(model.task, Ranking)
    return model.task.judged


def baseline_file(training: TrainingSet) -> dict[str, Any]:
    """Return what ``baseline.json`` says: the items most often chosen, as known by the end of the set."""
    counts = popular(training, np.flatnonzero(training.known != NEVER))
    labelled = training.label[training.known != NEVER]
    total = sum(counts.values()) or 1.0
    shares = [count / total for count in counts.values()]
    return {"kind": "popularity", "value": float(labelled.mean()), "items": list(counts), "shares": shares}


def says(model: Model, judged: list[Judged]) -> str:
    """Say how the lists were judged, for everywhere their numbers are shown."""
    made = sum(len(each.decisions.chosen) for each in judged)
    of = sum(each.decisions.of for each in judged)
    missed = sum(each.decisions.out_of_reach for each in judged)
    most = max(each.decisions.candidates for each in judged)
    assert isinstance(model.task, Ranking)
    sample = f"{made:,} lists, a sample of {of:,}" if made < of else f"all {made:,} lists"
    beyond = f"; {missed:,} choices were of items that no list could have held and do not count" if missed else ""
    return (
        f"Judged on {sample} after which somebody chose well within {model.task.within}, each made of all candidates"
        f" known then (up to {most:,}){beyond}."
    )


def _whole(training: TrainingSet, split: Split, ranker: Ranker) -> pl.DataFrame:
    """Return the tested choices whose span has ended by the set's end."""
    import polars as pl

    rows = training.frame[split.test].filter(pl.col(SAMPLED) == 0)
    if training.until is None:
        return rows
    last = to_micros(training.until) - ranker.ranking.within_us
    return rows.filter(pl.col("decided_at").to_physical() <= last)
