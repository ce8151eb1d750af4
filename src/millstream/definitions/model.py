"""A model: what it predicts for, from what, with what, how it ships and how it stays honest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from millstream.definitions.estimator import Estimator
from millstream.definitions.features import Window
from millstream.definitions.loop import Every
from millstream.definitions.monitors import Classic
from millstream.definitions.rows import Rows
from millstream.definitions.splits import Time
from millstream.definitions.tasks import Clusters, Ranking, Task, read_threshold
from millstream.definitions.traffic import Champion
from millstream.definitions.view import FeatureView, Role
from millstream.errors import DefinitionError
from millstream.types import parse_duration

ROBUST = "millstream.training.robust:RobustZ"
"""Estimator of a model without label that names none: the robust distance of each feature."""

K_MEANS = "sklearn.cluster:KMeans"
"""Estimator of a model of clusters that names none."""


@dataclass(frozen=True, init=False)
class Model:
    """A model definition.

    Parameters
    ----------
    name
        Its name in the registry, the URL and on the page.
    rows
        What it predicts for.
    label
        Expression over the rows' table, or a window that looks ahead: ``features.any(of=failures, ahead="48h")``.
        NULL is unlabelled: kept, counted, not fitted. None is a model without label: it says how unusual a row is, or
        with ``task=tasks.Clusters()`` which group it belongs to.
    features
        Feature views, or roles of them, in the order the model sees them.
    estimator
        An object with ``fit`` and ``predict``: of LightGBM, scikit-learn, XGBoost, or a class in a file of the project.
    metrics, goal
        Metrics reported, and the one that decides.
    task
        Follows the label's type when left out (boolean gives Binary, number gives Regression).
    split, traffic, retrain, monitor
        Options; the defaults work.
    seed
        Seed of everything random.
    weight
        Expression over the rows' table: how much a row counts in fitting. Metrics count every row alike.
    segments
        Columns of the rows' table by which answers are judged as well: "worse for AA".
    threshold
        Of a ``Binary`` model: the probability from which on its ``decision`` is yes, or how to choose it on the
        hold-out: ``"f1"``, ``"cost(fp=1, fn=5)"``.
    fit_within
        How long one fit may take, such as ``"2h"``; it is stopped then and the run fails. Without bound when left out.
    vouched
        Features (``view.feature``) that look like the label in disguise and really are known in time: somebody's word
        for it. They are said, and not refused.
    """

    name: str
    rows: Rows
    label: str | Window | None
    features: tuple[Role, ...]
    estimator: Estimator
    metrics: tuple[str, ...]
    goal: str
    task: Task | None
    split: Time
    traffic: Champion
    retrain: Every | None
    monitor: Classic
    seed: int
    weight: str | None = None
    segments: tuple[str, ...] = ()
    threshold: float | str | None = None
    fit_within: str | None = None
    vouched: tuple[str, ...] = ()

    def __init__(  # noqa: PLR0913 - a definition record: its words are its parameters
        self,
        name: str,
        *,
        rows: Rows,
        label: str | Window | None,
        features: Iterable[FeatureView | Role],
        estimator: Any = None,
        metrics: Iterable[str] = (),
        goal: str = "",
        task: Task | None = None,
        split: Time | None = None,
        traffic: Champion | None = None,
        retrain: Every | None = None,
        monitor: Classic | None = None,
        seed: int = 7,
        weight: str | None = None,
        segments: Iterable[str] = (),
        threshold: float | str | None = None,
        fit_within: str | None = None,
        vouched: Iterable[str] = (),
    ) -> None:
        if label is None:
            groups = isinstance(task, Clusters)
            estimator = Estimator(K_MEANS if groups else ROBUST, {}) if estimator is None else estimator
            goal = goal or ("agreement" if groups else "stability")
        if isinstance(task, Ranking):
            goal = goal or "ndcg_at_k"
        if estimator is None or not goal:
            raise DefinitionError(
                f"model {name!r} has no {'goal' if estimator is not None else 'estimator'}",
                expected="estimator= and goal=; only a model without label (label=None) has its own",
            )
        if isinstance(metrics, str):
            raise DefinitionError(f"model {name!r} has metrics={metrics!r}", expected=f"a list: metrics=[{metrics!r}]")
        named = tuple(dict.fromkeys((*metrics, goal)))
        fields: dict[str, object] = {
            "name": name,
            "rows": rows,
            "label": label,
            "features": tuple(each if isinstance(each, Role) else each.on({}, name=each.name) for each in features),
            "estimator": Estimator.of(estimator),
            "metrics": named,
            "goal": goal,
            "task": task,
            "split": split or Time(),
            "traffic": traffic or Champion(),
            "retrain": retrain,
            "monitor": monitor or Classic(),
            "seed": seed,
            "weight": weight,
            "segments": tuple(dict.fromkeys([segments] if isinstance(segments, str) else segments)),
            "threshold": threshold,
            "fit_within": fit_within,
            "vouched": tuple(dict.fromkeys([vouched] if isinstance(vouched, str) else vouched)),
        }
        if fit_within is not None:
            refuse_no_time(name, fit_within)
        if threshold is not None:
            read_threshold(threshold)
        for field, value in fields.items():
            object.__setattr__(self, field, value)
        used = [each.name for each in self.features]
        twice = sorted({each for each in used if used.count(each) > 1})
        if twice:
            raise DefinitionError(
                f"model {name!r} uses {', '.join(twice)} twice",
                expected="a role with a name of its own: view.on({...}, name=...)",
            )

    def but(self, **changes: Any) -> Model:
        """Return a copy with some words changed: ``late.but(estimator=...)``."""
        said: dict[str, Any] = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        unknown = sorted(set(changes) - set(said))
        if unknown:
            raise DefinitionError(f"a model has no {', '.join(unknown)}", expected=", ".join(sorted(said)))
        return Model(**(said | changes))


def refuse_no_time(name: str, said: str) -> None:
    """Refuse a limit that is no length of time, or none at all."""
    try:
        positive = parse_duration(said).total_seconds() > 0
    except (ValueError, TypeError, AttributeError):
        positive = False
    if not positive:
        raise DefinitionError(
            f"model {name!r} has fit_within={said!r}", expected="a length of time, such as '90s', '2h' or '1d'"
        )
