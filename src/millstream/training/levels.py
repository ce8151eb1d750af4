"""Quantiles: the same estimator fitted once a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from millstream.definitions.estimator import Estimator
from millstream.errors import DefinitionError
from millstream.features.plan import FeatureColumn
from millstream.training.estimators import Fit, fit
from millstream.training.matrix import Array
from millstream.training.predictors import Ladder, LightGbm
from millstream.training.python_models import PythonModel, joined

_ASKED: dict[str, tuple[dict[str, object], str]] = {
    "LGBMRegressor": ({"objective": "quantile"}, "alpha"),
    "XGBRegressor": ({"objective": "reg:quantileerror"}, "quantile_alpha"),
    "QuantileRegressor": ({}, "quantile"),
    "GradientBoostingRegressor": ({"loss": "quantile"}, "alpha"),
    "HistGradientBoostingRegressor": ({"loss": "quantile"}, "quantile"),
}
"""How an estimator is asked for a quantile: what stays, and the parameter that is the level."""


def fit_levels(
    said: Estimator, matrix: Array, label: Array, *, levels: tuple[float, ...], columns: Sequence[FeatureColumn],
    seed: int, threads: int, weight: Array | None = None,
) -> Fit:  # fmt: skip
    """Fit an estimator once a level; the answers are sorted, so that they never cross.

    Raises
    ------
    DefinitionError
        For an estimator that has no quantiles.
    """
    name = said.path.rpartition(":")[2]
    if name not in _ASKED:
        raise DefinitionError(
            f"estimator {said.path} gives no quantiles, the task is Quantiles", expected=f"one of {', '.join(_ASKED)}"
        )
    fixed, level_word = _ASKED[name]
    words: dict[str, Any] = {"columns": columns, "seed": seed, "threads": threads, "weight": weight}
    if name == "XGBRegressor":  # fits all levels at once
        asked = msgspec.structs.replace(said, params=said.params | fixed | {level_word: list(levels)})
        made = fit(asked, matrix, label, task="regression", **words)
        return msgspec.structs.replace(made, fitted=made.fitted.quantiles())
    rungs: list[Any] = []
    seconds, params = 0.0, {}
    for place, level in enumerate(levels):
        asked = msgspec.structs.replace(said, params=said.params | fixed | {level_word: level})
        made = fit(asked, matrix, label, task="regression", **words)
        rung = made.fitted
        rungs.append(LightGbm(rung.text, file=f"model-{place}.txt") if isinstance(rung, LightGbm) else rung)
        seconds, params = seconds + made.train_s, {**made.params, level_word: list(levels)}
    if all(isinstance(each, PythonModel) for each in rungs):
        return Fit(joined(rungs, matrix[:200]), params, seconds)
    return Fit(Ladder(tuple(rungs)), params, seconds)
