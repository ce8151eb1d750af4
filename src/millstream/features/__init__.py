"""What is known of an entity at an instant: the same numbers for training and for serving.

A plan (``FeaturePlan``) says what a model reads, resolved and typed; it travels in the release. ``spine`` gives the
rows to predict for with the instant each is decided at, ``point_in_time`` joins what was known then, and ``online``
keeps the same answers as step functions of time for the scoring server. Everything is imported on first use, because
the scoring server reads features without any dataframe library.

The words that definitions are written in (``from millstream import features as f``) live in ``definitions.features``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.features.changes import Changes
    from millstream.features.compile import compile_plan
    from millstream.features.engine import FeatureEngine
    from millstream.features.join import PolarsEngine, point_in_time
    from millstream.features.knowledge import check_known
    from millstream.features.outcomes import outcomes_of
    from millstream.features.plan import FeatureColumn, FeaturePlan, ViewPlan, WindowPlan
    from millstream.features.rows import spine
    from millstream.features.ticks import existing

_DOOR = {
    "Changes": "changes",
    "FeatureColumn": "plan",
    "FeatureEngine": "engine",
    "FeaturePlan": "plan",
    "PolarsEngine": "join",
    "ViewPlan": "plan",
    "WindowPlan": "plan",
    "check_known": "knowledge",
    "compile_plan": "compile",
    "existing": "ticks",
    "outcomes_of": "outcomes",
    "point_in_time": "join",
    "spine": "rows",
}

__all__ = [
    "Changes",
    "FeatureColumn",
    "FeatureEngine",
    "FeaturePlan",
    "PolarsEngine",
    "ViewPlan",
    "WindowPlan",
    "check_known",
    "compile_plan",
    "existing",
    "outcomes_of",
    "point_in_time",
    "spine",
]


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'millstream.features' has no attribute {name!r}; it offers {sorted(_DOOR)}")
    return getattr(importlib.import_module(f"millstream.features.{_DOOR[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
