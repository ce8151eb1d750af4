"""Labels and predictions as metrics take them: two finite float arrays of one length."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from millstream.errors import BadData

Array: TypeAlias = npt.NDArray[np.float64]


def finite(values: npt.ArrayLike, *, what: str) -> Array:
    """Return values as a one-dimensional float array without NaN or infinity.

    Raises
    ------
    BadData
        For anything else; the message counts what is wrong.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadData(f"{what} are not numbers", expected="a one-dimensional array of numbers or booleans") from None
    if array.ndim != 1:
        raise BadData(f"{what} have {array.ndim} dimensions", expected="a one-dimensional array")
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise BadData(
            f"{wrong} of {array.size} {what} are NULL, NaN or infinite",
            expected="labelled rows with finite predictions",
            do="leave unlabelled rows out before measuring",
        )
    return array


def pair(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    """Return labels and predictions as two finite float arrays of one length."""
    left, right = finite(label, what="labels"), finite(prediction, what="predictions")
    if left.size != right.size:
        raise BadData(f"there are {left.size} labels and {right.size} predictions", expected="one prediction per label")
    return left, right


def classes(label: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    """Return 0/1 labels and predictions as two finite float arrays of one length."""
    left, right = pair(label, prediction)
    odd = left[(left != 0) & (left != 1)]
    if odd.size:
        raise BadData(f"a label is {odd[0]:g}", expected="true or false (1 or 0) for a metric of probabilities")
    return left, right


def mean(values: Any) -> float:
    """Return the mean, ``nan`` for none (numpy would warn)."""
    return float(np.mean(values)) if len(values) else float("nan")
