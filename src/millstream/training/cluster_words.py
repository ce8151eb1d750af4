"""The verdict on groups: do they come out alike again, and is each large enough to mean something."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from millstream.metrics.clusters import agreement
from millstream.training.matrix import Array

STABLE = 0.65
"""Adjusted Rand index under which two groupings count as poorly alike (Steinley, Psychological Methods 9, 2004)."""

APART = 0.25
"""Silhouette up to which no structure worth the name was found (Kaufman and Rousseeuw, Finding Groups, 1990)."""


def group_words(
    said: Mapping[str, float | None], codes: Array, *, smallest: float, champion: Array | None, name: str
) -> tuple[bool, str]:
    """Say whether a model of groups may go on, and what can and cannot be said of it.

    Parameters
    ----------
    said
        What was measured of it.
    codes
        Group of each row judged on.
    smallest
        Share of rows that every group must have.
    champion, name
        The champion's group of each row, NaN where it may have learnt from it; None without one. And its name.
    """
    alike, small, apart, told = (said[each] for each in ("agreement", "smallest_share", "silhouette", "explained"))
    stable = alike is not None and alike >= STABLE
    large = small is not None and small >= smallest
    words = [
        f"Taught on two halves, it puts other rows into {'the same' if stable else 'different'} groups "
        f"(agreement {_number(alike)}, at least {STABLE} is asked for).",
        f"Its smallest group has {_share(small)} of the rows judged on, at least {smallest:.1%} is asked for"
        f"{'' if large else ': too few to act on'}.",
        f"Its groups explain {_share(told)} of how rows differ; one group for all explains nothing.",
        f"They lie {'apart' if apart is not None and apart > APART else 'hardly apart'} (silhouette {_number(apart)}).",
        _beside(codes, champion, name),
        "There are no labels, so nobody can say whether a group means something: let somebody who knows the rows look "
        "at their typical values before it goes live.",
    ]
    return stable and large, " ".join(each for each in words if each)


def _beside(codes: Array, champion: Array | None, name: str) -> str:
    if champion is None:
        return ""
    fresh = ~np.isnan(champion)
    if not fresh.any():
        return f"{name} may have learnt from every row judged on, so the two are not compared."
    alike = agreement(codes[fresh], champion[fresh])
    return f"On {int(fresh.sum()):,} rows that {name} had not learnt from, the two agree to {_number(alike)}."


def _share(value: float | None) -> str:
    return "no share" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "not to be had" if value is None or value != value else f"{value:.2f}"
