"""MLflow's scoring protocol: the four forms of a body that holds feature columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from millstream.errors import BadData, near
from millstream.expressions.values import value
from millstream.serving.records import Scalar
from millstream.serving.scorer import Scorer

DECIDE = "decide"
"""Parameter that asks for the decision beside each number; stock MLflow clients know it from the signature."""


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table as columns' names and rows."""

    columns: list[str]
    data: list[list[Scalar]]
    index: list[Scalar] | None = None


class Invocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body: exactly one of the forms; ``params`` may ask for what is decided by the answers beside them."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Scalar]] | None = None
    instances: list[dict[str, Scalar] | list[Scalar]] | None = None
    inputs: dict[str, list[Scalar]] | list[dict[str, Scalar] | list[Scalar]] | None = None
    params: dict[str, Scalar] | None = None


def feature_rows(asked: Invocation, scorer: Scorer) -> list[list[Any]]:
    """Return rows of feature values in the model's order, each of its declared type.

    Raises
    ------
    BadData
        Unless exactly one form is there, with every feature and nothing else.
    """
    given = [each for each in asked.__struct_fields__ if each != "params" and getattr(asked, each) is not None]
    if len(given) != 1:
        raise BadData(
            f"the body has {' and '.join(given) or 'no rows'}",
            expected="one of dataframe_split, dataframe_records, instances, inputs",
        )
    rows = [_row(each, scorer.features) for each in _rows(getattr(asked, given[0]))]
    types = {each.name: each.dtype for each in scorer.plan.columns}
    kinds = [(types[name], f"feature {name!r}") for name in scorer.features]
    return [[value(raw, dtype, where=where) for raw, (dtype, where) in zip(row, kinds, strict=True)] for row in rows]


def wants_decision(asked: Invocation, scorer: Scorer) -> bool:
    """Say whether the caller asks, by ``"params": {"decide": true}``, for the decision beside each number.

    Raises
    ------
    BadData
        For other parameters, and where the model has no threshold.
    """
    params = asked.params or {}
    unknown = sorted(set(params) - {DECIDE})
    if unknown or not isinstance(params.get(DECIDE, False), bool):
        raise BadData(
            f"params has {unknown[0]!r}" if unknown else f"params.{DECIDE} is {params[DECIDE]!r}",
            expected=f'{{"{DECIDE}": true}} or no params',
        )
    if params.get(DECIDE) and scorer.threshold is None:
        raise BadData(
            f"{scorer.model} has no threshold, so nothing is decided by its answers",
            expected=f"a model with threshold=, or no params.{DECIDE}",
        )
    return bool(params.get(DECIDE))


def _rows(said: Any) -> Sequence[dict[str, Scalar] | list[Scalar]]:
    if isinstance(said, Split):
        if any(len(row) != len(said.columns) for row in said.data):
            raise BadData("a row of dataframe_split.data is not as long as its columns")
        return [dict(zip(said.columns, row, strict=True)) for row in said.data]
    if isinstance(said, dict):
        if len({len(column) for column in said.values()}) > 1:
            raise BadData("the columns of inputs are not equally long")
        return [dict(zip(said, row, strict=True)) for row in zip(*said.values(), strict=True)]
    rows: list[dict[str, Scalar] | list[Scalar]] = said
    return rows


def _row(row: dict[str, Scalar] | list[Scalar], features: Sequence[str]) -> list[Scalar]:
    if isinstance(row, list):
        if len(row) != len(features):
            raise BadData(f"a row has {len(row)} values", expected=f"{len(features)}: {', '.join(features)}")
        return row
    if row.keys() != set(features):
        unknown = sorted(set(row) - set(features))
        missing = [name for name in features if name not in row]
        raise BadData(
            f"a row misses {missing} and has {unknown}, which the model does not read",
            expected=near(unknown[0], features) if unknown else ", ".join(features),
            do="keys and request fields go to /v1/models/{model}/predict",
        )
    return [row[name] for name in features]
