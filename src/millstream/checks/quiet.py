"""Whether a period is short of combinations because less happened everywhere, or because rows were lost.

On a holiday every store sells less: the strong departments have fewer rows, and of the weak ones some have none. A
sender that loses combinations leaves the others as they were. So the combinations that came say how much happened, and
that says how many others had none by chance (rows as a Poisson process, thinned). What is short beyond that is lost.

A period in which nothing came, or less than a third, is never quiet: nobody can tell a closed day from a lost one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from millstream.checks.present import Present
    from millstream.definitions.habits import Expected

BUSY, EMPTY = 2 / 3, 1 / 3
"""From the one part of the usual rows on, where there are rows, a period is not quiet, nor below the other."""
_FEWEST = 20
"""Combinations that must have come to say how much happened."""
_IN_A_ROW = {"1d": 2, "1w": 1}
"""So many periods in a row may be quiet; the next is short."""


def is_quiet(there: Present, period: int, asked: Expected, *, share: float, limit: float) -> bool:
    """Say whether a period below its limit is one in which less happened, and not one too many in a row."""
    if not _is_quiet(there, period, asked, share=share, limit=limit):
        return False
    most = _IN_A_ROW[asked.every]
    return not all(_hushed(there, period - back, asked) for back in range(1, most + 1))


def _hushed(there: Present, period: int, asked: Expected) -> bool:
    """Say whether an earlier period had as clearly fewer rows."""
    happened = activity(there, period, asked)
    return happened is not None and happened[0] < BUSY


def _is_quiet(there: Present, period: int, asked: Expected, *, share: float, limit: float) -> bool:
    found = activity(there, period, asked)
    if found is None or not EMPTY <= found[0] < BUSY:
        return False
    part, often = found
    absent = (1 - often) ** part
    return share >= limit * float((1 - absent).sum() / often.sum())


def activity(there: Present, period: int, asked: Expected) -> tuple[float, npt.NDArray[np.float64]] | None:
    """Return what part of their usual rows the combinations that came have, and how often each expected one comes."""
    due, size = there.expected(period, asked), there.names.height
    like = [each for each in there.like(period, asked) if each in there.at]
    if not due.size or not like or period not in there.at:
        return None
    now, usual, seen = (np.zeros(size, dtype=np.float64) for _ in range(3))
    now[there.at[period]] = there.lines[period]
    for each in like:
        usual[there.at[each]] += there.lines[each]
        seen[there.at[each]] += 1
    came = due[now[due] > 0]
    if came.size < _FEWEST:
        return None
    often = (seen[due] + 0.5) / (len(like) + 1)
    known = came[seen[came] > 0]  # both as rows where there are some: what was lost does not count
    return float(now[known].sum() / (usual[known] / seen[known]).sum()), often
