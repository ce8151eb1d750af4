"""Models without labels: fitted at each cut like others, judged by what can be said without the truth."""

from __future__ import annotations

import time

import numpy as np

from millstream.definitions.model import Model
from millstream.definitions.tasks import Anomaly, Clusters
from millstream.errors import BadData
from millstream.metrics.unlabelled import same_most, share_flagged, stability
from millstream.training.calm import within
from millstream.training.estimators import Fit, fit
from millstream.training.matrix import Array, Categories, categories, matrix
from millstream.training.robust import RobustZ
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows
from millstream.training.thresholds import Threshold

ROBUST = f"{RobustZ.__module__}:{RobustZ.__qualname__}"
"""How a definition without estimator says the robust distance."""

STABLE = 0.5
"""Models taught on two halves that rank rows less alike than this do not know what is unusual."""

FAR_FROM_SHARE = 5.0
"""A share flagged so many times above or below the one asked for is another share."""


def fit_scores(
    model: Model, training: TrainingSet, rows: Rows, *, threads: int, robust: bool = False
) -> tuple[Fit, Categories]:
    """Fit what scores rows on some of them: the model's estimator, or the robust distance."""
    columns = training.plan.columns
    frame = training.frame[rows]
    known = categories(frame, columns)
    features = matrix(frame, columns, known)
    if robust or model.estimator.path == ROBUST:
        began = time.perf_counter()
        return Fit(RobustZ().fit(features, columns=columns), {}, time.perf_counter() - began), known
    with within(model.fit_within, name=model.estimator.path):
        made = fit(
            model.estimator,
            features,
            np.zeros(len(rows)),
            task="anomaly",
            columns=columns,
            seed=model.seed,
            threads=threads,
        )
    return made, known


def share_of(model: Model) -> float:
    """Return the share of rows that a model is to flag, or that its smallest group is to have."""
    if isinstance(model.task, Clusters):
        return model.task.smallest
    return model.task.share if isinstance(model.task, Anomaly) else Anomaly().share


def score_threshold(model: Model, scores: Array) -> Threshold:
    """Return the score above which the share asked for lies, of the rows learnt from."""
    share = share_of(model)
    if scores.size < 1 / share:
        raise BadData(
            f"{scores.size:,} rows are too few to tell the {share:.2%} most unusual ones",
            expected=f"at least {int(np.ceil(1 / share)):,} rows",
            do="more rows, or task=tasks.Anomaly(share=...) with a larger share",
        )
    value = float(np.quantile(scores, 1 - share, method="higher"))
    flagged = float(np.mean(scores >= value))
    return Threshold(
        value, f"share={share:g}", f"scores from {value:.4g} on are flagged: {flagged:.2%} of those learnt from"
    )


def measured(
    model: Model, training: TrainingSet, fitted: Rows, test: Rows, *, threads: int, robust: bool
) -> tuple[Fit, Array, Array, dict[str, float | None]]:
    """Fit on some rows and score others; return the fit, the scores, what is flagged, and what can be said of them."""
    made, known = fit_scores(model, training, fitted, threads=threads, robust=robust)
    columns = training.plan.columns
    scores = made.predict(matrix(training.frame[test], columns, known))
    learnt = made.predict(matrix(training.frame[fitted], columns, known))
    flagged = (scores >= score_threshold(model, learnt).value).astype(np.float64)
    halves = []
    for start in (0, 1):
        half, seen = fit_scores(model, training, fitted[start::2], threads=threads, robust=robust)
        halves.append(half.predict(matrix(training.frame[test], columns, seen)))
    alike = stability(halves[0], halves[1])
    said: dict[str, float | None] = {"share_flagged": share_flagged(flagged, scores), "stability": None}
    return made, scores, flagged, said | {"stability": alike if alike == alike else None}


def verdict_words(
    model_said: dict[str, float | None], simple: dict[str, float | None], share: float, *, beside: str = ""
) -> tuple[bool, str]:
    """Say whether a model without labels may go on, and what can and cannot be said of it.

    Parameters
    ----------
    model_said, simple
        What was measured of the model and of the robust distance.
    share
        Of rows that it is to flag.
    beside
        Which rows others find unusual, in words.
    """
    flagged, alike = model_said.get("share_flagged"), model_said.get("stability")
    other = simple.get("stability")
    near = flagged is not None and share / FAR_FROM_SHARE <= flagged <= share * FAR_FROM_SHARE
    passed = near and alike is not None and alike >= STABLE
    said = [
        f"It flags {flagged:.2%} of rows it had not learnt from, {share:.2%} was asked for"
        f"{'' if near else ', which is another share'}." if flagged is not None else "No row was there to be scored.",
        f"Taught on two halves, it ranks rows {'alike' if alike is not None and alike >= STABLE else 'differently'}"
        f" (agreement {_number(alike)}; the robust distance of single features {_number(other)}).",
        beside,
        "All of this compares models with each other, not with the truth. There are no labels, so nobody can say "
        "whether what it flags matters: let somebody who knows the rows look at the flagged ones before it goes live.",
    ]  # fmt: skip
    return passed, " ".join(each for each in said if each)


def beside_words(
    ours: Array, origin: Rows, *, share: float, simple: Array, champion: Array | None, name: str
) -> str:  # fmt: skip
    """Say how many of the rows it finds most unusual others find so too: agreement, which is not quality.

    Parameters
    ----------
    ours, simple, champion
        Scores of the rows judged on; the champion's are NaN where it may have learnt from a row.
    origin
        Fold each row is of: scores of different folds are not compared.
    share
        How many rows count as most unusual.
    name
        Of the champion.
    """
    if np.array_equal(ours, simple):
        said = "It is the robust distance of single features itself, so there is nothing simpler to hold it against."
    else:
        said = (
            f"Of the {share:.0%} of rows it finds most unusual, the robust distance of single features names "
            f"{_same(ours, simple, origin, share):.0%} too."
        )
    if champion is None:
        return said
    fresh = ~np.isnan(champion)
    if not fresh.any():
        return f"{said} {name} may have learnt from every row judged on, so the two are not compared."
    alike = _same(ours[fresh], champion[fresh], origin[fresh], share)
    return f"{said} On {int(fresh.sum()):,} rows that {name} had not learnt from, {name} names {alike:.0%} of its too."


def _same(one: Array, other: Array, origin: Rows, share: float) -> float:
    """Return the part of the most unusual rows that two name alike, the mean over folds by their rows."""
    folds = [origin == each for each in np.unique(origin)]
    found = [same_most(one[rows], other[rows], share=share) * int(rows.sum()) for rows in folds]
    return float(sum(found) / origin.size)


def _number(value: float | None) -> str:
    return "not to be had" if value is None else f"{value:.2f}"
