"""A stored picture of columns, against which new data is counted without the old data at hand.

A profile keeps, per column, bins that hold about equal shares of the reference, with open ends; texts, booleans and
columns of few distinct values have one bin a value and one for all others. Counts of new data in these bins can be
added, so a rolling window is a sum of days.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from millstream.errors import BadData, NotFound, near
from millstream.metrics.arrays import Array
from millstream.metrics.divergence import kl, psi

FEW = 20
"""A column of at most this many distinct values has one bin a value; of texts the most frequent are kept."""
SKETCH = 128
"""Points of a column's sketch."""

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]


class ColumnCounts(msgspec.Struct, frozen=True):
    """New values of one column, counted in a profile's bins.

    Parameters
    ----------
    bins
        Values per bin.
    nulls
        NULLs, which are in no bin.
    total
        Sum of the numbers; 0 for texts.
    """

    bins: tuple[int, ...]
    nulls: int
    total: float

    def __add__(self, other: ColumnCounts) -> ColumnCounts:
        bins = tuple(left + right for left, right in zip(self.bins, other.bins, strict=True))
        return ColumnCounts(bins, self.nulls + other.nulls, self.total + other.total)


class Counts(msgspec.Struct, frozen=True):
    """New data, counted in a profile's bins. Counts of days add up to the counts of a window.

    Parameters
    ----------
    rows
        Rows counted.
    columns
        By column.
    """

    rows: int
    columns: dict[str, ColumnCounts]

    def __add__(self, other: Counts) -> Counts:
        """Add two counts; a column that only one has is taken from it."""
        columns = self.columns | other.columns
        for name in self.columns.keys() & other.columns.keys():
            columns[name] = self.columns[name] + other.columns[name]
        return Counts(self.rows + other.rows, columns)


class Drift(msgspec.Struct, frozen=True):
    """How far a column has moved from its profile.

    Parameters
    ----------
    rows
        Rows counted, NULLs included.
    null_share, null_share_before
        Share of NULLs now and in the reference; None for no rows.
    kl, psi
        Divergence of the values that are not NULL, less what sampling alone gives; None for no values.
    mean, mean_before
        Mean of the numbers now and in the reference; None for texts and for no values.
    """

    rows: int
    null_share: float | None
    null_share_before: float | None
    kl: float | None
    psi: float | None
    mean: float | None
    mean_before: float | None


