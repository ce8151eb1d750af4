"""How far what is seen has moved from a reference: between counts of bins, and between values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.metrics.arrays import Array, finite

SMOOTHING = 0.5
"""Added to every bin before shares are taken, so that an empty bin is unlikely and not impossible.

Half a row a bin: Krichevsky and Trofimov, IEEE Trans. Information Theory 27 (1981).
"""


def kl(reference: npt.ArrayLike, observed: npt.ArrayLike) -> float:
    """Measure the Kullback-Leibler divergence of observed counts from reference counts, in nats.

    Sum of p log(p / q), p the observed and q the reference shares (Kullback and Leibler, Ann. Math. Statist. 22,
    1951). Half a row is added to every bin (see ``SMOOTHING``), and what sampling alone is expected to give is taken
    off: (k - 1)/2 x (1/n + 1/m) for k bins and n and m rows (Miller 1955), 0.011 nats for 900 rows in 20 bins. The
    answer is never below 0.

    Parameters
    ----------
    reference, observed
        Rows per bin, shape (k,), in the same order; bins that both leave empty do not count.

    Returns
    -------
    float
        0 for equal shares; ``nan`` where either has no rows.

    Examples
    --------
    >>> round(kl([500, 500], [900, 100]), 2)
    0.37
    """
    before, now = _counts(reference, observed)
    if not before.sum() or not now.sum():
        return float("nan")
    expected = (before.size - 1) / 2 * (1 / now.sum() + 1 / before.sum())
    q, p = _shares(before), _shares(now)
    return max(0.0, float(np.sum(p * np.log(p / q))) - float(expected))


def psi(reference: npt.ArrayLike, observed: npt.ArrayLike) -> float:
    """Measure the population stability index, the divergence both ways: sum of (p - q) log(p / q).

    Jeffreys's divergence (Proc. R. Soc. A 186, 1946), known in credit scoring as PSI, where 0.1 is read as a small
    and 0.25 as a large change. Smoothed as ``kl``, and less its sampling expectation, (k - 1)(1/n + 1/m) (Yurdakul
    and Naranjo, J. Risk Model Validation 14, 2020).

    >>> round(psi([500, 500], [900, 100]), 2)
    0.87
    """
    before, now = _counts(reference, observed)
    if not before.sum() or not now.sum():
        return float("nan")
    expected = (before.size - 1) * (1 / now.sum() + 1 / before.sum())
    q, p = _shares(before), _shares(now)
    return max(0.0, float(np.sum((p - q) * np.log(p / q))) - float(expected))


def wasserstein(reference: npt.ArrayLike, observed: npt.ArrayLike) -> float:
    """Measure how far, on average, values must move to turn one set into the other, in their unit.

    The first Wasserstein distance, exact: the area between the two cumulative distributions (Vallender, Theory Prob.
    Appl. 18, 1974). It is not binned: a binned one depends on where the outer bins end. ``NaN`` (NULL) values are
    left out. The reference may be a profile's ``sketch``, whose points stand for cells of equal weight.

    Parameters
    ----------
    reference, observed
        Values, shapes (m,) and (n,).

    Returns
    -------
    float
        0 for equal sets; ``nan`` where either has no values.

    Notes
    -----
    Two sorts: 5 ms for twice 100,000 values.

    Examples
    --------
    >>> wasserstein([0.0, 1.0], [5.0, 6.0])
    5.0
    """
    before, now = (np.sort(_known(each)) for each in (reference, observed))
    if not before.size or not now.size:
        return float("nan")
    every = np.sort(np.concatenate((before, now)))
    left = np.searchsorted(before, every[:-1], "right") / before.size
    right = np.searchsorted(now, every[:-1], "right") / now.size
    return float(np.sum(np.abs(left - right) * np.diff(every)))


def null_share(values: npt.ArrayLike) -> float:
    """Measure the share of NULLs (``NaN``, or None among texts); ``nan`` for no rows.

    >>> null_share([1.0, float("nan")])
    0.5
    """
    array = np.asarray(values)
    if not array.size:
        return float("nan")
    if array.dtype.kind in "OUS":
        missing = sum(1 for each in array.tolist() if each is None or each != each)
        return missing / array.size
    return float(np.isnan(array.astype(np.float64)).mean())


def _known(values: npt.ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return finite(array[~np.isnan(array)], what="values")


def _counts(reference: npt.ArrayLike, observed: npt.ArrayLike) -> tuple[Array, Array]:
    before, now = finite(reference, what="reference counts"), finite(observed, what="observed counts")
    if before.size != now.size:
        raise BadData(f"the reference has {before.size} bins and the observed has {now.size}", expected="the same bins")
    used = (before > 0) | (now > 0)
    return before[used], now[used]


def _shares(counts: Array) -> Array:
    smoothed = counts + SMOOTHING
    return np.asarray(smoothed / smoothed.sum(), dtype=np.float64)
