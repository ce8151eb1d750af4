"""Features made of other features, for one row: standard library and msgspec only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from millstream.expressions.closure import to_closure
from millstream.features.plan import FeaturePlan
from millstream.types import DType

Value: TypeAlias = float | str


class Combined:
    """Computes a plan's combined features from served values.

    Parameters
    ----------
    plan
        What the model reads.

    Attributes
    ----------
    reads
        Features that the expressions read.
    """

    def __init__(self, plan: FeaturePlan) -> None:
        types = {f"{view.name}.{name}": said.dtype for view in plan.views for name, said in view.features.items()}
        read = dict.fromkeys(name for said in plan.combined.values() for name in said.columns if name in types)
        self._types = {name: types[name] for name in read}
        self._compute = to_closure(plan.combined)
        self.reads = tuple(read)

    def of(self, row: Mapping[str, Any], features: Mapping[str, Value]) -> dict[str, Any]:
        """Return values of the row language, from the request's fields and served features (NULL is NaN)."""
        found = {name: typed(features[name], dtype) for name, dtype in self._types.items()}
        return self._compute({**row, **found})


def typed(value: Value, dtype: DType) -> Any:
    """Turn a served number back into a value of the row language."""
    if isinstance(value, str):
        return value
    if value != value:
        return None
    return bool(value) if dtype == "boolean" else value if dtype == "double" else int(value)
