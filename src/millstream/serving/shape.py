"""From a model's numbers to an answer: the one number that is logged as its value, and what callers are told beside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from millstream.definitions.tasks import Shape
from millstream.serving.models import Numbers

Said: TypeAlias = Mapping[str, Any]
"""What an answer says beside its number: ``class`` and ``probabilities``, ``quantiles``, ``decision``, ``flagged``;
of clusters ``class``, ``distance`` and ``distances``; of lists ``items``, ``scores`` and ``known``."""

NOTHING: Said = {}


class Shaped(NamedTuple):
    """An answer: the number that is logged, NaN where the model has none, and what is said beside it."""

    value: float
    said: Said


def shaped(numbers: Numbers, shape: Shape, threshold: float | None = None) -> Shaped:
    """Shape an answer.

    From the threshold on a probability is a ``decision`` and a score is ``flagged``. Of classes the number is the
    probability of the most probable one (the first of equals), which is ``class``; of quantiles it is the median; of
    clusters the distance to the middle of its own, which is ``class``.

    >>> shaped((0.2, 0.8), Shape("multiclass", classes=("red", "white"))).said["class"]
    'white'
    """
    if not isinstance(numbers, Sequence):
        if threshold is None or not math.isfinite(numbers):
            return Shaped(numbers, NOTHING)
        return Shaped(numbers, {"flagged" if shape.task == "anomaly" else "decision": numbers >= threshold})
    if not all(map(math.isfinite, numbers)):
        return Shaped(math.nan, NOTHING)
    if shape.task == "clusters":
        own, distances = int(numbers[0]), numbers[1:]
        beside = {"distance": distances[own], "distances": dict(zip(shape.classes, distances, strict=True))}
        return Shaped(distances[own], {"class": shape.classes[own], **beside})
    if shape.task == "multiclass":
        most = max(range(len(numbers)), key=numbers.__getitem__)
        probabilities = dict(zip(shape.classes, numbers, strict=True))
        return Shaped(numbers[most], {"class": shape.classes[most], "probabilities": probabilities})
    named = {f"{level:g}": number for level, number in zip(shape.levels, numbers, strict=True)}
    return Shaped(numbers[shape.levels.index(0.5)], {"quantiles": named})


def whole(value: float, said: Said) -> tuple[float, ...]:
    """Return every number of an answer: its value, then those of each class, level or group in their order.

    >>> whole(0.8, {"class": "white", "probabilities": {"red": 0.2, "white": 0.8}})
    (0.8, 0.2, 0.8)
    """
    beside = (each for each in said.values() if isinstance(each, Mapping))
    return (value, *(number for each in beside for number in each.values()))


def listed(items: Sequence[Any], scores: Sequence[float], *, known: bool) -> Shaped:
    """Shape a list: its number is the score of the first item, NaN for an empty list.

    >>> listed([3, 8], [0.5, 0.25], known=True).value
    0.5
    """
    said = {"items": list(items), "scores": list(scores), "known": known}
    return Shaped(scores[0] if scores else math.nan, said)


def told(value: float, said: Said) -> dict[str, Any]:
    """Return an answer as callers read it: of classes and clusters ``value`` is its name, of a list its items.

    >>> told(0.8, {"class": "white", "probabilities": {"red": 0.2, "white": 0.8}})["value"]
    'white'
    """
    beside = {name: each for name, each in said.items() if name not in ("class", "items")}
    return {"value": said.get("class", said.get("items", value)), **beside}
