"""What definitions name that other rooms know: metrics, held against the registry as soon as definitions load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.definitions.tasks import name_of
from millstream.errors import DefinitionError, near

if TYPE_CHECKING:
    from millstream.definitions.manifest import Manifest
    from millstream.definitions.model import Model

_BY_LABEL = ("binary", "regression", "multiclass")
"""Kinds of answer that follow a label's type, which only data says."""


def refuse_metrics(manifest: Manifest) -> None:
    """Refuse a metric that does not exist, or that no answer of its model could have.

    Whether a model without ``task=`` answers a probability or a number is known only when its label is typed: there,
    the metrics must have some kind of answer in common. Training looks again, when it knows.

    Raises
    ------
    DefinitionError
        Naming model and metric, with near matches.
    """
    for model in manifest.models.values():
        _refuse(model)


def _refuse(model: Model) -> None:
    from millstream.metrics.registry import METRICS

    kinds = (name_of(model.task),) if model.task else ("anomaly",) if model.label is None else _BY_LABEL
    fitting = [name for name, each in METRICS.items() if set(each.tasks) & set(kinds)]
    for name in model.metrics:
        if name not in METRICS:
            raise DefinitionError(f"model {model.name!r} names a metric {name!r}", expected=near(name, METRICS))
        if name not in fitting:
            what = f"a {kinds[0]} task" if len(kinds) == 1 else "the kind of answer its label leads to"
            raise DefinitionError(
                f"metric {name!r} of model {model.name!r} is not for {what}",
                expected=f"of {', '.join(fitting)}",
                do="name another metric, or say another kind of answer with task=",
            )
    if not any(all(kind in METRICS[name].tasks for name in model.metrics) for kind in kinds):
        raise DefinitionError(
            f"no kind of answer has all the metrics of model {model.name!r}: {', '.join(model.metrics)}",
            expected="metrics of one kind: of a probability, of classes, or of a number",
        )
    if METRICS[model.goal].signed:
        raise DefinitionError(
            f"the goal of model {model.name!r} is {model.goal!r}, which is 0 at its best",
            expected=f"one of {', '.join(name for name in fitting if not METRICS[name].signed)}",
        )
