"""Models of groups: found without labels at each cut like others, judged by whether they come out alike again."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from millstream.definitions.estimator import Estimator
from millstream.definitions.model import Model
from millstream.definitions.tasks import Clusters
from millstream.errors import BadData, DefinitionError
from millstream.metrics.clusters import agreement, explained, silhouette, smallest_share
from millstream.training.building import imported
from millstream.training.calm import within
from millstream.training.centres import Centres, Yardstick, distances
from millstream.training.estimators import Fit, fit, form
from millstream.training.matrix import Array, Categories, categories, matrix
from millstream.training.predictors import Constant
from millstream.training.python_models import PythonModel
from millstream.training.sets import TrainingSet
from millstream.training.splits import Rows

SAMPLE = 2000
"""Rows, evenly spread, that a silhouette is measured on: it costs the square of them."""

TRIED = range(2, 11)
"""Numbers of groups that are tried where nobody says how many."""

_COUNTS = ("n_clusters", "n_components")
_FEWEST_ROWS = 10


def fit_groups(model: Model, training: TrainingSet, rows: Rows, *, threads: int) -> tuple[Fit, Categories]:
    """Find groups among some rows; the largest comes first.

    K-Means finds them among rows measured in standard deviations and ships as centres. Any other estimator sees the
    features as they are, ships as it is and answers from a worker; distances to its groups are to their middles.

    Raises
    ------
    DefinitionError
        For an estimator that cannot say where a new row belongs.
    BadData
        For too few rows, or rows that are all alike.
    """
    columns = training.plan.columns
    frame = training.frame[rows]
    known = categories(frame, columns)
    features = matrix(frame, columns, known)
    yardstick = Yardstick.of(features, texts={at for at, each in enumerate(columns) if each.dtype == "varchar"})
    points = yardstick.points(features)
    if len(points) < _FEWEST_ROWS or not np.ptp(points, axis=0).any():
        raise BadData(
            f"{len(points):,} rows {'are too few' if len(points) < _FEWEST_ROWS else 'are all alike'} to be grouped",
            expected=f"at least {_FEWEST_ROWS} rows with a number that varies",
        )
    said, why = _asked(model, points)
    nearest = _is_nearest(said)
    with within(model.fit_within, name=said.path):
        made = fit(
            said, points if nearest else features, np.zeros(len(points)),
            task="clusters", columns=columns, seed=model.seed, threads=threads,
        )  # fmt: skip
    if nearest:
        centres = made.fitted.centres
        codes = distances(points, centres).argmin(axis=1)
        order = _order(codes, points)
        return msgspec.structs.replace(made, fitted=Centres(yardstick, centres[order], note=why)), known
    labels = made.fitted.predict(features)
    groups = _order(labels, points)
    if isinstance(model.task, Clusters) and model.task.n not in (None, len(groups)):
        raise DefinitionError(
            f"estimator {said.path} finds {len(groups)} groups, tasks.Clusters asks for {model.task.n}",
            expected="the same number, or tasks.Clusters() for as many as the estimator finds",
        )
    if len(groups) < 2:
        raise BadData(f"estimator {said.path} puts all rows in one group", expected="two groups or more")
    middles = np.stack([points[labels == each].mean(axis=0) for each in groups])
    described = Centres(yardstick, middles).described() | {"named": [float(each) for each in groups]}
    return msgspec.structs.replace(made, fitted=made.fitted.grouped(described)), known


def points_of(fitted: Any, features: Array) -> Array:
    """Return rows as a model of groups measures them."""
    if isinstance(fitted, PythonModel):
        said = fitted.described()["groups"]
        return Yardstick(np.array(said["centre"]), np.array(said["scale"])).points(features)
    return np.asarray(fitted.yardstick.points(features))


def codes_of(answers: Array) -> Rows:
    """Return the group each answer names."""
    return answers[:, 0].astype(np.intp)


def own_distance(answers: Array) -> Array:
    """Return how far each row is from the middle of its group: the number that is logged."""
    return np.asarray(answers[np.arange(len(answers)), 1 + codes_of(answers)])


def in_one_group(answers: Array) -> Constant:
    """Make the simple thing: everything is of the largest group, as far from each middle as rows usually are."""
    return Constant((0.0, *np.median(answers[:, 1:], axis=0).tolist()))


def measured(
    model: Model, training: TrainingSet, fitted: Rows, test: Rows, *, threads: int
) -> tuple[Fit, Array, Array, dict[str, dict[str, float | None]]]:
    """Find groups among some rows and put others into them.

    Returns
    -------
    tuple
        The fit; of each other row its group and its distance to that group's middle; and what can be said of the model
        and of one group for all. ``agreement`` is between two models taught on two halves of the rows.
    """
    made, known = fit_groups(model, training, fitted, threads=threads)
    columns, frame = training.plan.columns, training.frame[test]
    features = matrix(frame, columns, known)
    answers = made.predict(features)
    codes, points = codes_of(answers), points_of(made.fitted, features)
    halves = []
    for start in (0, 1):
        half, seen = fit_groups(model, training, fitted[start::2], threads=threads)
        halves.append(codes_of(half.predict(matrix(frame, columns, seen))))
    picked = _sampled(len(points))
    said = {
        "agreement": agreement(*halves),
        "silhouette": silhouette(points[picked], codes[picked]),
        "explained": explained(points, codes),
        "smallest_share": smallest_share(np.arange(answers.shape[1] - 1), codes),
    }
    one = {"agreement": None, "silhouette": None, "explained": 0.0, "smallest_share": 1.0}
    known_only = {name: value if value == value else None for name, value in said.items()}
    return made, codes.astype(np.float64), own_distance(answers), {"model": known_only, "baseline": one}


def _asked(model: Model, points: Array) -> tuple[Estimator, str]:
    """Return the estimator with the number of groups it is to find, and how that was chosen where nobody said it."""
    said = model.estimator
    kind = imported(said.path)
    if not callable(getattr(kind, "predict", None)):
        raise DefinitionError(
            f"estimator {said.path} groups the rows it is given and cannot say where a new row belongs",
            expected="one with fit and predict: KMeans, MiniBatchKMeans, BisectingKMeans, Birch, MeanShift, "
            "AffinityPropagation of sklearn.cluster, or GaussianMixture of sklearn.mixture",
            do="leave estimator= out for K-Means",
        )
    wanted = model.task.n if isinstance(model.task, Clusters) else None
    counted = next((each for each in _COUNTS if each in _parameters(kind)), None)
    if counted is None or (wanted is None and counted in said.params):
        return said, ""
    if wanted is not None:
        return _with(said, counted, wanted), ""
    tried = {}
    picked = points[_sampled(len(points))]
    for number in TRIED:
        if number < len(picked):
            made = fit(
                _with(said, counted, number), picked, np.zeros(len(picked)),
                task="clusters", columns=(), seed=model.seed, threads=1,
            )  # fmt: skip
            tried[number] = silhouette(picked, distances(picked, made.fitted.centres).argmin(axis=1))
    best = max(tried, key=lambda each: (tried[each] == tried[each], tried[each]))
    why = (
        f"Nobody said how many groups: {best} of {min(tried)} to {max(tried)} has the best silhouette "
        f"({tried[best]:.2f}) on {len(picked):,} rows."
    )
    return _with(said, counted, best), why


def _with(said: Estimator, name: str, value: int) -> Estimator:
    return msgspec.structs.replace(said, params={"n_init": 10, **said.params, name: value} if _is_nearest(said) else {
        **said.params, name: value
    })  # fmt: skip


def _is_nearest(said: Estimator) -> bool:
    return form(imported(said.path), task="clusters") == "plain"


def _parameters(kind: Any) -> set[str]:
    return set(kind().get_params()) if hasattr(kind, "get_params") and kind.__module__.startswith("sklearn.") else set()


def _order(codes: Array | Rows, points: Array) -> Array:
    """Return the groups by their rows, the largest first; of equal ones the one whose middle is lower."""
    found, counts = np.unique(codes, return_counts=True)
    middles = [tuple(points[codes == each].mean(axis=0).tolist()) for each in found]
    return np.asarray(found[sorted(range(found.size), key=lambda at: (-counts[at], middles[at]))])


def _sampled(rows: int) -> Rows:
    return np.unique(np.linspace(0, rows - 1, min(SAMPLE, rows)).astype(np.intp))
