"""Which kind of answer a model gives, and its labels as the numbers that are learnt."""

from __future__ import annotations

import numpy as np

from millstream.definitions.model import Model
from millstream.definitions.tasks import (
    Anomaly,
    Binary,
    Clusters,
    Forecast,
    Multiclass,
    Quantiles,
    Ranking,
    Regression,
    Shape,
    Task,
    name_of,
)
from millstream.errors import BadData, DefinitionError
from millstream.training.matrix import Array
from millstream.training.sets import TrainingSet
from millstream.training.splits import NEVER

MOST_CLASSES = 1000
"""More distinct labels than this are names, not classes."""

_FOLLOWS: dict[str, Task] = {
    "boolean": Binary(), "bigint": Regression(), "double": Regression(), "varchar": Multiclass(),
}  # fmt: skip
_FITS: dict[str, tuple[str, ...]] = {
    "binary": ("boolean", "bigint", "double"),
    "regression": ("boolean", "bigint", "double"),
    "quantiles": ("bigint", "double"),
    "multiclass": ("varchar", "bigint", "boolean"),
    "topk": ("boolean",),
}


def shape_of(model: Model, training: TrainingSet) -> Shape:
    """Return the shape of a model's answers: its task as defined, else by the label's type.

    A text is a class and a number is a number: whole numbers are never guessed to be classes.

    Raises
    ------
    DefinitionError
        When the label is not of the kind the task needs.
    BadData
        When labels of classes are nearly all different.
    """
    dtype = training.label_dtype
    task = model.task or (Anomaly() if dtype is None else _FOLLOWS.get(dtype))
    if task is None:
        raise DefinitionError(
            f"the label of model {model.name!r} is {dtype or 'missing'}",
            expected="a truth value (the answer is a probability), a text (a class) or a number (its mean)",
        )
    name = name_of(task)
    without = isinstance(task, Anomaly | Clusters)
    if without != (dtype is None) or (dtype is not None and dtype not in _FITS[name]):
        raise DefinitionError(
            f"model {model.name!r} has task {type(task).__name__} and a label that is {dtype or 'missing'}",
            expected="no label (label=None)" if without else f"a label of {', '.join(_FITS[name])}",
        )
    if isinstance(task, Ranking):
        return Shape(name, k=task.k)
    if isinstance(task, Binary):
        _refuse_other_than_two(model, training)
    if isinstance(task, Multiclass):
        return Shape(name, classes=_classes(model, training))
    levels = task.levels if isinstance(task, Quantiles | Forecast) else ()
    return Shape(name, levels=levels, scale=training.scale)


def labels_of(training: TrainingSet, shape: Shape) -> Array:
    """Return labels as numbers, NaN for none: the code of the class where answers are of classes."""
    if shape.task != "multiclass" or training.text_label:
        return training.label
    known = np.array([_number(each) for each in shape.classes])
    codes = np.searchsorted(known, training.label).astype(np.float64)
    found = known[np.minimum(codes, known.size - 1).astype(np.intp)]
    return np.where(found == training.label, codes, np.nan)


def rare(training: TrainingSet, shape: Shape, *, fewer_than: int) -> dict[str, int]:
    """Return the classes that few labelled rows have, with how many."""
    if not shape.classes:
        return {}
    codes = labels_of(training, shape)[training.known != NEVER].astype(np.intp)
    counts = np.bincount(codes, minlength=len(shape.classes))
    return {name: int(count) for name, count in zip(shape.classes, counts, strict=True) if count < fewer_than}


def _classes(model: Model, training: TrainingSet) -> tuple[str, ...]:
    if training.text_label:
        named = training.texts
    else:
        known = np.unique(training.label[training.known != NEVER])
        truth = training.label_dtype == "boolean"
        named = tuple(("false", "true")[int(each)] if truth else str(int(each)) for each in known)
    if len(named) > MOST_CLASSES:
        raise BadData(
            f"the label of model {model.name!r} has {len(named):,} different values, such as {named[0]!r}",
            expected=f"at most {MOST_CLASSES:,} classes: a name or an id is no class",
            do="group them in the label's expression",
        )
    return named


def _number(name: str) -> float:
    return float(name == "true") if name in ("false", "true") else float(name)


def _refuse_other_than_two(model: Model, training: TrainingSet) -> None:
    odd = training.label[~np.isnan(training.label) & (training.label != 0) & (training.label != 1)]
    if odd.size:
        raise DefinitionError(
            f"model {model.name!r} has task Binary and a label of {odd[0]:g}",
            expected="labels that are true or false",
            do="task=tasks.Multiclass() for classes that are numbers",
        )
