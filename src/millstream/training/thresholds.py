"""Where a probability becomes a decision, chosen on rows the judged model had not learnt from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from millstream.definitions.model import Model
from millstream.definitions.tasks import Shape
from millstream.definitions.tasks import read_threshold as read_cut
from millstream.errors import DefinitionError, IntegrityError
from millstream.training.matrix import Array

THRESHOLD_JSON = "threshold.json"


class Threshold(msgspec.Struct, frozen=True):
    """Where an answer becomes a decision, as ``threshold.json`` keeps it.

    Parameters
    ----------
    value
        From this number on the decision is yes.
    said
        What the definition says: a number, ``f1``, ``cost(fp=1, fn=5)`` or the share of an anomaly task.
    says
        How it was chosen and what it does on the rows it was chosen on, in words.
    """

    value: float
    said: str
    says: str


def choose(model: Model, shape: Shape, label: Array, predicted: Array) -> Threshold | None:
    """Choose a model's threshold on its hold-out; None for a model without one.

    Parameters
    ----------
    model
        Says how.
    shape
        Of its answers; only probabilities of true can have a threshold.
    label, predicted
        Of the hold-out, shape (n,).

    Raises
    ------
    DefinitionError
        When the task is not Binary.

    Notes
    -----
    Every predicted probability is tried: one sort. Of equally good ones the highest is taken.
    """
    if model.threshold is None:
        return None
    if shape.task != "binary":
        raise DefinitionError(
            f"model {model.name!r} has a threshold and a {shape.task} task", expected="a threshold for Binary only"
        )
    cut = read_cut(model.threshold)
    if cut.at is not None:
        return Threshold(cut.at, str(model.threshold), f"fixed at {cut.at:g}; {_does(label, predicted, cut.at)}")
    order = np.argsort(-predicted, kind="stable")
    ordered, true = predicted[order], label[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    hit = np.cumsum(true)[last]
    called = np.arange(1, ordered.size + 1)[last]
    if cut.fp is None or cut.fn is None:
        score = 2 * hit / (called + true.sum())
        how = "the best F1"
    else:
        score = -(cut.fp * (called - hit) + cut.fn * (true.sum() - hit))
        how = f"the least cost at {cut.fp:g} for a false yes and {cut.fn:g} for a false no"
    value = float(ordered[last][int(np.argmax(score))])
    says = f"{value:.4g} gives {how} on the hold-out; {_does(label, predicted, value)}"
    return Threshold(value, str(model.threshold), says)


def read_threshold(folder: Path) -> float | None:
    """Read from which number on a model's answer is a yes; None for a model without a threshold.

    Raises
    ------
    IntegrityError
        When its file is not what training writes.
    """
    path = folder / THRESHOLD_JSON
    try:
        return msgspec.json.decode(path.read_bytes(), type=Threshold).value
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as wrong:
        raise IntegrityError(f"{path} cannot be read: {wrong}", do="train again, or restore the folder") from None


def _does(label: Array, predicted: Array, value: float) -> str:
    called = predicted >= value
    hit, true = int((label[called] == 1).sum()), int((label == 1).sum())
    right = f"{hit / called.sum():.0%} of them rightly" if called.any() else "none"
    found = f", and finds {hit / true:.0%} of those that are" if true else ""
    return f"it calls {called.mean():.0%} of {label.size:,} rows, {right}{found}"
