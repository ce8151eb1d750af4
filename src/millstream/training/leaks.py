"""Features that could not have been known, found in the training set itself before anything is fitted.

What reading definitions cannot see, the rows show: a feature that is the label under another name or in two parts, one
that is the mean of the very labels it is to predict, and rows that stand on both sides of the split. What is certain is
refused, what is only very unlikely is said and kept with the model.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import polars as pl

from millstream.definitions.model import Model
from millstream.errors import DefinitionError, LeakError, near
from millstream.training.record import Leak
from millstream.training.sets import TrainingSet
from millstream.training.splits import NEVER, Split

SURE_RANK, LIKELY_RANK = 0.9999, 0.99
"""AUC or accuracy of a rule on one feature from which on it is refused, and said."""
LIKELY_SHARE, EXACT = 0.999, 1e-9
"""Share of a number explained by one feature from which on it is said: what moves slowly is foretold by its last value,
so this is much higher. It is refused where it is the label times something, to this part of it."""
OWN_SURE, OWN_LIKELY = 0.5, 0.01
"""Share of rows whose label is known at their own decision from which on windows over it are refused, and said."""


def find_leaks(model: Model, training: TrainingSet, split: Split) -> tuple[Leak, ...]:
    """Look for leaks in a training set.

    Parameters
    ----------
    model
        The definition: features it vouches for are looked at and never refused.
    training
        Rows with features and labels; only labels known by its end count.
    split
        The hold-out, for rows on both of its sides.

    Raises
    ------
    DefinitionError
        When the definition vouches for a feature the model has not.

    Notes
    -----
    Looks at a sample of rows; takes well under a second for a hundred features.
    """
    from millstream.training import leaky, leaky_pairs

    for each in model.vouched:
        if each not in training.plan.names:
            raise DefinitionError(
                f"model {model.name!r} vouches for {each!r}, which it has not", expected=near(each, training.plan.names)
            )
    if training.label_dtype is None:
        return ()
    found = [*_own_labels(training)]
    own = {name for each in found for name in each.features}
    found += [each for each in _disguised(training) if own.isdisjoint(each.features)]
    told = {name for each in found if each.refused for name in each.features}
    parts = leaky.parts(training, without=told)
    if parts is not None:
        found.append(Leak("parts", *parts))
    elif nearly := leaky_pairs.near_parts(training, without={name for each in found for name in each.features}):
        found.append(Leak("parts", nearly[:2], False, nearly[2]))
    told |= {name for each in found if each.refused for name in each.features}
    for name, sure, says in leaky.group_means(training, without=told):
        found.append(Leak("group", (name,), sure, says))
    if training.plan.of_rows and (said := leaky.twins(training, split)):
        found.append(Leak("duplicates", (), False, said))
    vouched = set(model.vouched)
    return tuple(
        msgspec.structs.replace(each, refused=each.refused and not vouched & set(each.features)) for each in found
    )


def refuse_leaks(model: Model, found: Iterable[Leak]) -> None:
    """Refuse to train with what is certain.

    Raises
    ------
    LeakError
        Naming each feature with the reason.
    """
    refused = [each for each in found if each.refused]
    if not refused:
        return
    names = ", ".join(dict.fromkeys(name for each in refused for name in each.features))
    raise LeakError(
        f"model {model.name} would learn from what could not have been known: " + "; ".join(e.says for e in refused),
        expected="features that are known when the prediction is made, and do not hold what is predicted",
        do=f"leave {names} out, or say when it is known (known_at, lag); if it really is known in time, vouch for it: "
        f"Model({model.name!r}, ..., vouched=[{', '.join(repr(n) for each in refused for n in each.features)}])",
    )


def _own_labels(training: TrainingSet) -> Iterable[Leak]:
    """Find windows that hold the very label of their row, because it is known when the row is decided."""
    plan, there = training.plan, training.known != NEVER
    if not plan.of_rows or plan.label is None or training.static or not there.any():
        return
    own = int((there & (training.known <= training.decided)).sum())
    share = own / int(there.sum())
    if share < OWN_LIKELY:
        return
    for view in plan.views:
        if view.table != plan.rows_table or view.entity != view.keys:
            continue
        for name, window in view.features.items():
            if window.value is not None and not window.ago_us and set(window.value.columns) & set(plan.label.columns):
                name = f"{view.name}.{name}"
                says = f"feature {name}: of {own:,} of {there.sum():,} rows the label is known at the decision, so the "
                yield Leak("disguise", (name,), share > OWN_SURE, f"{says}row's own label is among those in its window")


def _disguised(training: TrainingSet) -> Iterable[Leak]:
    from millstream.profiling.leaks import telling

    names = training.plan.names
    rows = training.frame.filter(pl.Series(training.known != NEVER))
    plain = rows.select(*(pl.col(name).alias(f"{place}") for place, name in enumerate(names)), pl.col("label"))
    number = training.label_dtype in ("bigint", "double")
    for place, (reason, says, score) in telling(plain, "label").items():
        name = names[int(place)]
        if number and rows.schema[name].is_numeric():
            sure = _in_another_unit(rows[name], rows["label"])
            says = "it is the label, or the label in another unit" if sure else says
            likely = score >= LIKELY_SHARE
        else:
            sure = reason == "relabelled" or (score >= SURE_RANK and not number)
            likely = score >= (LIKELY_SHARE if number else LIKELY_RANK)
        if sure or likely:
            yield Leak("disguise", (name,), sure, f"feature {name}: {says}")


def _in_another_unit(feature: pl.Series, label: pl.Series) -> bool:
    """Say whether a number is the label times something: a formula with more to it may well be known in time."""
    there = (feature.is_not_null() & label.is_not_null()).to_numpy()
    x, y = (each.cast(pl.Float64).to_numpy()[there] for each in (feature, label))
    if not len(x) or not (x * x).sum() > 0:
        return False
    return bool((np.abs(y - x * ((x * y).sum() / (x * x).sum())) <= EXACT * np.abs(y).max()).all())
