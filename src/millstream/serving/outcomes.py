"""Outcomes as callers report them: which row or answer one is about, and whether its label is one the model has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from millstream.errors import BadData, NotFound, near
from millstream.serving.records import Outcome, Scalar, parse_id
from millstream.serving.scorer import Scorer
from millstream.types import from_micros, parse_instant, to_micros

_DECIDED_AT, _TARGET_AT = "decided_at", "target_at"
_SHOWN = 120


class OneOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reported outcome: of a prediction, by its ``id``, or of a row, by its ``key`` (bare when it is one column).

    Every prediction of that row gets an outcome given by key.
    """

    label: Scalar
    key: dict[str, Scalar] | Scalar = None
    id: str | None = None


class OutcomesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an outcomes request."""

    outcomes: list[OneOutcome]


def taken_all(outcomes: Sequence[OneOutcome], scorer: Scorer, *, at_us: int, wall_us: int) -> list[tuple[Outcome, str]]:
    """Take all outcomes of a request, or none: an error says which one it is about. See ``taken``."""
    made: list[tuple[Outcome, str]] = []
    for each in outcomes:
        try:
            made.append(taken(each, scorer, at_us=at_us, wall_us=wall_us))
        except BadData as wrong:
            if len(outcomes) > 1:
                wrong.happened = f"outcome {len(made)} of {len(outcomes)}: {wrong.happened}; none was taken"
            raise
    return made


def taken(one: OneOutcome, scorer: Scorer, *, at_us: int, wall_us: int) -> tuple[Outcome, str]:
    """Return an outcome as it is logged, and what its reporter should know of it; mostly nothing.

    Raises
    ------
    BadData
        For a row or prediction that is not named as the model names them, or a label of another type than the model's.
    """
    key: dict[str, Scalar] = {}
    if one.id is None:
        key = _key(one.key, scorer)
    elif one.key is not None:
        raise BadData("an outcome has both an id and a key", expected="the id of a prediction, or the key of a row")
    else:
        try:
            parse_id(one.id)
        except NotFound as wrong:
            raise BadData(wrong.happened[:_SHOWN], expected=wrong.expected) from None
    label, says = _label(one.label, scorer)
    return Outcome(at_us, wall_us, scorer.model, key, label, one.id or ""), says


def _key(said: dict[str, Scalar] | Scalar, scorer: Scorer) -> dict[str, Scalar]:
    """Name a row as predictions of it are named, its columns in the same order and instants written alike."""
    columns = scorer.plan.prediction_key
    if isinstance(said, dict) and said.keys() == set(columns):
        named = {each: said[each] for each in columns}
    elif not isinstance(said, dict) and len(columns) == 1 and said is not None:
        named = {columns[0]: said}
    else:
        raise BadData(
            f"the key of an outcome is {str(said)[:_SHOWN]}",
            expected=f"the row's key: {', '.join(columns)}; or the prediction's id",
        )
    for column in (_DECIDED_AT, _TARGET_AT) if scorer.plan.ticks is not None else ():
        if column in named:
            named[column] = _instant(column, named[column])
    return named


def _instant(column: str, raw: Scalar) -> str:
    try:
        return from_micros(to_micros(parse_instant(str(raw)))).isoformat()
    except (ValueError, OverflowError):
        raise BadData(
            f"{column!r} of an outcome's key is {str(raw)[:_SHOWN]!r}", expected="an instant with its zone"
        ) from None


def _label(raw: Scalar, scorer: Scorer) -> tuple[Scalar, str]:
    """Take a label by the type the model has learnt; classes are texts, as answers name them."""
    dtype, classes = scorer.plan.label_dtype, scorer.shape.classes
    if dtype is None:
        raise BadData(
            f"model {scorer.model!r} has no label, so an outcome has nothing to be compared with",
            expected="outcomes of a model that learns a label",
            do="GET /v1/models/{model} names the task",
        )
    if classes:
        said = _class(raw, dtype)
        if said is None:
            raise _wrong(raw, f"a class: {', '.join(classes[:8])}{' …' if len(classes) > 8 else ''}", scorer)
        known = said in classes
        return said, "" if known else f"{said!r} is no class of {scorer.model}@{scorer.version}; {near(said, classes)}"
    if dtype == "boolean":
        if not isinstance(raw, bool):
            raise _wrong(raw, "true or false", scorer)
        return raw, ""
    if dtype in ("bigint", "double"):
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
            raise _wrong(raw, "a number", scorer)
        if dtype == "bigint" and isinstance(raw, float) and not raw.is_integer():
            raise _wrong(raw, "a whole number", scorer)
        return raw, ""
    if not isinstance(raw, str):
        raise _wrong(raw, "a text", scorer)
    return raw, ""


def _class(raw: Scalar, dtype: str) -> str | None:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool):
        return str(raw).lower() if dtype == "boolean" else None
    return str(raw) if dtype == "bigint" and isinstance(raw, int) else None


def _wrong(raw: Scalar, expected: str, scorer: Scorer) -> BadData:
    said = "null" if raw is None else msgspec.json.encode(raw).decode()[:_SHOWN]
    return BadData(
        f"the label of an outcome is {said}",
        expected=f"{expected}, as model {scorer.model!r} has learnt it",
        do="to correct an outcome, report it again with the right label" if raw is None else "",
    )
