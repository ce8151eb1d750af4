"""The numbers and the descriptions of groups: "cluster 3" stays the same segment when the model is trained again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from millstream.features.plan import FeatureColumn
from millstream.metrics.clusters import overlap
from millstream.training.matrix import Array
from millstream.training.splits import Rows

SAME = 0.5
"""Of a group that shares more than half of all its rows with a known one, it is that one (Hennig 2007)."""

_CLEAR = 0.5
"""Standard deviations from the mean of all from which on a feature tells a group apart."""

_MOST_TOLD = 3


class Cluster(msgspec.Struct, frozen=True):
    """One group of the rows learnt from.

    Parameters
    ----------
    name
        Its number, as answers give it.
    rows, share
        How many rows it has, and of all.
    typical
        Feature to the median of its rows, of texts to the most frequent; None where nothing is known.
    says
        What tells it apart, in words.
    same
        Share of rows it has in common with the group of that number in the release before (Jaccard); None for a new
        number.
    """

    name: str
    rows: int
    share: float
    typical: dict[str, float | str | None]
    says: str
    same: float | None = None


class Numbered(msgspec.Struct, frozen=True):
    """Numbers of groups, in their order, and what became of those of the release before.

    Parameters
    ----------
    names
        A number a group.
    same
        Overlap of each with the group it has its number from; None for a new one.
    given
        Numbers ever given: a number that is free is not given again.
    says
        In words; empty for a first release.
    """

    names: tuple[str, ...]
    same: tuple[float | None, ...]
    given: int
    says: str = ""


def afresh(groups: int) -> Numbered:
    """Number groups that have no predecessor: the largest is 1."""
    return Numbered(tuple(str(each + 1) for each in range(groups)), (None,) * groups, groups)


def numbered(codes: Rows, groups: int, *, before: Rows, names: Sequence[str], given: int, champion: str) -> Numbered:
    """Give groups the numbers of the release before, where they are the same.

    Parameters
    ----------
    codes, groups
        The new group of each row, and how many there are.
    before, names
        The group of each row by the release before, and its numbers.
    given
        Numbers ever given before.
    champion
        Name of that release.

    >>> old, new = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 1, 1, 0, 0, 0])
    >>> numbered(new, 2, before=old, names=["1", "2", "3"], given=3, champion="x@1").names
    ('2', '1')
    """
    found: list[str] = []
    same: list[float | None] = []
    for group in range(groups):
        shared = [overlap(codes == group, before == each) for each in range(len(names))]
        best = int(np.argmax(shared))
        if shared[best] > SAME:
            found.append(names[best])
            same.append(shared[best])
        else:
            given += 1
            found.append(str(given))
            same.append(None)
    kept = [f"{name} ({each:.0%} of its rows)" for name, each in zip(found, same, strict=True) if each is not None]
    new = [name for name, each in zip(found, same, strict=True) if each is None]
    gone = [each for each in names if each not in found]
    says = [
        f"Numbers are those of {champion} where more than half of all rows are shared: {', '.join(kept) or 'none'}."
    ]
    says += [f"New: {', '.join(new)}."] if new else []
    says += [f"Gone: {', '.join(gone)}."] if gone else []
    return Numbered(tuple(found), tuple(same), given, " ".join(says))


def described(
    numbers: Numbered, codes: Rows, features: Array, *, columns: Sequence[FeatureColumn], known: dict[str, list[str]]
) -> tuple[Cluster, ...]:
    """Describe each group by the typical values of its rows and by what tells it apart.

    Parameters
    ----------
    numbers
        Of the groups.
    codes, features
        Group and features of each row learnt from; texts as codes of the categories ``known``.
    columns, known
        What the features are.
    """
    return tuple(
        Cluster(
            name=name,
            rows=int((codes == at).sum()),
            share=float(np.mean(codes == at)),
            typical={
                each.name: _typical(features[codes == at, place], known.get(each.name))
                for place, each in enumerate(columns)
            },
            says=_apart(features, codes == at, columns),
            same=numbers.same[at],
        )
        for at, name in enumerate(numbers.names)
    )


def _typical(values: Array, categories: list[str] | None) -> float | str | None:
    there = values[~np.isnan(values)]
    if not there.size:
        return None
    if categories is None:
        return float(np.median(there))
    return categories[int(np.bincount(there.astype(np.intp)).argmax())]


def _apart(
    features: Array, mine: Array | np.ndarray[tuple[int, ...], np.dtype[np.bool_]], columns: Sequence[FeatureColumn]
) -> str:
    """Name the features whose mean in the group is furthest from the mean of all."""
    found: list[tuple[float, str]] = []
    for place, each in enumerate(columns):
        values = features[:, place]
        there = ~np.isnan(values)
        own = there & np.asarray(mine, dtype=bool)
        spread = float(values[there].std()) if there.any() else 0.0
        if each.dtype == "varchar" or not spread or not own.any():
            continue
        away = (float(values[own].mean()) - float(values[there].mean())) / spread
        typical, usual = float(np.median(values[own])), float(np.median(values[there]))
        if abs(away) >= _CLEAR:
            word = "high" if away > 0 else "low"
            found.append((-abs(away), f"{each.name} {word} (typically {typical:.4g}, of all {usual:.4g})"))
    told = [says for _, says in sorted(found)[:_MOST_TOLD]]
    return ", ".join(told) if told else "near the middle in everything"
