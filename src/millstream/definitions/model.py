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
from millstream.definitions.tasks import Task
from millstream.definitions.traffic import Champion
from millstream.definitions.view import FeatureView, Role
from millstream.errors import DefinitionError


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
        NULL is unlabelled: kept, counted, not fitted.
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
    """

    name: str
    rows: Rows
    label: str | Window
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

    def __init__(  # noqa: PLR0913 - a definition record: its words are its parameters
        self,
        name: str,
        *,
        rows: Rows,
        label: str | Window,
        features: Iterable[FeatureView | Role],
        estimator: Any,
        metrics: Iterable[str] = (),
        goal: str,
        task: Task | None = None,
        split: Time | None = None,
        traffic: Champion | None = None,
        retrain: Every | None = None,
        monitor: Classic | None = None,
        seed: int = 7,
    ) -> None:
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
        }
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
