"""Features as the numbers a model sees: float64, one column a feature.

A boolean is 0 or 1, a text the code of its category (its place in the sorted list seen in fitting), NULL and a
category never seen NaN. The scoring server encodes by the same lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData
from millstream.features.plan import FeatureColumn

if TYPE_CHECKING:
    import polars as pl

Array: TypeAlias = npt.NDArray[np.float64]
Categories: TypeAlias = dict[str, list[str]]

_NUMBERS = ("boolean", "bigint", "double")


def categories(frame: pl.DataFrame, columns: Iterable[FeatureColumn]) -> Categories:
    """List the categories of every text feature, sorted; a category's place is its code."""
    texts = [each.name for each in columns if each.dtype == "varchar"]
    return {name: sorted(frame[name].drop_nulls().unique().to_list()) for name in texts}


def matrix(frame: pl.DataFrame, columns: Sequence[FeatureColumn], known: Mapping[str, Sequence[str]]) -> Array:
    """Turn feature columns into numbers, shape (rows, features).

    Parameters
    ----------
    frame
        Holds the columns.
    columns
        Which, in the order the model sees them.
    known
        Feature to its categories, as ``categories`` lists them.

    Raises
    ------
    BadData
        For a feature of a type that is no number, truth value or text.
    """
    import polars as pl

    encoded = np.empty((frame.height, len(columns)), dtype=np.float64)
    for place, each in enumerate(columns):
        if each.dtype == "varchar":
            encoded[:, place] = codes(frame[each.name], known.get(each.name, ()))
            continue
        if each.dtype in _NUMBERS:
            series = frame[each.name].cast(pl.Float64)
        else:
            raise BadData(
                f"feature {each.name} is {each.dtype}, which a model cannot see",
                expected="a number, a truth value or a text",
                do="turn it into a number in the feature's expression, for instance hour(...)",
            )
        encoded[:, place] = series.fill_null(float("nan")).to_numpy()
    return encoded


def codes(series: pl.Series, known: Sequence[str]) -> Array:
    """Turn texts into their places in a list, NaN for NULL and for those not in it."""
    import polars as pl

    places = {text: float(place) for place, text in enumerate(known)}
    coded = series.replace_strict(places, default=None, return_dtype=pl.Float64)
    return coded.fill_null(float("nan")).to_numpy().astype(np.float64)


def labels(series: pl.Series) -> Array:
    """Turn labels into numbers: true is 1, NULL is NaN."""
    import polars as pl

    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