class ColumnProfile(msgspec.Struct, frozen=True):
    """One column of a profile.

    Parameters
    ----------
    count
        Rows, NULLs included.
    null_share
        0 to 1; None for no rows.
    edges
        Inner edges, ascending: bin i holds edges[i - 1] < value <= edges[i], the first and last bins are open.
    categories
        Where not empty, bin i holds this value and one last bin holds all others.
    counts
        Reference values per bin.
    mean, std, min, max
        Of the numbers; None for texts and for no values.
    sketch
        Means of ``SKETCH`` cells of equal weight, ascending: stands for the values in ``divergence.wasserstein``.
    text
        Whether it holds texts.
    """

    count: int
    null_share: float | None
    edges: tuple[float, ...] = ()
    categories: tuple[float | str, ...] = ()
    counts: tuple[int, ...] = ()
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    sketch: tuple[float, ...] = ()
    text: bool = False

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the known values in each bin."""
        total = sum(self.counts)
        return tuple(each / total for each in self.counts) if total else ()

    def count_values(self, values: npt.NDArray[Any], *, column: str = "values") -> ColumnCounts:
        """Count new values in the bins."""
        if self.text:
            found = _texts(values, column)
            return ColumnCounts(_text_counts(found, self.categories), values.size - found.total(), 0.0)
        ordered = _ordered(values, column)
        return ColumnCounts(
            bins=_bin_counts(ordered, self.edges, self.categories),
            nulls=values.size - ordered.size,
            total=float(ordered.sum()),
        )

    def drift(self, counts: ColumnCounts) -> Drift:
        """Compare counts with the reference."""
        values = sum(counts.bins)
        rows = values + counts.nulls
        numbers = self.mean is not None and values > 0
        return Drift(
            rows=rows,
            null_share=counts.nulls / rows if rows else None,
            null_share_before=self.null_share,
            kl=_none(kl(self.counts, counts.bins)),
            psi=_none(psi(self.counts, counts.bins)),
            mean=counts.total / values if numbers else None,
            mean_before=self.mean,
        )


class Profile(msgspec.Struct, frozen=True):
    """A stored picture of columns.

    Parameters
    ----------
    rows
        Rows it was taken from.
    columns
        By column, in the order given.
    """

    rows: int
    columns: dict[str, ColumnProfile]

    def counts(self, columns: Columns) -> Counts:
        """Count new data in the stored bins; columns that are not given are not counted.

        Raises
        ------
        NotFound
            For a column the profile has not; near matches are named.
        BadData
            For texts where the profile has numbers, and for columns of different length.

        Notes
        -----
        One sort a column: 100,000 rows of 25 columns in 0.03 s with AVX2.
        """
        for name in columns:
            if name not in self.columns:
                raise NotFound(f"the profile has no column {name!r}", expected=near(name, self.columns))
        counted = {name: self.columns[name].count_values(each, column=name) for name, each in columns.items()}
        return Counts(_rows(columns), counted)

    def drift(self, counts: Counts) -> dict[str, Drift]:
        """Compare counts with the reference, column by column."""
        return {name: self.columns[name].drift(each) for name, each in counts.columns.items()}


def profile(columns: Columns, *, bins: int = 20) -> Profile:
    """Take a picture of columns.

    Parameters
    ----------
    columns
        Name to values: numbers or booleans with ``NaN`` for NULL, or texts with None for NULL; shape (n,) each.
    bins
        Bins of about equal weight for a number of many distinct values.

    Raises
    ------
    BadData
        For infinite values, columns of different length, or values that are neither numbers nor texts.

    Examples
    --------
    >>> stored = profile({"wind": np.arange(1000.0)}, bins=4)
    >>> stored.columns["wind"].shares
    (0.25, 0.25, 0.25, 0.25)
    >>> today = stored.counts({"wind": np.arange(500.0, 1000.0)})
    >>> round(stored.drift(today)["wind"].kl, 1)
    0.7
    """
    return Profile(_rows(columns), {name: _column(values, name, bins) for name, values in columns.items()})


def _rows(columns: Columns) -> int:
    sizes = {name: int(np.shape(values)[0]) if np.ndim(values) else 0 for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in list(sizes.items())[:6])
        raise BadData(f"columns differ in length: {said}", expected="one value per row in every column")
    return next(iter(sizes.values()), 0)


def _column(values: npt.NDArray[Any], name: str, bins: int) -> ColumnProfile:
    if values.dtype.kind in "OUS":
        found = _texts(values, name)
        kept = tuple(sorted(text for text, _ in found.most_common(FEW)))
        nulls = _share(values.size - found.total(), values.size)
        return ColumnProfile(values.size, nulls, categories=kept, counts=_text_counts(found, kept), text=True)
    ordered = _ordered(values, name)
    nulls = _share(values.size - ordered.size, values.size)
    if not ordered.size:
        return ColumnProfile(values.size, nulls, counts=(0,))
    steps = ordered[1:] != ordered[:-1]
    few = np.count_nonzero(steps) < FEW
    categories = tuple(ordered[np.concatenate(([True], steps))].tolist()) if few else ()
    at = (np.arange(1, bins) * ordered.size) // bins - 1
    edges = () if few else tuple(np.unique(ordered[np.clip(at, 0, None)]).tolist())
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(ordered.mean())
        std, sketch = math.sqrt(float(np.square(ordered - mean).mean())), _sketch(ordered)
    return ColumnProfile(
        count=values.size,
        null_share=nulls,
        edges=edges,
        categories=categories,
        counts=_bin_counts(ordered, edges, categories),
        mean=_none(mean),
        std=_none(std),
        min=float(ordered[0]),
        max=float(ordered[-1]),
        sketch=sketch,
    )


def _sketch(ordered: Array) -> tuple[float, ...]:
    """Return the means of cells of exactly equal weight; a value on a boundary counts in part in both cells."""
    if ordered.size <= SKETCH:
        return tuple(ordered.tolist())
    whole, part = np.divmod(np.arange(SKETCH + 1) * ordered.size, SKETCH)
    cut = part / SKETCH * ordered[np.minimum(whole, ordered.size - 1)]
    sums = np.add.reduceat(ordered, whole[:-1]) - cut[:-1] + cut[1:]
    return tuple((sums * (SKETCH / ordered.size)).tolist())


def _ordered(values: npt.NDArray[Any], name: str) -> Array:
    """Return the known numbers of a column, ascending."""
    try:
        ordered = np.sort(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise BadData(f"column {name!r} does not hold numbers", expected="numbers, NaN for NULL") from None
    ordered = ordered[: int(np.searchsorted(ordered, np.nan))]
    if ordered.size and not (math.isfinite(ordered[0]) and math.isfinite(ordered[-1])):
        raise BadData(f"column {name!r} holds infinite values", expected="finite numbers, NaN for NULL")
    return ordered


def _bin_counts(ordered: Array, edges: tuple[float, ...], categories: tuple[Any, ...]) -> tuple[int, ...]:
    if categories:
        named = np.asarray(categories)
        hits = np.searchsorted(ordered, named, "right") - np.searchsorted(ordered, named, "left")
        return (*hits.tolist(), ordered.size - int(hits.sum()))
    ends = np.searchsorted(ordered, np.asarray(edges), "right")
    return tuple(np.diff(ends, prepend=0, append=ordered.size).tolist())


def _texts(values: npt.NDArray[Any], name: str) -> Counter[str]:
    try:
        found = Counter(values.tolist())
    except TypeError:
        raise BadData(f"column {name!r} does not hold texts", expected="texts, None for NULL") from None
    return Counter({str(text): number for text, number in found.items() if text is not None and text == text})


def _text_counts(found: Counter[str], categories: tuple[Any, ...]) -> tuple[int, ...]:
    hits = [found[text] for text in categories]
    return (*hits, found.total() - sum(hits))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _none(value: float) -> float | None:
    return value if math.isfinite(value) else None
