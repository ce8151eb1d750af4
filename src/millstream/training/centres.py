"""Groups as centres: a row belongs to the nearest, measured in standard deviations of each feature."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from millstream.training.matrix import Array


class Yardstick(msgspec.Struct, frozen=True):
    """How rows are measured: each feature's mean and standard deviation; one of 0 leaves a feature out."""

    centre: Array
    scale: Array

    @classmethod
    def of(cls, matrix: Array, *, texts: set[int]) -> Yardstick:
        """Measure some rows; the columns of texts do not count, since codes of categories have no distance."""
        centre, scale = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
        for place, values in enumerate(matrix.T):
            known = values[~np.isnan(values)]
            if known.size and place not in texts:
                centre[place], scale[place] = known.mean(), known.std()
        return cls(centre, scale)

    def points(self, matrix: Array) -> Array:
        """Return rows in standard deviations from the mean; what is missing is at the mean."""
        used = self.scale > 0
        away = (matrix - self.centre) / np.where(used, self.scale, 1.0)
        answer: Array = np.where(used & ~np.isnan(matrix), away, 0.0)
        return answer


def distances(points: Array, centres: Array) -> Array:
    """Return the distance of each row to each centre, shape (n, centres): one feature after another, as when served."""
    total = np.zeros((len(points), len(centres)))
    for column in range(points.shape[1]):
        apart = points[:, column, None] - centres[None, :, column]
        total += apart * apart
    answer: Array = np.sqrt(total)
    return answer


class Centres:
    """Fitted centres, as plain data. An answer is the number of the nearest centre, then the distance to each.

    Parameters
    ----------
    yardstick
        How rows are measured.
    centres
        Shape (groups, features), measured so.
    note
        What else was assumed.
    """

    kind = "centres"

    def __init__(self, yardstick: Yardstick, centres: Array, *, note: str = "") -> None:
        self.yardstick, self.centres, self._note = yardstick, centres, note

    def predict(self, matrix: Array) -> Array:
        """Answer rows, shape (n, 1 + groups); of two equally near centres the first."""
        away = distances(self.yardstick.points(matrix), self.centres)
        return np.column_stack([away.argmin(axis=1).astype(np.float64), away])

    def described(self) -> dict[str, Any]:
        """Return the centres and how rows are measured."""
        return {
            "centre": self.yardstick.centre.tolist(),
            "scale": self.yardstick.scale.tolist(),
            "centres": self.centres.tolist(),
        }

    def files(self) -> dict[str, bytes]:
        """Return nothing: ``model.json`` holds all of it."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was assumed."""
        return (
            "Features are measured in standard deviations, so that none counts more for its unit; a missing one counts "
            "as the mean, a text and one that never varies not at all.",
            *((self._note,) if self._note else ()),
        )
